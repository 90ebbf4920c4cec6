"""Subscriptions (RFC 6121, section 3 and appendix A), as clients and other servers see them."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.modules.conversation import Conversation, User, push
from xmppd.core import subscriptions as s
from xmppd.core.counters import hits
from xmppd.core.jid import JID
from xmppd.modules.roster_keeper import keeper_of

#: How each state looks in a roster; that there is a request does not show.
SHOWN = {
    s.NONE: "subscription='none'",
    s.NONE_OUT: "subscription='none' ask='subscribe'",
    s.TO: "subscription='to'",
    s.FROM: "subscription='from'",
    s.FROM_OUT: "subscription='from' ask='subscribe'",
    s.BOTH: "subscription='both'",
    s.NONE_APPROVED: "subscription='none' approved='true'",
    s.OUT_APPROVED: "subscription='none' ask='subscribe' approved='true'",
    s.TO_APPROVED: "subscription='to' approved='true'",
}


class EveryStateTests(Conversation):
    """Each row of appendix A as it happens: one contact for each state, all of them on another server."""

    def setUp(self) -> None:
        super().setUp()
        self.contacts = {state: f"c{state}@capulet.lit" for state in s.STATES}
        self.know("romeo", *((jid, state) for state, jid in self.contacts.items()))
        self.romeo = self.user("romeo/orchard", roster=True)
        self.abroad()

    def pushes(self, stanzas: list[str]) -> list[str]:
        return [each.partition("<item ")[2].partition("/>")[0] for each in stanzas if each.startswith("<iq")]

    def expect_push(self, stanzas: list[str], contact: str, before: int, after: int) -> None:
        changed = before & ~s.PENDING_IN != after & ~s.PENDING_IN
        expected = [f"jid='{contact}' {SHOWN[after & ~s.PENDING_IN]}"] if changed else []
        self.assertEqual(self.pushes(stanzas), expected)

    def check_sending(self, kind: str) -> None:
        for state, contact in self.contacts.items():
            step = s.outbound(state, kind)
            seen = self.romeo.ask(f"<presence to='{contact}' type='{kind}'/>")
            sent = [each for each in self.abroad() if f"type='{kind}'" in each]
            stamped = f"<presence from='romeo@example.org' to='{contact}' type='{kind}'/>"
            self.assertEqual(sent, [stamped] if step.passes else [], f"{kind} in state {state}")
            self.expect_push(seen, contact, state, step.state)

    def check_receiving(self, kind: str) -> None:
        for state, contact in self.contacts.items():
            step = s.inbound(state, kind)
            received = f"<presence from='{contact}' to='romeo@example.org' type='{kind}'/>"
            self.from_abroad(received)
            seen = self.romeo.take()
            passed = [each for each in seen if each.startswith("<presence")]
            self.assertEqual(passed, [received] if step.passes else [], f"{kind} in state {state}")
            self.expect_push(seen, contact, state, step.state)
            answers = [each for each in self.abroad() if "from='romeo@example.org' " in each]
            answer = f"<presence from='romeo@example.org' to='{contact}' type='{step.answer}'/>"
            self.assertEqual(answers, [answer] if step.answer else [], f"{kind} in state {state}")

    def check_afterwards(self, step: Callable[[int, str], s.Step], kind: str) -> None:
        """The roster shows the new states, from memory and from the disk."""
        for _ in range(2):
            items = self.romeo.items()
            for before, contact in self.contacts.items():
                after = step(before, kind).state & ~s.PENDING_IN
                # Who has only asked is not in the roster (section 3.1.3).
                if before == s.NONE_IN and after == s.NONE:
                    self.assertNotIn(f"'{contact}'", items)
                else:
                    self.assertIn(f"<item jid='{contact}' {SHOWN[after]}/>", items)
            self.forget("romeo")

    def test_sending_subscribe(self) -> None:
        self.check_sending("subscribe")
        self.check_afterwards(s.outbound, "subscribe")

    def test_sending_unsubscribe(self) -> None:
        self.check_sending("unsubscribe")
        self.check_afterwards(s.outbound, "unsubscribe")

    def test_sending_subscribed(self) -> None:
        self.check_sending("subscribed")
        self.check_afterwards(s.outbound, "subscribed")

    def test_sending_unsubscribed(self) -> None:
        self.check_sending("unsubscribed")
        self.check_afterwards(s.outbound, "unsubscribed")

    def test_receiving_subscribe(self) -> None:
        self.check_receiving("subscribe")
        self.check_afterwards(s.inbound, "subscribe")

    def test_receiving_unsubscribe(self) -> None:
        self.check_receiving("unsubscribe")
        self.check_afterwards(s.inbound, "unsubscribe")

    def test_receiving_subscribed(self) -> None:
        self.check_receiving("subscribed")
        self.check_afterwards(s.inbound, "subscribed")

    def test_receiving_unsubscribed(self) -> None:
        self.check_receiving("unsubscribed")
        self.check_afterwards(s.inbound, "unsubscribed")


class MutualTests(Conversation):
    """Romeo and Juliet, on the same server, in the order of sections 3.1 to 3.3."""

    def setUp(self) -> None:
        super().setUp()
        self.romeo = self.user("romeo/orchard", roster=True)
        self.juliet = self.user("juliet/balcony", roster=True)

    def test_asking_and_granting(self) -> None:
        self.assertEqual(
            self.romeo.ask("<presence id='s1' to='juliet@example.org' type='subscribe'/>"),
            [push(1, 1, "romeo/orchard", "jid='juliet@example.org' subscription='none' ask='subscribe'")],
        )
        self.assertEqual(
            self.juliet.take(),
            ["<presence from='romeo@example.org' to='juliet@example.org' id='s1' type='subscribe'/>"],
        )
        self.assertEqual(
            self.juliet.ask("<presence id='s2' to='romeo@example.org' type='subscribed'/>"),
            [push(2, 1, "juliet/balcony", "jid='romeo@example.org' subscription='from'")],
        )
        self.assertEqual(
            self.romeo.take(),
            [
                "<presence from='juliet@example.org' to='romeo@example.org' id='s2' type='subscribed'/>",
                push(1, 2, "romeo/orchard", "jid='juliet@example.org' subscription='to'"),
                "<presence from='juliet@example.org/balcony' to='romeo@example.org'/>",
            ],
        )

    def test_refusing(self) -> None:
        self.romeo.send("<presence to='juliet@example.org' type='subscribe'/>")
        self.juliet.take()
        self.romeo.take()
        # Juliet never had him in her roster: there is nothing to push.
        self.assertEqual(self.juliet.ask("<presence to='romeo@example.org' type='unsubscribed'/>"), [])
        self.assertEqual(
            self.romeo.take(),
            [
                "<presence from='juliet@example.org' to='romeo@example.org' type='unsubscribed'/>",
                push(1, 2, "romeo/orchard", "jid='juliet@example.org' subscription='none'"),
            ],
        )

    def become_friends(self) -> None:
        for one, other, name in (
            (self.romeo, self.juliet, "juliet"),
            (self.juliet, self.romeo, "romeo"),
        ):
            one.send(f"<presence to='{name}@example.org' type='subscribe'/>")
            back = "romeo" if name == "juliet" else "juliet"
            other.send(f"<presence to='{back}@example.org' type='subscribed'/>")
        self.romeo.take()
        self.juliet.take()

    def test_unsubscribing(self) -> None:
        self.become_friends()
        self.assertEqual(
            self.romeo.ask("<presence to='juliet@example.org' type='unsubscribe'/>"),
            [
                push(1, 4, "romeo/orchard", "jid='juliet@example.org' subscription='from'"),
                "<presence from='juliet@example.org/balcony' to='romeo@example.org' type='unavailable'/>",
            ],
        )
        self.assertEqual(
            self.juliet.take(),
            [
                "<presence from='romeo@example.org' to='juliet@example.org' type='unsubscribe'/>",
                push(2, 4, "juliet/balcony", "jid='romeo@example.org' subscription='to'"),
            ],
        )

    def test_cancelling(self) -> None:
        self.become_friends()
        self.assertEqual(
            self.romeo.ask("<presence to='juliet@example.org' type='unsubscribed'/>"),
            [push(1, 4, "romeo/orchard", "jid='juliet@example.org' subscription='to'")],
        )
        self.assertEqual(
            self.juliet.take(),
            [
                "<presence from='romeo@example.org/orchard' to='juliet@example.org' type='unavailable'/>",
                "<presence from='romeo@example.org' to='juliet@example.org' type='unsubscribed'/>",
                push(2, 4, "juliet/balcony", "jid='romeo@example.org' subscription='from'"),
            ],
        )

    def test_nobody_is_told_more_than_once_of_a_state_that_stays(self) -> None:
        self.become_friends()
        presence = "<presence from='juliet@example.org/balcony' to='romeo@example.org'/>"
        for kind, seen in (("subscribe", [presence]), ("subscribed", [])):
            self.assertEqual(self.romeo.ask(f"<presence to='juliet@example.org' type='{kind}'/>"), seen)
            self.assertEqual(self.juliet.take(), [])

    def test_who_asks_for_what_was_granted_sees_it(self) -> None:
        """The answer was lost on its way: it is given again, and presence with it (section 3.1.3)."""
        self.know("nurse", ("tybalt@example.org", s.FROM))
        nurse, tybalt = self.user("nurse/room"), self.user("tybalt/street")
        self.assertEqual(
            tybalt.ask("<presence to='nurse@example.org' type='subscribe'/>"),
            [
                "<presence from='nurse@example.org' to='tybalt@example.org' type='subscribed'/>",
                "<presence from='nurse@example.org/room' to='tybalt@example.org'/>",
            ],
        )
        self.assertEqual(nurse.take(), [])


class StampTests(Conversation):
    """Subscriptions are a matter of bare JIDs."""

    def test_full_addresses_become_bare(self) -> None:
        nick = "<nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick></presence>"
        self.user("romeo/orchard").send(f"<presence to='juliet@capulet.lit/balcony' type='subscribe'>{nick}")
        stamped = f"<presence from='romeo@example.org' to='juliet@capulet.lit' type='subscribe'>{nick}"
        self.assertEqual(self.abroad(), [stamped])

    def test_a_request_to_a_resource_is_for_the_account(self) -> None:
        romeo = self.user("romeo/orchard")
        for name in ("orchard", "elsewhere"):
            request = (
                f"<presence from='{name}@capulet.lit/x' to='romeo@example.org/{name}' type='subscribe'/>"
            )
            self.from_abroad(request)
            self.assertEqual(romeo.take(), [request.replace("/x'", "'").replace(f"/{name}'", "'")])

    def test_other_types_to_a_resource_that_is_not_there_are_ignored(self) -> None:
        for kind, state in (("subscribed", s.NONE_OUT), ("unsubscribe", s.FROM), ("unsubscribed", s.TO)):
            self.know("romeo", (f"{kind}@capulet.lit", state))
        romeo = self.user("romeo/orchard", roster=True)
        for kind in ("subscribed", "unsubscribe", "unsubscribed"):
            self.abroad()
            sent = f"<presence from='{kind}@capulet.lit' to='romeo@example.org/{{}}' type='{kind}'/>"
            self.from_abroad(sent.format("elsewhere"))
            self.assertEqual((romeo.take(), self.abroad()), ([], []))
            self.from_abroad(sent.format("orchard"))
            self.assertEqual(romeo.take()[0], sent.replace("/{}", ""))

    def test_nobody_subscribes_to_themselves(self) -> None:
        romeo = self.user("romeo/orchard", roster=True)
        (answer,) = romeo.ask("<presence id='me' to='romeo@example.org' type='subscribe'/>")
        self.assertIn("<not-allowed ", answer)
        self.from_abroad("<presence from='romeo@example.org' to='romeo@example.org' type='subscribe'/>")
        self.assertEqual(romeo.take(), [])

    def test_without_addressee(self) -> None:
        romeo = self.user("romeo/orchard")
        for kind in s.TYPES:
            (answer,) = romeo.ask(f"<presence type='{kind}'/>")
            self.assertIn("<bad-request ", answer)


class RequestTests(Conversation):
    """What waits for the user's answer (section 3.1.3)."""

    settings = ("modules.subscription.requests=2", "modules.subscription.request_bytes=1 KiB")

    REQUEST = (
        "<presence from='juliet@capulet.lit' to='romeo@example.org' id='r1' type='subscribe' xml:lang='it'>"
        "<status>Prego</status><nick xmlns='http://jabber.org/protocol/nick'>Giulietta</nick></presence>"
    )

    def ask(self, name: str = "juliet", content: str = "") -> None:
        attributes = f"from='{name}@capulet.lit' to='romeo@example.org' type='subscribe'"
        self.from_abroad(f"<presence {attributes}>{content}</presence>")

    def test_it_is_given_to_every_resource_that_comes_until_it_is_answered(self) -> None:
        self.account("romeo")
        self.from_abroad(self.REQUEST)
        for resource in ("orchard", "street"):
            romeo = self.user(f"romeo/{resource}", presence=False)
            self.assertEqual(romeo.ask("<presence><priority>-1</priority></presence>")[-1], self.REQUEST)
        romeo.send("<presence to='juliet@capulet.lit' type='subscribed'/>")
        late = self.user("romeo/late", presence=False)
        self.assertNotIn(self.REQUEST, late.ask("<presence/>"))

    def test_a_resource_gets_it_once(self) -> None:
        self.account("romeo")
        self.from_abroad(self.REQUEST)
        romeo = self.user("romeo/orchard")
        self.assertNotIn(self.REQUEST, romeo.ask("<presence><show>away</show></presence>"))
        romeo.send("<presence type='unavailable'/>")
        self.assertIn(self.REQUEST, romeo.ask("<presence/>"))

    def test_asking_again_changes_nothing(self) -> None:
        romeo = self.user("romeo/orchard")
        self.from_abroad(self.REQUEST)
        self.assertEqual(romeo.take(), [self.REQUEST])
        self.ask(content="<status>Allora?</status>")
        self.assertEqual(romeo.take(), [])
        self.assertIn(self.REQUEST, self.user("romeo/street", presence=False).ask("<presence/>"))

    def test_it_is_no_contact(self) -> None:
        romeo = self.user("romeo/orchard", roster=True)
        self.from_abroad(self.REQUEST)
        self.assertEqual(romeo.take(), [self.REQUEST])
        self.assertEqual(romeo.items(), "")
        romeo.send("<presence to='juliet@capulet.lit' type='unsubscribed'/>")
        self.assertEqual(romeo.items(), "")

    def test_a_contact_can_be_added_meanwhile(self) -> None:
        romeo = self.user("romeo/orchard", roster=True)
        self.from_abroad(self.REQUEST)
        romeo.set_item("<item jid='juliet@capulet.lit' name='Juliet'/>")
        romeo.send("<presence to='juliet@capulet.lit' type='subscribed'/>")
        self.assertEqual(romeo.items(), "<item jid='juliet@capulet.lit' name='Juliet' subscription='from'/>")
        self.assertIn(
            "<presence from='romeo@example.org' to='juliet@capulet.lit' type='subscribed'/>", self.abroad()
        )

    def test_it_survives_a_restart(self) -> None:
        self.account("romeo")
        self.from_abroad(self.REQUEST)
        self.restart()
        romeo = self.user("romeo/orchard", presence=False)
        self.assertIn(self.REQUEST, romeo.ask("<presence/>"))

    def test_so_does_its_answer(self) -> None:
        for answer in ("subscribed", "unsubscribed"):
            romeo = self.user("romeo/orchard")
            self.from_abroad(self.REQUEST)
            romeo.send(f"<presence to='juliet@capulet.lit' type='{answer}'/>")
            romeo.send("<presence to='juliet@capulet.lit' type='unsubscribed'/>")
            self.restart()
            self.assertNotIn(self.REQUEST, self.user("romeo/street", presence=False).ask("<presence/>"))

    def test_a_large_one_is_kept_without_its_content(self) -> None:
        romeo = self.user("romeo/orchard")
        self.ask(content=f"<status>{'x' * 1024}</status>")
        self.assertIn("xxx", romeo.take()[0])
        self.assertIn(
            "<presence from='juliet@capulet.lit' to='romeo@example.org' type='subscribe'/>",
            self.user("romeo/street", presence=False).ask("<presence/>"),
        )

    def test_there_are_not_more_than_so_many(self) -> None:
        romeo = self.user("romeo/orchard")
        before = hits.of("subscription.requests")
        for name in ("juliet", "nurse", "rosaline"):
            self.ask(name)
        self.assertEqual(len(romeo.take()), 2)
        self.assertEqual(hits.of("subscription.requests"), before + 1)
        romeo.send("<presence to='juliet@capulet.lit' type='unsubscribed'/>")
        self.ask("rosaline")
        self.assertEqual(len(romeo.take()), 1)

    def test_someone_blocked_meanwhile_does_not_ask_again(self) -> None:
        """XEP-0191, 3.3."""
        romeo = self.user("romeo/orchard")
        self.from_abroad(self.REQUEST)
        for name, asked in (("block", False), ("unblock", True)):
            item = "<item jid='juliet@capulet.lit'/>"
            romeo.ask(f"<iq type='set' id='b'><{name} xmlns='urn:xmpp:blocking'>{item}</{name}></iq>")
            seen = self.user(f"romeo/{name}", presence=False).ask("<presence/>")
            self.assertEqual(self.REQUEST in seen, asked, name)

    def test_withdrawing_it_tells_strangers_nothing(self) -> None:
        romeo = self.user("romeo/orchard")
        self.ask()
        romeo.take()
        withdrawal = "<presence from='juliet@capulet.lit' to='{}@example.org' type='unsubscribe'/>"
        self.from_abroad(withdrawal.format("romeo"))
        self.assertEqual(romeo.take(), [withdrawal.format("romeo")])
        self.from_abroad(withdrawal.format("nobody"))
        self.assertEqual(self.abroad(), [])
        self.assertEqual(len(self.user("romeo/street", presence=False).ask("<presence/>")), 2)


class AgreementTests(Conversation):
    """Whatever two users do: one sees the other where the other is seen, in memory and on the disk."""

    DEEDS = (*s.TYPES, "remove", "add", "forget")

    @given(st.lists(st.tuples(st.sampled_from(("romeo", "juliet")), st.sampled_from(DEEDS)), max_size=20))
    @settings(max_examples=25, deadline=None)
    def test_both_rosters(self, deeds: list[tuple[str, str]]) -> None:
        self.restart_empty()
        users = {name: self.user(f"{name}/x", roster=True) for name in ("romeo", "juliet")}
        for name, deed in deeds:
            other = f"{'juliet' if name == 'romeo' else 'romeo'}@example.org"
            if deed == "forget":
                self.forget(name)
            elif deed in ("remove", "add"):
                users[name].set_item(f"<item jid='{other}' subscription='{deed}'/>")
            else:
                users[name].send(f"<presence to='{other}' type='{deed}'/>")
        self.check(users)

    def check(self, users: dict[str, User]) -> None:
        keeper = keeper_of(self.server.server.hosts["example.org"])
        states = {}
        for name, user in users.items():
            shown = user.items()
            self.forget(name)
            self.assertEqual(user.items(), shown)
            roster = keeper.get(self.account(name))
            assert roster is not None
            other = "juliet" if name == "romeo" else "romeo"
            states[name] = roster.state(JID.parse(f"{other}@example.org"))
        for one, other in (("romeo", "juliet"), ("juliet", "romeo")):
            self.assertEqual(bool(states[one] & s.TO), bool(states[other] & s.FROM), states)

    def restart_empty(self) -> None:
        self.server.stop()
        self.begin()


class AskingAgainTests(Conversation):
    """A request may be lost on its way (section 3.1.2)."""

    REQUEST = "<presence from='romeo@example.org' to='{}@capulet.lit' type='subscribe' id='again'/>"

    def test_with_every_resource_that_comes(self) -> None:
        states = {"a": s.NONE_OUT, "b": s.NONE_OUT_IN, "c": s.FROM_OUT, "d": s.BOTH, "e": s.NONE}
        self.know("romeo", *((f"{name}@capulet.lit", state) for name, state in states.items()))
        self.know("romeo", ("nurse@example.org", s.NONE_OUT))
        for resource in ("orchard", "street"):
            romeo = self.user(f"romeo/{resource}")
            asked = [each for each in self.abroad() if "'subscribe'" in each]
            self.assertEqual(asked, [self.REQUEST.format(name) for name in "abc"])
        romeo.send("<presence><show>away</show></presence>")
        self.from_abroad("<presence from='a@capulet.lit' to='romeo@example.org' type='subscribed'/>")
        self.assertNotIn(self.REQUEST.format("a"), self.abroad())
        self.user("romeo/late")
        self.assertNotIn(self.REQUEST.format("a"), self.abroad())

    def test_an_account_that_is_made_later(self) -> None:
        romeo = self.user("romeo/orchard")
        romeo.send("<presence to='juliet@example.org' type='subscribe'/>")
        juliet = self.user("juliet/balcony")
        self.user("romeo/street")
        request = "<presence from='romeo@example.org' to='juliet@example.org' type='subscribe' id='again'/>"
        self.assertEqual(juliet.take(), [request])
        self.user("romeo/late")
        self.assertEqual(juliet.take(), [])

    def test_an_answer_that_was_lost(self) -> None:
        """Juliet has granted it already."""
        self.know("romeo", ("juliet@example.org", s.NONE_OUT))
        self.know("juliet", ("romeo@example.org", s.FROM))
        self.user("juliet/balcony")
        romeo = self.user("romeo/orchard", presence=False, roster=True)
        self.assertEqual(
            romeo.ask("<presence/>")[1:],
            [
                "<presence from='juliet@example.org' to='romeo@example.org' type='subscribed' id='again'/>",
                push(1, 2, "romeo/orchard", "jid='juliet@example.org' subscription='to'"),
                "<presence from='juliet@example.org/balcony' to='romeo@example.org'/>",
            ],
        )

    def test_the_user_does_not_hear_that_it_failed(self) -> None:
        romeo = self.user("romeo/orchard")
        error = "from='a@capulet.lit' to='romeo@example.org' type='error'"
        self.from_abroad(f"<presence {error} id='again'/>")
        self.assertEqual(romeo.take(), [])
        self.from_abroad(f"<presence {error} id='s1'/>")
        self.assertEqual(romeo.take(), [f"<presence {error} id='s1'/>"])


class ApprovalTests(Conversation):
    """Section 3.4."""

    def setUp(self) -> None:
        super().setUp()
        self.romeo = self.user("romeo/orchard", roster=True)

    def approve(self) -> list[str]:
        return self.romeo.ask("<presence to='juliet@capulet.lit' type='subscribed'/>")

    def ask(self) -> None:
        self.from_abroad(
            "<presence from='juliet@capulet.lit' to='romeo@example.org' id='a' type='subscribe'/>"
        )

    def test_it_is_kept_and_not_sent(self) -> None:
        approved = "jid='juliet@capulet.lit' subscription='none' approved='true'"
        self.assertEqual(self.approve(), [push(1, 1, "romeo/orchard", approved)])
        self.assertEqual(self.approve(), [])
        self.assertEqual(self.abroad(), [])

    def test_it_answers_the_request(self) -> None:
        self.approve()
        self.ask()
        granted = "jid='juliet@capulet.lit' subscription='from'"
        self.assertEqual(self.romeo.take(), [push(1, 2, "romeo/orchard", granted)])
        self.assertEqual(
            self.abroad(),
            [
                "<presence from='romeo@example.org' to='juliet@capulet.lit' type='subscribed' id='a'/>",
                "<presence from='romeo@example.org/orchard' to='juliet@capulet.lit'/>",
            ],
        )

    def test_it_can_be_cancelled(self) -> None:
        self.approve()
        seen = self.romeo.ask("<presence to='juliet@capulet.lit' type='unsubscribed'/>")
        cancelled = "jid='juliet@capulet.lit' subscription='none'"
        self.assertEqual(seen, [push(1, 2, "romeo/orchard", cancelled)])
        self.assertEqual(self.abroad(), [])
        self.ask()
        self.assertIn("type='subscribe'", self.romeo.take()[0])

    def test_two_who_approve_need_one_request_each(self) -> None:
        juliet = self.user("juliet/balcony", roster=True)
        juliet.send("<presence to='romeo@example.org' type='subscribed'/>")
        juliet.take()
        self.assertEqual(
            self.romeo.ask("<presence to='juliet@example.org' type='subscribe'/>"),
            [
                push(1, 1, "romeo/orchard", "jid='juliet@example.org' subscription='none' ask='subscribe'"),
                "<presence from='juliet@example.org' to='romeo@example.org' type='subscribed'/>",
                push(1, 2, "romeo/orchard", "jid='juliet@example.org' subscription='to'"),
                "<presence from='juliet@example.org/balcony' to='romeo@example.org'/>",
            ],
        )

    def test_it_is_offered(self) -> None:
        self.assertIn("<sub xmlns='urn:xmpp:features:pre-approval'/>", self.offered_after_login())


class OfflineTests(Conversation):
    """Nobody is there, and the roster is not in memory."""

    def test_the_state_changes_all_the_same(self) -> None:
        self.know(
            "romeo", ("a@capulet.lit", s.NONE_OUT), ("b@capulet.lit", s.BOTH), ("c@capulet.lit", s.FROM)
        )
        self.from_abroad("<presence from='a@capulet.lit' to='romeo@example.org' type='subscribed'/>")
        self.from_abroad("<presence from='b@capulet.lit' to='romeo@example.org' type='unsubscribed'/>")
        self.from_abroad("<presence from='c@capulet.lit' to='romeo@example.org' type='unsubscribe'/>")
        self.restart()
        self.assertEqual(
            self.user("romeo/orchard").items(),
            "<item jid='a@capulet.lit' subscription='to'/>"
            "<item jid='b@capulet.lit' subscription='from'/>"
            "<item jid='c@capulet.lit' subscription='none'/>",
        )

    def test_an_account_that_does_not_exist_says_nothing(self) -> None:
        for kind in s.TYPES:
            self.from_abroad(f"<presence from='juliet@capulet.lit' to='nobody@example.org' type='{kind}'/>")
        self.assertEqual(self.abroad(), [])

    def test_deliveries_need_interest_or_presence(self) -> None:
        self.know("romeo", ("a@capulet.lit", s.NONE_OUT), ("b@capulet.lit", s.NONE_OUT))
        available = self.user("romeo/available")
        interested = self.user("romeo/interested", presence=False, roster=True)
        neither = self.user("romeo/neither", presence=False)
        granted = "<presence from='a@capulet.lit' to='romeo@example.org' type='subscribed'/>"
        self.from_abroad(granted)
        self.assertEqual(available.take(), [granted])
        self.assertEqual(interested.take()[0], granted)
        self.assertEqual(neither.take(), [])
        request = "<presence from='x@capulet.lit' to='romeo@example.org' type='subscribe'/>"
        self.from_abroad(request)
        self.assertEqual((available.take(), interested.take(), neither.take()), ([request], [], []))


class LimitTests(Conversation):
    settings = ("limits.roster_items=1",)

    def test_no_more_contacts_by_subscription(self) -> None:
        romeo = self.user("romeo/orchard", roster=True)
        romeo.send("<presence to='juliet@capulet.lit' type='subscribe'/>")
        self.abroad()
        for kind in ("subscribe", "subscribed"):
            (answer,) = romeo.ask(f"<presence to='nurse@capulet.lit' type='{kind}'/>")
            self.assertIn("<policy-violation ", answer)
            self.assertIn("roster_items", answer)
        self.assertEqual(self.abroad(), [])
        self.assertEqual(
            romeo.items(), "<item jid='juliet@capulet.lit' subscription='none' ask='subscribe'/>"
        )


class DurabilityTests(Conversation):
    """What is acknowledged is on the disk (XEP-0198)."""

    def test_the_count_waits_for_the_commit(self) -> None:
        romeo = self.user("romeo/orchard")
        romeo.ask("<enable xmlns='urn:xmpp:sm:3'/>")
        romeo.client.send("<presence to='juliet@capulet.lit' type='subscribe'/><r xmlns='urn:xmpp:sm:3'/>")
        self.assertNotIn("<a ", romeo.client.take())
        self.server.settle()
        self.assertIn("h='1'", romeo.client.take())

    def test_both_sides_on_one_server(self) -> None:
        self.account("juliet")
        romeo = self.user("romeo/orchard")
        romeo.send("<presence to='juliet@example.org' type='subscribe'/>")
        self.restart()
        self.assertEqual(
            self.user("romeo/orchard").items(),
            "<item jid='juliet@example.org' subscription='none' ask='subscribe'/>",
        )
        seen = self.user("juliet/balcony", presence=False).ask("<presence/>")
        self.assertIn("<presence from='romeo@example.org' to='juliet@example.org' type='subscribe'/>", seen)


class RemovalTests(Conversation):
    """An account that is removed takes leave of its contacts."""

    def test_contacts_are_told(self) -> None:
        self.know(
            "romeo",
            ("a@capulet.lit", s.TO),
            ("b@capulet.lit", s.FROM),
            ("c@capulet.lit", s.BOTH),
            ("d@capulet.lit", s.NONE),
            ("e@capulet.lit", s.NONE_OUT),
        )
        self.user("romeo/orchard")
        self.abroad()
        self.server.wait_for(self.server.server.accounts.remove(JID.parse("romeo@example.org")))
        self.server.settle()
        gone = "<presence from='romeo@example.org/orchard' to='{}@capulet.lit' type='unavailable'/>"
        subscription = "<presence from='romeo@example.org' to='{}@capulet.lit' type='{}'/>"
        self.assertEqual(
            sorted(self.abroad()),
            sorted(
                [
                    *(subscription.format(name, "unsubscribe") for name in "ace"),
                    *(gone.format(name) for name in "bc"),
                    *(subscription.format(name, "unsubscribed") for name in "bc"),
                ]
            ),
        )

    def test_contacts_here_lose_it_from_their_rosters(self) -> None:
        self.befriend("romeo", "juliet")
        self.user("romeo/orchard")
        juliet = self.user("juliet/balcony", roster=True)
        self.server.wait_for(self.server.server.accounts.remove(JID.parse("romeo@example.org")))
        self.server.settle()
        self.assertIn(
            "<presence from='romeo@example.org/orchard' to='juliet@example.org' type='unavailable'/>",
            juliet.take(),
        )
        self.assertEqual(juliet.items(), "<item jid='romeo@example.org' subscription='none'/>")

    def test_it_need_not_be_online(self) -> None:
        self.know("romeo", ("c@capulet.lit", s.BOTH))
        self.server.wait_for(self.server.server.accounts.remove(JID.parse("romeo@example.org")))
        self.assertEqual(
            self.abroad(),
            [
                "<presence from='romeo@example.org' to='c@capulet.lit' type='unsubscribe'/>",
                "<presence from='romeo@example.org' to='c@capulet.lit' type='unsubscribed'/>",
            ],
        )
