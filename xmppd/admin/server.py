"""The server's end of the socket for xmppctl."""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver

from xmppd.admin.commands import Command, Result
from xmppd.admin.wire import MAX_ADDRESS, MAX_REQUEST, CommandError, address_of, decode, encode, error
from xmppd.core.errors import StanzaError
from xmppd.core.options import did_you_mean
from xmppd.storage.errors import ClosedError, FaultError

_log = Logger()


class AdminSocketError(OSError):
    """There can be no socket where one should be; the message is one line with the key and the remedy."""


class AdminProtocol(LineReceiver):
    """A connection of xmppctl: one request after the other."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_REQUEST
    transport: Any

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands

    def lineReceived(self, line: bytes) -> None:
        # The next request waits until this one is answered.
        self.pauseProducing()
        Deferred.fromCoroutine(self._answer(line)).addErrback(self._failed).addCallback(self._answered)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._send(error(CommandError("usage", f"A request of more than {MAX_REQUEST} bytes")))
        self.transport.loseConnection()

    async def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            return {"result": await self._run(decode(line))}
        except CommandError as problem:
            return error(problem)
        except StanzaError as problem:
            return error(CommandError(problem.condition, problem.text or problem.condition))
        except (FaultError, ClosedError) as problem:
            _log.warn("xmppctl: the database cannot be used: {problem}", problem=str(problem))
            return error(CommandError("database", f"The database cannot be used now: {problem}"))

    async def _run(self, request: Mapping[str, Any]) -> Result:
        name = str(request.get("command"))
        command = self._commands.get(name)
        if command is None:
            text = f"The server knows no command {name}; {did_you_mean(name, self._commands)}"
            raise CommandError("unknown-command", text)
        arguments = command.check(request.get("arguments", {}))
        _log.info("xmppctl: {request}", request=" ".join((name, *command.shown(arguments))))
        return await command.handler(arguments, self._report)

    def _report(self, text: str, done: int, total: int | None = None) -> None:
        self._send({"progress": {"text": text, "done": done, "total": total}})

    def _failed(self, failure: Any) -> Mapping[str, object]:
        _log.failure("A command of xmppctl failed", failure)
        return error(CommandError("internal-error", "The server could not do it; its log says why"))

    def _answered(self, answer: Mapping[str, object]) -> None:
        self._send(answer)
        self.resumeProducing()

    def _send(self, message: Mapping[str, object]) -> None:
        self.transport.write(encode(message))


class AdminFactory(Factory):
    """Serves commands.

    :param commands: by name, as :func:`xmppd.admin.commands.build` gives them.
    """

    noisy = False

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._places = ExitStack()

    def buildProtocol(self, addr: object) -> AdminProtocol:
        return AdminProtocol(self._commands)

    def listen(self, reactor: Any, path: Path) -> IListeningPort:
        """Open the socket, for the user of this process alone. One that a dead server left behind goes.

        :raises AdminSocketError: if there can be none.
        """
        # Before the socket is there, not after: in between somebody could connect.
        mask = os.umask(0o177)
        try:
            return self._listen(reactor, path)
        except AdminSocketError:
            raise
        except Exception as problem:
            cause = getattr(problem, "socketError", problem)
            why = getattr(cause, "strerror", None) or cause
            raise AdminSocketError(
                f"{_KEY}: {path}: no socket can be made there ({why}); {_REMEDY}"
            ) from None
        finally:
            os.umask(mask)

    def _listen(self, reactor: Any, path: Path) -> IListeningPort:
        with ExitStack() as places:
            place = places.enter_context(address_of(path))
            _make_room(path, place)
            port: IListeningPort = reactor.listenUNIX(place, self, mode=0o600)
            self._places = places.pop_all()
        return port

    def stopFactory(self) -> None:
        """The socket is gone, and so may be what named it."""
        self._places.close()


_KEY: Final = "server.admin_socket"
_REMEDY: Final = "set another path"


def _make_room(path: Path, place: str) -> None:
    if len(os.fsencode(place)) > MAX_ADDRESS:
        raise AdminSocketError(f"{_KEY}: {path}: the name of a socket may not be that long; {_REMEDY}")
    if path.is_socket():
        if _is_alive(place):
            raise AdminSocketError(f"{_KEY}: {path}: another server is running there; stop it, or {_REMEDY}")
        path.unlink()
    elif path.exists():
        raise AdminSocketError(f"{_KEY}: {path}: is no socket; remove it, or {_REMEDY}")


def _is_alive(place: str) -> bool:
    """Whether someone listens at a socket. A file with a process id says less: containers reuse the same."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(place)
        except ConnectionRefusedError:
            return False
    return True
