"""What a client asks for when it logs in with SASL2 (XEP-0388, section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from xmppd.core import ns
from xmppd.xml.tree import Element

__all__ = ["Request", "text_of"]

#: A client calls itself by a UUID; what is longer than any way to write one is not kept.
_LONGEST_CLIENT: Final = 64


@dataclass(frozen=True)
class Request:
    """An ``<authenticate/>``.

    :ivar client: the id of the client installation, or ''.
    """

    mechanism: str
    client: str
    element: Element

    @classmethod
    def read(cls, element: Element) -> Request:
        """Take the element apart."""
        agent = _child(element, ns.SASL2, "user-agent")
        client = "" if agent is None else agent.attributes.get("id", "")
        client = client if len(client) <= _LONGEST_CLIENT else ""
        return cls(element.attributes.get("mechanism", ""), client, element)

    def child(self, namespace: str, name: str) -> Element | None:
        """The first child of that name."""
        return _child(self.element, namespace, name)


def _child(element: Element, namespace: str, name: str) -> Element | None:
    return next((part for part in element.elements() if (part.uri, part.name) == (namespace, name)), None)


def text_of(element: Element) -> str:
    """The text of an element that has nothing else."""
    return "".join(part for part in element.children if isinstance(part, str))
