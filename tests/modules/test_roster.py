"""The roster (RFC 6121, section 2), as clients see it."""

import re
from typing import Any
from unittest import mock

from tests.modules.conversation import Conversation, User, push
from xmppd.core import subscriptions as s
from xmppd.modules import roster_changes, roster_store
from xmppd.modules.roster_keeper import RosterKeeper
from xmppd.storage import roster as store
from xmppd.storage.errors import FaultError
from xmppd.storage.group import Outcome

ROMEO = "<item jid='romeo@example.net' name='Romeo' subscription='none'><group>Friends</group></item>"
NURSE = "<item jid='nurse@example.com' subscription='none'/>"


def result(number: str = "set") -> str:
    """An empty result for Juliet's balcony."""
    return f"<iq from='juliet@example.org' to='juliet@example.org/balcony' type='result' id='{number}'/>"


class JulietTests(Conversation):
    """Juliet has one session that has asked for the roster, and one that has not."""

    def setUp(self) -> None:
        super().setUp()
        self.juliet = self.user("juliet/balcony", roster=True)
        self.chamber = self.user("juliet/chamber")
        self.juliet.take()


class RetrievingTests(JulietTests):
    def test_an_empty_one(self) -> None:
        (answer,) = self.chamber.get_roster()
        self.assertIn("<query xmlns='jabber:iq:roster' ver='1-0'/>", answer)

    def test_all_that_there_is_to_a_contact(self) -> None:
        self.know(
            "romeo",
            ("a@example.net", s.OUT_APPROVED),
            ("b@example.net", s.FROM_OUT),
            ("c@example.net", s.TO_IN),
            ("d@example.net", s.BOTH),
            ("e@example.net", s.NONE_IN),
        )
        self.assertEqual(
            self.user("romeo/orchard").items(),
            "<item jid='a@example.net' subscription='none' ask='subscribe' approved='true'/>"
            "<item jid='b@example.net' subscription='from' ask='subscribe'/>"
            "<item jid='c@example.net' subscription='to'/>"
            "<item jid='d@example.net' subscription='both'/>",
        )

    def test_only_who_has_asked_is_told_of_changes(self) -> None:
        self.juliet.set_item(NURSE)
        self.assertEqual(self.chamber.take(), [])
        self.chamber.get_roster()
        self.juliet.set_item(ROMEO)
        self.assertEqual(self.chamber.take(), [push(1, 2, "juliet/chamber", ROMEO)])

    def test_nobody_else_may(self) -> None:
        romeo = self.user("romeo/orchard")
        for verb, content in (("get", ""), ("set", NURSE)):
            query = f"<query xmlns='jabber:iq:roster'>{content}</query>"
            (answer,) = romeo.ask(f"<iq to='juliet@example.org' type='{verb}' id='1'>{query}</iq>")
            self.assertIn("<forbidden ", answer)
            sender, to = "from='tybalt@example.net/x'", "to='juliet@example.org'"
            self.from_abroad(f"<iq {sender} {to} type='{verb}' id='1'>{query}</iq>")
        self.assertEqual([each.count("<forbidden ") for each in self.abroad()], [1, 1])
        self.assertEqual(self.juliet.take(), [])

    def test_the_request_has_no_items(self) -> None:
        query = f"<query xmlns='jabber:iq:roster'>{NURSE}</query>"
        (answer,) = self.juliet.ask(f"<iq type='get' id='1'>{query}</iq>")
        self.assertIn("<bad-request ", answer)

    def test_a_store_that_cannot_be_read(self) -> None:
        with mock.patch.object(self.server.database, "read", side_effect=FaultError("no disk")):
            self.forget("juliet")
            (answer,) = self.juliet.get_roster()
        self.assertIn("<internal-server-error ", answer)
        self.flushLoggedErrors(FaultError)
        self.assertIn("ver='1-0'", self.juliet.get_roster()[0])

    def test_a_contact_without_an_address_does_not_hide_the_others(self) -> None:
        self.juliet.set_item(ROMEO)
        account = self.account("juliet")
        broken = store.RosterItem("@@", "Broken")
        self.server.wait_for(self.server.database.write("roster", store.upsert, account.id, broken))
        self.forget("juliet")
        self.assertEqual(self.juliet.items(), ROMEO)


class ChangingTests(JulietTests):
    def test_adding(self) -> None:
        self.chamber.get_roster()
        self.assertEqual(
            self.juliet.set_item("<item jid='romeo@example.net' name='Romeo'><group>Friends</group></item>"),
            [push(1, 1, "juliet/balcony", ROMEO), result()],
        )
        self.assertEqual(self.chamber.take(), [push(1, 1, "juliet/chamber", ROMEO)])
        self.assertEqual(self.juliet.items(), ROMEO)

    def test_updating_replaces_name_and_groups(self) -> None:
        groups = "<group>A</group><group>B &amp; C</group>"
        for attributes, content in (
            (" name='R&apos;meo'", groups),
            (" name='Romeo'", ""),
            ("", groups),
            ("", ""),
        ):
            self.juliet.set_item(f"<item jid='romeo@example.net'{attributes}>{content}</item>")
            shown = f"<item jid='romeo@example.net'{attributes} subscription='none'>{content}</item>"
            expected = shown if content else shown.replace("></item>", "/>")
            self.assertEqual(self.juliet.items(), expected)
            self.forget("juliet")
            self.assertEqual(self.juliet.items(), expected)

    def test_an_empty_name_is_none(self) -> None:
        self.juliet.set_item("<item jid='romeo@example.net' name='Romeo'/>")
        self.juliet.set_item("<item jid='romeo@example.net' name=''/>")
        self.assertEqual(self.juliet.items(), "<item jid='romeo@example.net' subscription='none'/>")

    def test_updating_leaves_the_subscription_alone(self) -> None:
        self.know("romeo", ("juliet@example.net", s.BOTH))
        romeo = self.user("romeo/orchard", roster=True)
        romeo.set_item("<item jid='juliet@example.net' name='Juliet' subscription='none' ask='subscribe'/>")
        self.assertEqual(romeo.items(), "<item jid='juliet@example.net' name='Juliet' subscription='both'/>")

    def test_what_only_the_server_says_is_ignored(self) -> None:
        self.juliet.set_item(
            "<item jid='a@example.net' subscription='both' ask='subscribe' approved='true'/>"
        )
        self.assertEqual(self.juliet.items(), "<item jid='a@example.net' subscription='none'/>")

    def test_addresses_are_normalised(self) -> None:
        self.juliet.set_item("<item jid='ROMEO@Example.NET' name='Romeo'/>")
        self.juliet.set_item("<item jid='romeo@example.net'/>")
        self.assertEqual(self.juliet.items(), "<item jid='romeo@example.net' subscription='none'/>")

    def test_a_service_with_a_resource_is_a_contact_of_its_own(self) -> None:
        self.juliet.set_item("<item jid='irc.example.net/registered' name='IRC'/>")
        self.juliet.set_item("<item jid='irc.example.net'/>")
        self.assertEqual(self.juliet.items().count("<item "), 2)

    def refused(self, *items: str) -> str:
        """The condition of the error that answers a set."""
        (answer,) = self.juliet.set_item("".join(items))
        self.assertIn("type='error'", answer)
        self.assertEqual(self.juliet.items(), "")
        return answer.partition("<error ")[2].partition("><")[2].partition(" ")[0]

    def test_bad_requests(self) -> None:
        self.assertEqual(self.refused(), "bad-request")
        self.assertEqual(self.refused(NURSE, ROMEO), "bad-request")
        self.assertEqual(self.refused(NURSE, NURSE), "bad-request")
        self.assertEqual(self.refused("<contact jid='nurse@example.com'/>"), "bad-request")
        self.assertEqual(self.refused("<item xmlns='other' jid='nurse@example.com'/>"), "bad-request")
        self.assertEqual(self.refused("<item name='Nurse'/>"), "bad-request")
        self.assertEqual(self.refused("<item jid=''/>"), "bad-request")
        twice = "<group>Servants</group><group>Servants</group>"
        self.assertEqual(self.refused(f"<item jid='nurse@example.com'>{twice}</item>"), "bad-request")

    def test_malformed_addresses(self) -> None:
        for jid in (
            "@example.com",
            "nurse@",
            "a@b@c",
            "nu&amp;rse@example.com",
            "nurse@example.com/",
            "x" * 3100,
        ):
            self.assertEqual(self.refused(f"<item jid='{jid}'/>"), "jid-malformed")

    def test_what_is_not_acceptable(self) -> None:
        long = "x" * 1024
        self.assertEqual(self.refused(f"<item jid='nurse@example.com' name='{long}'/>"), "not-acceptable")
        for group in (long, "", "é" * 512):
            item = f"<item jid='nurse@example.com'><group>{group}</group></item>"
            self.assertEqual(self.refused(item), "not-acceptable")
        many = "".join(f"<group>{number}</group>" for number in range(65))
        heavy = "".join(f"<group>{number}{'x' * 1000}</group>" for number in range(5))
        for groups in (many, heavy):
            self.assertEqual(self.refused(f"<item jid='nurse@example.com'>{groups}</item>"), "not-acceptable")

    def test_names_up_to_the_limit(self) -> None:
        name = "é" * 511
        item = f"<item jid='nurse@example.com' name='{name}' subscription='none'><group>{name}</group></item>"
        self.assertEqual(self.juliet.set_item(item)[-1], result())
        self.assertEqual(self.juliet.items(), item)

    def test_oneself(self) -> None:
        self.assertEqual(self.refused("<item jid='juliet@example.org'/>"), "not-allowed")

    def test_somebody_who_is_not_there_cannot_be_removed(self) -> None:
        self.assertEqual(self.refused("<item jid='a@example.net' subscription='remove'/>"), "item-not-found")


class DurabilityTests(JulietTests):
    def test_the_result_comes_with_the_commit(self) -> None:
        self.juliet.client.send(f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{NURSE}</query></iq>")
        self.assertEqual(self.juliet.take(), [push(1, 1, "juliet/balcony", NURSE)])
        self.server.settle()
        self.assertEqual(self.juliet.take(), [result("1")])
        self.restart()
        self.assertEqual(self.user("juliet/balcony").items(), NURSE)

    def test_a_change_that_is_lost_is_taken_back(self) -> None:
        self.juliet.set_item(ROMEO)
        error = FaultError("disk full")
        with mock.patch.object(self.server.database, "write", side_effect=error):
            for change in (
                NURSE,
                "<item jid='romeo@example.net' name='Other'/>",
                "<item jid='romeo@example.net' subscription='remove'/>",
            ):
                seen = self.juliet.set_item(change)
                self.assertIn("<internal-server-error ", "".join(seen))
        self.flushLoggedErrors(FaultError)
        pushes = [each for each in seen if "type='set'" in each]
        self.assertEqual((len(pushes), ROMEO in pushes[-1]), (2, True))
        self.assertEqual(self.juliet.items(), ROMEO)

    def test_changes_under_way_outlive_one_that_is_lost(self) -> None:
        """The disk is full for longer than the first one waits: memory and disk agree in the end."""
        with mock.patch.object(self.server.database, "run_group", self.fail_group):
            self.juliet.client.send(
                f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{NURSE}</query></iq>"
            )
            self.server.advance(4)
            self.chamber.client.send("<presence to='romeo@example.net' type='subscribe'/>")
            self.server.advance(4)
            self.assertIn("<internal-server-error ", "".join(self.juliet.take()))
        self.server.advance(10)
        asked = "<item jid='romeo@example.net' subscription='none' ask='subscribe'/>"
        self.assertIn("<item jid='nurse@example.com' subscription='remove'/>", self.juliet.take()[-1])
        self.assertEqual(self.juliet.items(), asked)
        self.forget("juliet")
        self.assertEqual(self.juliet.items(), asked)
        self.flushLoggedErrors(FaultError)

    async def fail_group(self, units: Any) -> Outcome:
        return Outcome(fault=FaultError("disk full"))


class RemovingTests(JulietTests):
    def remove(self, user: User, jid: str) -> list[str]:
        return user.set_item(f"<item jid='{jid}' subscription='remove'/>")

    def test_a_contact_without_subscription(self) -> None:
        self.juliet.set_item(ROMEO)
        gone = "<item jid='romeo@example.net' subscription='remove'/>"
        seen = self.remove(self.juliet, "romeo@example.net")
        self.assertEqual(seen, [push(1, 2, "juliet/balcony", gone), result()])
        self.assertEqual(self.abroad(), [])
        self.assertEqual(self.juliet.items(), "")

    def test_subscriptions_end(self) -> None:
        contact = "<presence from='romeo@example.org{}' to='{}@example.net' type='{}'/>"
        states = {"a": s.TO, "b": s.FROM, "c": s.BOTH, "d": s.NONE_OUT, "e": s.NONE_OUT_IN}
        self.know("romeo", *((f"{name}@example.net", state) for name, state in states.items()))
        romeo = self.user("romeo/orchard", roster=True)
        self.abroad()
        for name, state in states.items():
            expected = []
            if state & (s.TO | s.PENDING_OUT):
                expected.append(contact.format("", name, "unsubscribe"))
            if state & s.FROM:
                expected.append(contact.format("/orchard", name, "unavailable"))
                expected.append(contact.format("", name, "unsubscribed"))
            self.remove(romeo, f"{name}@example.net")
            self.assertEqual(self.abroad(), expected)
        self.assertEqual(romeo.items(), "")

    def test_a_contact_on_the_same_server(self) -> None:
        self.befriend("romeo", "nurse")
        romeo = self.user("romeo/orchard", roster=True)
        nurse = self.user("nurse/kitchen", roster=True)
        romeo.take()
        seen = self.remove(romeo, "nurse@example.org")
        gone = "<item jid='nurse@example.org' subscription='remove'/>"
        self.assertEqual(
            seen[:2],
            [
                push(2, 2, "romeo/orchard", gone),
                "<presence from='nurse@example.org/kitchen' to='romeo@example.org' type='unavailable'/>",
            ],
        )
        self.assertEqual(len(seen), 3)
        romeo_to = "<item jid='romeo@example.org' subscription='to'/>"
        romeo_none = "<item jid='romeo@example.org' subscription='none'/>"
        self.assertEqual(
            nurse.take(),
            [
                "<presence from='romeo@example.org' to='nurse@example.org' type='unsubscribe'/>",
                push(3, 2, "nurse/kitchen", romeo_to),
                "<presence from='romeo@example.org/orchard' to='nurse@example.org' type='unavailable'/>",
                "<presence from='romeo@example.org' to='nurse@example.org' type='unsubscribed'/>",
                push(3, 3, "nurse/kitchen", romeo_none),
            ],
        )
        self.assertEqual(romeo.items(), "")


class LimitTests(Conversation):
    settings = ("limits.roster_items=2", "limits.roster_name_bytes=3")

    def test_a_full_roster(self) -> None:
        juliet = self.user("juliet/balcony")
        for name in "ab":
            self.assertEqual(juliet.set_item(f"<item jid='{name}@example.net'/>"), [result()])
        (answer,) = juliet.set_item("<item jid='c@example.net'/>")
        self.assertIn("<policy-violation ", answer)
        self.assertIn("(roster_items)", answer)
        self.assertEqual(juliet.set_item("<item jid='b@example.net' name='Bob'/>"), [result()])
        juliet.set_item("<item jid='a@example.net' subscription='remove'/>")
        self.assertEqual(juliet.set_item("<item jid='c@example.net'/>"), [result()])

    def test_names(self) -> None:
        (answer,) = self.user("juliet/balcony").set_item("<item jid='a@example.net' name='Anna'/>")
        self.assertIn("(roster_name_bytes)", answer)


class UnlimitedTests(Conversation):
    settings = ("limits.roster_items=none",)

    def test_as_many_as_one_likes(self) -> None:
        juliet = self.user("juliet/balcony")
        self.assertEqual(juliet.set_item(NURSE), [result()])


class VersionTests(JulietTests):
    """Section 2.6."""

    def test_it_is_offered(self) -> None:
        self.assertIn("<ver xmlns='urn:xmpp:features:rosterver'/>", self.offered_after_login())

    def test_nothing_has_changed(self) -> None:
        self.juliet.set_item(NURSE)
        self.assertEqual(self.chamber.get_roster("1-1"), [result("get").replace("balcony", "chamber")])
        # And it is told of changes from now on.
        self.juliet.set_item(ROMEO)
        self.assertEqual(self.chamber.take(), [push(1, 2, "juliet/chamber", ROMEO)])

    def test_a_client_without_a_roster_yet(self) -> None:
        self.juliet.set_item(NURSE)
        (answer,) = self.juliet.get_roster("")
        self.assertIn(f"<query xmlns='jabber:iq:roster' ver='1-1'>{NURSE}</query>", answer)

    def test_what_has_changed_follows_the_result_in_order(self) -> None:
        self.juliet.set_item(NURSE)
        self.juliet.set_item(ROMEO)
        self.juliet.set_item("<item jid='tybalt@example.net'/>")
        self.juliet.set_item("<item jid='tybalt@example.net' subscription='remove'/>")
        renamed = NURSE.replace(" sub", " name='Nurse' sub")
        self.juliet.set_item(renamed)
        to = "juliet/balcony"
        gone = "<item jid='tybalt@example.net' subscription='remove'/>"
        expected = [result("get"), push(1, 2, to, ROMEO), push(1, 4, to, gone), push(1, 5, to, renamed)]
        self.assertEqual(self.juliet.get_roster("1-1"), expected)
        self.forget("juliet")
        self.assertEqual(self.juliet.get_roster("1-1"), expected)
        self.assertEqual(self.juliet.get_roster("1-4"), [result("get"), push(1, 5, to, renamed)])

    def test_changes_meanwhile_come_behind(self) -> None:
        self.juliet.set_item(NURSE)
        query = "<query xmlns='jabber:iq:roster' ver='1-0'/>"
        ask = "<presence to='romeo@example.net' type='subscribe'/>"
        self.chamber.client.send(f"<iq type='get' id='get'>{query}</iq>{ask}")
        self.server.settle()
        asked = "<item jid='romeo@example.net' subscription='none' ask='subscribe'/>"
        self.assertEqual(
            self.chamber.take(),
            [
                result("get").replace("balcony", "chamber"),
                push(1, 1, "juliet/chamber", NURSE),
                push(1, 2, "juliet/chamber", asked),
            ],
        )

    def test_changes_while_they_are_read(self) -> None:
        """The roster changes between the reading of changes and the answer: they are read again."""
        self.juliet.set_item(NURSE)
        read = self.server.database.read
        changing = [True]

        async def read_and_change(name: str, *args: Any) -> Any:
            found = await read(name, *args)
            if name == "roster changes" and changing.pop():
                changing.append(False)
                self.from_abroad("<presence from='x@example.net' to='juliet@example.org' type='subscribed'/>")
            return found

        self.juliet.send("<presence to='x@example.net' type='subscribe'/>")
        with mock.patch.object(self.server.database, "read", read_and_change):
            seen = self.chamber.get_roster("1-0")
        self.assertEqual(
            [each.partition("ver='")[2].partition("'")[0] for each in seen if "type='set'" in each],
            ["1-1", "1-3"],
        )
        self.assertIn("subscription='to'", seen[-1])

    def assert_whole(self, version: str) -> None:
        (answer,) = self.juliet.get_roster(version)
        self.assertIn(self.juliet.items(), answer)
        self.assertIn("type='result'", answer)

    def test_versions_that_are_none_of_this_roster(self) -> None:
        self.juliet.set_item(NURSE)
        for version in (
            "2-1",
            "1-2",
            "1-99999999999999999999",
            "1-01",
            "1",
            "-1",
            "1-",
            "ver7",
            "1-1 ",
            "1-١",
        ):
            self.assert_whole(version)

    def test_too_much_has_changed(self) -> None:
        self.patch(roster_changes, "MOST_CHANGES", 2)
        for name in "abc":
            self.juliet.set_item(f"<item jid='{name}@example.net'/>")
        self.assert_whole("1-0")
        self.assertEqual(len(self.juliet.get_roster("1-1")), 3)

    def test_the_number_of_a_change_that_is_lost_means_nothing(self) -> None:
        """It is given out again, for another change."""
        self.juliet.set_item(NURSE)
        with mock.patch.object(self.server.database, "write", side_effect=FaultError("disk full")):
            lost = self.juliet.set_item(ROMEO)
        self.flushLoggedErrors(FaultError)
        self.assertIn("ver='1-2'", lost[0])
        seen = self.juliet.set_item("<item jid='tybalt@example.net'/>")
        self.assertRegex(seen[0], "ver='1-2-[0-9a-f]{8}'")
        self.assert_whole("1-2")
        self.assert_whole("1-1")

    def test_versions_outlive_the_end_of_the_server_but_no_crash(self) -> None:
        self.juliet.set_item(NURSE)
        self.restart()
        self.juliet = self.user("juliet/balcony")
        self.assertEqual(self.juliet.get_roster("1-1"), [result("get")])
        with mock.patch.object(RosterKeeper, "stop"):
            self.restart()
        self.juliet = self.user("juliet/balcony")
        self.assert_whole("1-1")
        version = re.search("ver='(1-1-[0-9a-f]{8})'", self.juliet.get_roster()[0])
        assert version is not None
        self.restart()
        self.juliet = self.user("juliet/balcony")
        self.assertEqual(self.juliet.get_roster(version[1]), [result("get")])
        self.assert_whole("1-1-00000000")

    def test_what_was_removed_long_ago_is_forgotten(self) -> None:
        self.patch(roster_store, "MOST_REMOVED", 1)
        for name in "abc":
            self.juliet.set_item(f"<item jid='{name}@example.net'/>")
        for name in "ab":
            self.juliet.set_item(f"<item jid='{name}@example.net' subscription='remove'/>")
        self.assert_whole("1-3")
        self.assertEqual(len(self.juliet.get_roster("1-4")), 2)

    def test_the_name_given_to_somebody_else(self) -> None:
        """A client that knew the roster of the former owner gets all of the new one."""
        self.juliet.set_item(NURSE)
        account = self.account("juliet")
        self.assert_whole(f"{(account.id or 0) + 1}-1")


class FaultTests(JulietTests):
    """While the database can store nothing."""

    async def fail_group(self, _units: Any) -> Outcome:
        return Outcome(fault=FaultError("disk full"))

    def test_version_that_is_not_on_the_disk(self) -> None:
        """A client was told that nothing has changed, and never heard of the change"""
        self.juliet.set_item(ROMEO)
        with mock.patch.object(self.server.database, "run_group", self.fail_group):
            self.juliet.client.send(
                f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{NURSE}</query></iq>"
            )
            self.server.advance(1)
            self.chamber.client.send(
                "<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='1-1'/></iq>"
            )
            self.server.advance(1)
            self.assertIn("nurse@example.com", "".join(self.chamber.take()))
        self.server.advance(10)


class LongAddressTests(JulietTests):
    def test_address_that_no_key_has_room_for(self) -> None:
        """PostgreSQL failed with a traceback, and everybody's roster was sent anew"""
        long = f"{'y' * 1000}@b.example/{'x' * 1020}"
        (answer,) = self.juliet.set_item(f"<item jid='{long}'/>")
        self.assertIn("<not-acceptable ", answer)


class GuestTests(Conversation):
    """A guest has a roster as long as the stream."""

    settings = ('domains."example.org".anonymous=true',)

    def test_it_works_and_leaves_nothing(self) -> None:
        client = self.server.connect()
        client.open("example.org")
        client.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
        client.open("example.org")
        client.bind()
        guest = User(client)
        self.assertIn("ver='0-0'", guest.get_roster()[0])
        self.assertIn("type='result'", guest.set_item(NURSE)[-1])
        self.assertEqual(guest.items(), NURSE)
        self.assertIn(NURSE, guest.get_roster("0-0")[0])
        self.assertEqual(len(guest.get_roster("0-1")), 1)
        guest.send("<presence to='romeo@example.net' type='subscribe'/>")
        self.assertIn("ask='subscribe'", guest.items())
        account = next(iter(self.server.server.registry.accounts()))
        client.close()
        self.assertIsNone(self.server.server.hosts["example.org"].modules["roster"].keeper.get(account))
