"""What the load's client does with received bytes: it counts markers and parses nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["AckSink", "Counter", "Sink", "nothing"]

Sink = Callable[[bytes], None]

_STANZA_END = re.compile(rb"</(?:message|presence|iq)>|<(?:message|presence|iq)\b[^>]*/>")
_ACK_REQUEST = re.compile(rb"<r[ />]")
_ERROR = re.compile(rb"type=['\"]error['\"]")


def nothing(_: object) -> None:
    """For what nobody counts."""


class Counter:
    """Counts a marker, also where two chunks cut it.

    :param on_count: gets the number of new markers, 1 or more.
    :param on_error: gets each chunk that holds an error stanza.
    """

    __slots__ = ("_keep", "_marker", "_on_count", "_on_error", "_tail")

    def __init__(self, marker: bytes, on_count: Callable[[int], None], on_error: Sink = nothing) -> None:
        self._marker, self._keep, self._tail = marker, len(marker) - 1, b""
        self._on_count, self._on_error = on_count, on_error

    def __call__(self, data: bytes) -> None:
        blob = self._tail + data
        self._tail = blob[-self._keep :]
        found = blob.count(self._marker)
        if b"error" in data and _ERROR.search(data):
            self._on_error(data)
        if found:
            self._on_count(found)


class AckSink:
    """Answers ``<r/>`` with an exact ``<a/>`` (XEP-0198) on the way to another sink.

    It counts the ends of stanzas, so forwarded ones (carbons, archive results) would count twice.
    """

    __slots__ = ("_handled", "_send", "_tail", "acks", "inner")

    def __init__(self, send: Sink) -> None:
        self._send, self._handled, self._tail = send, 0, b""
        self.inner: Sink = nothing
        self.acks = 0

    def __call__(self, data: bytes) -> None:
        blob = self._tail + data
        cut = blob.rfind(b">") + 1  # never in the middle of a tag
        whole, self._tail = blob[:cut], blob[cut:]
        self._handled += len(_STANZA_END.findall(whole))
        self.acks += whole.count(b"<a ")
        if _ACK_REQUEST.search(whole):
            self._send(b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self._handled)
        self.inner(data)
