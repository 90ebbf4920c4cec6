"""A stanza as the server carries it: attributes, and children as spans of the bytes that arrived.

No tree is built for a plain message: children are found by namespace and name in a short tuple, and all
receivers share the same bytes.  `xmppd.xml.tree.element` builds a tree for handlers that look deeper.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from xmppd.core.jid import JID

__all__ = ["Child", "Stanza", "escape_attribute", "escape_text"]

#: A child of a stanza: namespace, name, and where its bytes start and end in `Stanza.inner`.
Child = tuple[str, str, int, int]

#: Between namespace and name of an attribute; a character that XML forbids.
SEPARATOR = "\x01"

#: What no XML document may contain, however it is written (XML 1.0, production 2).
_FORBIDDEN = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_forbidden = re.compile(f"[{_FORBIDDEN}]")
_unsafe_in_attribute = re.compile(f"[&<>'\"\t\n\r{_FORBIDDEN}]").search
_END_TAGS = {kind: f"</{kind}>".encode() for kind in ("message", "presence", "iq")}
_unsafe_in_text = re.compile(f"[&<>\r{_FORBIDDEN}]").search
_TEXT_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_ATTRIBUTE_ESCAPES = {
    **_TEXT_ESCAPES,
    ord("'"): "&apos;",
    ord('"'): "&quot;",
    ord("\t"): "&#9;",
    ord("\n"): "&#10;",
}


def escape_attribute(value: str) -> str:
    """The value of an attribute, ready to stand between single or double quotes.

    A character that XML forbids becomes U+FFFD, here and in `escape_text`.
    """
    if not _unsafe_in_attribute(value):
        return value
    return _forbidden.sub("\ufffd", value).translate(_ATTRIBUTE_ESCAPES)


def escape_text(value: str) -> str:
    """Character data; a carriage return would be changed by the receiver's parser if left raw."""
    if not _unsafe_in_text(value):
        return value
    return _forbidden.sub("\ufffd", value).translate(_TEXT_ESCAPES)


def _with_prefix(before: str, name: str, value: str) -> str:
    """An attribute with a namespace, under a prefix that no attribute `before` has."""
    namespace, _, local = name.partition(SEPARATOR)
    prefix = f"n{before.count(' xmlns:n')}"
    return f" xmlns:{prefix}='{escape_attribute(namespace)}' {prefix}:{local}='{value}'"


class Stanza:
    """A message, presence or iq.  Immutable once it is routed: changes make a new one.

    :ivar kind: ``message``, ``presence`` or ``iq``.
    :ivar attrs: all attributes but ``to`` and ``from``, by name (``xml:lang`` under that name).
    :ivar to: the addressee, or None where the stanza has none.
    :ivar sender: who sent it, as the server vouches for it (never what the client claims).
    :ivar inner: the bytes of the children, one after the other.
    :ivar children: where each child stands in `inner`.
    :ivar holders: how many sessions were given it that may have it still, where no archive does.
    """

    __slots__ = ("_alone", "_wire", "attrs", "children", "holders", "inner", "kind", "sender", "to")

    def __init__(
        self,
        kind: str,
        attrs: dict[str, str],
        inner: bytes = b"",
        children: tuple[Child, ...] = (),
        *,
        to: JID | None = None,
        sender: JID | None = None,
    ) -> None:
        self.kind = kind
        self.attrs = attrs
        self.inner = inner
        self.children = children
        self.to = to
        self.sender = sender
        self.holders = 1
        self._wire: bytes | None = None
        #: Kept for the archives of both sides; a stanza that waits for an acknowledgement is another one.
        self._alone: bytes | None = None

    def __repr__(self) -> str:
        # Names and addresses only: a stanza may end up in a log line, its content must not.
        names = ",".join(name for _, name, _, _ in self.children)
        marks = f"{self.type} id={self.id}"[:100]
        return f"<Stanza {self.kind} {marks} {self.sender}->{self.to} [{names[:100]}]>"

    @property
    def id(self) -> str | None:
        """The ``id`` attribute."""
        return self.attrs.get("id")

    @property
    def type(self) -> str | None:
        """The ``type`` attribute as it stands; see `message_type` for the default of a message."""
        return self.attrs.get("type")

    @property
    def message_type(self) -> str:
        """The type of a message; an unknown or missing one counts as ``normal`` (RFC 6121, 5.2.2)."""
        kind = self.attrs.get("type", "normal")
        return kind if kind in ("chat", "error", "groupchat", "headline") else "normal"

    # -- children

    def find(self, namespace: str, name: str) -> Child | None:
        """The first child of that name, or None."""
        for child in self.children:
            if child[1] == name and child[0] == namespace:
                return child
        return None

    def has(self, namespace: str, name: str) -> bool:
        """Whether there is a child of that name."""
        return self.find(namespace, name) is not None

    def has_namespace(self, namespace: str) -> bool:
        """Whether any child is in that namespace."""
        # A loop, not any(): a generator costs twice as much, and every message is asked four times.
        for child in self.children:  # noqa: SIM110
            if child[0] == namespace:
                return True
        return False

    def xml(self, child: Child) -> bytes:
        """The bytes of a child; a child in the content namespace has no declaration of its own."""
        return self.inner[child[2] : child[3]]

    # -- changed copies

    def _copy(self, inner: bytes, children: tuple[Child, ...]) -> Stanza:
        return Stanza(self.kind, self.attrs, inner, children, to=self.to, sender=self.sender)

    def keep(self, wanted: Callable[[Child], bool]) -> Stanza:
        """The stanza with those children only for which `wanted` is true; itself if that is all."""
        kept = [child for child in self.children if wanted(child)]
        if len(kept) == len(self.children):
            return self
        return self.with_children((namespace, name, self.inner[a:b]) for namespace, name, a, b in kept)

    def with_children(self, parts: Iterable[tuple[str, str, bytes]]) -> Stanza:
        """The stanza with these children (namespace, name, bytes) instead of its own."""
        children, pieces, position = [], [], 0
        for namespace, name, xml in parts:
            children.append((namespace, name, position, position + len(xml)))
            pieces.append(xml)
            position += len(xml)
        return self._copy(b"".join(pieces), tuple(children))

    def adding(self, namespace: str, name: str, xml: bytes) -> Stanza:
        """The stanza with one more child at the end."""
        end = len(self.inner)
        more = self._copy(self.inner + xml, (*self.children, (namespace, name, end, end + len(xml))))
        if self._wire is not None and end:
            close = _END_TAGS[self.kind]
            more._wire = b"".join((self._wire[: -len(close)], xml, close))
        return more

    def readdressed(self, *, to: JID | None) -> Stanza:
        """The same stanza for another addressee."""
        return Stanza(self.kind, self.attrs, self.inner, self.children, to=to, sender=self.sender)

    # -- bytes

    def start_tag(self, to: JID | None) -> str:
        """The start tag up to, not including, its closing bracket."""
        text = f"<{self.kind}"
        if self.sender is not None:
            text += f" from='{self.sender.xml}'"
        if to is not None:
            text += f" to='{to.xml}'"
        for name, value in self.attrs.items():
            # This runs for every delivery: most values are ready as they are.
            ready = escape_attribute(value) if _unsafe_in_attribute(value) else value
            text += f" {name}='{ready}'" if SEPARATOR not in name else _with_prefix(text, name, ready)
        return text

    def render(self, *, to: JID | None) -> bytes:
        """The bytes of the stanza on a stream of its content namespace, addressed to `to`."""
        start = self.start_tag(to)
        if not self.inner:
            return f"{start}/>".encode()
        return b"".join((f"{start}>".encode(), self.inner, _END_TAGS[self.kind]))

    @property
    def wire(self) -> bytes:
        """The bytes of the stanza as addressed, made once for all receivers."""
        if self._wire is None:
            self._wire = self.render(to=self.to)
        return self._wire

    @classmethod
    def written(cls, start: bytes, inner: bytes, child: tuple[str, str], *, to: JID, sender: JID) -> Stanza:
        """A message with one child, for senders of many: the start tag is written once for all of them.

        :param start: the start tag with its bracket, as `start_tag` would write it.
        """
        stanza = cls("message", {}, inner, ((*child, 0, len(inner)),), to=to, sender=sender)
        stanza._wire = b"%b%b</message>" % (start, inner)
        return stanza

    def standing_alone(self, namespace: str = "jabber:client") -> bytes:
        """The bytes with the content namespace declared: for the archive and for wrappers."""
        if namespace != "jabber:client":
            return self._declaring(namespace)
        if self._alone is None:
            self._alone = self._declaring(namespace)
        return self._alone

    def _declaring(self, namespace: str) -> bytes:
        cut = len(self.kind) + 1
        return b"%b xmlns='%b'%b" % (self.wire[:cut], namespace.encode(), self.wire[cut:])
