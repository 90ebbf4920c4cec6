"""All wiring: from the command line to a service that runs.  Nothing else imports the reactor."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import Any, NoReturn, cast

from twisted.application.service import Service
from twisted.internet import endpoints
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from xmppd import __version__, logs
from xmppd.admin.server import AdminFactory
from xmppd.config import Config, ConfigError, default_config, explain_listen_error, load
from xmppd.config.model import FILE_NAME
from xmppd.server import Server, StreamFactory
from xmppd.storage.errors import StorageError
from xmppd.stream.admission import raise_file_limit
from xmppd.stream.certificates import CertificateError, CertificateFiles, ensure_self_signed
from xmppd.stream.tls import TLSContexts
from xmppd.stream.transport import TLSFactory, tune
from xmppd.watchdog import Watchdog

__all__ = ["Options", "XmppdService", "main", "makeService"]

_log = Logger()


class Options(usage.Options):
    """The command line of ``twistd xmppd``."""

    synopsis = "[options]"
    longdesc = "An XMPP server with a message archive.  Without --config it serves one domain with defaults."
    optParameters = [
        ["config", "c", None, f"configuration file (default: {FILE_NAME} in this folder, if there is one)"],
        ["domain", "d", None, "the domain to serve when there is no configuration file (default: localhost)"],
        ["data", None, "data", "folder for the database when there is no configuration file"],
        ["certs", None, "certs", "folder for certificates when there is no configuration file"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["set"] = []

    def opt_set(self, setting: str) -> None:
        """change one setting of the configuration, for example --set limits.sm_queue=100"""
        self["set"].append(setting)

    def opt_version(self) -> NoReturn:
        """print the version and exit"""
        sys.__stdout__.write(f"xmppd {__version__}\n")  # type: ignore[union-attr]
        raise SystemExit(0)


def _say(line: str) -> None:
    """A line for whoever looks at the console; the log takes over the ordinary output."""
    stream = sys.__stdout__
    if stream is not None:
        stream.write(line + "\n")
        stream.flush()


def _xmppctl() -> str:
    """How to call xmppctl from here: its name, or its path where the shell would not find it."""
    if shutil.which("xmppctl"):
        return "xmppctl"
    return os.path.relpath(os.path.join(os.path.dirname(sys.executable), "xmppctl"))


def _give_up(lines: str) -> NoReturn:
    stream = sys.__stderr__
    if stream is not None:
        stream.write("".join(f"xmppd: {line}\n" for line in lines.splitlines()))
        stream.flush()
    raise SystemExit(1)


def read_config(options: Options) -> Config:
    """The configuration that a command line means.

    :raises ConfigError: with all that is wrong.
    """
    path = options["config"]
    if path is None and options["domain"] is None and os.path.exists(FILE_NAME):
        path = FILE_NAME
    if path is not None:
        return load(path, overrides=options["set"])
    return default_config(
        options["domain"] or "localhost", options["data"], options["certs"], overrides=options["set"]
    )


def _certificates(config: Config) -> dict[str, CertificateFiles]:
    found = {}
    for name, domain in config.domains.items():
        if domain.certificate is not None and domain.key is not None:
            found[name] = CertificateFiles(domain.certificate, domain.key)
        else:
            found[name] = ensure_self_signed(config.server.certs, name)
    return found


class XmppdService(Service):
    """The server as Twisted runs it.

    :param reactor: everything runs on it.
    """

    def __init__(self, reactor: Any, config: Config) -> None:
        self._reactor, self._config = reactor, config
        self._ports: list[Any] = []
        self._server: Server | None = None
        self._level = logs.Level(config.server.log_level)
        self._watchdog = Watchdog(reactor)
        self.failed = False

    # -- start

    def privilegedStartService(self) -> None:
        """Take the ports, while the process may still be root.  Nothing is accepted yet."""
        config = self._config
        try:
            config.server.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            tls = TLSContexts(_certificates(config))
        except (OSError, CertificateError) as problem:
            _give_up(str(problem))
        self._server = Server(self._reactor, config, tls)
        self._server.services.admission.most = raise_file_limit()
        for endpoint in config.listen.endpoints():
            factory: Any = StreamFactory(self._server.services, direct=endpoint.direct_tls)
            if endpoint.direct_tls:
                factory = TLSFactory(cast(Any, tls.direct), False, factory)
            self._listen(endpoint, factory)

    def _listen(self, endpoint: Any, factory: Any) -> None:
        try:
            listening = endpoints.serverFromString(self._reactor, endpoint.description).listen(factory)
        except Exception as problem:
            _give_up(explain_listen_error(problem, endpoint))
        listening.addCallbacks(
            lambda port: self._ports.append((endpoint, port)),
            lambda failure: _give_up(explain_listen_error(failure.value, endpoint)),
        )
        for _, port in self._ports[-1:]:
            port.stopReading()

    def startService(self) -> None:
        """Open the database, then let clients in."""
        super().startService()
        self._level.begin()
        starting = ensureDeferred(self._start())
        starting.addErrback(self._could_not_start)

    async def _start(self) -> None:
        assert self._server is not None
        await self._server.start()
        admin = AdminFactory(self._server.commands())
        admin_socket = admin.listen(self._reactor, self._config.server.socket)
        self._ports.append((None, admin_socket))
        for endpoint, port in self._ports:
            if endpoint is not None:
                tune(port, self._server.services.lines)
                port.startReading()
        self._watchdog.start()
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        self._introduce()

    def _introduce(self) -> None:
        config = self._config
        places = ", ".join(
            f"{endpoint.shown} ({'direct TLS' if endpoint.direct_tls else 'STARTTLS'})"
            for endpoint, _ in self._ports
            if endpoint is not None
        )
        domains = ", ".join(config.domains)
        ask = "" if config.file is None else f" --config {config.file}"
        _say(f"xmppd {__version__} serves {domains} on {places}.")
        _say(f"Data is in {config.server.data}, certificates are in {config.server.certs}.")
        _say(f"Add an account:  {_xmppctl()}{ask} adduser NAME@{next(iter(config.domains))}")
        _log.info("xmppd {version} serves {domains}", version=__version__, domains=domains)

    def _could_not_start(self, failure: Failure) -> None:
        self.failed = True
        if isinstance(failure.value, StorageError | OSError | ConfigError):
            line = str(failure.value)
        else:
            _log.failure("xmppd could not start", failure)
            line = f"could not start: {failure.getErrorMessage()}"
        stream = sys.__stderr__
        if stream is not None:
            stream.write(f"xmppd: {line}\n")
            stream.flush()
        self._reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
        self._reactor.stop()

    # -- while it runs

    def reload(self) -> None:
        """Take new certificates and the log level (SIGHUP)."""
        assert self._server is not None
        for problem in self._server.reload(_certificates(self._config)):
            _log.error("certificate not reloaded: {problem}", problem=problem)
        if self._config.file is not None:
            try:
                self._level.set(load(self._config.file).server.log_level)
            except ConfigError as problem:
                for line in problem.problems:
                    _log.error("log level not reloaded: {line}", line=line)
        _log.info("reloaded certificates and log level")

    # -- stop

    def stopService(self) -> Deferred[None]:
        """Close all streams properly, store everything, then end."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self._watchdog.stop()
        for _, port in self._ports:
            await _done(port.stopListening())
        self._ports = []
        if self._server is not None and not self.failed:
            await self._server.stop()


async def _done(result: Any) -> None:
    if isinstance(result, Deferred):
        await result


def makeService(options: Options) -> XmppdService:
    """The service of a command line; what is wrong with the configuration is told, one line each."""
    from twisted.internet import reactor  # noqa: PLC0415 (installed by now, and not before)

    try:
        config = read_config(options)
    except ConfigError as problem:
        _give_up("\n".join(problem.problems))
    return XmppdService(reactor, config)


def main() -> None:
    """The console script ``xmppd``: the same service, in the foreground."""
    from twisted.scripts.twistd import run  # noqa: PLC0415 (it looks at the command line)

    sys.argv[1:1] = ["--nodaemon", "--pidfile=", "xmppd"]
    run()
