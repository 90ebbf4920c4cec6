"""The server as Twisted runs it: ports, signals, start and end."""

from __future__ import annotations

import atexit
import datetime
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from twisted.application.service import Service
from twisted.internet import endpoints
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from xmppd import __version__, logs
from xmppd.admin.server import AdminFactory
from xmppd.config import FILE_NAME, Config, ConfigError, Endpoint, explain_listen_error, load
from xmppd.console import complain, give_up, say, xmppctl
from xmppd.server import Server
from xmppd.storage.errors import StorageError
from xmppd.stream.admission import raise_file_limit
from xmppd.stream.certificate_check import check_certificates
from xmppd.stream.certificates import CertificateError, CertificateFiles, ensure_self_signed, line_about
from xmppd.stream.listener import StreamFactory
from xmppd.stream.tls import TLSContexts
from xmppd.stream.transport import TLSFactory, tune
from xmppd.watchdog import Watchdog

__all__ = ["XmppdService"]

_log = Logger()


class StartError(Exception):
    """The server cannot start; the message says why."""


class XmppdService(Service):
    """The server as Twisted runs it.

    :param reactor: everything runs on it.
    :param overrides: settings of the command line; they hold also when the configuration is read again.
    :param on_signal: sets who is called for a signal, as ``signal.signal`` does.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        overrides: Sequence[str] = (),
        on_signal: Callable[[int, Any], object] = signal.signal,
    ) -> None:
        self._reactor, self._config, self._on_signal = reactor, config, on_signal
        self._overrides = overrides
        self._ports: list[Any] = []
        self._refused: list[str] = []
        self._stopping = False
        self._starting: Deferred[None] | None = None
        self._started = False
        self._process = os.getpid()
        self._server: Server | None = None
        self._level = logs.Level(config.server.log_level)
        self._watchdog = Watchdog(reactor)
        self.failed = False

    # -- start

    def privilegedStartService(self) -> None:
        """Take the ports, while the process may still be root.  Nothing is accepted yet."""
        config = self._config
        try:
            _make_folder(config.server.data)
            tls = self._load_certificates()
            self._server = Server(self._reactor, config, tls)
        except (OSError, CertificateError) as problem:
            self._give_up(self._lines(str(problem)))
        except StorageError as problem:
            self._give_up(self._lines(self._about_database(str(problem))))
        self._server.services.admission.most = raise_file_limit()
        for endpoint in config.listen.endpoints():
            factory: Any = StreamFactory(self._server.services, direct=endpoint.direct_tls)
            if endpoint.direct_tls:
                factory = TLSFactory(cast(Any, tls.direct), False, factory)
            self._listen(endpoint, factory)
        if self._refused:
            self._give_up(self._lines("\n".join(self._refused)))

    def _load_certificates(self) -> TLSContexts:
        found, problems = _certificates(self._config)
        if problems:
            raise CertificateError("\n".join(problems))
        return TLSContexts(found)

    def _give_up(self, lines: str) -> NoReturn:
        """End before anything is served."""
        for line in lines.splitlines():
            _log.critical("{line}", line=line, told=True)
        if os.getpid() != self._process:
            # In the background.  twistd hands an exception to who waits for it at the console, and would let
            # it wait for ever if this process just ended.  The log needs no traceback below the line.
            sys.excepthook = lambda *_: None
            raise StartError(lines)
        give_up(lines)

    def _listen(self, endpoint: Endpoint, factory: Any) -> None:
        def listens(port: Any) -> None:
            port.stopReading()
            self._ports.append((endpoint, port))

        def refused(problem: Failure) -> None:
            self._refused.append(explain_listen_error(cast(BaseException, problem.value), endpoint))

        listening = maybeDeferred(
            lambda: endpoints.serverFromString(self._reactor, endpoint.description).listen(factory)
        )
        listening.addCallbacks(listens, refused)

    def startService(self) -> None:
        """Open the database, then let clients in."""
        super().startService()
        self._level.begin()
        # Not before the reactor has taken the signals for itself.
        self._reactor.callWhenRunning(self._take_signals)
        self._starting = ensureDeferred(self._start())
        self._starting.addErrback(self._could_not_start)

    async def _start(self) -> None:
        assert self._server is not None
        await self._server.open()
        admin = AdminFactory(self._server.commands())
        admin_socket = admin.listen(self._reactor, self._config.server.socket)
        admin_socket.stopReading()
        self._ports.append((None, admin_socket))
        await self._server.take_up()
        self._started = True
        admin_socket.startReading()
        for endpoint, port in self._ports:
            if endpoint is not None:
                tune(port, self._server.services.lines)
                port.startReading()
        self._watchdog.start()
        self._introduce()
        _warn(_certificates(self._config)[0])
        _keep_what_is_there()

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._on_signal(number, lambda *_: self._reactor.callFromThread(self._end))
        # Before the database is open, which can take long: without a handler it would end the process.
        self._on_signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))

    def _introduce(self) -> None:
        config = self._config
        places = ", ".join(
            f"{_place(endpoint, port)} ({'direct TLS' if endpoint.direct_tls else 'STARTTLS'})"
            for endpoint, port in self._ports
            if endpoint is not None
        )
        places = places or "no port"
        domains = ", ".join(config.domains)
        # The one of that name in the folder is found by itself.
        ask = "" if config.file in (None, Path(FILE_NAME)) else f" --config {config.file}"
        say(f"xmppd {__version__} serves {domains} on {places}.")
        say(f"Data is in {config.server.data}, certificates are in {config.server.certs}.")
        say(f"Add an account:  {xmppctl()}{ask} adduser NAME@{next(iter(config.domains))}")
        _log.info(
            "xmppd {version} serves {domains} on {places}",
            version=__version__,
            domains=domains,
            places=places,
            told=True,
        )

    def _could_not_start(self, failure: Failure) -> None:
        if self._stopping:
            _log.info("xmppd stops before it has started")
            return
        self.failed = True
        if isinstance(failure.value, StorageError):
            line = self._lines(self._about_database(str(failure.value)))
        elif isinstance(failure.value, OSError):
            line = self._lines(str(failure.value))
        else:
            _log.failure("xmppd could not start", failure)
            line = f"could not start: {failure.getErrorMessage()}"
        _log.critical("{line}", line=line, told=True)
        complain(line)
        # The last thing: twistd first takes its file away.
        atexit.register(os._exit, 1)
        # What fails at once does so before the reactor runs, which could not be stopped then.
        self._reactor.callWhenRunning(self._reactor.stop)

    def _lines(self, problems: str) -> str:
        """Lines that begin with a key, with the file before it in which the key is or could be."""
        file = self._config.file
        if file is None:
            makes = f"`{xmppctl()} sample > {FILE_NAME}` makes one"
            return f"{problems}\nthere is no {FILE_NAME} here to set that in; {makes}"
        return "\n".join(f"{file}: {line}" for line in problems.splitlines())

    def _about_database(self, problem: str) -> str:
        """A problem with its file in front; an address on a server may have a password, and is not told."""
        kind, _, place = self._config.server.database.partition(":")
        if kind == "sqlite" and place not in problem:
            problem = f"{place}: {problem}"
        return f"server.database: {problem}; put that right, or name another"

    # -- while it runs

    def reload(self) -> None:
        """Take new certificates and the log level (SIGHUP)."""
        self._reload_certificates()
        if self._config.file is not None:
            self._reload_level(self._config.file)

    def _reload_certificates(self) -> None:
        assert self._server is not None
        found, problems = _certificates(self._config)
        problems += self._server.reload(found)
        for line in problems:
            _log.error("certificate not reloaded: {line}", line=line)
        if not problems:
            _log.info("certificates reloaded")
            _warn(found)

    def _reload_level(self, file: Path) -> None:
        try:
            level = load(file, overrides=self._overrides).server.log_level
        except ConfigError as problem:
            for line in problem.problems:
                _log.error("log level not reloaded: {line}", line=line)
        else:
            self._level.set(level)
            # At this level, or else a higher one would hide it.
            _log.emit(LogLevel.levelWithName(level), "log level is {name}", name=level)

    # -- stop

    def _end(self) -> None:
        """SIGTERM or SIGINT: once is enough."""
        if self._stopping:
            _log.info("xmppd is stopping already: it closes streams and writes what is left")
            return
        self._stopping = True
        self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Close all streams properly, store everything, then end."""
        super().stopService()
        self._stopping = True
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self._watchdog.stop()
        for _, port in self._ports:
            await _done(port.stopListening())
        self._ports = []
        if self._server is None or self.failed:
            return
        if self._starting is not None and self._server.hibernation.has_begun:
            # The sessions of the last run are being taken up, and are to be written down again.
            await self._starting
        if not self._started:
            if self._starting is not None:
                self._starting.cancel()
            await self._server.database.close()
            return
        _log.info("xmppd stops: closing streams, writing what is left")
        await self._server.stop()
        _log.info("xmppd has stopped")


def _certificates(config: Config) -> tuple[dict[str, CertificateFiles], list[str]]:
    """Where the certificates of the domains are, and a line for each domain that has none."""
    found, problems = {}, []
    for name, domain in config.domains.items():
        if domain.certificate is not None and domain.key is not None:
            found[name] = CertificateFiles(domain.certificate, domain.key)
            continue
        try:
            found[name] = ensure_self_signed(config.server.certs, name)
        except CertificateError as problem:
            problems.append(line_about(name, problem))
    return found, problems


def _warn(certificates: dict[str, CertificateFiles]) -> None:
    """Say what clients will not like about certificates that can be used."""
    for line in check_certificates(certificates, datetime.datetime.now(datetime.UTC)):
        _log.warn("{line}", line=line)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        remedy = "let the server write there, or set another folder"
        line = f"server.data: {path}: cannot be a folder for data ({error.strerror}); {remedy}"
        raise OSError(line) from None


def _keep_what_is_there() -> None:
    """Leave code and configuration out of all further garbage collections.

    With 1,000 clients that was a third of the 65 ms that a full one took.
    """
    gc.collect()
    gc.freeze()


def _place(endpoint: Endpoint, port: Any) -> str:
    """Where people connect, with the port that the system has chosen where it should choose one."""
    host = port.getHost()
    if isinstance(host, IPv4Address | IPv6Address) and endpoint.shown.endswith(":0"):
        return f"{endpoint.shown.removesuffix('0')}{host.port}"
    return endpoint.shown


async def _done(result: Any) -> None:
    if isinstance(result, Deferred):
        await result
