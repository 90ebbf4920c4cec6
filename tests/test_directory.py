"""Accounts: made, changed, disabled, removed; and how far their messages are delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.dialogues.case import ServerCase
from xmppd import directory
from xmppd.core.errors import StanzaError
from xmppd.core.events import AccountCreated, AccountRemoved, AccountRemoving
from xmppd.core.jid import JID
from xmppd.storage import accounts as store
from xmppd.storage import archive, marks
from xmppd.storage.errors import ClosedError, FaultError, StorageError


class DirectoryCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.accounts = self.world.server.accounts
        self.alice = JID.parse("alice@localhost")

    def refused(self, work: Any) -> str:
        """The condition with which something is refused."""
        problem = self.assertRaises(StanzaError, self.world.wait_for, work)
        return str(problem.condition)

    def may_log_in(self, name: str, password: str = "secret") -> bool:
        try:
            self.world.connect().authenticate(f"{name}@localhost", password)
        except AssertionError:
            return False
        return True

    def count(self, table: str) -> int:
        def run(cursor: Any) -> int:
            cursor.execute(f"SELECT count(*) FROM {table}")
            return int(cursor.fetchone()[0])

        self.world.settle()
        return self.world.wait_for(self.world.database.read("count", run))


class AccountTests(DirectoryCase):
    def test_created(self) -> None:
        seen: list[str] = []
        self.world.server.hosts["localhost"].hooks.add(
            AccountCreated, lambda event: seen.append(event.account.jid.text)
        )
        self.world.add_user("Carol@localhost")
        self.assertEqual(seen, ["carol@localhost"])
        self.assertTrue(self.may_log_in("carol"))

    def test_taken(self) -> None:
        for name in ("alice@localhost", "ALICE@localhost"):
            self.assertEqual(self.refused(self.accounts.create(JID.parse(name), "x")), "conflict")

    def test_two_at_once(self) -> None:
        """Of two who want the same name, one gets it"""
        outcomes: list[Any] = []
        for _ in range(2):
            work = self.accounts.create(JID.parse("carol@localhost"), "x")
            Deferred.fromCoroutine(work).addBoth(outcomes.append)
        self.world.settle()
        self.assertIs(outcomes[0], None)
        self.assertEqual(outcomes[1].value.condition, "conflict")

    def test_impossible(self) -> None:
        for jid in ("localhost", "carol@example.org", "carol@localhost/x"):
            self.assertEqual(self.refused(self.accounts.create(JID.parse(jid), "x")), "not-acceptable")
        for password in ("", "\x00"):
            work = self.accounts.create(JID.parse("carol@localhost"), password)
            self.assertEqual(self.refused(work), "not-acceptable")

    def test_password(self) -> None:
        self.world.wait_for(self.accounts.set_password(self.alice, "other"))
        self.assertFalse(self.may_log_in("alice"))
        self.assertTrue(self.may_log_in("alice", "other"))
        self.assertEqual(self.refused(self.accounts.set_password(self.alice, "")), "not-acceptable")
        self.assertEqual(
            self.refused(self.accounts.set_password(JID.parse("nobody@localhost"), "x")), "item-not-found"
        )

    def test_disabled(self) -> None:
        client = self.login("alice/home")
        self.world.wait_for(self.accounts.set_enabled(self.alice, False))
        self.assertIn("<stream:error><not-authorized ", client.take())
        self.assertFalse(self.may_log_in("alice"))
        self.restart()
        self.assertFalse(self.may_log_in("alice"))
        self.world.wait_for(self.world.server.accounts.set_enabled(self.alice, True))
        self.assertTrue(self.may_log_in("alice"))

    def test_messages_for_a_disabled_account_wait(self) -> None:
        self.world.wait_for(self.accounts.set_enabled(self.alice, False))
        self.tell(self.login("bob/desk"), "<message to='alice@localhost'><body>one</body></message>")
        self.world.wait_for(self.accounts.set_enabled(self.alice, True))
        client = self.login("alice/home", presence=False)
        self.tell(client, "<presence/>")
        self.assertEqual(self.bodies(client), ["one"])


class StopTests(ServerCase):
    def test_nobody_is_ended_who_is_written_down_already(self) -> None:
        """The last marks ended a session that was there again after the next start"""
        desk = self.login("bob/desk")
        self.enable(desk)
        alice = self.login("alice/x")
        self.tell(alice, "<message to='bob@localhost' type='chat'><body>owed</body></message>")
        desk.cut()
        box = self.account("bob").mailbox
        assert box is not None
        ended: list[object] = []
        self.patch(self.world.server.keeper, "_remember_last", ended.append)
        self.patch(type(box), "relieve", lambda _: self.account("bob").sessions[0].close())
        box._moved(box)
        self.restart()
        self.assertEqual(ended, [])
        self.assertEqual(len(self.account("bob").sessions), 1)


class RemovalTests(DirectoryCase):
    def remove(self) -> None:
        self.world.wait_for(self.accounts.remove(self.alice))
        self.world.settle()

    def test_removal_of_a_large_archive_is_told_in_steps(self) -> None:
        self.patch(directory, "ERASE_AT_ONCE", 2)
        bob = self.login("bob/desk")
        self.tell(bob, *["<message to='alice@localhost' type='chat'><body>x</body></message>"] * 5)
        gone: list[int] = []
        self.world.wait_for(self.accounts.remove(self.alice, report=gone.append))
        self.assertEqual(gone, [2, 4, 5])

    def test_sessions_end(self) -> None:
        client, asleep = self.login("alice/home"), self.login("alice/asleep")
        self.enable(asleep)
        asleep.cut()
        self.remove()
        self.assertIn("<stream:error><not-authorized ", client.take())
        self.assertIs(self.world.server.registry.account(self.alice), None)
        self.assertFalse(self.may_log_in("alice"))

    def test_rows_go(self) -> None:
        bob = self.login("bob/desk")
        for _ in range(3):
            self.tell(bob, "<message to='alice@localhost'><body>one</body></message>")
        self.assertEqual((self.count("archive"), self.count("credential")), (6, 6))
        self.remove()
        self.assertEqual((self.count("archive"), self.count("credential")), (3, 3))

    def test_files_keep_no_copy(self) -> None:
        """What is erased is not left in the database's files either"""
        self.start("modules.search.enabled=false")
        self.world.add_user("alice@localhost")
        self.accounts = self.world.server.accounts
        alice = self.login("alice/home")
        self.tell(alice, "<message to='alice@localhost/home'><body>never to be seen again</body></message>")
        path = Path(self.world.config.server.database.removeprefix("sqlite:"))

        def holds(text: bytes) -> bool:
            return any(text in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))

        self.assertTrue(holds(b"never to be seen again"))
        self.remove()
        self.assertFalse(holds(b"never to be seen again"))

    def test_order_of_events(self) -> None:
        """Contacts are told while the account still exists; its rows are gone at the end"""
        seen: list[tuple[str, bool, int]] = []

        def note(event: Any) -> None:
            exists = self.world.server.registry.account(self.alice) is not None
            seen.append((type(event).__name__, exists, len(event.account.sessions)))

        hooks = self.world.server.hosts["localhost"].hooks
        hooks.add(AccountRemoving, note)
        hooks.add(AccountRemoved, note)
        self.login("alice/home")
        self.remove()
        self.assertEqual(seen, [("AccountRemoving", True, 1), ("AccountRemoved", False, 0)])

    def test_whoever_takes_leave_is_waited_for(self) -> None:
        """A handler may hold the ticket until the disk has answered"""
        tickets: list[Any] = []

        def hold(event: AccountRemoving) -> None:
            event.ticket.hold()
            tickets.append(event.ticket)

        self.world.server.hosts["localhost"].hooks.add(AccountRemoving, hold)
        done: list[Any] = []
        Deferred.fromCoroutine(self.accounts.remove(self.alice)).addBoth(done.append)
        self.world.settle()
        self.assertEqual(done, [])
        tickets[0].failed(ValueError())
        self.world.settle()
        self.assertEqual(done, [None])

    def test_twice(self) -> None:
        first = Deferred.fromCoroutine(self.accounts.remove(self.alice))
        self.assertEqual(self.refused(self.accounts.remove(self.alice)), "item-not-found")
        self.world.settle()
        self.successResultOf(first)
        self.assertEqual(self.refused(self.accounts.remove(self.alice)), "item-not-found")

    def test_server_stops_in_the_middle(self) -> None:
        """The account is gone all the same, and the rest of its archive goes at the next start"""
        self.patch(directory, "ERASE_AT_ONCE", 2)
        bob = self.login("bob/desk")
        self.tell(bob, *["<message to='alice@localhost' type='chat'><body>x</body></message>"] * 5)
        steps = iter([archive.erase_some])

        def step(*given: Any) -> int:
            return next(steps, self.closes)(*given)

        stopping = self.patch(archive, "erase_some", step)
        self.assertRaises(ClosedError, self.world.wait_for, self.accounts.remove(self.alice))
        stopping.restore()
        self.assertEqual(self.count("archive"), 8)
        self.restart()
        self.assertIs(self.world.server.registry.account(self.alice), None)
        self.assertFalse(self.may_log_in("alice"))
        self.world.settle()
        self.assertEqual(self.count("archive"), 5)

    def test_database_is_gone(self) -> None:
        """Whoever cannot be removed is there as before"""
        self.patch(store, "remove", self.fails)
        self.assertRaises(StorageError, self.world.wait_for, self.accounts.remove(self.alice))
        self.assertTrue(self.may_log_in("alice"))

    def test_contacts_of_whoever_stays(self) -> None:
        """In memory there were none until the next start"""
        alice = self.login("alice/x")
        item = "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob'/></query>"
        alice.ask(f"<iq type='set' id='r'>{item}</iq>")
        self.patch(store, "remove", self.fails)
        self.assertRaises(StorageError, self.world.wait_for, self.accounts.remove(self.alice))
        self.world.settle()
        again = self.login("alice/y")
        self.assertIn("name='Bob'", again.ask("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>"))

    def test_account_that_could_not_be_disabled(self) -> None:
        """It was, until the next start"""
        self.patch(store, "set_state", self.fails)
        for enabled in (False, True):
            change = self.accounts.set_enabled(self.alice, enabled)
            self.assertRaises(StorageError, self.world.wait_for, change)
            self.assertTrue(self.account("alice").enabled)

    @staticmethod
    def fails(*_: object) -> None:
        raise FaultError("disk full")

    @staticmethod
    def closes(*_: object) -> int:
        raise ClosedError("the database is closed")

    def test_name_is_kept(self) -> None:
        """Nobody else is to receive what is meant for the former owner, until the operator says so"""
        self.remove()
        self.assertEqual(self.refused(self.accounts.create(self.alice, "x")), "conflict")
        self.restart()
        accounts = self.world.server.accounts
        self.assertEqual(self.refused(accounts.create(self.alice, "x")), "conflict")
        self.world.wait_for(accounts.release(self.alice))
        self.assertEqual(self.refused(accounts.release(self.alice)), "item-not-found")
        self.world.wait_for(accounts.create(self.alice, "x"))
        self.assertTrue(self.may_log_in("alice", "x"))


class MarkTests(DirectoryCase):
    """How far messages are delivered is written down, at most once a second."""

    def stored(self) -> marks.Mark:
        number = self.account("alice").id
        assert number is not None
        return self.world.wait_for(self.world.database.read("mark", marks.load, number))

    def test_written(self) -> None:
        box = self.account("alice").mailbox
        assert box is not None
        bob, alice = self.login("bob/desk"), self.login("alice/home")
        self.tell(bob, "<message to='alice@localhost'><body>one</body></message>")
        self.tell(alice, " ")
        before = self.stored()
        self.world.advance(1)
        after = self.stored()
        self.assertGreater(after.cursor, before.cursor)
        self.assertEqual(after.cursor, box.mark)

    def test_rows_that_are_no_history_go(self) -> None:
        """A row that is only to be delivered is deleted when it is confirmed"""
        bob, alice = self.login("bob/desk"), self.login("alice/home")
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
        self.tell(bob, f"<message to='alice@localhost'><body>one</body>{hint}</message>")
        self.assertEqual(self.count("archive"), 1)
        self.tell(alice, " ")
        self.world.advance(1)
        self.assertEqual(self.count("archive"), 0)

    def test_also_after_a_replay(self) -> None:
        bob = self.login("bob/desk")
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
        self.tell(bob, f"<message to='alice@localhost'><body>one</body>{hint}</message>")
        self.restart()
        alice = self.login("alice/home", presence=False)
        self.tell(alice, "<presence/>")
        self.assertEqual(self.bodies(alice), ["one"])
        self.tell(alice, " ")
        self.world.advance(1)
        self.assertEqual(self.count("archive"), 0)
        self.assertEqual(self.archived(alice), [])
