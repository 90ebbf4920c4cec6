"""What comes out of a stream, and the bounds of it."""

from __future__ import annotations

from dataclasses import dataclass

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.stanza import Stanza
from xmppd.xml import tree

__all__ = ["Header", "Item", "Limits", "Nonza", "StreamEnd", "beyond", "standard_header"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one top-level element may be: bytes, elements (itself included), depth, attributes in all.

    :ivar header_bytes: bytes of a stream header.
    :ivar of_strangers: whether these are those before authentication, which have names of their own.
    """

    stanza_bytes: int = 262_144
    elements: int = 1_000
    depth: int = 64
    attributes: int = 256
    header_bytes: int = 10_240
    of_strangers: bool = False

    def name(self, limit: str) -> str:
        """What a limit is called in the configuration."""
        if self.of_strangers and limit in ("stanza_bytes", "elements"):
            return f"unauthenticated_{limit}"
        return {"stanza_bytes": limit, "header_bytes": "stream_header_bytes"}.get(limit, f"stanza_{limit}")


@dataclass(frozen=True, slots=True)
class Header:
    """A stream header.

    :ivar attrs: its attributes, ``xml:lang`` under that name.
    :ivar prefixes: the namespaces that it declares, by prefix (``''``: the default).
    :ivar prefix: the root's own prefix.
    """

    namespace: str
    name: str
    attrs: dict[str, str]
    prefixes: dict[str, str]
    prefix: str = "stream"

    @property
    def content(self) -> str:
        """The content namespace: what unprefixed elements of the stream are in."""
        return self.prefixes.get("", "")

    @property
    def is_standard(self) -> bool:
        """Whether it declares what every client declares, and nothing else."""
        return (
            (self.namespace, self.name, self.prefix) == (ns.STREAMS, "stream", "stream")
            and len(self.prefixes) == 2
            and "" in self.prefixes
        )

    def xml(self) -> bytes:
        """A header with the same namespaces, to bring a new parser to the same place."""
        declared = "".join(tree.declaration(prefix, uri) for prefix, uri in self.prefixes.items())
        return f"<{self.prefix}{':' if self.prefix else ''}{self.name}{declared}>".encode()


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


def beyond(limit: str, limits: Limits) -> StreamError:
    """The error for more than the limit of that name allows."""
    most, name = getattr(limits, limit), limits.name(limit)
    return StreamError("policy-violation", f"The most that is allowed is {most} ({name})")
