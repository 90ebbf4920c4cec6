"""Expat with boundary handlers: bytes to stream headers, stanzas and nonzas, with no tree between.

The handlers note where stanzas and their children begin and end; the bytes of the children are cut out as
they arrived.  For a 358-byte chat message with four children this takes a third of the time of a domish tree;
`python -m bench.parser` measures it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.stanza import SEPARATOR, Child, Stanza
from xmppd.xml import tree
from xmppd.xml.gate import WHITESPACE, match_tag
from xmppd.xml.items import Header, Item, Limits, Nonza, StreamEnd, beyond, standard_header
from xmppd.xml.names import ChildNames, plain, split

__all__ = [
    "Header",
    "Item",
    "Limits",
    "Nonza",
    "StreamEnd",
    "XMLParser",
    "beyond",
    "bounded_namespaces",
    "standard_header",
]

_KINDS = ("message", "presence", "iq")
_OPENING, _CLOSING = b"<>"
_CLIENT = ns.CLIENT
#: The one prefix that a standard header declares; a child that uses it cannot stand elsewhere as it is.
_STREAM_PREFIX = b"stream:"
_ENTITY_ERRORS = frozenset(
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_UNDEFINED_ENTITY,
        expat.errors.XML_ERROR_RECURSIVE_ENTITY_REF,
        expat.errors.XML_ERROR_ASYNC_ENTITY,
        expat.errors.XML_ERROR_BINARY_ENTITY_REF,
        expat.errors.XML_ERROR_ATTRIBUTE_EXTERNAL_ENTITY_REF,
    )
)


_ELEMENT_EVENTS = ("StartElement", "EndElement", "StartNamespaceDecl")
#: What may stand before the root element of XML, but not in XMPP.
_HEADER_EVENTS = ("StartDoctypeDecl", "EntityDecl", "ProcessingInstruction", "Comment")

#: How a declaration of a prefix begins.
_DECLARED = b"xmlns:"

#: Expat writes the namespace out in front of every name.  With 128 KiB of namespace and 16,000 short names
#: in one tag it would ask for 2 GiB before any handler is called.
_LONGEST_NAMESPACE = 512
_long_namespace = re.compile(
    rb"""xmlns(?::[^=<>'":]*+)?[ \t\r\n]*+=[ \t\r\n]*+(?:'[^']{%d}|"[^"]{%d})"""
    % ((_LONGEST_NAMESPACE + 1,) * 2)
)
_section = re.compile(rb"<!\[CDATA\[.*?\]\]>", re.DOTALL)
_values = re.compile(
    rb"""[ \t\r\n]([^ \t\r\n=<>'"]++)[ \t\r\n]*+=[ \t\r\n]*+(?:'([^']*)'|"([^"]*)")"""
).findall

#: What the handlers note of a top-level element, in one flat list: its name (None: the end of the stream),
#: its attributes and its place; place, name and end of each child; its end.  Places are byte indices.
#: Ends are what expat calls so: the place of the end tag, but the place behind an empty tag.
_Noted = list[Any]
_FIRST_CHILD = 3


class XMLParser:
    """One expat parser that finds the top-level elements of a stream.

    Feed it whole tags (see `xmppd.xml.gate`).  After an exception it must not be used again.

    :param header: start behind this header; without it the first item is the header that arrives.
    :param limits: bounds of one top-level element.
    :ivar header: the stream's header, once there is one.
    :ivar at_rest: whether it stands between two top-level elements.
    :ivar fed: how many bytes it has parsed, but for those of an element that is not finished.
    :ivar names: the names that it has met, each of which expat remembers.
    :ivar ended: whether the stream has ended; what follows its end tag does not count.
    """

    def __init__(self, header: Header | None = None, *, limits: Limits) -> None:
        self.header: Header | None = None
        self.at_rest = False
        self.ended = False
        self._limits, self._stanza_bytes = limits, limits.stanza_bytes
        self._room_for_declarations = limits.attributes * len(_DECLARED)
        #: The bytes from `fed` on: those of the open element, nothing while there is none.
        self._buffer = bytearray()
        self.fed = 0
        self._noted: list[_Noted] = []
        self._expat = parser = expat.ParserCreate("UTF-8", SEPARATOR)
        parser.namespace_prefixes = True
        self._parse, self.names = parser.Parse, parser.intern
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        if header is None:
            self._await_header()
        else:
            prologue = header.xml()
            parser.Parse(prologue)
            self.fed = len(prologue)
            self._begin(header)

    @property
    def open_bytes(self) -> int:
        """How many bytes of an unfinished top-level element it has."""
        return len(self._buffer)

    def drain(self) -> bytes:
        """Take out the bytes of the unfinished element; then the parser is of no more use."""
        kept = bytes(self._buffer)
        self._buffer.clear()
        return kept

    def close(self) -> None:
        """Let go of expat at once, not when the garbage collector finds the cycle."""
        for event in (*_ELEMENT_EVENTS, *_HEADER_EVENTS):
            setattr(self._expat, f"{event}Handler", None)

    def feed(self, data: bytes, items: list[Item]) -> None:
        """Parse whole tags; append each finished item to `items`.

        :raises StreamError: what is wrong with the bytes; the items before that have been appended.
        """
        # Condition and text: an exception in a local variable would keep its own traceback in a cycle.
        problem: tuple[str, str] | None = None
        awaiting = self.header is None
        if len(data) > _LONGEST_NAMESPACE:
            data, problem = bounded_namespaces(data)
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        try:
            self._parse(data)
        except expat.ExpatError as error:
            problem = _stream_error(error)
        except StreamError as error:
            problem = error.condition, error.text
        position = self._pass_header(data, items, problem) if awaiting else 0
        position = self._cut(buffer, position, items)
        if position == len(buffer) and problem is None:
            self.at_rest = True
            self.fed += position
            if self._buffer:
                self._buffer = bytearray()
        elif not self.ended:
            self._keep(buffer, position, problem)

    # -- the header

    def _await_header(self) -> None:
        parser = self._expat
        prefixes: dict[str, str] = {}

        def declare(prefix: str | None, uri: str | None) -> None:
            prefixes[prefix or ""] = uri or ""

        def start(name: str, attrs: dict[str, str]) -> None:
            if len(attrs) + len(prefixes) > self._limits.attributes:
                raise beyond("attributes", self._limits)
            self._header_at = parser.CurrentByteIndex
            namespace, local, prefix = split(name)
            self._begin(Header(namespace, local, plain(attrs), prefixes, prefix))

        for event in _HEADER_EVENTS:
            setattr(parser, f"{event}Handler", _refuse)
        parser.StartNamespaceDeclHandler = declare
        parser.StartElementHandler = start

    def _begin(self, header: Header) -> None:
        """What follows stands behind this header."""
        self.header = header
        # The stanzas whose children may stand elsewhere as they are: not those behind a header with prefixes.
        self._kinds: dict[str, str] = {}
        if header.is_standard:
            self._kinds = {f"{header.content}{SEPARATOR}{kind}": kind for kind in _KINDS}
        self._names = ChildNames(header.content)
        parser = self._expat
        parser.StartNamespaceDeclHandler = None
        parser.StartElementHandler, parser.EndElementHandler, self._opened = _watch(
            parser, self._noted, self._limits
        )

    def _pass_header(self, data: bytes, items: list[Item], problem: tuple[str, str] | None) -> int:
        """Emit the header that has arrived; return where it ends."""
        if self.header is None:
            raise StreamError(*(problem or ("not-well-formed", "The stream does not begin with a tag")))
        start = self._header_at
        if data[:start].strip(WHITESPACE):
            raise StreamError("not-well-formed", "Text before the stream")
        tag = match_tag(data, start)
        end = tag.end() if tag else len(data)
        if end - start > self._limits.header_bytes:
            raise beyond("header_bytes", self._limits)
        items.append(self.header)
        return end

    # -- finished elements

    def _cut(self, buffer: bytes | bytearray, position: int, items: list[Item]) -> int:
        """Cut what has been noted out of the buffer, from `position` on.

        :return: how far that goes; -1 if the stream has ended.
        """
        base = self.fed
        for noted in self._noted:
            start = noted[2] - base
            if start != position:
                _check_gap(buffer, position, start)
            if noted[0] is None:
                items.append(StreamEnd())
                self.ended, self.at_rest = True, False
                return -1
            position = noted[-1] - base
            if len(noted) > 4 or not _is_empty_tag(buffer, start, position):
                position = buffer.index(b">", position) + 1
            if position - start > self._stanza_bytes:
                raise beyond("stanza_bytes", self._limits)
            items.append(self._item(buffer, start, position, noted))
        self._noted.clear()
        return position

    def _keep(self, buffer: bytes | bytearray, position: int, problem: tuple[str, str] | None) -> None:
        """Remember the unfinished element, if one has begun behind `position`, until more of it comes."""
        opened = self._opened()
        self.at_rest = opened < 0
        if self.at_rest:
            # What expat refuses is a tag, or it is text that may not even stand here.
            rest = buffer[position:].lstrip(WHITESPACE)
            if rest and (problem is None or not rest.startswith(b"<")):
                raise StreamError("bad-format", "Text between stanzas")
            opened = self.fed + len(buffer)
        else:
            _check_gap(buffer, position, opened - self.fed)
        start = opened - self.fed
        if problem is not None:
            raise StreamError(*problem)
        if buffer is self._buffer:
            del self._buffer[:start]
        else:
            self._buffer = bytearray(buffer[start:])
        self.fed = opened
        if len(self._buffer) > self._stanza_bytes:
            raise beyond("stanza_bytes", self._limits)

    def _item(self, buffer: bytes | bytearray, start: int, end: int, noted: _Noted) -> Stanza | Nonza:
        if end - start > self._room_for_declarations:
            self._bound_declarations(bytes(buffer[start:end]))
        kind = self._kinds.get(noted[0])
        if kind is None:
            return self._foreign(buffer, start, end, noted)
        attrs = noted[1]
        first = noted[3] - self.fed
        if buffer.find(b"xml", start, first) >= 0:
            if buffer.find(b"xmlns:", start, first) >= 0:
                return self._foreign(buffer, start, end, noted)
            attrs = plain(attrs)
        # From the end, because that is twice as fast.
        if buffer.rfind(_STREAM_PREFIX, start, end) >= 0:
            return self._foreign(buffer, start, end, noted)
        if buffer.find(b"!", start, end) >= 0 and buffer.rfind(b"<!", start, end) >= 0:
            return self._foreign(buffer, start, end, noted)
        return self._plain_stanza(kind, attrs, buffer, noted) or self._foreign(buffer, start, end, noted)

    def _bound_declarations(self, element: bytes) -> None:
        """Count what seem to be declarations of prefixes: they are attributes, too."""
        assert self.header is not None
        if element.count(_DECLARED) <= self._limits.attributes:
            return
        number = 0

        def count(prefix: str | None, _: str | None) -> None:
            nonlocal number
            number += prefix is not None

        parser = expat.ParserCreate("UTF-8", SEPARATOR)
        parser.Parse(self.header.xml())
        parser.StartNamespaceDeclHandler = count
        parser.Parse(element)
        parser.StartNamespaceDeclHandler = None
        if number > self._limits.attributes:
            raise beyond("attributes", self._limits)

    def _plain_stanza(
        self, kind: str, attrs: dict[str, str], buffer: bytes | bytearray, noted: _Noted
    ) -> Stanza | None:
        """The stanza with its children's bytes as they arrived, and where each stands in them.

        Text between children means nothing and is left out.  None where a child needs its surroundings.
        """
        base, known = self.fed, self._names
        children: list[Child] = []
        pieces: list[bytes | bytearray] = []
        at, last = _FIRST_CHILD, len(noted) - 1
        piece = gone = following = noted[at]
        while at < last:
            opened, child, end = following, known[noted[at + 1]], noted[at + 2]
            at += 3
            following = noted[at]
            if child is None:
                return None
            # Where an empty tag is the last thing before `following`, expat has said so.  Else there is an
            # end tag at `end`, or text behind an empty tag.
            if end != following and buffer[end - base] == _OPENING:
                end = buffer.index(b">", end - base) + base + 1
            namespace, local = child
            # Where there is more than its name in the tag, it may declare a namespace.
            if (
                namespace == _CLIENT
                and buffer[opened - base + len(local) + 1] != _CLOSING
                and _declares_namespace(buffer, opened - base)
            ):
                return None
            children.append((namespace, local, opened - gone, end - gone))
            if end != following:
                pieces.append(buffer[piece - base : end - base])
                piece = following
                gone += following - end
        inner = bytes(buffer[piece - base : following - base])
        if pieces:
            inner = b"".join((*pieces, inner))
        return Stanza(kind, attrs, inner, tuple(children))

    def _foreign(self, buffer: bytes | bytearray, start: int, end: int, noted: _Noted) -> Stanza | Nonza:
        """A nonza, or a stanza that is written anew."""
        header, name, attrs = self.header, noted[0], noted[1]
        assert header is not None
        raw = bytes(buffer[start:end])
        namespace, local, _ = split(name)
        if local not in _KINDS or namespace != header.content:
            return Nonza(namespace, local, plain(attrs), raw, header)
        stanza = tree.stanza(tree.parse_within(header.xml(), raw))
        if len(stanza.inner) > self._limits.stanza_bytes:
            raise beyond("stanza_bytes", self._limits)
        return stanza


def _watch(
    parser: expat.XMLParserType, noted: list[_Noted], limits: Limits
) -> tuple[Callable[[str, dict[str, str]], None], Callable[[str], None], Callable[[], int]]:
    """Handlers of expat that note top-level elements and their children.

    They are closures because they run twice for every element that anyone sends.  With them comes a function
    that tells where the unfinished element began, or -1.
    """
    most_elements, most_attributes, deepest = limits.elements, limits.attributes, limits.depth
    depth = elements = attributes = 0
    element: _Noted = []

    def start(name: str, attrs: dict[str, str]) -> None:
        nonlocal depth, elements, attributes, element
        depth += 1
        if depth == 2:
            element.append(parser.CurrentByteIndex)
            element.append(name)
        elif depth == 1:
            element = [name, attrs, parser.CurrentByteIndex]
            elements = attributes = 0
        elements += 1
        if elements > most_elements:
            raise beyond("elements", limits)
        if attrs:
            attributes += len(attrs)
            if attributes > most_attributes:
                raise beyond("attributes", limits)
        if depth > deepest:
            raise beyond("depth", limits)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1
        if depth == 1:
            element.append(parser.CurrentByteIndex)
        elif depth == 0:
            element.append(parser.CurrentByteIndex)
            noted.append(element)
        elif depth < 0:
            noted.append([None, {}, parser.CurrentByteIndex])

    def opened() -> int:
        return int(element[2]) if depth > 0 else -1

    return start, end, opened


def _check_gap(buffer: bytes | bytearray, start: int, end: int) -> None:
    if buffer[start:end].strip(WHITESPACE):
        raise StreamError("bad-format", "Text between stanzas")


def _is_empty_tag(buffer: bytes | bytearray, start: int, place: int) -> bool:
    """Whether an element without children is one empty tag.

    :param place: where expat says that it ends: behind it if so, else at its end tag.
    """
    if buffer[place - 2 : place] != b"/>":
        return False
    tag = match_tag(buffer, start)
    return tag is not None and tag.end() == place


def _declares_namespace(buffer: bytes | bytearray, start: int) -> bool:
    tag = match_tag(buffer, start)
    return tag is None or b"xmlns" in tag[0]


def bounded_namespaces(data: bytes) -> tuple[bytes, tuple[str, str] | None]:
    """What may be parsed of `data`, and what is wrong with the rest: a namespace that is too long."""
    if not _long_namespace.search(data):
        return data, None
    tags = _section.sub(lambda section: b" " * len(section[0]), data)
    checked = -1
    for found in _long_namespace.finditer(tags):
        start = tags.rfind(b"<", 0, found.start())
        if start == checked:
            continue
        checked = start
        tag = match_tag(tags, start) if start >= 0 else None
        if tag is not None and any(_is_long_namespace(*value) for value in _values(tag[0])):
            return data[:start], ("policy-violation", f"A namespace may have {_LONGEST_NAMESPACE} bytes")
    return data, None


def _is_long_namespace(name: bytes, single: bytes, double: bytes) -> bool:
    return name.startswith(b"xmlns") and len(single or double) > _LONGEST_NAMESPACE


def _refuse(*_: Any) -> None:
    raise StreamError("restricted-xml", "No comments, processing instructions or DTDs here")


def _stream_error(problem: expat.ExpatError) -> tuple[str, str]:
    if problem.code in _ENTITY_ERRORS:
        return "restricted-xml", "Only the five predefined entities are allowed"
    return "not-well-formed", f"Not well-formed XML: {expat.ErrorString(problem.code)}"
