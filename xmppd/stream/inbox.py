"""What a stream receives, one item after the other: order and back-pressure at once.

While a handler waits, what follows waits too, and the transport reads no more than once.  Only what stream
management asks and says passes a handler that waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xmppd.core.context import Clock
from xmppd.core.errors import StreamError
from xmppd.xml.parser import Item
from xmppd.xml.reader import ParserPool, StreamReader

__all__ = ["HANDLER", "PACE", "STORE", "Inbox", "Receiver"]

#: Why the transport does not read: a handler waits;
HANDLER: Final = 1
#: the client has sent too much lately.
PACE: Final = 2
#: the database cannot keep up;
STORE: Final = 4
#: the other streams come first.
OTHERS: Final = 8
#: Reasons that pass soon: reading stops only if something comes meanwhile, since to stop and to go on takes
#: two system calls of some 20 µs, and nearly always nothing comes.
_SHORT: Final = HANDLER | OTHERS

#: Items of one stream that are handled in one turn of the reactor, so that the others get theirs.
SLICE: Final = 32
#: Seconds after which the turn ends even if they are fewer.
LONGEST: Final = 0.005


class Receiver(Protocol):
    """The stream that an inbox belongs to."""

    transport: Any

    @property
    def is_closed(self) -> bool:
        """Whether nothing is handled any more."""
        ...

    @property
    def reads_ahead(self) -> bool:
        """Whether no handler can change any more what the bytes behind it mean."""
        ...

    def handle(self, item: Item) -> Awaitable[None] | Deferred[Any] | None:
        """Do what an item asks for; the answer is something to wait for, if anything."""
        ...

    def passes(self, item: Item) -> bool:
        """Whether an item may be handled while the one before it waits."""
        ...

    def comes_again(self, item: Item) -> bool:
        """Whether an item that has passed is to be handled once more when it is its turn."""
        ...

    def failed(self, failure: Failure) -> None:
        """The stream cannot go on: for a `StreamError`, or for a fault of the program."""

    def worked(self, seconds: float, now: float) -> None:
        """What it has sent has taken so long to handle."""


class _Nobody:
    """Receives for a stream whose connection is gone."""

    transport: Any = None
    is_closed = True
    reads_ahead = False

    def handle(self, item: Item) -> None:
        """Nothing is handled."""

    def passes(self, item: Item) -> bool:
        """Nothing passes."""
        return False

    def comes_again(self, item: Item) -> bool:
        """Nothing comes again."""
        return False

    def failed(self, failure: Failure) -> None:
        """Nothing fails."""

    def worked(self, seconds: float, now: float) -> None:
        """Nobody is to be slowed down."""


_NOBODY: Final = _Nobody()


class Inbox:
    """The incoming side of one stream.

    :param pool: parsers, and bounds, of what is read before `StreamReader.settle`.
    :ivar reader: makes items of bytes.
    """

    __slots__ = ("_clock", "_paused", "_queue", "_receiver", "_stopped", "reader")

    def __init__(self, receiver: Receiver, pool: ParserPool, clock: Clock) -> None:
        self.reader = StreamReader(pool)
        self._receiver: Receiver = receiver
        self._clock = clock
        self._paused = 0
        #: Whether the transport was told not to read.
        self._stopped = False
        #: What was read while a handler waited.
        self._queue: deque[Item] = deque()

    # -- reading

    def push(self, data: bytes) -> None:
        """Bytes have come."""
        began = self._clock.seconds()
        self.reader.push(data)
        if self._paused:
            self._stop_reading()
        if self._paused & HANDLER:
            self._let_pass()
        elif not self._paused & OTHERS:
            self._pump(began)

    def _pump(self, began: float) -> None:
        """Handle what is there, until a handler waits; the rest in a later turn of the reactor.

        :param began: when this turn of the stream did.
        """
        seconds = self._clock.seconds
        now = began
        for _ in range(SLICE):
            if not self._handle_next():
                break
            now = seconds()
            if now - began > LONGEST:
                break
        self._receiver.worked(now - began, now)
        if self._paused & HANDLER or self._receiver.is_closed:
            return
        if (self._queue or self.reader.waiting) and not self._paused & OTHERS:
            self.pause(OTHERS)
            self._clock.callLater(0, self._go_on, OTHERS)

    def _handle_next(self) -> bool:
        """Handle one item; false if none can follow now."""
        receiver = self._receiver
        if receiver.is_closed:
            return False
        try:
            item = self._queue.popleft() if self._queue else self.reader.next()
            if item is None:
                return False
            waiting = receiver.handle(item)
        except Exception:
            receiver.failed(Failure())
            return False
        return waiting is None or not self._must_wait_for(waiting)

    def _let_pass(self) -> None:
        """Read on behind a handler that waits, and handle what may pass it."""
        receiver = self._receiver
        while receiver.reads_ahead and (item := self._next()) is not None:
            passes = receiver.passes(item)
            if not passes or receiver.comes_again(item):
                self._queue.append(item)
            if passes:
                try:
                    receiver.handle(item)
                except Exception:
                    receiver.failed(Failure())

    def _next(self) -> Item | None:
        try:
            return self.reader.next()
        except StreamError:
            # The reader raises it again when it is its turn.
            return None

    # -- handlers that wait

    def _must_wait_for(self, waiting: Awaitable[None] | Deferred[Any]) -> bool:
        if not isinstance(waiting, Deferred):
            waiting = Deferred.fromCoroutine(waiting)  # type: ignore[arg-type]
        if waiting.called and not waiting.paused and not isinstance(waiting.result, Failure):
            return False
        self.pause(HANDLER)
        self._let_pass()
        waiting.addErrback(self._receiver.failed)
        waiting.addCallback(lambda _: self._go_on(HANDLER))
        return True

    def _go_on(self, reason: int) -> None:
        self.resume(reason)
        if not self._paused & (HANDLER | OTHERS):
            # Else whoever it still waits for comes here: two at once handled two items of one stream at once.
            self._pump(self._clock.seconds())

    # -- back-pressure

    def pause(self, reason: int) -> None:
        """Read no more, until `resume` with the same reason."""
        self._paused |= reason
        if not reason & _SHORT:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if not self._stopped and not self._receiver.is_closed:
            self._stopped = True
            self._receiver.transport.pauseProducing()

    def resume(self, reason: int) -> None:
        """This is no longer a reason not to read."""
        self._paused &= ~reason
        if self._stopped and not self._paused and not self._receiver.is_closed:
            self._stopped = False
            self._receiver.transport.resumeProducing()

    def close(self) -> None:
        """Nothing is handled any more; what comes until the connection is gone is read and dropped."""
        if self._stopped:
            self._receiver.transport.resumeProducing()
        self._queue.clear()

    def leave(self) -> None:
        """The connection is gone: stream and inbox must not keep each other until garbage is collected."""
        self._receiver = _NOBODY
        self._queue.clear()
        self.reader.close()
