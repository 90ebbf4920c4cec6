"""Reads one direction of a connection with another parser than the server's (libxml2)."""

from __future__ import annotations

from typing import Any

from lxml import etree

__all__ = ["Tap"]

_HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


class Tap:
    """Collects the direct children of a stream that has begun before."""

    def __init__(self) -> None:
        self._parser = etree.XMLPullParser(events=("start", "end"), recover=False)
        self._depth = 0
        self.elements: list[Any] = []
        self.feed(_HEADER)

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        self._parser.feed(data)
        for event, element in self._parser.read_events():
            if event == "start":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 1:
                    self.elements.append(element)

    def take(self) -> list[Any]:
        """What has come whole since the last call."""
        elements, self.elements = self.elements, []
        return elements
