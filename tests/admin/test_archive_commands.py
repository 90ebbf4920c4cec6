"""What `xmppctl archive` does to the archives of a whole server."""

from __future__ import annotations

import io
import stat
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from tests.admin.test_cli import run
from tests.modules.archives import ArchiveConversation
from xmppd.admin import archive_commands, cli, views
from xmppd.admin.wire import CommandError
from xmppd.modules import retention
from xmppd.storage import archive as store
from xmppd.storage.archive import TOMBSTONE
from xmppd.storage.errors import FaultError
from xmppd.testing import InProcessServer


class ArchiveCase(ArchiveConversation):
    """Romeo and juliet have talked; mercutio has an empty archive."""

    def begin(self, database: str | None = None) -> None:
        super().begin(database)
        self.romeo, self.juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        self.account("mercutio")
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.folder = self.folder.absolute()

    def talk(self) -> None:
        self.chat(self.romeo, "juliet", "one", "<active xmlns='http://jabber.org/protocol/chatstates'/>")
        self.chat(self.juliet, "romeo/orchard", "two &amp; &lt;", '<x xmlns="urn:x"></x>')
        self.chat(self.romeo, "romeo", "note")
        self.chat(self.romeo, "a@b.example/c", "out")

    def call(self, name: str, server: InProcessServer | None = None, **arguments: str) -> Any:
        """Have a server do a command; the progress is in `reports`."""
        self.reports: list[tuple[str, int, int | None]] = []

        def report(text: str, done: int, total: int | None = None) -> None:
            self.reports.append((text, done, total))

        place = server or self.server
        command = place.server.commands()[f"archive-{name}"]
        answer = place.wait_for(command.handler(command.check(arguments), report))
        self.assertTrue(views.result(command.name, answer, sm=False))
        return answer

    def refuse(self, code: str, name: str, **arguments: str) -> str:
        problem = self.assertRaises(CommandError, self.call, name, **arguments)
        self.assertEqual(problem.code, code)
        return str(problem)

    def export(self) -> None:
        self.call("export", folder=str(self.folder))

    def file(self, name: str) -> str:
        return str(self.folder / f"{name}@example.org.xml")


class ExportTests(ArchiveCase):
    def test_one_file_an_account(self) -> None:
        self.talk()
        answer = self.call("export", folder=str(self.folder))
        self.assertEqual(
            [(row["jid"], row["messages"]) for row in answer],
            [("juliet@example.org", 2), ("mercutio@example.org", 0), ("romeo@example.org", 4)],
        )
        self.assertEqual(
            sorted(path.name for path in self.folder.iterdir()), [Path(row["file"]).name for row in answer]
        )
        self.assertEqual(stat.S_IMODE(Path(self.file("romeo")).stat().st_mode), 0o600)

    def test_new_folder(self) -> None:
        """It is made, for nobody else to look into."""
        folder = self.folder / "new"
        (row,) = self.call("export", folder=str(folder), jid="romeo@example.org")
        self.assertEqual(Path(row["file"]).parent, folder)
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

    def test_one_account_or_one_domain(self) -> None:
        self.assertEqual(len(self.call("export", folder=str(self.folder), jid="romeo@example.org")), 1)
        self.assertEqual(len(self.call("export", folder=str(self.folder), jid="example.org")), 3)
        self.refuse("item-not-found", "export", folder=str(self.folder), jid="nobody@example.org")
        self.refuse("item-not-found", "export", folder=str(self.folder), jid="elsewhere.example")
        self.refuse("invalid-jid", "export", folder=str(self.folder), jid="@")

    def test_it_has_the_ids_that_clients_see(self) -> None:
        self.talk()
        self.export()
        (result, *_) = self.romeo.ask("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        number = result.partition(" id='")[2].partition("'")[0]
        self.assertIn(f"<result xmlns='urn:xmpp:mam:2' id='{number}'>", Path(self.file("romeo")).read_text())

    def test_what_is_no_history_is_not_in_it(self) -> None:
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
        self.chat(self.romeo, "mercutio", "secret", hint)
        self.assertEqual(self.waiting("mercutio"), ["secret"])
        self.export()
        self.assertNotIn("secret", Path(self.file("mercutio")).read_text())

    def test_it_is_written_in_pieces(self) -> None:
        self.patch(archive_commands, "PAGE", 2)
        self.talk()
        self.call("export", folder=str(self.folder), jid="romeo@example.org")
        self.assertEqual([done for _, done, _ in self.reports], [2, 4, 4])
        self.assertEqual({total for _, _, total in self.reports}, {4})

    def test_names_that_are_too_long_for_a_file(self) -> None:
        """They made the export of everybody else fail as well"""
        names = ["a" * 250, "a" * 251]
        for name in names:
            self.account(name)
        self.export()
        files = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(len(files), 5)
        self.assertEqual(len([name for name in files if name.startswith("a" * 100)]), 2)

    def test_where_the_server_may_not_write(self) -> None:
        self.refuse("usage", "export", folder="relative")
        self.assertIn("No such file", self.refuse("not-allowed", "export", folder="/nowhere/at/all"))

    def test_a_file_that_is_not_whole_has_another_name(self) -> None:
        read = self.server.database.read

        async def fail(name: str, *args: Any, **more: Any) -> Any:
            if name == "export":
                raise FaultError("gone")
            return await read(name, *args, **more)

        self.patch(self.server.database, "read", fail)
        self.assertRaises(FaultError, self.export)
        self.assertFalse([path for path in self.folder.iterdir() if path.suffix == ".xml"])


class ImportTests(ArchiveCase):
    def other(self) -> InProcessServer:
        """Another server with the same accounts, and nothing in their archives."""
        other = InProcessServer(domain="example.org", elapsed=3600)
        self.addCleanup(other.stop)
        for name in ("romeo", "juliet", "mercutio"):
            other.add_user(f"{name}@example.org")
        return other

    def test_round_trip(self) -> None:
        self.talk()
        self.romeo.send(
            "<message to='juliet@example.org' id='r' type='chat'>"
            "<retract xmlns='urn:xmpp:message-retract:1' id='one'/></message>"
        )
        before = {name: self.rows(name) for name in ("romeo", "juliet")}
        self.export()
        first = {name: Path(self.file(name)).read_bytes() for name in before}
        other = self.other()
        for name, rows in before.items():
            answer = self.call("import", other, file=self.file(name))
            self.assertEqual((answer["messages"], answer["known"], answer["skipped"]), (len(rows), 0, 0))
            self.assertEqual(answer["unknown_accounts"], [])
        self.server.stop()
        self.server = other
        for name, rows in before.items():
            imported = self.rows(name)
            for row, again in zip(rows, imported, strict=True):
                self.assertEqual(again[1:7], row[1:7])
                self.assertEqual((again.deliver, again.kind), (0, row.kind))
            self.assertIn(TOMBSTONE, [row.kind for row in imported])
            self.call("export", folder=str(self.folder), jid=f"{name}@example.org")
            text = Path(self.file(name)).read_bytes().replace(b"<x xmlns='urn:x'/>", b'<x xmlns="urn:x"></x>')
            # Ids are made with a key that each server has for itself.
            self.assertEqual(_without_ids(text), _without_ids(first[name]))

    def test_on_the_same_server_nothing_changes(self) -> None:
        self.talk()
        self.export()
        before = self.rows("romeo")
        answer = self.call("import", file=self.file("romeo"))
        self.assertEqual((answer["messages"], answer["known"]), (0, 4))
        self.assertEqual(self.rows("romeo"), before)

    def test_what_was_deleted_does_not_come_back(self) -> None:
        """MAM A4 and A5."""
        self.talk()
        self.export()
        self.call("delete", jid="romeo@example.org")
        answer = self.call("import", file=self.file("romeo"))
        self.assertEqual((answer["messages"], answer["known"]), (0, 4))
        self.assertEqual(self.history("romeo"), [""] * 4)

    def test_messages_of_one_moment_come_behind_each_other(self) -> None:
        self.write_file("romeo", *(self.result(body, "2025-06-01T00:00:00Z") for body in ("a", "b", "c")))
        self.assertEqual(self.call("import", file=self.file("romeo"))["messages"], 3)
        rows = self.rows("romeo")
        self.assertEqual(self.history("romeo"), ["a", "b", "c"])
        self.assertEqual([row.seq - rows[0].seq for row in rows], [0, 1, 2])
        self.assertEqual(self.call("import", file=self.file("romeo"))["known"], 3)

    def test_many_of_one_moment(self) -> None:
        """Each was compared with all before it: a thousand held the writer for a minute"""
        parsed: list[bytes] = []
        canonical = store._canonical
        self.patch(store, "_canonical", lambda stanza: (parsed.append(stanza), canonical(stanza))[1])
        bodies = [str(number) for number in range(400)]
        self.write_file("romeo", *(self.result(body, "2025-06-01T00:00:00Z") for body in bodies))
        self.assertEqual(self.call("import", file=self.file("romeo"))["messages"], 400)
        self.assertEqual(self.history("romeo"), bodies)
        self.assertEqual(self.call("import", file=self.file("romeo"))["known"], 400)
        self.assertLess(len(parsed), 4000)

    def test_what_looks_like_a_tombstone(self) -> None:
        """Anybody can write that, and something beside it: it could be deleted by nothing"""
        self.romeo.send(
            "<message to='juliet@example.org' type='chat' id='s'><body>secret</body>"
            "<retracted xmlns='urn:xmpp:message-retract:1'/></message>"
        )
        self.export()
        other = self.other()
        self.call("import", other, file=self.file("juliet"))
        answer = self.call("delete", other, jid="juliet@example.org")
        self.assertEqual(answer["messages"], 1)
        self.server.stop()
        self.server = other
        self.assertEqual(self.history("juliet"), [""])

    def test_ids_of_another_installation(self) -> None:
        """XEP-0359: they lead nowhere here, and are left out"""
        own = "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.org' id='old'/>"
        abroad = "<stanza-id xmlns='urn:xmpp:sid:0' by='room@rooms.example' id='theirs'/>"
        result = self.result("x", "2025-06-01T00:00:00Z").replace("</message>", f"{own}{abroad}</message>")
        self.write_file("romeo", result)
        self.call("import", file=self.file("romeo"))
        (row,) = self.rows("romeo")
        self.assertNotIn(b"id='old'", row.stanza)
        self.assertIn(b"id='theirs'", row.stanza)

    def test_what_comes_before_something_wrong(self) -> None:
        results = [self.result(body, "2025-06-01T00:00:00Z") for body in ("a", "b")]
        self.write_file("romeo", *results, "<wrong>")
        self.refuse("bad-request", "import", file=self.file("romeo"))
        self.assertEqual(self.history("romeo"), ["a", "b"])

    def test_what_is_imported_comes_before_what_was_there_and_is_found(self) -> None:
        self.chat(self.romeo, "juliet", "new")
        self.write_file("romeo", self.result("old", "2025-06-01T00:00:00Z"))
        self.call("import", file=self.file("romeo"))
        results = self.romeo.ask("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        self.assertIn("<body>old</body>", results[0])
        self.assertIn("stamp='2025-06-01T00:00:00.000000Z'", results[0])
        self.assertIn("<body>new</body>", results[1])
        # It is not delivered once more.
        self.assertEqual([row.deliver for row in self.rows("romeo")], [0, 0])

    def test_what_does_not_belong_there_is_skipped(self) -> None:
        stranger = (
            "<message xmlns='jabber:client' from='a@b.example' to='c@d.example'><body>x</body></message>"
        )
        self.write_file(
            "romeo",
            self.result("future", "2027-01-01T00:00:00Z"),
            self.result("ancient", "1969-01-01T00:00:00Z"),
            self.wrapped(stranger, "2025-06-01T00:00:00Z"),
            self.wrapped("<message xmlns='jabber:client'/>", "2025-06-01T00:00:00Z"),
            "<result xmlns='urn:xmpp:mam:2'/>",
        )
        answer = self.call("import", file=self.file("romeo"))
        self.assertEqual((answer["messages"], answer["skipped"]), (0, 5))

    def test_accounts_that_are_not_here_are_told(self) -> None:
        self.write_file("nobody", self.result("x", "2025-06-01T00:00:00Z"))
        answer = self.call("import", file=self.file("nobody"))
        self.assertEqual(answer["unknown_accounts"], ["nobody@example.org"])
        self.assertEqual(answer["skipped"], 1)

    def test_files_that_cannot_be_read(self) -> None:
        self.refuse("usage", "import", file="relative.xml")
        self.refuse("not-allowed", "import", file=str(self.folder / "none.xml"))
        path = self.folder / "bad.xml"
        path.write_text("<!DOCTYPE x>")
        self.assertIn("DTD", self.refuse("bad-request", "import", file=str(path)))
        self.write_file("romeo", self.result("x", "2025-06-01T00:00:00Z"))
        whole = Path(self.file("romeo"))
        whole.write_bytes(whole.read_bytes()[:-20])
        self.refuse("bad-request", "import", file=str(whole))
        self.assertEqual(self.history("romeo"), ["x"])

    def test_progress_is_told_by_size(self) -> None:
        self.patch(archive_commands, "PIECE", 100)
        self.write_file("romeo", self.result("x", "2025-06-01T00:00:00Z"))
        size = Path(self.file("romeo")).stat().st_size
        self.call("import", file=self.file("romeo"))
        self.assertEqual(self.reports[0], ("romeo@example.org.xml", 100, size))
        self.assertEqual(self.reports[-1][1:], (size, size))

    def wrapped(self, message: str, stamp: str) -> str:
        return (
            "<result xmlns='urn:xmpp:mam:2' id='x'><forwarded xmlns='urn:xmpp:forward:0'>"
            f"<delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>{message}</forwarded></result>"
        )

    def result(self, body: str, stamp: str) -> str:
        addresses = "from='a@b.example/c' to='romeo@example.org'"
        return self.wrapped(
            f"<message xmlns='jabber:client' {addresses}><body>{body}</body></message>", stamp
        )

    def write_file(self, user: str, *results: str) -> None:
        Path(self.file(user)).write_text(
            f"<server-data xmlns='urn:xmpp:pie:0'><host jid='example.org'><user name='{user}'>"
            f"<archive xmlns='urn:xmpp:pie:0#mam'>{''.join(results)}</archive></user></host></server-data>"
        )


def _without_ids(text: bytes) -> list[bytes]:
    return [part.partition(b"'")[2] for part in text.split(b"<result xmlns='urn:xmpp:mam:2' id='")]


class UpkeepTests(ArchiveCase):
    def test_figures(self) -> None:
        self.talk()
        self.chat(self.juliet, "mercutio", "waits")
        rows = {row["jid"]: row for row in self.call("stats")}
        self.assertEqual(len(rows), 3)
        romeo, mercutio = rows["romeo@example.org"], rows["mercutio@example.org"]
        self.assertEqual((romeo["messages"], mercutio["messages"], mercutio["undelivered"]), (4, 1, 1))
        self.assertEqual(romeo["bytes"], sum(len(row.stanza) for row in self.rows("romeo")))
        self.assertEqual(romeo["first"][:10], "2026-01-01")
        self.assertEqual(self.call("stats", jid="mercutio@example.org"), [mercutio])

    def test_an_empty_archive_has_no_times(self) -> None:
        (row,) = self.call("stats", jid="mercutio@example.org")
        self.assertEqual((row["messages"], row["first"], row["last"]), (0, None, None))

    def test_expiry_now(self) -> None:
        self.chat(self.romeo, "a@b.example", "old")
        self.server.advance(3600)
        self.chat(self.user("romeo/street"), "a@b.example", "new")
        self.assertEqual(self.call("expire")["messages"], 0)
        answer = self.call("expire", jid="romeo@example.org", older="30min")
        self.assertEqual(answer, {"accounts": 1, "messages": 1})
        self.assertEqual(self.history("romeo"), ["new"])
        for older in ("a while", "0", "0d"):
            self.refuse("usage", "expire", older=older)

    def test_expiry_of_a_large_archive_is_told_in_steps(self) -> None:
        """The command is not left without a word, or it gives the server up."""
        self.patch(retention, "STEP", 2)
        for number in range(5):
            self.chat(self.romeo, "a@b.example", f"old {number}")
        self.server.advance(3600)
        self.call("expire", jid="romeo@example.org", older="30min")
        self.assertEqual(
            self.reports,
            [(f"Expiring, {gone} messages gone", 0, 1) for gone in (0, 2, 4, 5)],
        )

    def test_deletion(self) -> None:
        self.talk()
        answer = self.call("delete", **{"jid": "romeo@example.org", "with": "a@b.example"})
        self.assertEqual(answer, {"jid": "romeo@example.org", "messages": 1})
        self.assertEqual(self.history("romeo")[3], "")
        self.assertEqual(self.call("delete", jid="romeo@example.org", end="2025-12-31")["messages"], 0)
        self.assertEqual(self.call("delete", jid="romeo@example.org", start="2026-01-01")["messages"], 3)
        self.assertEqual(self.history("juliet"), ["one", "two &amp; &lt;"])

    def test_deletion_that_is_not_well_put(self) -> None:
        self.refuse("item-not-found", "delete", jid="nobody@example.org")
        self.refuse("item-not-found", "delete", jid="romeo@example.org/orchard")
        self.refuse("usage", "delete", jid="romeo@example.org", start="yesterday")
        self.refuse("usage", "delete", jid="romeo@example.org", start="2026-01-02", end="2026-01-01")
        self.refuse("invalid-jid", "delete", **{"jid": "romeo@example.org", "with": "@"})

    def test_without_the_module_nothing_expires(self) -> None:
        self.settings = ('domains."example.org".without=["retention"]',)
        self.restart()
        self.refuse("not-allowed", "expire", jid="romeo@example.org")

    def test_views_say_what_was_done(self) -> None:
        self.assertEqual(
            views.result("archive-delete", {"jid": "a@b", "messages": 1}, sm=False),
            "1 message of a@b deleted.",
        )
        answer = {"messages": 1, "known": 2, "skipped": 3, "unknown_accounts": ["x@y"]}
        text = views.result("archive-import", answer, sm=False)
        self.assertEqual(text.splitlines()[-1], "There is no account x@y here.")


class CommandLineTests(ArchiveCase):
    def test_what_goes_to_the_server(self) -> None:
        """Paths are made absolute, because the server runs elsewhere."""
        sent: list[tuple[str, dict[str, object]]] = []

        def call(path: Path, command: str, arguments: dict[str, object], progress: object) -> object:
            sent.append((command, arguments))
            raise CommandError("test", "enough")

        self.patch(cli, "call", call)
        for arguments in (
            ["export", "folder"],
            ["export", "/folder", "a@b.example"],
            ["import", "file.xml"],
            ["stats"],
            ["expire", "--older", "6m"],
            ["delete", "a@b.example", "--with", "c@d.example", "--end", "2026-01-31"],
            ["delete", "a@b.example", "--all"],
        ):
            run(["--socket", "/none", "archive", *arguments], io.StringIO(), io.StringIO())
        self.assertEqual(
            sent,
            [
                ("archive-export", {"folder": str(Path("folder").absolute())}),
                ("archive-export", {"folder": "/folder", "jid": "a@b.example"}),
                ("archive-import", {"file": str(Path("file.xml").absolute())}),
                ("archive-stats", {}),
                ("archive-expire", {"older": "6m"}),
                ("archive-delete", {"jid": "a@b.example", "with": "c@d.example", "end": "2026-01-31"}),
                ("archive-delete", {"jid": "a@b.example"}),
            ],
        )
        for command, arguments_sent in sent:
            self.server.server.commands()[command].check(arguments_sent)

    def test_nothing_forgotten_means_the_whole_archive(self) -> None:
        """--all says so, alone"""
        for more in ([], ["--all", "--with", "c@d.example"]):
            with self.assertRaises(SystemExit) as end, redirect_stderr(io.StringIO()) as said:
                cli.main(["archive", "delete", "a@b.example", *more])
            self.assertEqual(end.exception.code, 2)
            self.assertIn("say which messages: --with, --start and --end, or --all", said.getvalue())
