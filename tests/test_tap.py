"""Starting and stopping: what the console says, and what it leaves out."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, LogLevel, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests import postgres
from tests.stream.pki import issue, save
from tests.support.server import BIN, ENVIRONMENT, PATIENCE
from xmppd import logs, tap
from xmppd.config import Config, load

CONFIGURATION = """\
[listen]
interfaces = ["127.0.0.1"]
c2s = [{port}]
c2s_direct_tls = [0]
[domains.localhost]
"""


class FolderCase(SynchronousTestCase):
    """With a folder that has a configuration, and is the current one of programs."""

    port = 0

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="xmppd-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "xmppd.toml"
        self.configure(CONFIGURATION.format(port=self.port))

    def configure(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a program; what it writes, errors too, is its output."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        return process

    def wait_for_the_daemon(self) -> None:
        """The command in the background ends a moment after the one that started it."""
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            daemon = os.pidfd_open(int((self.folder / "twistd.pid").read_text()))
            select.select([daemon], [], [], PATIENCE)
            os.close(daemon)

    def output(self, process: subprocess.Popen[str]) -> str:
        return process.communicate(timeout=PATIENCE)[0]


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


class CommandTests(SynchronousTestCase):
    """How xmppctl is called from where the server was started."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="xmppd-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.program = self.folder / "venv" / "bin" / "xmppctl"
        self.program.parent.mkdir(parents=True)
        self.program.touch(0o755)
        self.addCleanup(os.chdir, Path.cwd())
        self.patch(sys, "executable", str(self.program.with_name("python")))
        self.patch(os, "environ", {"PATH": str(self.folder)})

    def test_by_its_name(self) -> None:
        """Only where the shell would find this one."""
        (self.folder / "xmppctl").symlink_to(self.program)
        self.assertEqual(tap._xmppctl(), "xmppctl")
        (self.folder / "xmppctl").unlink()
        (self.folder / "xmppctl").touch(0o755)
        self.assertNotEqual(tap._xmppctl(), "xmppctl")

    def test_by_its_path(self) -> None:
        """From above it is near, from elsewhere the whole path is easier to read."""
        os.chdir(self.folder)
        self.assertEqual(tap._xmppctl(), "venv/bin/xmppctl")
        os.chdir(self.program.parent)
        self.assertEqual(tap._xmppctl(), "./xmppctl")
        os.chdir("/usr")
        self.assertEqual(tap._xmppctl(), str(self.program))


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


class _Reactor(MemoryReactorClock):
    """Without ports, and with a note of who asked to stop."""

    stops = 0

    def listenTCP(self, *arguments: Any, **more: Any) -> Any:
        raise CannotListenError("127.0.0.1", arguments[0], OSError(98, "Address already in use"))

    def callFromThread(self, function: Callable[..., object], *args: Any, **more: Any) -> None:
        function(*args, **more)

    def stop(self) -> None:
        self.stops += 1


class ServiceTests(FolderCase):
    """The service on a reactor in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = _Reactor()
        self.handlers: dict[int, Any] = {}
        self.errors = io.StringIO()
        self.patch(sys, "__stderr__", self.errors)

    def service(self) -> tap.XmppdService:
        config: Config = load(self.file)
        return tap.XmppdService(self.reactor, config, self.handlers.__setitem__)

    def test_all_ports_are_told(self) -> None:
        """One start tells of every place that cannot be had, with the file and the key."""
        error = self.assertRaises(SystemExit, self.service().privilegedStartService)
        self.assertEqual(error.code, 1)
        lines = self.errors.getvalue().splitlines()
        self.assertEqual(len(lines), 2)
        for line, key in zip(lines, ("listen.c2s", "listen.c2s_direct_tls"), strict=True):
            self.assertTrue(line.startswith(f"xmppd: {self.file}: {key}: cannot listen on"), line)

    def test_signals(self) -> None:
        """The reactor is stopped once, by SIGTERM or by SIGINT. SIGHUP does not end a start."""
        self.service()._take_signals()
        self.assertEqual(set(self.handlers), {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            self.handlers[number](number, None)
        self.assertEqual(self.reactor.stops, 1)

    def reload(self, *problems: str) -> list[Any]:
        """The events that SIGHUP puts into the log, with problems of certificates."""
        events: list[Any] = []
        self.patch(tap, "_log", Logger(observer=cast(Any, events.append)))
        service: Any = self.service()
        service._server = SimpleNamespace(reload=lambda certificates: list(problems))
        service.reload()
        return events

    def reloaded(self, *problems: str) -> list[str]:
        """The same as lines."""
        return [formatEvent(event) for event in self.reload(*problems)]

    def test_reload(self) -> None:
        """What was done is told."""
        self.assertEqual(self.reloaded(), ["certificates reloaded", "log level is info"])

    def test_higher_level(self) -> None:
        """A new level does not hide the line on itself."""
        self.configure(f'{CONFIGURATION.format(port=0)}[server]\nlog_level = "error"\n')
        event = self.reload()[-1]
        self.assertEqual((event["log_level"], formatEvent(event)), (LogLevel.error, "log level is error"))

    def test_reload_with_problems(self) -> None:
        """What was not done is told, and only that."""
        self.assertEqual(
            self.reloaded("a: no such file"),
            ["certificate not reloaded: a: no such file", "log level is info"],
        )
        next((self.folder / "certs").glob("*.key")).unlink()
        lost, other, level = self.reloaded("b: is no certificate")
        self.assertTrue(lost.startswith("certificate not reloaded: domains.localhost: "), lost)
        self.assertEqual(other, "certificate not reloaded: b: is no certificate")
        self.assertIn("its key is missing", lost)
        self.assertEqual(level, "log level is info")


class LogTests(SynchronousTestCase):
    """What of the log reaches the console."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.publisher: Any = LogPublisher(logs.console(self.out))

    def told(self, namespace: str, level: Any, text: str, **fields: Any) -> str:
        """What the console shows of one event, without the time."""
        before = len(self.out.getvalue())
        Logger(namespace, observer=self.publisher).emit(level, text, **fields)
        return self.out.getvalue()[before + len("2026-01-01 00:00:00 ") :]

    def test_own_lines(self) -> None:
        """Own lines are plain, with the level from warnings on."""
        self.assertEqual(self.told("xmppd.tap", LogLevel.info, "{a} stops", a="it"), "it stops\n")
        self.assertEqual(self.told("xmppd.x", LogLevel.error, "oh"), "error: oh\n")

    def test_lines_of_others(self) -> None:
        """Of others there are warnings and what is worse, with their tracebacks."""
        self.assertEqual(self.told("twisted.internet", LogLevel.info, "factory starting"), "")
        self.assertEqual(self.told("log_legacy", LogLevel.info, "port closed"), "")
        self.assertEqual(self.told("twisted.x", LogLevel.warn, "mind"), "warn: mind\n")
        try:
            os.stat("/no/such/file")
        except OSError:
            Logger("twisted.x", observer=self.publisher).failure("what")
        self.assertIn("FileNotFoundError", self.out.getvalue())

    def test_what_is_told_already(self) -> None:
        """What stands on the console already does not come again."""
        self.assertEqual(self.told("xmppd.tap", LogLevel.critical, "no port", told=True), "")
