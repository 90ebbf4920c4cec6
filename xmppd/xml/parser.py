"""Expat with boundary handlers: bytes to stream headers, stanzas and nonzas, with no tree between.

The handlers note where stanzas and their children begin and end; the bytes of the children are cut out as
they arrived.  Measured on a 358-byte chat message with four children: 3 to 5 µs, against 22 µs for domish.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.stanza import SEPARATOR, Child, Stanza
from xmppd.xml import tree

__all__ = ["Header", "Item", "Limits", "Nonza", "StreamEnd", "XMLParser", "standard_header"]

_KINDS = frozenset(("message", "presence", "iq"))
_XML_LANG = ns.XML + SEPARATOR + "lang"
_tag = re.compile(rb"""<[^<>'"]*+(?:(?:'[^']*+'|"[^"]*+")[^<>'"]*+)*+>""").match
_SPACE = b" \t\r\n"
#: What makes a stanza mean something else when it is cut out of its stream: such a one is written anew.
_FOREIGN = (b"xmlns:", b"stream:", b"<![CDATA[")
_ENTITY_ERRORS = frozenset((11, 12, 14, 24))


@dataclass(frozen=True, slots=True)
class Limits:
    """What one top-level element may be: bytes, elements (itself included), depth, attributes in all."""

    stanza_bytes: int = 262_144
    elements: int = 1_000
    depth: int = 64
    attributes: int = 256


@dataclass(frozen=True, slots=True)
class Header:
    """A stream header: the root's namespace and name, its attributes, its namespaces by prefix."""

    namespace: str
    name: str
    attrs: dict[str, str]
    prefixes: dict[str, str]

    @property
    def content(self) -> str:
        """The content namespace: what unprefixed elements of the stream are in."""
        return self.prefixes.get("", "")

    @property
    def is_standard(self) -> bool:
        """Whether it declares what every client declares, and nothing else."""
        return self.prefixes in ({"": self.content, "stream": ns.STREAMS}, {"": self.content})

    def xml(self) -> bytes:
        """A header with the same namespaces, to bring a new parser to the same place."""
        declared = "".join(
            tree.declaration(prefix, uri) for prefix, uri in self.prefixes.items() if prefix != "stream"
        )
        return f"<stream:stream xmlns:stream='{ns.STREAMS}'{declared}>".encode()


@dataclass(frozen=True, slots=True)
class Nonza:
    """A top-level element that is not a stanza: name, attributes, and its bytes behind a header."""

    namespace: str
    name: str
    attrs: dict[str, str]
    raw: bytes
    header: Header

    def element(self) -> tree.Element:
        """The tree of it."""
        return tree.parse_within(self.header.xml(), self.raw)


class StreamEnd:
    """The end tag of the stream."""

    __slots__ = ()


Item = Header | Stanza | Nonza | StreamEnd


def standard_header(content: str = ns.CLIENT) -> Header:
    """The header of nearly every client."""
    return Header(ns.STREAMS, "stream", {}, {"": content, "stream": ns.STREAMS})


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(SEPARATOR)
    return namespace, local


class XMLParser:
    """One expat parser that finds the top-level elements of a stream.

    Feed it whole tags (see `xmppd.xml.gate`).  After an exception it must not be used again.

    :param header: start behind this header; without it the first item is the header that arrives.
    :param limits: bounds of one top-level element.
    """

    __slots__ = (
        "_base",
        "_buffer",
        "_children",
        "_depth",
        "_elements",
        "_emit",
        "_expat",
        "_header",
        "_last_start",
        "_limits",
        "_name",
        "_number_of_attributes",
        "_opened_at",
        "_prefixes",
        "_rest_from",
        "_root_attrs",
        "fed",
    )

    def __init__(self, header: Header | None = None, *, limits: Limits) -> None:
        self._limits = limits
        self._header = header
        self._prefixes: dict[str, str] = {}
        self._depth = self._elements = self._number_of_attributes = 0
        self._base = self._opened_at = self._last_start = self._rest_from = 0
        self._buffer: bytes | bytearray = b""
        self._children: list[Child] = []
        self._name = ""
        self._root_attrs: dict[str, str] = {}
        self._emit: Callable[[Item], None] = _nowhere
        self.fed = 0
        self._start_expat()

    def _start_expat(self) -> None:
        parser = expat.ParserCreate("UTF-8", SEPARATOR)
        self._expat = parser
        parser.buffer_text = False
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        if self._header is not None:
            prologue = self._header.xml()
            parser.Parse(prologue)
            self._base = self._rest_from = len(prologue)
            self._depth = 1
        else:
            parser.StartNamespaceDeclHandler = self._declare
            for forbidden in ("StartDoctypeDecl", "EntityDecl", "ProcessingInstruction", "Comment"):
                setattr(parser, forbidden + "Handler", _refuse)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    @property
    def at_rest(self) -> bool:
        """Whether no top-level element is open: all that was fed has been handed out."""
        return self._depth == 1

    @property
    def open_bytes(self) -> int:
        """Bytes of the top-level element that is not finished yet."""
        return len(self._buffer)

    def limit(self, limits: Limits) -> None:
        """From now on, other limits hold."""
        self._limits = limits

    def feed(self, data: bytes, emit: Callable[[Item], None]) -> None:
        """Parse whole tags; call `emit` with each item as it is finished.

        :raises StreamError: what is wrong with the bytes; items before that have been emitted.
        """
        self._emit = emit
        self.fed += len(data)
        if self._buffer:
            self._buffer = bytearray(self._buffer)
            self._buffer += data
        else:
            self._buffer = data
        try:
            self._expat.Parse(data)
        except expat.ExpatError as problem:
            raise _stream_error(problem) from None
        self._emit = _nowhere
        self._keep_open_element()

    def _keep_open_element(self) -> None:
        start = self._opened_at if self._depth > 1 else self._base + len(self._buffer)
        if self._depth == 1:
            self._check_gap(start)
            self._rest_from = start
        self._buffer = self._buffer[start - self._base :]
        self._base = start
        if len(self._buffer) > self._limits.stanza_bytes:
            raise self._too_large()

    def _too_large(self) -> StreamError:
        return StreamError(
            "policy-violation", f"A stanza may have {self._limits.stanza_bytes} bytes here (stanza_bytes)"
        )

    def _check_gap(self, end: int) -> None:
        if end != self._rest_from:
            gap = self._buffer[self._rest_from - self._base : end - self._base]
            if gap.strip(_SPACE):
                raise StreamError("bad-format", "Text between stanzas")

    # -- handlers of expat

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        if self._depth == 0:
            self._prefixes[prefix or ""] = uri or ""

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        depth = self._depth
        self._depth = depth + 1
        if depth == 0:
            self._open_stream(name, attrs)
            return
        place = self._last_start = self._expat.CurrentByteIndex
        limits = self._limits
        if depth == 1:
            self._check_gap(place)
            self._opened_at = place
            self._name, self._root_attrs = name, attrs
            self._children = []
            self._elements, self._number_of_attributes = 1, len(attrs)
            return
        self._elements += 1
        self._number_of_attributes += len(attrs)
        if depth == 2:
            self._children.append((name, "", place, 0))
        if depth > limits.depth or self._elements > limits.elements:
            raise StreamError(
                "policy-violation",
                f"A stanza may have {limits.elements} elements, {limits.depth} deep (elements, depth)",
            )
        if self._number_of_attributes > limits.attributes:
            raise StreamError(
                "policy-violation", f"A stanza may have {limits.attributes} attributes (attributes)"
            )

    def _end(self, name: str) -> None:
        self._depth -= 1
        depth = self._depth
        if depth == 2:
            self._children[-1] = (name, "", self._children[-1][2], self._end_of_tag())
        elif depth == 1:
            self._finish(self._end_of_tag())
        elif depth == 0:
            self._emit(StreamEnd())
        self._last_start = -1

    def _end_of_tag(self) -> int:
        """Where the element that ends now has its last byte, plus one.

        Expat reports an end tag where it begins, but the end of an empty element (``<a/>``) behind it.
        """
        place = self._expat.CurrentByteIndex - self._base
        buffer = self._buffer
        if self._last_start >= 0 and buffer[place - 2 : place] == b"/>":
            start = _tag(buffer, self._last_start - self._base)
            if start is not None and start.end() == place:
                return place + self._base
        return buffer.index(b">", place) + 1 + self._base

    def _open_stream(self, name: str, attrs: dict[str, str]) -> None:
        self._expat.StartNamespaceDeclHandler = None
        namespace, local = _split(name)
        self._header = Header(namespace, local, _plain(attrs), self._prefixes)
        data = bytes(self._buffer)
        start = self._expat.CurrentByteIndex - self._base
        if data[:start].strip(_SPACE):
            raise StreamError("bad-format", "Text before the stream")
        found = _tag(data, start)
        self._rest_from = self._base + (found.end() if found else len(data))
        self._emit(self._header)

    # -- finished elements

    def _finish(self, end: int) -> None:
        start = self._opened_at
        self._rest_from = end
        if end - start > self._limits.stanza_bytes:
            raise self._too_large()
        raw = self._buffer[start - self._base : end - self._base]
        if type(raw) is not bytes:
            raw = bytes(raw)
        header = self._header
        assert header is not None
        namespace, local = _split(self._name)
        if local in _KINDS and namespace == header.content:
            self._emit(self._stanza(local, namespace, raw, header))
        else:
            self._emit(Nonza(namespace, local, self._root_attrs, raw, header))

    def _stanza(self, kind: str, content: str, raw: bytes, header: Header) -> Stanza:
        attrs = self._root_attrs
        if _XML_LANG in attrs:
            attrs = _plain(attrs)
        if header.is_standard and _is_plain(raw, kind):
            cut = self._cut_children(raw, content)
            if cut is not None:
                return Stanza(kind, attrs, *cut)
        return tree.stanza(tree.parse_within(header.xml(), raw))

    def _cut_children(self, raw: bytes, content: str) -> tuple[bytes, tuple[Child, ...]] | None:
        """The children's spans, joined; text directly under a stanza means nothing and is left out."""
        shift = self._opened_at
        pieces, children, position, expected = [], [], 0, -1
        for name, _, start, end in self._children:
            namespace, _, local = name.rpartition(SEPARATOR)
            if namespace == content and b"xmlns" in raw[start - shift : end - shift]:
                return None
            length = end - start
            children.append((namespace, local, position, position + length))
            position += length
            if start == expected:
                pieces[-1] = (pieces[-1][0], end)
            else:
                pieces.append((start, end))
            expected = end
        if len(pieces) == 1:
            inner = raw[pieces[0][0] - shift : pieces[0][1] - shift]
        else:
            inner = b"".join([raw[start - shift : end - shift] for start, end in pieces])
        return inner, tuple(children)


def _is_plain(raw: bytes, kind: str) -> bool:
    if not raw.startswith(kind.encode(), 1):
        return False
    return not any(mark in raw for mark in _FOREIGN)


def _plain(attrs: dict[str, str]) -> dict[str, str]:
    return {("xml:lang" if name == _XML_LANG else name): value for name, value in attrs.items()}


def _nowhere(item: Item) -> None:
    raise AssertionError("an item outside feed()")


def _refuse(*_: object) -> None:
    raise StreamError("restricted-xml", "No comments, processing instructions or DTDs in XMPP")


def _stream_error(problem: expat.ExpatError) -> StreamError:
    if problem.code in _ENTITY_ERRORS:
        return StreamError("restricted-xml", "Only the five predefined entities are allowed")
    return StreamError("not-well-formed", f"Not well-formed XML: {expat.ErrorString(problem.code)}")
