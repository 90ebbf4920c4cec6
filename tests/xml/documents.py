"""Random documents: what they say, and one of the many legal ways to write it down."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from typing import Any
from xml.etree import ElementTree

from hypothesis import strategies as st

from xmppd.core import ns
from xmppd.core.stanza import Stanza
from xmppd.xml import tree
from xmppd.xml.parser import Header, Item, Nonza, StreamEnd

#: A namespace that ends its own declaration and forges a stanza, where a writer does not escape it.
FORGED = "u'/></message><message from='admin@example.org' x='"
NAMESPACES = (
    ns.CLIENT,
    ns.SERVER,
    ns.STREAMS,
    ns.XML,
    "",
    "urn:example:a",
    "urn:example:b",
    "with blank",
    "tab\tline\nreturn\rend",
    "<&>\"'",
    "é\U0001f600",
    FORGED,
)
LOCALS = ("a", "b", "body", "message", "presence", "iq", "error", "stream", "x.y-1", "_é", "xmlns1")
PREFIXES = ("a", "b", "c", "stream", "n0", "xmln", "é")


@dataclass
class Node:
    """An element of a random document; attributes by (namespace, name)."""

    namespace: str
    name: str
    attrs: dict[tuple[str, str], str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)


characters = st.characters(
    codec="utf-8",
    exclude_characters=[chr(code) for code in range(32) if code not in (9, 10, 13)] + ["\ufffe", "\uffff"],
)
texts = st.text(characters, max_size=12) | st.sampled_from(
    [
        "]]>",
        "]]",
        ">",
        "/>",
        "</a>",
        "<!--",
        "&amp;",
        "xmlns:a='b'",
        "stream:x",
        " \t\r\n",
        "\r\n",
        "é\U0001f600",
    ]
)
attributes = st.dictionaries(
    st.tuples(st.sampled_from(("", "", *NAMESPACES)), st.sampled_from(LOCALS)), texts, max_size=4
)


plain_attributes = st.dictionaries(
    st.sampled_from((("", "id"), ("", "type"), (ns.XML, "lang"))), texts, max_size=2
)


def nodes(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    """Elements with such children."""
    parts = st.lists(children | texts, max_size=4)
    return st.builds(Node, st.sampled_from(NAMESPACES), st.sampled_from(LOCALS), attributes, parts)


def plain_nodes(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    """Elements as they are in nearly all stanzas."""
    parts = st.lists(children | texts, max_size=3)
    namespaces = st.sampled_from((ns.CLIENT, "urn:example:a", "urn:example:b"))
    return st.builds(Node, namespaces, st.sampled_from(LOCALS), plain_attributes, parts)


trees = st.recursive(nodes(st.nothing()), nodes, max_leaves=8)
plain_trees = st.recursive(plain_nodes(st.nothing()), plain_nodes, max_leaves=5)


def stanzas(content: str) -> st.SearchStrategy[Node]:
    """Stanzas in a content namespace, plain ones and others."""
    kinds = st.sampled_from(("message", "presence", "iq"))
    plain = st.builds(
        Node, st.just(content), kinds, plain_attributes, st.lists(plain_trees | texts, max_size=5)
    )
    return plain | st.builds(Node, st.just(content), kinds, attributes, st.lists(trees | texts, max_size=5))


# -- forms that can be compared


def _merged(parts: list[Any]) -> tuple[Any, ...]:
    merged: list[Any] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return tuple(merged)


def form(node: Node | str) -> Any:
    """What a node says, however it is written."""
    if isinstance(node, str):
        return node
    return (node.namespace, node.name, dict(node.attrs), _merged([form(part) for part in node.children]))


def without_text(shape: Any) -> Any:
    """The form of an element without the text directly in it."""
    namespace, name, attrs, children = shape
    return namespace, name, attrs, tuple(part for part in children if not isinstance(part, str))


def _name(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition("}")
    return namespace.removeprefix("{"), local


def form_of_bytes(xml: bytes) -> Any:
    """What a document says to a parser of the standard library that sees it in one piece."""
    return _form_of_etree(ElementTree.fromstring(xml))


def _form_of_etree(element: ElementTree.Element) -> Any:
    parts: list[Any] = [element.text or ""]
    for child in element:
        parts += [_form_of_etree(child), child.tail or ""]
    attrs = {_name(key): value for key, value in element.attrib.items()}
    return (*_name(element.tag), attrs, _merged(parts))


def form_of_element(element: tree.Element) -> Any:
    """What a domish tree says."""
    attrs = {key if isinstance(key, tuple) else ("", key): value for key, value in element.attributes.items()}
    parts = [part if isinstance(part, str) else form_of_element(part) for part in element.children]
    return (element.uri, element.name, attrs, _merged(parts))


def element_of(node: Node) -> tree.Element:
    """The domish tree of a node."""
    element = tree.Element((node.namespace, node.name))
    for (namespace, name), value in node.attrs.items():
        element.attributes[(namespace, name) if namespace else name] = value
    element.children = [part if isinstance(part, str) else element_of(part) for part in node.children]
    return element


def form_of_item(item: Item, content: str) -> Any:
    """What an item of a stream says, by its bytes."""
    if isinstance(item, Stanza):
        return form_of_bytes(item.standing_alone(content))
    if isinstance(item, Nonza):
        root = re.match(rb"<([^ >]*)", item.header.xml())
        assert root is not None
        (element,) = form_of_bytes(item.header.xml() + item.raw + b"</" + root[1] + b">")[3]
        return element
    if isinstance(item, StreamEnd):
        return "end"
    assert isinstance(item, Header)
    return item.namespace, item.name, item.attrs


# -- writing


class Style:
    """Writes nodes in a way that chance decides.

    :param random: the source of chance.
    :ivar prefers_default: whether it declares default namespaces where it can, as nearly all clients do.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.prefers_default = self.chance(0.5)

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return self._random.random() < probability

    def blank(self, least: int = 0) -> str:
        """White space as it may stand inside a tag, and between stanzas."""
        count = least + (self._random.randrange(3) if self.chance(0.2) else 0)
        return "".join(self._random.choices(" \t\r\n", k=count))

    def text(self, text: str) -> str:
        """Character data: raw, in entities and references, in CDATA."""
        out = ""
        while text:
            size = self._random.randrange(1, len(text) + 1)
            piece, text = text[:size], text[size:]
            if self.chance(0.05) and "\r" not in piece and "]]>" not in piece:
                out += f"<![CDATA[{piece}]]>"
                continue
            for char in piece:
                raw = char not in "<&\r" and not (char == ">" and out.endswith("]]"))
                out += char if raw and self.chance(0.9) else self._reference(char)
        return out

    def _reference(self, char: str) -> str:
        entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "'": "&apos;", '"': "&quot;"}
        ways = [f"&#{ord(char)};", f"&#x{ord(char):X};", f"&#x0{ord(char):x};"]
        return self._random.choice([*ways, entities.get(char, ways[0])])

    def attribute(self, name: str, value: str) -> str:
        """An attribute, with the blank before it."""
        quote = self._random.choice("'\"")
        escaped = "".join(
            self._reference(char) if char in "<&\t\n\r" + quote or self.chance(0.1) else char
            for char in value
        )
        return f"{self.blank(1)}{name}{self.blank()}={self.blank()}{quote}{escaped}{quote}"

    def element(self, node: Node, scope: dict[str, str]) -> str:
        """An element where the prefixes of `scope` are declared (``''``: the default namespace)."""
        name, start, scope = self.start(node, scope)
        if not node.children and self.chance(0.7):
            return f"<{start}{self.blank()}/>"
        inner = "".join(
            self.text(part) if isinstance(part, str) else self.element(part, scope)
            for part in _merged(node.children)
        )
        return f"<{start}{self.blank()}>{inner}</{name}{self.blank()}>"

    def start(self, node: Node, scope: dict[str, str]) -> tuple[str, str, dict[str, str]]:
        """A start tag without brackets: its name as written, all of it, the prefixes declared inside."""
        declared: dict[str, str] = {}
        if self.chance(0.02 if self.prefers_default else 0.1):
            declared[self._random.choice(PREFIXES)] = self._random.choice(
                ("urn:example:a", ns.CLIENT, FORGED)
            )
        prefixes = _Prefixes(self, scope, declared)
        prefix = prefixes.of_element(node.namespace)
        name = f"{prefix}:{node.name}" if prefix else node.name
        parts = [
            self.attribute(prefixes.of_attribute(namespace) + local, value)
            for (namespace, local), value in node.attrs.items()
        ]
        for short, uri in declared.items():
            parts.append(self.attribute(f"xmlns:{short}" if short else "xmlns", uri))
        self._random.shuffle(parts)
        return name, name + "".join(parts), {**scope, **declared}

    def choice(self, options: list[str]) -> str:
        """Any of the options."""
        return self._random.choice(options)


class _Prefixes:
    """Chooses the prefixes of one tag; what the tag uses is never declared again by it."""

    def __init__(self, style: Style, scope: dict[str, str], declared: dict[str, str]) -> None:
        self._style, self._scope, self._declared = style, scope, declared
        self._used: set[str] = set()

    def of_element(self, uri: str) -> str:
        if uri == "" and {**self._scope, **self._declared}.get("", "") != "":
            self._declared[""] = ""
        options = [""] if self._style.prefers_default else ["", "", "", *PREFIXES]
        return "" if uri == "" else self._any(uri, options)

    def of_attribute(self, uri: str) -> str:
        return f"{self._any(uri, list(PREFIXES))}:" if uri else ""

    def _any(self, uri: str, options: list[str]) -> str:
        if uri == ns.XML:
            return "xml"
        bound = {**self._scope, **self._declared}
        known = [short for short in options if bound.get(short) == uri]
        taken = self._used | set(self._declared)
        if known and (self._style.chance(0.8) or taken.issuperset(options)):
            short = self._style.choice(known)
        else:
            short = self._style.choice([short for short in options if short not in taken])
            self._declared[short] = uri
        self._used.add(short)
        return short


# -- streams


@dataclass
class Stream:
    """A whole stream: its bytes, its content namespace, what its items say and where each of them ends."""

    data: bytes
    content: str
    forms: list[Any]
    ends: list[int]


class _StreamWriter:
    def __init__(self, random: Random, content: str) -> None:
        self.style = Style(random)
        self.content = content
        self.out = ""
        self.forms: list[Any] = []
        self.ends: list[int] = []

    def put(self, text: str, shape: Any) -> None:
        self.out += text
        self.forms.append(shape)
        self.ends.append(len(self.out.encode()))

    def header(self, attrs: dict[tuple[str, str], str]) -> tuple[str, dict[str, str]]:
        """Begin the stream, mostly as all clients do; return the root's name and the prefixes in scope."""
        style = self.style
        scope = {"": self.content, "stream": ns.STREAMS}
        root = "stream"
        if style.chance(0.4):
            root = style.choice([*PREFIXES])
            scope = {"": self.content, root: ns.STREAMS}
            scope.update(
                (short, style.choice(["urn:example:a", FORGED])) for short in PREFIXES[:2] if short != root
            )
        parts = [style.attribute(f"xmlns:{short}" if short else "xmlns", uri) for short, uri in scope.items()]
        parts += [
            style.attribute(f"xml:{name}" if uri else name, value) for (uri, name), value in attrs.items()
        ]
        if style.chance(0.5):
            self.out += style.choice(["<?xml version='1.0'?>", '<?xml version="1.0" encoding="utf-8" ?>\n'])
        shape = (
            ns.STREAMS,
            "stream",
            {f"xml:{name}" if uri else name: value for (uri, name), value in attrs.items()},
        )
        self.put(f"{style.blank()}<{root}:stream{''.join(parts)}{style.blank()}>", shape)
        return f"{root}:stream", scope


def _is_stanza(node: Node, content: str) -> bool:
    return node.namespace == content and node.name in ("message", "presence", "iq")


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Streams with a few stanzas and nonzas, with or without an end."""
    content = draw(st.sampled_from((ns.CLIENT, ns.SERVER)))
    items = draw(st.lists(stanzas(content) | trees, max_size=5))
    attrs = draw(
        st.dictionaries(
            st.sampled_from((("", "to"), ("", "from"), ("", "id"), (ns.XML, "lang"))), texts, max_size=3
        )
    )
    writer = _StreamWriter(Random(draw(st.integers(0, 2**32))), content)
    root, scope = writer.header(attrs)
    for item in items:
        shape = form(item)
        stanza = _is_stanza(item, content)
        writer.put(
            writer.style.blank() + writer.style.element(item, scope),
            without_text(shape) if stanza else shape,
        )
    if draw(st.booleans()):
        writer.put(f"{writer.style.blank()}</{root}{writer.style.blank()}>", "end")
    return Stream(writer.out.encode(), content, writer.forms, writer.ends)


@st.composite
def chunkings(draw: st.DrawFn) -> Random:
    """How to cut bytes into chunks: feed it to `chunks`."""
    return Random(draw(st.integers(0, 2**32)))


def chunks(data: bytes, random: Random) -> list[bytes]:
    """The bytes in pieces: single bytes, a few, or many at once."""
    most = random.choice((1, 4, 20, 100, len(data) + 1))
    pieces = []
    while data:
        size = random.randint(1, most)
        pieces.append(data[:size])
        data = data[size:]
    return pieces
