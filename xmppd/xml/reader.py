"""One stream's incoming bytes: the gate, and a parser while there is something to parse.

A stream at rest holds no parser.  Expat at rest behind a standard header is in the same state for every
stream, so streams take one out of a pool for a chunk and put it back; a stream with a header of its own makes
a parser from that header.  Parsers are thrown away after a while, because expat remembers every name it has
ever seen.
"""

from __future__ import annotations

from typing import Final

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.xml.gate import WHITESPACE, Gate
from xmppd.xml.parser import Header, Item, Limits, XMLParser, beyond, standard_header

__all__ = ["PIECE", "ParserPool", "StreamReader"]

#: Bytes that are parsed at once, at most: a record of TLS.  Behind it others have their turn, if there are
#: stanzas in it: 64 KiB of the smallest ones take 0.2 s.
PIECE: Final = 1 << 14
_HTTP: Final = (b"GET ", b"HEAD ", b"POST ", b"OPTIONS ", b"CONNECT ")


class ParserPool:
    """Parsers that stand behind the standard header, shared by all streams with the same limits.

    :param limits: the bounds of what the streams may send.
    :param keep: how many idle parsers are kept.
    :param wear: bytes after which a parser is thrown away.
    :param names: how many names of elements and attributes after which it is thrown away.
    """

    def __init__(self, limits: Limits, *, keep: int = 8, wear: int = 4 << 20, names: int = 4096) -> None:
        self.limits = limits
        self.header = standard_header(ns.CLIENT)
        self._keep, self._wear, self._names = keep, wear, names
        self._idle: list[XMLParser] = []

    def adopt(self, header: Header) -> Header:
        """The pool's own header if that means the same, else `header`."""
        return self.header if header.is_standard and header.content == self.header.content else header

    def read(self, whole: bytes, items: list[Item]) -> XMLParser | None:
        """Parse what a stream has sent that was at rest, behind the pool's own header.

        :return: the parser, if the stream is not at rest then; it is the stream's until it is given back.
        :raises StreamError: what is wrong with the bytes.
        """
        parser = self._idle.pop() if self._idle else XMLParser(self.header, limits=self.limits)
        try:
            parser.feed(whole, items)
        except StreamError:
            parser.close()
            raise
        if not parser.at_rest:
            return parser
        self.give_back(parser)
        return None

    def give_back(self, parser: XMLParser) -> None:
        """Take a parser that is at rest, and throw it away if it is not one of this pool's."""
        if (
            parser.header is self.header
            and parser.fed < self._wear
            and len(parser.names) < self._names
            and len(self._idle) < self._keep
        ):
            self._idle.append(parser)
        else:
            parser.close()


def _what_is_no_stream(begin: bytes | bytearray) -> str:
    """What somebody begins with instead of a stream, for the one who looks for the reason.

    Clients that try direct TLS on the port for STARTTLS first, such as slixmpp, left a line in the log that
    told nobody what to do.
    """
    if begin.startswith(b"\x16"):
        return "That is TLS at once: here it begins with <starttls/>; direct TLS has a port of its own"
    if begin.startswith(_HTTP):
        return "That is HTTP, and not XMPP"
    return "Text outside of stanzas"


class StreamReader:
    """Bytes in, items out, one after the other, whatever the chunks.

    Until `settle` is called each item is read only when it is asked for, because it may change what the
    following bytes are: after STARTTLS they must not exist, after SASL they are a new stream.  What is
    pushed before, and behind items that nobody has asked for, is kept as it is, without bound: who does not
    ask for items must not push on.

    Nothing comes behind the end of the stream, and nothing behind an error.

    :param pool: parsers, and bounds, until `settle`.
    """

    __slots__ = ("_error", "_gate", "_header", "_items", "_over", "_parser", "_pool", "_raw", "_settled")

    def __init__(self, pool: ParserPool) -> None:
        self._gate = Gate()
        self._header: Header | None = None
        self._parser: XMLParser | None = None
        self._pool = pool
        self._settled = False
        #: The last one is the next one.
        self._items: list[Item] = []
        self._raw = bytearray()
        self._error: tuple[str, str] | None = None
        self._over = False

    @property
    def waiting(self) -> bool:
        """Whether `next` may have something to give without further bytes."""
        return bool(self._items or self._raw or self._error)

    def restart(self) -> None:
        """A new stream begins with the next byte (after SASL)."""
        rest = self._gate.drain() + self._raw
        self._stop()
        self._items.clear()
        self._error, self._over, self._settled = None, False, False
        self._header = None
        self._gate = Gate()
        self._raw += rest

    def close(self) -> None:
        """Nobody asks any more: let go of everything, parser and all."""
        self._finish()
        self._items.clear()
        self._error = self._header = None

    def leftover(self) -> bool:
        """Whether there are bytes behind the last item, white space aside."""
        return bool(self._items or self._error or self._gate.kept or self._raw.strip(WHITESPACE))

    def use(self, pool: ParserPool) -> None:
        """From now on these parsers, and bounds, hold; not for an element that is not finished."""
        self._pool = pool
        if self._header is not None:
            self._header = pool.adopt(self._header)

    def settle(self, pool: ParserPool) -> None:
        """Nothing changes any more what bytes mean: read whole chunks, with the pool's parsers and limits."""
        self._settled = True
        self.use(pool)
        if self._over:
            return
        rest = self._parser.drain() if self._parser is not None else b""
        rest += self._gate.drain() + self._raw
        self._stop()
        self._gate = Gate(at_start=self._header is None)
        self._read(rest)

    def push(self, data: bytes) -> None:
        """Take bytes from the transport.  What is wrong with them is raised by `next`, in its turn."""
        if self._over:
            return
        if not self._settled or self._items or self._raw or len(data) > PIECE:
            self._raw += data
        else:
            self._read(data)

    def next(self) -> Item | None:
        """The next item, or None until more bytes come.

        :raises StreamError: the bytes that follow are wrong.
        """
        if self._items:
            return self._items.pop()
        raw = self._raw
        while raw and not self._items:
            # To the next place where a tag may end, and not a byte further, as long as that matters.
            end = PIECE if self._settled else self._gate.reach(raw)
            piece = bytes(raw[:end])
            del raw[:end]
            self._read(piece)
        if self._items:
            return self._items.pop()
        if self._error is not None:
            # A new one each time: the traceback of one that is kept would keep the reader in a cycle.
            raise StreamError(*self._error)
        return None

    # -- reading

    def _read(self, data: bytes) -> None:
        items: list[Item] = []
        gate = self._gate
        try:
            whole = gate.feed(data)
            if whole:
                pool = self._pool
                if self._parser is None and self._header is pool.header:
                    self._parser = pool.read(whole, items)
                else:
                    self._parse(whole, items)
                if self._parser is not None and self._parser.ended:
                    self._finish()
            if gate.kept:
                self._check_kept()
        except StreamError as problem:
            self._error = (problem.condition, problem.text)
            self._finish()
        items.reverse()
        self._items = items + self._items if self._items else items

    def _parse(self, whole: bytes, items: list[Item]) -> None:
        """Parse with a parser that is this stream's own, or has become so in the middle of an element."""
        parser = self._parser
        if parser is None:
            parser = self._parser = XMLParser(self._header, limits=self._pool.limits)
        parser.feed(whole, items)
        if self._header is None and parser.header is not None:
            self._header = self._pool.adopt(parser.header)
        if parser.at_rest:
            self._pool.give_back(parser)
            self._parser = None

    def _check_kept(self) -> None:
        """Bound what waits for the end of its tag; between stanzas forget white space and refuse text."""
        gate, parser = self._gate, self._parser
        size = 0
        if parser is not None and not parser.at_rest:
            size = parser.open_bytes
        else:
            gate.trim()
            if gate.holds_text:
                if self._header is None:
                    raise StreamError("not-well-formed", _what_is_no_stream(gate.kept))
                raise StreamError("bad-format", "Text outside of stanzas")
        if gate.problem is not None:
            raise StreamError(*gate.problem)
        bound = "stanza_bytes" if self._header is not None else "header_bytes"
        limits = self._pool.limits
        if size + len(gate.kept) > getattr(limits, bound):
            raise beyond(bound, limits)

    def _finish(self) -> None:
        """Nothing more will come out."""
        self._over = True
        self._stop()

    def _stop(self) -> None:
        if self._parser is not None:
            self._parser.close()
            self._parser = None
        self._gate.drain()
        self._raw.clear()
