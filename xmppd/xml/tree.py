"""Trees where a handler needs one, and the one writer of elements.

`domish.Element.toXml` never writes to a peer or into a store: it does not escape namespace URIs (one
accepted stanza left as three), changes namespaces in a tenth of random documents, and recurses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from twisted.words.xish import domish

from xmppd.core import ns
from xmppd.core.stanza import SEPARATOR, Stanza, escape_attribute, escape_text

__all__ = ["Element", "declaration", "element", "parse", "parse_within", "stanza", "write"]

#: A tree: twisted's, because wokkel's codecs take and give it.
Element = domish.Element


def declaration(prefix: str, uri: str) -> str:
    """A namespace declaration as it stands in a tag."""
    return f" xmlns{':' if prefix else ''}{prefix}='{escape_attribute(uri)}'"


class _Builder:
    """Expat events to a domish tree, without recursion."""

    def __init__(self, skip: int) -> None:
        self.skip = skip
        self.root: Element | None = None
        self.stack: list[Element] = []

    def start(self, name: str, attrs: dict[str, str]) -> None:
        if self.skip:
            self.skip -= 1
            return
        namespace, _, local = name.rpartition(SEPARATOR)
        node = Element((namespace, local))
        for key, value in attrs.items():
            uri, _, plain = key.rpartition(SEPARATOR)
            node.attributes[(uri, plain) if uri else plain] = value
        if self.stack:
            node.parent = self.stack[-1]
            self.stack[-1].children.append(node)
        elif self.root is None:
            self.root = node
        self.stack.append(node)

    def end(self, _name: str) -> None:
        if self.stack:
            self.stack.pop()

    def text(self, data: str) -> None:
        if not self.stack:
            return
        children = self.stack[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += data
        else:
            children.append(data)


def parse_within(header: bytes, xml: bytes) -> Element:
    """The tree of an element that stands behind `header` (start tag of its stream).

    :raises expat.ExpatError: not well-formed.
    :raises ValueError: not one whole element.
    """
    builder = _Builder(skip=1 if header else 0)
    parser = expat.ParserCreate("UTF-8", SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.Parse(header + xml, not header)
    if builder.root is None or builder.stack:
        raise ValueError("not one whole element")
    return builder.root


def parse(xml: bytes) -> Element:
    """The tree of one element that declares all its namespaces.

    Only for bytes that came through the parser of a stream or out of this writer: it has no limits.

    :raises expat.ExpatError: not well-formed.
    """
    return parse_within(b"", xml)


def element(source: Stanza) -> Element:
    """The tree of a stanza, addresses included."""
    return parse(source.standing_alone(ns.CLIENT))


def child(source: Stanza, namespace: str, name: str) -> Element | None:
    """The tree of a stanza's first child of that name."""
    found = source.find(namespace, name)
    if found is None:
        return None
    return parse_within(b"<stream xmlns='" + ns.CLIENT.encode() + b"'>", source.xml(found))


# -- writing


def _namespace(node: Element, around: str) -> str:
    """The namespace of an element; None means "that of the element around it" in domish trees."""
    return around if node.uri is None else str(node.uri)


def _attributes(node: Element) -> Iterator[str]:
    number = 0
    for key, value in node.attributes.items():
        uri, name = key if isinstance(key, tuple) else ("", key)
        if uri == ns.XML:
            name = f"xml:{name}"
        elif uri:
            yield declaration(f"n{number}", uri)
            name = f"n{number}:{name}"
            number += 1
        yield f" {name}='{escape_attribute(value)}'"


def _opening(node: Element, namespace: str, around: str) -> tuple[str, str, str]:
    """How an element begins: its name as written, its start tag so far, the default namespace inside."""
    if namespace == ns.XML:
        # No document may make this one the default or declare it under another prefix.
        name, declared, inside = f"xml:{node.name}", declaration("", around), around
    else:
        name, inside = node.name, namespace
        declared = "" if namespace == around else declaration("", namespace)
    return name, f"<{name}{declared}{''.join(_attributes(node))}", inside


def write(node: Element, inherited: str = "") -> bytes:
    """The bytes of a tree, every namespace as a default declaration, no prefixes on elements.

    :param inherited: the default namespace where the bytes will stand (`''`: they stand alone).
    """
    out: list[str] = []
    # What is still to be written: ready text, or an element with the namespace around it.
    todo: list[str | tuple[Any, str]] = [(node, inherited)]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            out.append(item)
            continue
        current, around = item
        name, start, inside = _opening(current, _namespace(current, around), around)
        out.append(start)
        if not current.children:
            out.append("/>")
            continue
        out.append(">")
        todo.append(f"</{name}>")
        for part in reversed(current.children):
            todo.append((part, inside) if isinstance(part, Element) else escape_text(str(part)))
    return "".join(out).encode()


def _stanza_attribute(key: Any) -> str:
    if not isinstance(key, tuple):
        return str(key)
    return f"xml:{key[1]}" if key[0] == ns.XML else f"{key[0]}{SEPARATOR}{key[1]}"


def stanza(node: Element) -> Stanza:
    """A stanza in canonical form from a tree; text directly under it means nothing and is dropped.

    Whatever its content namespace is, inside the server it is called ``jabber:client``.  The raw ``to`` and
    ``from`` stay among the attributes, as they do when bytes are parsed.
    """
    content = _namespace(node, ns.CLIENT)
    attrs = {_stanza_attribute(key): value for key, value in node.attributes.items()}
    parts = []
    for part in node.children:
        if isinstance(part, Element):
            namespace = _namespace(part, content)
            parts.append((ns.CLIENT if namespace == content else namespace, part.name, write(part, content)))
    return Stanza(node.name, attrs).with_children(parts)
