"""The service that Twisted runs, on a reactor in memory."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, LogLevel, formatEvent

from tests.support.folder import CONFIGURATION, FolderCase
from xmppd import service
from xmppd.config import Config, load
from xmppd.service import XmppdService


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

    overrides: tuple[str, ...] = ()

    def setUp(self) -> None:
        super().setUp()
        self.reactor = _Reactor()
        self.handlers: dict[int, Any] = {}
        self.errors = io.StringIO()
        self.patch(sys, "__stderr__", self.errors)

    def service(self) -> XmppdService:
        config: Config = load(self.file)
        return XmppdService(self.reactor, config, self.overrides, self.handlers.__setitem__)

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
        self.patch(service, "_log", Logger(observer=cast(Any, events.append)))
        running: Any = self.service()
        running._server = SimpleNamespace(reload=lambda certificates: list(problems))
        running.reload()
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

    def test_level_of_the_command_line(self) -> None:
        """It was forgotten when the file was read again."""
        self.overrides = ("server.log_level=warn",)
        event = self.reload()[-1]
        self.assertEqual((event["log_level"], formatEvent(event)), (LogLevel.warn, "log level is warn"))

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
