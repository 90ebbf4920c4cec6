"""Starting and stopping: what the console says, and what it leaves out."""

from __future__ import annotations

import contextlib
import datetime
import select
import signal
import socket
import sqlite3
import subprocess
from pathlib import Path

from tests import postgres
from tests.stream.pki import issue, save
from tests.support.folder import FolderCase
from tests.support.server import BIN, PATIENCE


class ConsoleTests(FolderCase):
    """The console script, as somebody sees it who has started it."""

    def started(self, *arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
        """A server that runs, and the lines that it has said at its start."""
        process = self.start(BIN / "xmppd", *arguments)
        assert process.stdout is not None
        lines: list[str] = []
        while not any("adduser" in line for line in lines):
            lines.append(process.stdout.readline())
            self.assertNotEqual(lines[-1], "", "".join(lines))
        return process, lines

    def test_start(self) -> None:
        """Three lines: what is served where, where the data is, how to add an account."""
        process, lines = self.started()
        process.send_signal(signal.SIGTERM)
        first, second, third = lines
        self.assertRegex(
            first,
            r"^xmppd \S+ serves localhost on 127\.0\.0\.1:[1-9]\d+ \(STARTTLS\), "
            r"127\.0\.0\.1:[1-9]\d+ \(direct TLS\)\.\n$",
        )
        self.assertIn(str(self.folder / "data"), second)
        self.assertIn("adduser NAME@localhost", third)

    def test_certificate_that_has_expired(self) -> None:
        """The server starts with it, and says what is wrong: clients only say that they do not connect"""
        (self.folder / "certs").mkdir()
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        expired = issue(["localhost"], since=past, until=past + datetime.timedelta(days=90))
        save(self.folder / "certs", "localhost", expired)
        process, _ = self.started()
        assert process.stdout is not None
        line = process.stdout.readline()
        self.assertRegex(line, r"warn: domains\.localhost: .*localhost\.crt: expired on 2020-03-31; renew it")
        process.send_signal(signal.SIGTERM)

    def test_stop(self) -> None:
        """SIGTERM, however often, stops it in two plain lines and with success."""
        process, _ = self.started()
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
        lines = self.output(process).splitlines()
        self.assertEqual(process.returncode, 0, lines)
        told = [line[len("2026-01-01 00:00:00 ") :] for line in lines]
        self.assertEqual(
            [line for line in told if "already" not in line],
            ["xmppd stops: closing streams, writing what is left", "xmppd has stopped"],
        )

    def test_no_port(self) -> None:
        """That nobody can connect is said."""
        process, lines = self.started("--set", "listen.c2s=[]", "--set", "listen.c2s_direct_tls=[]")
        self.assertIn("serves localhost on no port.", lines[0])
        process.send_signal(signal.SIGTERM)
        self.output(process)

    def test_deep_folder(self) -> None:
        """A checkout may lie deeper than the name of a socket can say."""
        deep = self.folder / ("d" * 100)
        deep.mkdir()
        self.file = self.file.rename(deep / "xmppd.toml")
        self.folder = deep
        process, _ = self.started()
        users = self.output(self.start(BIN / "xmppctl", "users"))
        self.assertIn("No accounts.", users)
        process.send_signal(signal.SIGINT)
        self.output(process)
        self.assertEqual(process.returncode, 0)
        self.assertFalse((deep / "data" / "xmppctl.sock").exists())

    def test_wrong_option(self) -> None:
        """A wrong option is one line that says where to look."""
        process = self.start(BIN / "xmppd", "--frob")
        self.assertEqual(
            self.output(process),
            "xmppd: option --frob not recognized; `xmppd --help` shows what there is\n",
        )
        self.assertEqual(process.returncode, 2)
        line = self.output(self.start(BIN / "xmppd", "surplus"))
        self.assertEqual(line, "xmppd: Wrong number of arguments; `xmppd --help` shows what there is\n")

    def test_help(self) -> None:
        """It is called by its own name."""
        output = self.output(self.start(BIN / "xmppd", "--help"))
        self.assertTrue(output.startswith("Usage: xmppd [options]\n"), output)


class RefusedCase(FolderCase):
    """A start that ends before anything is served."""

    def refused(self, *arguments: str) -> str:
        """The only line of a start that ends with failure."""
        process = self.start(BIN / "xmppd", *arguments)
        output = self.output(process)
        self.assertEqual((process.returncode, output.count("\n")), (1, 1), output)
        return output


class PlaceTests(RefusedCase):
    """Places that cannot be used are one line each: the file, the key, the place and what to do."""

    def test_certificate(self) -> None:
        (self.folder / "certs").mkdir()
        place = self.folder / "certs" / "localhost"
        for end in ("crt", "key"):
            place.with_name(f"localhost.{end}").write_text("nonsense")
        expected = f"xmppd: xmppd.toml: domains.localhost: {place}.crt: holds no certificate in PEM form; "
        self.assertTrue(self.refused().startswith(expected))

    def test_folder_for_certificates(self) -> None:
        (self.folder / "certs").touch()
        line = self.refused()
        self.assertIn(f"xmppd.toml: domains.localhost: {self.folder}/certs: no certificate can be made", line)
        self.assertIn("or set server.certs", line)

    def test_socket(self) -> None:
        line = self.refused("--set", "server.admin_socket=none/such.sock")
        place = self.folder / "none" / "such.sock"
        why = "no socket can be made there (No such file or directory)"
        self.assertEqual(line, f"xmppd: xmppd.toml: server.admin_socket: {place}: {why}; set another path\n")

    def test_sessions_of_the_last_run_outlive_it(self) -> None:
        """A start that failed had taken them up, and they were gone"""
        process = self.start(BIN / "xmppd")
        assert process.stdout is not None
        while "adduser" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGTERM)
        self.output(process)
        path = self.folder / "data" / "xmppd.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(
                "INSERT INTO account (id, name, domain, state, created)"
                " VALUES (1, 'a', 'localhost', 'active', 0)"
            )
            database.execute("INSERT INTO session VALUES (1, 'token', 0, 4000000000, '{}')")
        self.refused("--set", "server.admin_socket=none/such.sock")
        with contextlib.closing(sqlite3.connect(path)) as database:
            self.assertEqual(database.execute("SELECT payload FROM session").fetchall(), [("{}",)])

    def test_server_of_a_database(self) -> None:
        """The password in its address is not told."""
        address = f"postgresql://me:secret@127.0.0.1:{postgres.server().port}/x"
        line = self.refused("--set", f"server.database={address}")
        self.assertIn('xmppd.toml: server.database: connection to server at "127.0.0.1"', line)
        self.assertNotIn("secret", line)

    def test_without_a_configuration(self) -> None:
        """Where something is to be set, it is said how a configuration is made."""
        self.file.unlink()
        (self.folder / "data").touch()
        process = self.start(BIN / "xmppd")
        first, second = self.output(process).splitlines()
        self.assertTrue(
            first.startswith(f"xmppd: server.data: {self.folder}/data: cannot be a folder"), first
        )
        self.assertRegex(
            second,
            "^xmppd: there is no xmppd.toml here to set that in; `.*xmppctl sample > xmppd.toml` makes",
        )

    def test_configuration_and_what_stands_for_one(self) -> None:
        """A domain of the command line does not push the file aside."""
        line = self.refused("--domain", "example.org")
        self.assertIn("xmppd.toml: --domain is for a start without such a file; set it there instead", line)
        self.assertIn("--data is for", self.refused("--config", "xmppd.toml", "--data", "other"))


class DataTests(RefusedCase):
    """What lies in the place of the data and cannot be used is named, with what to do."""

    def database(self) -> Path:
        (self.folder / "data").mkdir()
        return self.folder / "data" / "xmppd.sqlite"

    def newer(self) -> None:
        with contextlib.closing(sqlite3.connect(self.database())) as connection:
            connection.execute("CREATE TABLE meta (name TEXT, value TEXT)")
            connection.execute("INSERT INTO meta VALUES ('schema_version', '999999')")
            connection.commit()

    def test_newer_database(self) -> None:
        self.newer()
        line = self.refused()
        self.assertIn(str(self.folder / "data" / "xmppd.sqlite"), line)
        self.assertIn("run the newer program", line)

    def test_newer_database_in_the_background(self) -> None:
        """The log has the line, and nothing is left of the process."""
        self.newer()
        self.output(self.start(BIN / "twistd", "xmppd"))
        log = self.folder / "twistd.log"
        process_id = self.folder / "twistd.pid"
        for _ in range(PATIENCE * 50):
            if process_id.exists():
                select.select([], [], [], 0.02)
        self.assertFalse(process_id.exists())
        self.assertIn("run the newer program", log.read_text(encoding="utf-8"))

    def test_no_database(self) -> None:
        path = self.database()
        path.write_text("Dear diary", encoding="utf-8")
        self.assertIn(f"xmppd.toml: server.database: {path}: ", self.refused())
        self.assertEqual(path.read_text(encoding="utf-8"), "Dear diary")

    def test_database_in_use(self) -> None:
        """A second server with the same data does not start; the line has the file once."""
        other = self.start(BIN / "xmppd")
        assert other.stdout is not None
        for _ in range(3):
            other.stdout.readline()
        line = self.refused()
        path = str(self.folder / "data" / "xmppd.sqlite")
        self.assertEqual(line.count(path), 1, line)
        self.assertIn("in use by another process", line)

    def test_no_folder(self) -> None:
        (self.folder / "data").touch()
        self.assertIn("xmppd.toml: server.data: ", self.refused())


class PostgreSQLTests(FolderCase):
    """A database server that is not there, not there yet, or taken by another server."""

    def setUp(self) -> None:
        super().setUp()
        self.use(f"postgresql://xmppd@127.0.0.1:{postgres.free_port()}/xmppd")

    def use(self, url: str) -> None:
        text = self.file.read_text(encoding="utf-8").partition("[listen]")
        self.configure(f'[server]\ndatabase = "{url}"\n[listen]{text[2]}')

    def test_it_is_waited_for(self) -> None:
        """Both may begin with the machine. The line says where it is looked for, and no password."""
        process = self.start(BIN / "xmppd")
        assert process.stdout is not None
        line = process.stdout.readline()
        self.assertIn("warn: waiting for the database: connection to server at", line)
        self.assertIn("Connection refused", line)
        process.send_signal(signal.SIGTERM)
        self.assertIn("xmppd stops before it has started", self.output(process))
        self.assertEqual(process.returncode, 0)

    def test_it_comes_later(self) -> None:
        later = postgres.PostgreSQLServer()
        self.addCleanup(later.remove)
        self.use(later.url())
        process = self.start(BIN / "xmppd")
        assert process.stdout is not None
        self.assertIn("waiting for the database", process.stdout.readline())
        later.start()
        self.assertIn("serves localhost", process.stdout.readline())

    def test_two_servers_on_one_database(self) -> None:
        self.use(postgres.server().make_url())
        other = self.start(BIN / "xmppd")
        assert other.stdout is not None
        for _ in range(3):
            other.stdout.readline()
        process = self.start(BIN / "xmppd")
        output = self.output(process)
        self.assertEqual((process.returncode, output.count("\n")), (1, 1), output)
        self.assertIn("the database is in use by another process", output)


class PortInUseTests(FolderCase):
    """A port that somebody else has ends the start, whoever starts it."""

    def setUp(self) -> None:
        other = socket.socket()
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", 0))
        other.listen()
        self.port = other.getsockname()[1]
        super().setUp()
        self.line = (
            f"xmppd.toml: listen.c2s: cannot listen on 127.0.0.1:{self.port}: another program has the port; "
            "stop it (`ss -ltnp` names it) or set another port"
        )

    def test_foreground(self) -> None:
        process = self.start(BIN / "xmppd")
        self.assertEqual((self.output(process), process.returncode), (f"xmppd: {self.line}\n", 1))

    def test_twistd(self) -> None:
        process = self.start(BIN / "twistd", "-n", "--pidfile=", "xmppd")
        output = self.output(process)
        self.assertEqual(process.returncode, 1, output)
        self.assertIn(f"xmppd: {self.line}\n", output)
        self.assertNotIn("Traceback", output)

    def test_background(self) -> None:
        """In the background the command fails with the line, as far as twistd hands it on; the log has it."""
        process = self.start(BIN / "twistd", "xmppd")
        output = self.output(process)
        self.assertEqual(process.returncode, 1, output)
        self.assertIn(self.line[:60], output)
        self.wait_for_the_daemon()
        self.assertFalse((self.folder / "twistd.pid").exists())
        log = (self.folder / "twistd.log").read_text(encoding="utf-8")
        self.assertIn(self.line, log)
        self.assertNotIn("Traceback", log)
