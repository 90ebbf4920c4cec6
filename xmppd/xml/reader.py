"""One stream's incoming bytes: the gate, and a parser while there is something to parse.

A stream at rest holds no parser.  Expat at rest behind a standard header is in the same state for every
stream, so streams that have authenticated take one out of a pool for a chunk and put it back; a stream with
a header of its own makes a parser from that header.  Parsers are thrown away after a while, because expat
remembers every name it has ever seen.
"""

from __future__ import annotations

from collections import deque

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.xml.gate import Gate, end_of_first_tag
from xmppd.xml.parser import Header, Item, Limits, XMLParser, standard_header

__all__ = ["ParserPool", "StreamReader"]


class ParserPool:
    """Parsers that stand behind the standard header, shared by all authenticated streams.

    :param limits: the bounds of what the streams may send.
    :param keep: how many idle parsers are kept.
    :param wear: bytes after which a parser is thrown away.
    """

    def __init__(self, limits: Limits, *, keep: int = 8, wear: int = 4 << 20) -> None:
        self.limits = limits
        self.header = standard_header(ns.CLIENT)
        self._keep, self._wear = keep, wear
        self._idle: list[XMLParser] = []

    def take(self, header: Header) -> XMLParser:
        """A parser that stands behind such a header."""
        if header.prefixes == self.header.prefixes:
            return self._idle.pop() if self._idle else XMLParser(self.header, limits=self.limits)
        return XMLParser(header, limits=self.limits)

    def give_back(self, parser: XMLParser, header: Header) -> None:
        """Take back a parser that is at rest."""
        if (
            header.prefixes == self.header.prefixes
            and parser.fed < self._wear
            and len(self._idle) < self._keep
        ):
            self._idle.append(parser)


class StreamReader:
    """Bytes in, items out, one after the other, whatever the chunks.

    Until `settle` is called each item is parsed only when it is asked for, because it may change what the
    following bytes are: after STARTTLS they must not exist, after SASL they are a new stream.

    :param limits: bounds until `settle`.
    """

    __slots__ = ("_error", "_gate", "_header", "_items", "_parser", "_pool", "_todo", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._gate = Gate()
        self._header: Header | None = None
        self._parser: XMLParser | None = None
        self._pool: ParserPool | None = None
        self._items: deque[Item] = deque()
        self._todo = b""
        self._error: StreamError | None = None

    @property
    def waiting(self) -> bool:
        """Whether `next` has something to give without further bytes."""
        return bool(self._items or self._todo or self._error)

    def restart(self) -> None:
        """A new stream begins with the next byte (after SASL)."""
        rest = self._todo + self._gate.drain()
        self._gate, self._parser, self._header = Gate(), None, None
        self._items.clear()
        self._todo = b""
        if rest:
            self.push(rest)

    def leftover(self) -> bool:
        """Whether there are bytes behind the last item, a lone newline or blank aside."""
        return bool(self._items or self._todo.strip() or self._error or self._gate.held)

    def settle(self, pool: ParserPool) -> None:
        """Nothing changes any more what bytes mean: parse whole chunks, with the pool's parsers and limits."""
        self._pool, self.limits = pool, pool.limits
        if self._parser is not None:
            self._parser.limit(pool.limits)
        if self._todo:
            todo, self._todo = self._todo, b""
            self._parse(todo)
            self._rest()

    def push(self, data: bytes) -> None:
        """Take bytes from the transport.  What is wrong with them is raised by `next`, in its turn."""
        if self._error is not None:
            return
        try:
            whole = self._gate.feed(data)
            self._bound()
        except StreamError as problem:
            self._error = problem
            return
        if not whole:
            self._rest()
        elif self._pool is None:
            self._todo += whole
        else:
            self._parse(whole)
            self._rest()

    def next(self) -> Item | None:
        """The next item, or None until more bytes come.

        :raises StreamError: the bytes that follow are wrong.
        """
        if self._items:
            return self._items.popleft()
        while self._todo and not self._items and self._error is None:
            end = end_of_first_tag(self._todo)
            tag, self._todo = self._todo[:end], self._todo[end:]
            self._parse(tag)
        if self._items:
            return self._items.popleft()
        if self._error is not None:
            raise self._error
        return None

    # -- parsing

    def _parse(self, whole: bytes) -> None:
        try:
            self._ready().feed(whole, self._arrived)
            self._bound()
        except StreamError as problem:
            self._error = problem
            self._parser, self._todo = None, b""

    def _ready(self) -> XMLParser:
        if self._parser is None:
            if self._header is None or self._pool is None:
                self._parser = XMLParser(self._header, limits=self.limits)
            else:
                self._parser = self._pool.take(self._header)
        return self._parser

    def _arrived(self, item: Item) -> None:
        if isinstance(item, Header):
            self._header = item
        self._items.append(item)

    def _rest(self) -> None:
        """At rest keep neither parser nor whitespace."""
        parser = self._parser
        if parser is not None:
            if not parser.at_rest:
                return
            if self._pool is not None and self._header is not None:
                self._pool.give_back(parser, self._header)
                self._parser = None
        if self._header is not None and self._gate.held:
            self._gate.drop_whitespace()

    def _bound(self) -> None:
        open_bytes = self._parser.open_bytes if self._parser is not None else 0
        if self._gate.held + open_bytes > self.limits.stanza_bytes:
            raise StreamError(
                "policy-violation", f"A stanza may have {self.limits.stanza_bytes} bytes here (stanza_bytes)"
            )
