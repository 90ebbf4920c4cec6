"""Between the outbox of a session and the transport of its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from xmppd.core.counters import hits

if TYPE_CHECKING:
    from xmppd.stream.c2s import ClientStream

__all__ = ["Reins", "TcpFramer"]

_log = Logger()


class TcpFramer:
    """Writes stanzas and nonzas as they are: on TCP the stream itself is the frame."""

    __slots__ = ("_stream", "_transport")

    def __init__(self, stream: ClientStream) -> None:
        self._stream, self._transport = stream, stream.transport

    def write(self, frames: list[bytes]) -> None:
        """Write what a turn has collected."""
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def overflowed(self) -> None:
        """The client does not read what is written to it."""
        hits.hit("write_buffer_bytes")
        _log.info("{stream}: does not read (write_buffer_bytes)", stream=self._stream)
        self._stream.cut()


class Reins:
    """What the transport pulls when its buffer is full (a push producer of Twisted's)."""

    __slots__ = ("_stream",)

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream

    def pauseProducing(self) -> None:
        """The transport is full."""
        stream = self._stream
        if stream.session is not None:
            stream.session.outbox.block()
            if stream.blocked_at is None:
                stream.blocked_at = stream.services.clock.seconds()

    def resumeProducing(self) -> None:
        """The transport has room again."""
        stream = self._stream
        stream.blocked_at = None
        if stream.session is not None:
            stream.session.outbox.unblock()

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` follows."""
