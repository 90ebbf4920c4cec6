"""MAM A40: users choose what is archived of their messages (XEP-0441)."""

from __future__ import annotations

from tests.modules.archives import ArchiveConversation
from tests.modules.conversation import User
from xmppd.core.counters import hits
from xmppd.core.jid import JID
from xmppd.modules.archive_preferences import Preferences
from xmppd.storage.errors import FaultError

MAM = "urn:xmpp:mam:2"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def prefs(default: str, always: tuple[str, ...] = (), never: tuple[str, ...] = ()) -> str:
    """Preferences as they stand in an answer."""
    lists = [
        f"<{name}>{''.join(f'<jid>{jid}</jid>' for jid in jids)}</{name}>"
        for name, jids in (("always", always), ("never", never))
    ]
    return f"<prefs xmlns='{MAM}' default='{default}'>{''.join(lists)}</prefs>"


class PreferencesConversation(ArchiveConversation):
    def get(self, user: User) -> str:
        """The preferences of a user."""
        (answer,) = user.ask(f"<iq type='get' id='get'><prefs xmlns='{MAM}'/></iq>")
        return answer

    def set(self, user: User, payload: str) -> str:
        """What answers a change."""
        (answer,) = user.ask(f"<iq type='set' id='set'>{payload}</iq>")
        return answer

    def assert_answer(self, answer: str, payload: str) -> None:
        self.assertIn("type='result'", answer)
        self.assertIn(f">{payload}</iq>", answer)

    def assert_error(self, answer: str, condition: str) -> None:
        self.assertIn("type='error'", answer)
        self.assertIn(f"<{condition} xmlns='{ERRORS}'/>", answer)


class RequestTests(PreferencesConversation):
    """MAM A40: getting and setting."""

    def test_who_has_not_chosen_gets_the_default_with_both_lists(self) -> None:
        self.assert_answer(self.get(self.user("romeo/orchard")), prefs("always"))

    def test_a_set_is_answered_with_what_holds_now(self) -> None:
        romeo = self.user("romeo/orchard")
        wanted = prefs("roster", ("juliet@capulet.example",), ("a@b.example/c", "b.example"))
        self.assert_answer(self.set(romeo, wanted), wanted)
        self.assert_answer(self.get(romeo), wanted)

    def test_a_list_that_is_missing_counts_as_empty(self) -> None:
        romeo = self.user("romeo/orchard")
        self.set(romeo, prefs("always", (), ("juliet@example.org",)))
        self.assert_answer(self.set(romeo, f"<prefs xmlns='{MAM}' default='never'/>"), prefs("never"))

    def test_addresses_are_normalised_and_kept_once(self) -> None:
        romeo = self.user("romeo/orchard")
        listed = "<always><jid>JULIET@Example.org</jid><jid> juliet@example.org\n</jid></always>"
        answer = self.set(romeo, f"<prefs xmlns='{MAM}' default='never'>{listed}</prefs>")
        self.assert_answer(answer, prefs("never", ("juliet@example.org",)))

    def test_they_outlive_a_restart(self) -> None:
        wanted = prefs("never", ("juliet@example.org",))
        self.set(self.user("romeo/orchard"), wanted)
        self.restart()
        self.assert_answer(self.get(self.user("romeo/orchard")), wanted)

    def test_what_is_wrong(self) -> None:
        romeo = self.user("romeo/orchard")
        for condition, payload in (
            ("bad-request", f"<prefs xmlns='{MAM}'/>"),
            ("bad-request", f"<prefs xmlns='{MAM}' default='sometimes'/>"),
            ("bad-request", f"<prefs xmlns='{MAM}' default='never'><never/><never/></prefs>"),
            ("jid-malformed", prefs("never", ("@",))),
            ("policy-violation", prefs("never", tuple(f"a{number}@b.example" for number in range(501)))),
        ):
            self.assert_error(self.set(romeo, payload), condition)
        self.assert_answer(self.get(romeo), prefs("always"))

    def test_the_limit_has_a_name(self) -> None:
        before = hits.of("archive_preferences.items")
        answer = self.set(self.user("romeo/orchard"), prefs("never", tuple(f"{n}@b" for n in range(501))))
        self.assertIn("(archive_preferences.items)", str(answer))
        self.assertEqual(hits.of("archive_preferences.items"), before + 1)

    def test_they_are_for_the_owner_alone(self) -> None:
        self.account("juliet")
        romeo = self.user("romeo/orchard")
        for kind, payload in (("get", f"<prefs xmlns='{MAM}'/>"), ("set", prefs("never"))):
            (answer,) = romeo.ask(f"<iq type='{kind}' id='x' to='juliet@example.org'>{payload}</iq>")
            self.assert_error(answer, "forbidden")

    def test_what_cannot_be_written_down_does_not_hold(self) -> None:
        romeo = self.user("romeo/orchard")
        self.set(romeo, prefs("always", (), ("a@b.example",)))

        async def fail(*_: object) -> None:
            raise FaultError("full")

        self.patch(self.server.database, "write", fail)
        self.assert_error(self.set(romeo, prefs("never")), "internal-server-error")
        self.assert_answer(self.get(romeo), prefs("always", (), ("a@b.example",)))
        self.assertEqual(self.flushLoggedErrors(FaultError), [])

    def test_an_account_that_is_made_again_begins_anew(self) -> None:
        self.set(self.user("romeo/orchard"), prefs("never"))
        accounts = self.server.server.accounts
        self.server.wait_for(accounts.remove(JID.parse("romeo@example.org")))
        self.server.wait_for(accounts.release(JID.parse("romeo@example.org")))
        self.assert_answer(self.get(self.user("romeo/orchard")), prefs("always"))


class EffectTests(PreferencesConversation):
    """MAM A40: what is archived."""

    def test_never_holds_at_once_and_for_the_chooser_alone(self) -> None:
        romeo, juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        self.set(romeo, prefs("never"))
        self.chat(romeo, "juliet", "out")
        self.chat(juliet, "romeo", "in")
        self.assertEqual((self.history("romeo"), self.history("juliet")), ([], ["out", "in"]))
        self.set(romeo, prefs("always"))
        self.chat(romeo, "juliet", "later")
        self.assertEqual(self.history("romeo"), ["later"])

    def test_what_is_not_archived_has_no_stanza_id(self) -> None:
        romeo, juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        self.set(romeo, prefs("never"))
        romeo.take()
        self.chat(juliet, "romeo", "in")
        (message,) = romeo.take()
        self.assertNotIn("stanza-id", message)

    def test_the_lists_stand_over_the_default(self) -> None:
        romeo, juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        nurse = self.user("nurse/hall")
        for default, archived in (("never", ["juliet"]), ("always", ["juliet", "other"])):
            self.set(romeo, prefs(default, ("juliet@example.org",), ("nurse@example.org",)))
            self.chat(juliet, "romeo", "juliet")
            self.chat(nurse, "romeo", "nurse")
            self.chat(self.user("mercutio/street"), "romeo", "other")
            self.assertEqual(self.history("romeo")[-len(archived) :], archived)
        self.assertEqual(len(self.history("romeo")), 3)

    def test_a_listed_full_jid_is_exactly_that_one(self) -> None:
        romeo, balcony = self.user("romeo/orchard"), self.user("juliet/balcony")
        hall = self.user("juliet/hall")
        self.set(romeo, prefs("always", (), ("juliet@example.org/balcony",)))
        self.chat(balcony, "romeo", "from balcony")
        self.chat(hall, "romeo", "from hall")
        self.chat(romeo, "juliet/balcony", "to balcony")
        self.chat(romeo, "juliet/hall", "to hall")
        self.chat(romeo, "juliet", "to any")
        self.assertEqual(self.history("romeo"), ["from hall", "to hall", "to any"])

    def test_a_listed_bare_jid_is_any_resource(self) -> None:
        romeo, balcony = self.user("romeo/orchard"), self.user("juliet/balcony")
        self.set(romeo, prefs("always", (), ("juliet@example.org",)))
        self.chat(balcony, "romeo", "in")
        self.chat(romeo, "juliet/balcony", "out")
        self.chat(romeo, "juliet", "to any")
        self.assertEqual(self.history("romeo"), [])

    def test_what_is_listed_more_exactly_counts(self) -> None:
        romeo, balcony = self.user("romeo/orchard"), self.user("juliet/balcony")
        hall = self.user("juliet/hall")
        self.set(romeo, prefs("never", ("juliet@example.org/hall",), ("juliet@example.org",)))
        self.chat(balcony, "romeo", "balcony")
        self.chat(hall, "romeo", "hall")
        self.assertEqual(self.history("romeo"), ["hall"])

    def test_without_history_a_message_waits_all_the_same_and_goes_when_it_is_delivered(self) -> None:
        """The row is for delivery alone, and is deleted when a client has it."""
        self.set(self.user("romeo/orchard", presence=False), prefs("never"))
        romeo = self.account("romeo")
        romeo.sessions[0].close()
        juliet = self.user("juliet/balcony")
        self.chat(juliet, "romeo", "waits")
        self.assertEqual((self.history("romeo"), self.waiting("romeo")), ([], ["waits"]))
        again = User(self.server.login("romeo@example.org/orchard", presence=False))
        again.send("<presence/>")
        self.assertTrue(any("waits" in each for each in again.take()))
        again.send("<presence/>")
        self.server.advance(2)
        self.assertEqual(self.rows("romeo"), [])

    def test_what_waits_without_history_is_bounded_after_a_restart_too(self) -> None:
        self.settings = ("limits.offline_messages=2",)
        self.restart()
        self.set(self.user("romeo/orchard", presence=False), prefs("never"))
        self.account("romeo").sessions[0].close()
        juliet = self.user("juliet/balcony")
        self.chat(juliet, "romeo", "1")
        self.chat(juliet, "romeo", "2")
        self.restart()
        juliet = self.user("juliet/balcony")
        before = hits.of("offline_messages")
        self.chat(juliet, "romeo", "3")
        self.assertEqual(hits.of("offline_messages"), before + 1)
        self.assertEqual(self.waiting("romeo"), ["1", "2"])
        self.assert_error(juliet.take()[-1], "service-unavailable")


class RosterTests(PreferencesConversation):
    """MAM A40: archiving by roster, which is known without asking the disk."""

    def talk(self, name: str) -> list[str]:
        """Messages in both directions between romeo and others; what romeo's archive has of them."""
        before = len(self.history("romeo"))
        romeo = self.users["romeo"]
        self.chat(self.users[name], "romeo", f"from {name}")
        self.chat(romeo, f"{name}/home", f"to {name}")
        return self.history("romeo")[before:]

    def begin(self, database: str | None = None) -> None:
        super().begin(database)
        self.users = {name: self.user(f"{name}/home") for name in ("romeo", "juliet", "nurse")}

    def test_contacts_alone_are_archived(self) -> None:
        romeo = self.users["romeo"]
        romeo.set_item("<item jid='juliet@example.org'/>")
        self.set(romeo, prefs("roster"))
        self.assertEqual(self.talk("juliet"), ["from juliet", "to juliet"])
        self.assertEqual(self.talk("nurse"), [])

    def test_the_roster_is_followed(self) -> None:
        romeo = self.users["romeo"]
        self.set(romeo, prefs("roster"))
        self.assertEqual(self.talk("juliet"), [])
        romeo.set_item("<item jid='juliet@example.org'/>")
        self.assertEqual(len(self.talk("juliet")), 2)
        romeo.set_item("<item jid='juliet@example.org' subscription='remove'/>")
        self.assertEqual(self.talk("juliet"), [])
        romeo.send("<presence type='subscribe' to='juliet@example.org'/>")
        self.assertEqual(len(self.talk("juliet")), 2)

    def test_it_is_known_after_a_restart(self) -> None:
        romeo = self.users["romeo"]
        romeo.set_item("<item jid='juliet@example.org'/>")
        self.set(romeo, prefs("roster"))
        self.restart()
        self.assertEqual((len(self.talk("juliet")), self.talk("nurse")), (2, []))

    def test_lists_stand_over_the_roster(self) -> None:
        romeo = self.users["romeo"]
        romeo.set_item("<item jid='juliet@example.org'/>")
        self.set(romeo, prefs("roster", ("nurse@example.org",), ("juliet@example.org",)))
        self.assertEqual((self.talk("juliet"), len(self.talk("nurse"))), ([], 2))

    def test_notes_to_oneself_are_archived(self) -> None:
        romeo = self.users["romeo"]
        self.set(romeo, prefs("roster"))
        self.chat(romeo, "romeo", "note")
        self.assertEqual(self.history("romeo"), ["note"])

    def test_a_change_of_the_roster_that_is_lost_counts_no_more(self) -> None:
        romeo = self.users["romeo"]
        self.set(romeo, prefs("roster"))
        write = self.server.database.write

        async def fail(name: str, *args: object) -> object:
            if name == "roster":
                raise FaultError("full")
            return await write(name, *args)  # type: ignore[arg-type]

        self.patch(self.server.database, "write", fail)
        romeo.set_item("<item jid='juliet@example.org'/>")
        self.assertEqual(self.talk("juliet"), [])
        self.assertTrue(self.flushLoggedErrors(FaultError))

    def test_accounts_that_do_not_go_by_roster_keep_no_contacts(self) -> None:
        romeo = self.users["romeo"]
        romeo.set_item("<item jid='juliet@example.org'/>")
        module = self.server.server.hosts["example.org"].modules["archive_preferences"]
        assert isinstance(module, Preferences)
        self.assertEqual(module._contacts, {})
        self.set(romeo, prefs("roster"))
        self.assertEqual(module._contacts, {self.account("romeo"): {"juliet@example.org"}})
        self.set(romeo, prefs("always"))
        self.assertEqual(module._contacts, {})


class DefaultTests(PreferencesConversation):
    """The option `default_archive_policy`, with the values that operators know."""

    def begin_with(self, value: str) -> None:
        self.settings = (f"modules.archive_preferences.default_archive_policy={value}",)
        self.restart()

    def test_false(self) -> None:
        self.begin_with("false")
        romeo = self.user("romeo/orchard")
        self.account("juliet")
        self.chat(romeo, "juliet", "one")
        self.assertEqual((self.history("romeo"), self.history("juliet")), ([], []))
        self.assert_answer(self.get(romeo), prefs("never"))
        self.set(romeo, prefs("always"))
        self.chat(romeo, "juliet", "two")
        self.assertEqual((self.history("romeo"), self.history("juliet")), (["two"], []))

    def test_roster(self) -> None:
        self.know("romeo", ("juliet@example.org", 0))
        self.begin_with("roster")
        romeo, juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        self.assert_answer(self.get(romeo), prefs("roster"))
        self.chat(romeo, "juliet", "one")
        self.assertEqual((self.history("romeo"), self.history("juliet")), (["one"], []))
        juliet.set_item("<item jid='romeo@example.org'/>")
        self.chat(romeo, "juliet", "two")
        self.assertEqual(self.history("juliet"), ["two"])

    def test_true(self) -> None:
        self.begin_with("true")
        romeo = self.user("romeo/orchard")
        self.chat(romeo, "juliet@capulet.example", "one")
        self.assertEqual(self.history("romeo"), ["one"])
