"""The command line xmppctl, against a server in memory and a real socket."""

import getpass
import io
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.admin.operator import FakeOperator, session
from tests.stream.pki import NOW, issue, save
from xmppd.admin import cli, client, offline
from xmppd.admin.commands import (
    Argument,
    Arguments,
    Command,
    FoundRow,
    Report,
    Result,
    StreamManagementRow,
    build,
)
from xmppd.admin.server import AdminFactory
from xmppd.admin.wire import CommandError
from xmppd.config import module_options
from xmppd.config.sample import sample
from xmppd.testing import InProcessServer


class Terminal(io.StringIO):
    """Input or output that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def run(arguments: Sequence[str], stdin: io.StringIO, err: io.StringIO) -> tuple[int, str, str]:
    """Run xmppctl in this process; gives exit code, output and errors."""
    out = io.StringIO()
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = stdin, out, err
    try:
        code = cli.main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
    return code, out.getvalue(), err.getvalue()


class OnlineTests(TestCase):
    """With a server."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.socket = Path(folder.name) / "s"
        self.operator = FakeOperator()
        self.commands = build(self.operator)
        self.listen(AdminFactory(self.commands))

    def listen(self, factory: AdminFactory) -> None:
        self.addCleanup(factory.listen(reactor, self.socket).stopListening)

    async def xmppctl(
        self, *arguments: str, stdin: str | io.StringIO = "", err: io.StringIO | None = None
    ) -> tuple[int, str, str]:
        """Run xmppctl in a thread, where it may wait for the server."""
        source = io.StringIO(stdin) if isinstance(stdin, str) else stdin
        return await deferToThread(
            run, ("--socket", str(self.socket), *arguments), source, err or io.StringIO()
        )

    async def test_password_on_standard_input(self) -> None:
        """A password is one line of what is no terminal; blanks are part of it."""
        result = await self.xmppctl("adduser", "alice@a.example", stdin=" pass word \r\nmore\n")
        self.assertEqual(result, (0, "alice@a.example can log in.\n", ""))
        self.assertEqual(self.operator.passwords, {"alice@a.example": " pass word "})

    async def test_password_asked_for(self) -> None:
        """At a terminal the password is asked for twice, without echo."""
        prompts: list[str] = []

        def ask(prompt: str) -> str:
            prompts.append(prompt)
            return "secret"

        self.patch(getpass, "getpass", ask)
        code, _, _ = await self.xmppctl("adduser", "alice@a.example", stdin=Terminal())
        self.assertEqual((code, self.operator.passwords["alice@a.example"]), (0, "secret"))
        self.assertEqual(prompts, ["Password for alice@a.example: ", "The same again: "])

    async def test_passwords_that_differ(self) -> None:
        """Two different passwords change nothing."""
        answers = iter(["one", "two"])
        self.patch(getpass, "getpass", lambda prompt: next(answers))
        code, out, err = await self.xmppctl("adduser", "alice@a.example", stdin=Terminal())
        self.assertEqual((code, out), (2, ""))
        self.assertIn("not the same", err)
        self.assertEqual(self.operator.states, {})

    async def test_nobody_is_asked_for_a_password_in_vain(self) -> None:
        """First it is seen whether there can be such an account, or is one."""
        self.patch(getpass, "getpass", lambda prompt: self.fail("asked for a password"))
        await self.xmppctl("adduser", "alice@a.example", stdin="x\n")
        for arguments, expected in (
            (("adduser", "alice@a.example"), "xmppctl: The name alice@a.example is taken\n"),
            (("passwd", "bob@a.example"), "xmppctl: There is no account bob@a.example\n"),
            (("passwd", "bob@c.example"), "c.example is not served here"),
        ):
            code, out, err = await self.xmppctl(*arguments, stdin=Terminal())
            self.assertEqual((code, out), (1, ""))
            self.assertIn(expected, err)

    async def test_no_password(self) -> None:
        """An empty one is refused."""
        for stdin in ("", "\n"):
            code, _, err = await self.xmppctl("adduser", "alice@a.example", stdin=stdin)
            self.assertEqual(code, 2)
            self.assertIn("empty", err)
        self.assertEqual(self.operator.states, {})

    async def test_other_account_commands(self) -> None:
        """Each says what it did."""
        await self.xmppctl("adduser", "alice@a.example", stdin="x\n")
        for arguments, stdin, expected in (
            (("passwd", "alice@a.example"), "y\n", "alice@a.example has a new password.\n"),
            (("disable", "alice@a.example"), "", "alice@a.example cannot log in any more.\n"),
            (("enable", "alice@a.example"), "", "alice@a.example can log in again.\n"),
        ):
            self.assertEqual(await self.xmppctl(*arguments, stdin=stdin), (0, expected, ""))
        code, out, _ = await self.xmppctl("deluser", "alice@a.example")
        self.assertEqual((code, self.operator.states), (0, {"alice@a.example": "removed"}))
        self.assertIn("xmppctl release alice@a.example", out)
        self.assertEqual((await self.xmppctl("release", "alice@a.example"))[0], 0)

    async def test_refusals(self) -> None:
        """What the server refuses is one line, and 1."""
        await self.xmppctl("adduser", "alice@a.example", stdin="x\n")
        result = await self.xmppctl("adduser", "alice@a.example", stdin="x\n")
        self.assertEqual(result, (1, "", "xmppctl: The name alice@a.example is taken\n"))
        code, _, err = await self.xmppctl("adduser", "alice@c.example", stdin="x\n")
        self.assertEqual(
            (code, err),
            (
                1,
                "xmppctl: c.example is not served here, but a.example, b.example; "
                "to serve it, add it to the configuration\n",
            ),
        )

    async def test_refusal_for_programs(self) -> None:
        """With --json a refusal is an object on standard output."""
        code, out, err = await self.xmppctl("--json", "deluser", "x@a.example")
        self.assertEqual((code, err), (1, ""))
        self.assertEqual(json.loads(out)["error"]["code"], "item-not-found")

    async def test_users(self) -> None:
        """Accounts stand in a table, or in JSON, with --json before or behind the command."""
        self.assertIn("No accounts.", (await self.xmppctl("users"))[1])
        await self.xmppctl("adduser", "alice@a.example", stdin="x\n")
        code, out, _ = await self.xmppctl("users")
        self.assertEqual(
            out.splitlines(),
            [
                "ACCOUNT          STATE   CREATED     SESSIONS",
                "alice@a.example  active  2030-03-17         0",
            ],
        )
        for arguments in (("--json", "users"), ("users", "--json", "a.example")):
            code, out, _ = await self.xmppctl(*arguments)
            self.assertEqual((code, json.loads(out)[0]["jid"]), (0, "alice@a.example"))

    async def test_sessions(self) -> None:
        """Sessions stand in a table; what peers have chosen cannot command the terminal."""
        self.assertEqual((await self.xmppctl("sessions"))[1], "Nobody is online.\n")
        self.operator.rows = [
            session("zoe@a.example/日本", client="Evil\x1b[2J\n"),
            session("alice@a.example/x", sm=StreamManagementRow(3, 4, 1, True, True), client=None),
        ]
        _, out, _ = await self.xmppctl("sessions")
        self.assertEqual(
            out.splitlines(),
            [
                "SESSION             ADDRESS      CLIENT     TLS      SINCE (UTC)       PRESENCE",
                "alice@a.example/x   -            -          -        2030-03-17 17:46  hibernated",
                "zoe@a.example/日本  [::1]:50000  Evil�[2J�  TLSv1.3  2030-03-17 17:46  available (5)",
            ],
        )
        _, out, _ = await self.xmppctl("sessions", "a.example", "--json")
        self.assertEqual(json.loads(out)[1]["client"], "Evil\x1b[2J\n")
        self.assertTrue(out.isascii())

    async def test_stream_management(self) -> None:
        """With --sm the counters are shown."""
        self.operator.rows = [
            session("a@a.example/1"),
            session("a@a.example/2", sm=StreamManagementRow(3, 14, 1, True, False, "message chat m1", 7)),
            session("a@a.example/3", sm=StreamManagementRow(30, 4, 0, False, False)),
        ]
        _, out, _ = await self.xmppctl("sessions", "--sm")
        self.assertEqual(
            out.splitlines(),
            [
                "SESSION        HANDLED  SENT  QUEUE  STATE          OLDEST UNACKNOWLEDGED  AGE (S)",
                "a@a.example/1        -     -      -  off            -                            -",
                "a@a.example/2        3    14      1  resumable      message chat m1              7",
                "a@a.example/3       30     4      0  acknowledging  -                            -",
            ],
        )

    async def test_kick(self) -> None:
        """How many sessions were ended is said."""
        self.operator.rows = [session("alice@a.example/x")]
        result = await self.xmppctl("kick", "alice@a.example/x", "Good night")
        self.assertEqual(result, (0, "alice@a.example/x: 1 session ended.\n", ""))
        self.assertEqual(self.operator.kicked, [("alice@a.example/x", "Good night")])

    async def test_stats(self) -> None:
        """Figures are aligned."""
        _, out, _ = await self.xmppctl("stats")
        self.assertEqual(out.splitlines()[1:3], ["messages  12", "uptime    3.2"])

    async def test_archive_search(self) -> None:
        """Messages stand in a table; that there are more is said."""
        self.operator.states["alice@a.example"] = "active"
        self.assertEqual(
            await self.xmppctl("archive", "search", "alice@a.example", "hi"),
            (0, "No message has these words.\n", ""),
        )
        self.operator.messages = [
            FoundRow("id", 1_900_000_000.0, "bob@b.example", "alice@a.example", f"hi you\x1b {number}")
            for number in range(2)
        ]
        _, out, _ = await self.xmppctl("archive", "search", "alice@a.example", "hi", "you", "--limit", "1")
        self.assertEqual(
            out.splitlines(),
            [
                "TIME (UTC)        FROM           TO               TEXT",
                "2030-03-17 17:46  bob@b.example  alice@a.example  hi you\N{REPLACEMENT CHARACTER} 1",
                "There are older ones; --limit shows more.",
            ],
        )

    async def test_progress(self) -> None:
        """How far a command is, is drawn where somebody looks."""

        async def work(arguments: Arguments, report: Report) -> Result:
            report("Counting", 5, 10)
            report("Looking", 3)
            report("Counting", 10, 10)
            return {}

        self.commands["stats"] = Command("stats", (), work)
        _, _, err = await self.xmppctl("stats", err=Terminal())
        self.assertEqual(
            [line.strip("\x1b[K\n") for line in err.split("\r")],
            [
                "",
                "Counting: [###############               ]  50% (5 of 10)",
                "Looking: 3",
                f"Counting: [{'#' * 30}] 100% (10 of 10)",
            ],
        )
        self.assertTrue(err.endswith("\n"))
        self.assertEqual(await self.xmppctl("stats"), (0, "\n", ""))

    async def test_result_stands_alone_below_progress_that_has_no_end(self) -> None:
        """What was drawn last is taken away; the same is not drawn twice."""

        async def work(arguments: Arguments, report: Report) -> Result:
            for done in (1, 1, 2):
                report("Counting", done, 3)
            if "jid" in arguments:
                raise CommandError("test", "It failed")
            return {}

        self.commands["stats"] = Command("stats", (), work)
        _, _, err = await self.xmppctl("stats", err=Terminal())
        bars = [f"Counting: [{bar:<30}]  {share}% ({done} of 3)"
                for bar, share, done in (("#" * 10, 33, 1), ("#" * 20, 67, 2))]  # fmt: skip
        self.assertEqual(err, "".join(f"\r{bar}\x1b[K" for bar in bars) + "\r\x1b[K")
        self.commands["deluser"] = Command("deluser", (Argument("jid"),), work)
        _, _, err = await self.xmppctl("deluser", "alice@a.example", err=Terminal())
        self.assertTrue(err.endswith("\r\x1b[Kxmppctl: It failed\n"), err)

    async def test_removal_tells_how_far_it_is(self) -> None:
        self.operator.states["alice@a.example"] = "active"
        _, _, err = await self.xmppctl("deluser", "alice@a.example", err=Terminal())
        self.assertEqual(err, "\rDeleting messages: 7\x1b[K\r\x1b[K")

    async def test_connection_that_ends(self) -> None:
        """A server that goes away without an answer is said."""

        class Rude(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.loseConnection()

        self.socket = self.socket.with_name("rude")
        port = reactor.listenUNIX(str(self.socket), Factory.forProtocol(Rude))
        self.addCleanup(port.stopListening)
        code, _, err = await self.xmppctl("stats")
        self.assertEqual(code, 1)
        self.assertIn("ended the connection without an answer", err)

    async def test_silence(self) -> None:
        """A server that does not answer is given up in the end."""
        self.patch(client, "SILENCE", 0.01)
        never: Deferred[Result] = Deferred()

        async def wait(arguments: Arguments, report: Report) -> Result:
            return await never

        self.commands["stats"] = Command("stats", (), wait)
        code, _, err = await self.xmppctl("stats")
        self.assertEqual(code, 1)
        self.assertIn("has not answered", err)
        never.callback({})


class OfflineTestCase(SynchronousTestCase):
    """Runs xmppctl in a folder of its own."""

    def setUp(self) -> None:
        # The name of a socket must be short, which the folder of a test need not be.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        self.patch(offline, "SYSTEM_FILE", self.folder / "etc" / "xmppd.toml")

    def xmppctl(self, *arguments: str, stdin: str = "x\n") -> tuple[int, str, str]:
        return run(arguments, io.StringIO(stdin), io.StringIO())


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


class MigrateTests(OfflineTestCase):
    """Moving a database; that everything arrives is tested with the storage."""

    def make(self, name: str) -> None:
        database = InProcessServer(database=f"sqlite:{self.folder / name}")
        database.add_user("alice@localhost")
        database.stop()

    def test_everything_is_moved_and_counted(self) -> None:
        """Progress is drawn, counts stand in a table."""
        self.make("old")
        err = Terminal()
        code, out, _ = run(("migrate", "sqlite:old", "sqlite:new"), io.StringIO(), err)
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^account +1$")
        self.assertIn("Set server.database in the configuration", out)
        self.assertIn(f"account: [{'#' * 30}] 100% (1 of 1)", err.getvalue())
        self.assertEqual((self.folder / "new").stat().st_mode & 0o777, 0o600)

    def test_json(self) -> None:
        """Programs get the counts."""
        self.make("old")
        _, out, _ = self.xmppctl("--json", "migrate", "sqlite:old", "sqlite:new")
        self.assertEqual(json.loads(out)["rows"]["account"], 1)

    def test_interrupted(self) -> None:
        """^C in the middle: it is said what that means."""
        self.make("old")
        self.patch(cli, "migrate", interrupted)
        code, out, err = self.xmppctl("migrate", "sqlite:old", "sqlite:new")
        self.assertEqual((code, out, err), (1, "", "\nxmppctl: Nothing was moved: interrupted.\n"))

    def test_refusals(self) -> None:
        """What cannot be moved is said in one line, and nothing is moved."""
        self.make("old")
        self.make("full")
        for target, why in (
            ("sqlite:full", "not empty"),
            ("sqlite:old", "in use"),
            ("mysql:x", "No such kind"),
        ):
            code, out, err = self.xmppctl("migrate", "sqlite:old", target)
            self.assertEqual((code, out), (1, ""))
            self.assertIn(why, err)
        code, _, err = self.xmppctl("migrate", "sqlite:nowhere", "sqlite:new")
        self.assertEqual((code, "the file nowhere does not exist" in err), (1, True))


class OfflineTests(OfflineTestCase):
    """Without a server."""

    def test_server_not_running(self) -> None:
        """The socket is named, and how to start the server, whether nothing or something dead is there."""
        for path in (self.folder / "data" / "xmppctl.sock", self.folder / "dead"):
            if path.name == "dead":
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind("dead")
            arguments = () if path.name != "dead" else ("--socket", "dead")
            code, out, err = self.xmppctl(*arguments, "adduser", "alice@localhost")
            self.assertEqual((code, out), (1, ""))
            self.assertIn("xmppctl: The server is not running: nobody answers at ", err)
            self.assertIn("make run", err)
        self.assertEqual(json.loads(self.xmppctl("--json", "users")[1])["error"]["code"], "unreachable")

    def test_permission_denied(self) -> None:
        """Whose socket it is, is said."""

        def denied(self: socket.socket, path: str) -> None:
            raise PermissionError(13, "Permission denied")

        Path("s").touch()
        self.patch(socket.socket, "connect", denied)
        owner = getpass.getuser()
        code, _, err = self.xmppctl("--socket", "s", "users")
        self.assertEqual(code, 1)
        self.assertIn(f"Permission denied at s: only {owner} and root may do this. Try `sudo xmppctl", err)
        self.assertIn("only the server's user and root may", self.xmppctl("--socket", "t", "users")[2])

    def test_which_socket(self) -> None:
        """The file that is named, the one in this folder, a socket that is here, the system's file."""
        here = self.folder
        self.assertEqual(offline.find_socket(None, here), here / "data/xmppctl.sock")
        offline.SYSTEM_FILE.parent.mkdir()
        offline.SYSTEM_FILE.write_text('[server]\ndata = "/var/lib/xmppd"')
        self.assertEqual(offline.find_socket(None, here), Path("/var/lib/xmppd/xmppctl.sock"))
        (here / "data").mkdir()
        (here / "data" / "xmppctl.sock").touch()
        self.assertEqual(offline.find_socket(None, here), here / "data/xmppctl.sock")
        (here / "xmppd.toml").write_text('[server]\nadmin_socket = "here.sock"')
        self.assertEqual(offline.find_socket(None, here), here / "here.sock")
        (here / "other.toml").write_text('[server]\ndata = "other"')
        self.assertEqual(offline.find_socket(here / "other.toml", here), here / "other/xmppctl.sock")

    def test_faulty_configuration(self) -> None:
        """A file that cannot be read is one line, and 2."""
        code, _, err = self.xmppctl("--config", "missing.toml", "users")
        self.assertEqual(code, 2)
        self.assertIn("xmppctl: missing.toml: no such file", err)

    def test_password_as_argument(self) -> None:
        """A password in the arguments is refused with the reason, and not repeated."""
        for arguments in (
            ("s3cret",),
            ("--password", "s3cret"),
            ("--password=s3cret",),
            ("-p", "s3cret"),
            ("--pass", "s3cret"),
        ):
            code, out, err = self.xmppctl("adduser", "alice@localhost", *arguments)
            self.assertEqual((code, out), (2, ""))
            self.assertIn("A password is never an argument", err)
            self.assertNotIn("s3cret", err)

    def test_addresses(self) -> None:
        """An address that is none is refused before a password is asked for."""
        for text, expected in (
            ("a b@x", "no valid address"),
            ("localhost", "write name@domain"),
            ("a@b/c", "write name@domain"),
        ):
            code, _, err = self.xmppctl("adduser", text, stdin="")
            self.assertEqual(code, 2)
            self.assertIn(expected, err)
        self.assertEqual(self.xmppctl("kick", "a b@x")[0], 2)
        self.assertEqual(self.xmppctl("sessions", "a b@x")[0], 2)

    def test_usage(self) -> None:
        """A wrong command line is 2; help and version are 0."""
        for arguments in ((), ("frobnicate",), ("adduser",), ("users", "--jso")):
            self.assertEqual(self.xmppctl(*arguments)[0], 2, arguments)
        for arguments in (("--help",), ("--version",), ("kick", "--help")):
            self.assertEqual(self.xmppctl(*arguments)[0], 0, arguments)

    def test_interrupted(self) -> None:
        """Control-C, and a reader that has read enough, end it quietly; the first ends its line."""
        for error, expected in ((KeyboardInterrupt, "\n"), (BrokenPipeError, "")):
            self.patch(cli, "call", _raising(error))
            code, _, err = self.xmppctl("users")
            self.assertEqual((code, err), (1, expected))

    def test_sample(self) -> None:
        """The sample is a whole configuration for the domain that is asked for."""
        code, out, _ = self.xmppctl("sample", "example.org")
        self.assertEqual((code, out), (0, sample(module_options(), "example.org")))
        Path("xmppd.toml").write_text(out)
        self.assertEqual(self.xmppctl("check")[0], 0)

    def test_sample_of_no_domain(self) -> None:
        """What would not be taken is not written."""
        code, out, err = self.xmppctl("sample", "ex ample")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("xmppctl: ex ample is no name of a domain: ", err)


class CheckTests(OfflineTestCase):
    def check(self, text: str, *arguments: str) -> tuple[int, list[str]]:
        """Check a configuration; gives exit code and lines."""
        Path("xmppd.toml").write_text(text)
        code, out, _ = self.xmppctl("check", *arguments)
        return code, out.splitlines()

    def test_without_a_file(self) -> None:
        """Without a file the defaults are checked."""
        code, out, _ = self.xmppctl("check")
        self.assertEqual(code, 0)
        self.assertTrue(out.startswith("Configuration: no configuration file: the defaults\n"))
        self.assertTrue(out.endswith("No problem found.\n"))

    def test_problems_of_the_file(self) -> None:
        """All problems of the file are told, and 1."""
        code, lines = self.check("[sever]\n[limits]\nsm_queue = true")
        self.assertEqual(code, 1)
        self.assertEqual(len(lines), 4)
        self.assertIn("xmppd.toml: sever: unknown key; did you mean server?", lines[1])
        self.assertEqual(lines[3], "2 problems found.")

    def test_pages_that_no_session_survives(self) -> None:
        """A page that does not fit into the queue of a session is told."""
        code, lines = self.check("[limits]\nmax_archive_query_results = 500\n[domains.a]")
        self.assertEqual(code, 1)
        self.assertIn("limits.max_archive_query_results: a page of 500 messages and its end", lines[2])
        self.assertEqual(self.check("[limits]\nmax_archive_query_results = 499\n[domains.a]")[0], 0)

    def test_certificates(self) -> None:
        """For each domain its certificate is told, and what is wrong with it."""
        Path("certs").mkdir()
        for domain, until in (("good", NOW.replace(year=9990)), ("old", NOW.replace(year=2020))):
            save(Path("certs"), domain, issue([domain], since=NOW.replace(year=2019), until=until))
        save(Path("certs"), "bad", issue(["bad"])).key.write_text("nonsense")
        code, lines = self.check("[domains.good]\n[domains.old]\n[domains.bad]\n[domains.none]")
        self.assertEqual(code, 1)
        certs = self.folder / "certs"
        self.assertEqual(
            lines[1:],
            [
                f"Certificate of good: {certs}/good.crt, self-signed, valid until 9990-06-01",
                f"Certificate of old: {certs}/old.crt, self-signed, valid until 2020-06-01",
                "Certificate of bad: cannot be used",
                "Certificate of none: no certificate yet; the server makes a self-signed one when it starts",
                f"domains.old: {certs}/old.crt: expired on 2020-06-01; renew it, then send the server SIGHUP",
                f"domains.bad: {certs}/bad.key: holds no private key in PEM form;"
                " put the certificate's there",
                "2 problems found.",
            ],
        )

    def test_lone_certificate(self) -> None:
        """Where the server would not start for want of a key, the check says so."""
        Path("certs").mkdir()
        save(Path("certs"), "a", issue(["a"])).key.unlink()
        code, lines = self.check("[domains.a]")
        self.assertEqual((code, lines[1]), (1, "Certificate of a: cannot be used"))
        self.assertIn("a.crt: its key is missing; put it in", lines[2])

    def test_own_files(self) -> None:
        """Certificates that the configuration names are checked where they are."""
        files = save(
            self.folder, "x", issue(["other"], until=NOW.replace(year=9990), since=NOW.replace(year=2019))
        )
        code, lines = self.check('[domains.a]\ncertificate = "x.crt"\nkey = "x.key"')
        self.assertEqual(code, 1)
        self.assertIn(f"domains.a: {files.certificate}: is not for a but for other; get one for a", lines)

    def test_what_only_root_may_read(self) -> None:
        """Root may read everything. Who runs the server is whose data it is, and is asked for."""
        asked: list[tuple[str, int]] = []
        look = os.stat

        def stat(path: Path, **more: bool) -> object:
            found = look(path, **more)
            return SimpleNamespace(st_uid=4242) if Path(path).name == "data" else found

        def run(command: list[str], *, user: int, **more: object) -> SimpleNamespace:
            asked.append((Path(command[-1]).name, user))
            return SimpleNamespace(returncode=int(command[-1].endswith(".key")))

        self.patch(offline.os, "geteuid", lambda: 0)
        self.patch(offline.os, "stat", stat)
        self.patch(offline, "run", run)
        Path("certs").mkdir()
        key = save(self.folder / "certs", "a", issue(["a"], since=NOW.replace(year=2019))).key
        self.assertEqual(self.check("[domains.a]")[0], 0)
        Path("data").mkdir()
        code, lines = self.check("[domains.a]")
        self.assertEqual(asked, [("a.crt", 4242), ("a.key", 4242)])
        self.assertEqual(code, 1)
        self.assertEqual(
            lines[2], f"domains.a: {key}: 4242, who runs the server, may not read it; run chown 4242 {key}"
        )

    def test_json(self) -> None:
        """For programs."""
        Path("xmppd.toml").write_text("[domains.a]\n[limits]\nx = 1")
        code, out, _ = self.xmppctl("check", "--json")
        found = json.loads(out)
        self.assertEqual(
            (code, len(found["problems"]), found["source"]), (1, 1, str(self.folder / "xmppd.toml"))
        )


class ProcessTests(TestCase):
    async def test_entry_point(self) -> None:
        """The entry point of the package, in a process of its own, on a socket of its own."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "s"
        operator = FakeOperator()
        port = AdminFactory(build(operator)).listen(reactor, path)
        self.addCleanup(port.stopListening)
        program = "import sys; from xmppd.admin.cli import main; sys.exit(main())"
        arguments = ["-c", program, "adduser", "alice@a.example", "--socket", str(path)]
        out, err, code = await getProcessOutputAndValue(
            sys.executable,
            arguments,
            {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
            stdinBytes=b"secret\n",
        )
        self.assertEqual((out, err, code), (b"alice@a.example can log in.\n", b"", 0))
        self.assertEqual(operator.passwords, {"alice@a.example": "secret"})


def _raising(error: type[BaseException]) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        raise error

    return call
