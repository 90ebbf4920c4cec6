"""MAM A5 and A40: the owner deletes messages and sets preferences by a command (XEP-0441, section 2.2)."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred

from tests.modules.archives import ArchiveConversation
from tests.modules.conversation import User
from xmppd.modules import redaction
from xmppd.modules.archive_configure import read_moment
from xmppd.storage import archive, database, sqlite
from xmppd.storage.archive import TOMBSTONE
from xmppd.testing import BEGINNING

NS = "http://jabber.org/protocol/commands"
NODE = "urn:xmpp:mam#configure"


class ConfigureConversation(ArchiveConversation):
    def begin(self, database: str | None = None) -> None:
        super().begin(database)
        self.romeo = self.user("romeo/orchard")
        self.account("juliet")
        self.account("nurse")

    def command(self, inner: str = "", token: str = "") -> str:
        session = f" sessionid='{token}'" if token else ""
        command = f"<command xmlns='{NS}' node='{NODE}'{session}>{inner}</command>"
        self.romeo.take()
        self.romeo.client.send(f"<iq type='set' id='c'>{command}</iq>")
        for _ in range(50):
            self.server.settle()
        (answer,) = [each for each in self.romeo.take() if each.startswith("<iq")]
        return answer

    def form(self, **fields: str | list[str]) -> str:
        text = f"<field var='FORM_TYPE' type='hidden'><value>{NODE}</value></field>"
        for name, given in fields.items():
            values = [given] if isinstance(given, str) else given
            text += f"<field var='{name}'>{''.join(f'<value>{value}</value>' for value in values)}</field>"
        return f"<x xmlns='jabber:x:data' type='submit'>{text}</x>"

    def do(self, action: str, **fields: str | list[str]) -> str:
        """Both steps; the last answer."""
        token = self.command().partition(" sessionid='")[2].partition("'")[0]
        self.shown = self.command(self.form(action=action), token)
        return self.command(self.form(**fields), token)

    def assert_refused(self, answer: str) -> None:
        self.assertIn(f"<bad-payload xmlns='{NS}'/>", answer)


class DeletionTests(ConfigureConversation):
    """MAM A5: what is deleted leaves id, time and JIDs."""

    def begin(self, database: str | None = None) -> None:
        super().begin(database)
        for number, to in enumerate(("juliet", "nurse", "juliet/balcony", "a@b.example", "juliet")):
            self.chat(self.romeo, to, f"secret{number}")

    def test_a_conversation(self) -> None:
        before = self.rows("romeo")
        answer = self.do("conversation", jid="juliet@example.org/ignored")
        self.assertIn("gone for good", self.shown)
        self.assertIn("<note type='info'>3 messages deleted.</note>", answer)
        self.assertEqual(self.history("romeo"), ["", "secret1", "", "secret3", ""])
        after = self.rows("romeo")
        self.assertEqual([row[:7] for row in after], [row[:7] for row in before])
        self.assertEqual([row.kind for row in after], [TOMBSTONE, 0, TOMBSTONE, 0, TOMBSTONE])
        # The other side has its own archive.
        self.assertEqual(self.history("juliet"), ["secret0", "secret2", "secret4"])

    def test_everything(self) -> None:
        self.assertIn("5 messages deleted.", self.do("everything", sure="true"))
        self.assertEqual(self.history("romeo"), [""] * 5)
        self.assertIn("0 messages deleted.", self.do("everything", sure="1"))

    def test_everything_wants_certainty(self) -> None:
        self.assert_refused(self.do("everything", sure="0"))
        self.assert_refused(self.do("everything"))
        self.assertEqual(len([body for body in self.history("romeo") if body]), 5)

    def test_a_period(self) -> None:
        rows = self.rows("romeo")

        def stamp(seq: int) -> str:
            return datetime.fromtimestamp(seq / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

        self.assertIn("2 messages", self.do("period", start=stamp(rows[1].seq), end=stamp(rows[2].seq)))
        self.assertEqual(self.history("romeo"), ["secret0", "", "", "secret3", "secret4"])

    def test_a_period_of_days(self) -> None:
        self.assertIn("0 messages", self.do("period", end="2025-12-31"))
        self.assertIn("0 messages", self.do("period", start="2026-01-02"))
        self.assertIn("5 messages", self.do("period", start="2026-01-01", end="2026-01-01"))

    def test_what_is_filled_in_wrong(self) -> None:
        self.assert_refused(self.do("dance"))
        self.assert_refused(self.do("conversation"))
        self.assert_refused(self.do("conversation", jid="@"))
        self.assert_refused(self.do("period"))
        self.assert_refused(self.do("period", start="yesterday"))
        self.assert_refused(self.do("period", start="2026-01-02", end="2026-01-01"))
        token = self.command().partition(" sessionid='")[2].partition("'")[0]
        self.assert_refused(self.command("", token))
        self.assertEqual(len([body for body in self.history("romeo") if body]), 5)

    def test_a_query_shows_what_is_left_of_it(self) -> None:
        query = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>"
        before = self.romeo.ask(query)
        self.do("conversation", jid="nurse@example.org")
        after = self.romeo.ask(query)
        self.assertEqual(len(after), len(before))
        self.assertEqual(after[1].partition("<message xmlns=")[0], before[1].partition("<message xmlns=")[0])
        self.assertNotIn("<body>", after[1])

    def test_other_devices_do_not_get_it_any_more(self) -> None:
        street = self.user("romeo/street")
        street.ask("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        street.client.cut()
        self.from_abroad("<message from='a@b.example' to='romeo@example.org'><body>secret5</body></message>")
        self.do("everything", sure="1")
        session = self.account("romeo").sessions[-1]
        queue = session.outbox.queue.entries  # type: ignore[attr-defined]
        self.assertEqual([entry.stanza for entry in queue], [None])

    def held_back(self, name: str) -> Deferred[None]:
        """The first read of that name is done, and its result waits until this fires."""
        read = self.server.database.read
        gate: Deferred[None] = Deferred()

        async def slow(what: str, *args: Any) -> Any:
            found = await read(what, *args)
            if what == name and not gate.called:
                await gate
            return found

        self.patch(self.server.database, "read", slow)
        return gate

    def test_page_that_was_read_before(self) -> None:
        """It waited until a slow client had room, and was sent afterwards"""
        gate, first = self.held_back("archive page"), self.romeo
        first.client.take()
        first.client.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        self.romeo = self.user("romeo/street")
        self.do("everything", sure="1")
        gate.callback(None)
        self.server.settle()
        got = first.client.take()
        self.assertIn("<fin ", got)
        self.assertNotIn("<body>", got)

    def test_backlog_that_was_read_before(self) -> None:
        """It was given afterwards"""
        mercutio = self.user("mercutio/street")
        mercutio.send("<presence type='unavailable'/>")
        self.chat(self.romeo, "mercutio", "secret6")
        gate = self.held_back("backlog")
        mercutio.send("<presence/>")
        self.romeo = mercutio
        self.assertIn("1 message", self.do("everything", sure="1"))
        gate.callback(None)
        self.server.settle()
        self.assertNotIn("<body>", mercutio.client.take())

    def test_what_nobody_has_fetched_is_not_delivered_any_more(self) -> None:
        mercutio = self.user("mercutio/street")
        mercutio.send("<presence type='unavailable'/>")
        self.chat(self.romeo, "mercutio", "secret6")
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
        self.chat(self.romeo, "mercutio", "secret7", hint)
        self.assertEqual(len(self.rows("mercutio")), 2)
        self.romeo = mercutio
        self.assertIn("2 messages", self.do("everything", sure="1"))
        # One of them was no history: there is nothing to remember.
        self.assertEqual([row.kind for row in self.rows("mercutio")], [TOMBSTONE])
        mercutio.send("<presence/>")
        self.assertEqual([each for each in mercutio.take() if each.startswith("<message")], [])

    def test_many_go_in_steps(self) -> None:
        self.patch(redaction, "STEP", 2)
        self.assert_steps(3)

    def test_large_ones_go_in_smaller_steps(self) -> None:
        """Nobody waits while many of them are erased."""
        self.patch(redaction, "STEP_BYTES", 1 + max(len(row.stanza) for row in self.rows("romeo")))
        self.patch(archive, "PIECE", 1)
        self.assert_steps(3)

    def assert_steps(self, number: int) -> None:
        names: list[str] = []
        write = self.server.database.write

        async def note(name: str, *args: object) -> object:
            names.append(name)
            return await write(name, *args)  # type: ignore[arg-type]

        self.patch(self.server.database, "write", note)
        self.assertIn("5 messages", self.do("everything", sure="1"))
        self.assertEqual(names.count("erase messages"), number)

    def test_no_file_has_the_content_any_more(self) -> None:
        """Not the table, not a free page, not the log."""
        self.assertTrue(self.files_with(b"<body>secret"))
        self.forget_all()
        self.assertEqual(self.files_with(b"<body>secret"), [])

    def test_whoever_reads_the_files_delays_that_and_nothing_else(self) -> None:
        """A backup holds the log: nobody waits for it, and the log is emptied once it is over."""
        reading = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(reading.close)
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM archive").fetchall()
        self.patch(sqlite, "BUSY_TIMEOUT", 1e6)
        self.forget_all()
        self.assertTrue(self.files_with(b"<body>secret"))
        reading.execute("ROLLBACK")
        self.pass_time(database.SCRUB_AFTER)
        self.assertEqual(self.files_with(b"<body>secret"), [])

    def forget_all(self) -> None:
        """All who have something delete everything."""
        others = [User(self.server.login(f"{name}@example.org/x")) for name in ("juliet", "nurse")]
        for each in [self.romeo, *others]:
            self.romeo = each
            self.assertIn("deleted.", self.do("everything", sure="1"))


class PreferencesTests(ConfigureConversation):
    """MAM A40."""

    def test_they_are_shown_and_set(self) -> None:
        answer = self.do("preferences", default="roster", always=["A@B.example", ""], never=["c.example/d"])
        self.assertIn("<value>always</value><option ", self.shown)
        self.assertIn("status='completed'", answer)
        (prefs,) = self.romeo.ask("<iq type='get' id='g'><prefs xmlns='urn:xmpp:mam:2'/></iq>")
        self.assertIn("default='roster'><always><jid>a@b.example</jid></always>", prefs)
        self.assertIn("<never><jid>c.example/d</jid></never>", prefs)
        self.do("preferences", default="always")
        self.assertIn("<value>a@b.example</value>", self.shown)

    def test_what_is_filled_in_wrong(self) -> None:
        self.assert_refused(self.do("preferences", default="sometimes"))
        self.assert_refused(self.do("preferences", default="always", never="@"))

    def test_they_are_not_offered_where_there_are_none(self) -> None:
        self.settings = ('domains."example.org".without=["archive_preferences"]',)
        self.restart()
        self.assertNotIn("preferences", self.command())
        self.assert_refused(self.do("preferences", default="always"))


class MomentTests(ConfigureConversation):
    def test_moments(self) -> None:
        day = int(BEGINNING * 1_000_000)
        self.assertEqual(read_moment("2026-01-01"), day)
        self.assertEqual(read_moment("2026-01-01", last=True), day + 86_400_000_000 - 1)
        self.assertEqual(read_moment("2026-01-01T01:00:00+01:00"), day)
        for wrong in ("", "2026", "2026-01-01T00:00:00", "T", "2026-13-01"):
            self.assertRaises(ValueError, read_moment, wrong)
