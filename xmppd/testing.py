"""A server inside a test: no network, no threads, a clock that stands still until it is told to move.

server = InProcessServer()
server.add_user("alice@localhost", "secret")
alice = server.login("alice@localhost/phone", "secret")
alice.send("<message to='bob@localhost'><body>Hi</body></message>")
alice.take()                                    # what the server sent since the last call
"""

from __future__ import annotations

import atexit
import base64
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from xmppd.config import Config, default_config
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.server import Server
from xmppd.storage.database import Database
from xmppd.storage.threads import NoThreads
from xmppd.stream.c2s import ClientStream
from xmppd.stream.listener import FEATURES

__all__ = ["Client", "InProcessServer", "MemoryReactor"]

T = TypeVar("T")

#: When the fake world begins, in seconds since 1970: 2026-01-01T00:00:00Z.
BEGINNING = 1767225600.0


@cache
def _temporary_folder() -> str:
    """Where the servers of this process keep their databases; it goes when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="xmppd-test-")
    atexit.register(folder.cleanup)
    return folder.name


class MemoryReactor(Clock):
    """A clock with what the database and the server ask of a reactor."""

    def callFromThread(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """There are no threads: call at once."""
        function(*args, **kwargs)

    def callWhenRunning(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """It always runs."""
        function(*args, **kwargs)

    def addSystemEventTrigger(self, *_: Any) -> None:
        """It never stops."""

    def removeSystemEventTrigger(self, _: Any) -> None:
        """It never stops."""

    def now(self) -> float:
        """Seconds since 1970."""
        return float(BEGINNING + self.seconds())


class _Server(Server):
    def in_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return maybeDeferred(function, *args, **kwargs)


class _Transport(StringTransport):
    """A connection that remembers how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.paused = False
        self.tls = False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to keep alive."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to delay."""

    def pauseProducing(self) -> None:
        """The server does not read."""
        self.paused = True

    def resumeProducing(self) -> None:
        """The server reads again."""
        self.paused = False

    def startTLS(self, contexts: Any, normal: bool = True) -> None:
        """The handshake has begun."""
        self.tls = True

    def abortConnection(self) -> None:
        """The server has cut the connection."""
        self.aborted = True
        self.disconnecting = True


class InProcessServer:
    """The whole server but the sockets, on a SQLite file in a temporary folder (or in memory).

    :param settings: like ``--set`` on the command line, for example ``limits.sm_queue=10``.
    :param database: another database than a new one.
    :param elapsed: seconds since `BEGINNING` at the start.

    :ivar url: its database; another server can go on with it once this one has ended.
    """

    def __init__(
        self,
        *settings: str,
        domain: str = "localhost",
        config: Config | None = None,
        database: str | None = None,
        elapsed: float = 0.0,
    ) -> None:
        self.reactor = MemoryReactor()
        self.reactor.advance(elapsed)
        self.running = True
        self.folder = tempfile.mkdtemp(dir=_temporary_folder())
        self.config = config or default_config(domain, self.folder, self.folder, overrides=settings)
        self.url = database or self.config.server.database
        self.database = Database(self.reactor, self.url, threads=NoThreads)
        tls = SimpleNamespace(starttls=None, direct=None, reload=list)
        self.server = _Server(self.reactor, self.config, tls, now=self.reactor.now, database=self.database)
        self.wait_for(self.server.start())

    def wait_for(self, work: Awaitable[T]) -> T:
        """Run a coroutine to its end, moving the clock as far as it asks for."""
        running: Deferred[T] = Deferred.fromCoroutine(work)  # type: ignore[arg-type]
        outcome: list[Any] = []
        running.addBoth(outcome.append)
        for _ in range(1000):
            if outcome:
                break
            self.advance(0.01)
        if not outcome:
            raise AssertionError("it waits for something that never happens")
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        result: T = outcome[0]
        return result

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass; with 0, only what is due now happens."""
        self.reactor.advance(seconds)

    def settle(self) -> None:
        """Let the open group be written and everything that follows from it happen."""
        for _ in range(5):
            self.advance(0.01)

    def add_user(self, jid: str, password: str = "secret") -> None:  # noqa: S107 (a test's password)
        """Make an account."""
        self.wait_for(self.server.accounts.create(JID.parse(jid), password))

    def connect(self, *, tls: bool = True) -> Client:
        """A connection that has not sent anything yet.

        :param tls: whether it has begun with TLS.
        """
        return Client(self, tls=tls)

    def login(self, jid: str, password: str = "secret", *, presence: bool = True) -> Client:  # noqa: S107
        """A client that is logged in and bound, available unless told otherwise."""
        client = self.connect()
        client.authenticate(jid, password)
        client.bind(JID.parse(jid).resource)
        if presence:
            client.send("<presence/>")
            self.settle()
        client.take()
        return client

    def copy_of_database(self) -> str:
        """What the disk has now, for another server to go on with: as if this one had been killed."""
        path = Path(self.url.removeprefix("sqlite:"))
        copy = Path(tempfile.mkdtemp(dir=self.folder), path.name)
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{copy}{end}")
        return f"sqlite:{copy}"

    def stop(self) -> None:
        """Stop as on SIGTERM; once more does nothing."""
        if self.running:
            self.running = False
            self.wait_for(self.server.stop())

    def crash(self) -> None:
        """End as with ``kill -9``: nothing is said to anybody, and what is not committed is lost."""
        self.running = False
        self.database.abandon()


class Client:
    """A scripted client: text in, text out."""

    def __init__(self, world: InProcessServer, *, tls: bool = True) -> None:
        self.world = world
        self.transport = _Transport()
        self.stream = ClientStream(world.server.services, FEATURES, direct=tls)
        self.stream.makeConnection(self.transport)
        if tls:
            self.stream.handshakeCompleted()
        self.jid = ""

    def start_tls(self, domain: str = "localhost") -> None:
        """Open a stream and begin TLS on it."""
        self.open(domain)
        self.ask(f"<starttls xmlns='{ns.TLS}'/>")
        if not self.transport.tls:
            raise AssertionError("the server has not begun TLS")
        self.stream.handshakeCompleted()

    def send(self, text: str | bytes) -> None:
        """Send bytes, and let what is due now happen."""
        self.stream.dataReceived(text.encode() if isinstance(text, str) else text)
        self.world.advance()

    def take(self) -> str:
        """What the server has sent since the last call."""
        self.world.advance()
        sent: str = self.transport.value().decode()
        self.transport.clear()
        return sent

    def ask(self, text: str) -> str:
        """Send, and give what the server sends back, its effects on the disk included."""
        self.take()
        self.send(text)
        self.world.settle()
        return self.take()

    def open(self, domain: str = "localhost") -> str:
        """Open a stream; the answer is the server's header and features."""
        return self.ask(
            f"<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='{ns.CLIENT}'"
            f" xmlns:stream='{ns.STREAMS}'>"
        )

    def authenticate(self, jid: str, password: str) -> None:
        """Log in with PLAIN, and open the next stream."""
        who = JID.parse(jid)
        self.open(who.domain)
        secret = base64.b64encode(f"\0{who.local}\0{password}".encode()).decode()
        answer = self.ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{secret}</auth>")
        for _ in range(500):
            if answer:
                break
            # The database takes a while.
            self.world.advance(0.01)
            answer = self.take()
        if "<success" not in answer:
            raise AssertionError(f"login failed: {answer}")
        self.open(who.domain)

    def bind(self, resource: str = "") -> str:
        """Bind a resource; the answer is the full JID."""
        wanted = f"<resource>{resource}</resource>" if resource else ""
        answer = self.ask(f"<iq type='set' id='bind'><bind xmlns='{ns.BIND}'>{wanted}</bind></iq>")
        if "<jid>" not in answer:
            raise AssertionError(f"binding failed: {answer}")
        self.jid = answer.partition("<jid>")[2].partition("</jid>")[0]
        return self.jid

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self.transport.disconnecting

    def cut(self) -> None:
        """The network is gone."""
        self.stream.connectionLost(Failure(ConnectionLost()))
        self.world.advance()

    def close(self) -> None:
        """Close the stream as a client should."""
        self.send("</stream:stream>")
        self.stream.connectionLost(Failure(ConnectionDone()))
        self.world.advance()
