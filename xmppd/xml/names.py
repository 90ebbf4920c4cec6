"""Names as expat gives them: namespace, local name and prefix, with a character between that XML forbids."""

from __future__ import annotations

from xmppd.core import ns
from xmppd.core.stanza import SEPARATOR

__all__ = ["ChildNames", "plain", "split"]


def split(name: str) -> tuple[str, str, str]:
    """Namespace, local name and prefix of a name as expat gives it."""
    parts = name.split(SEPARATOR)
    if len(parts) == 1:
        return "", name, ""
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


class ChildNames(dict[str, tuple[str, str] | None]):
    """Namespace and name of children by expat's name; None where their bytes cannot stand elsewhere.

    The content namespace of every stream is known as ``jabber:client`` inside the server.
    """

    def __init__(self, content: str) -> None:
        self.content = content

    def __missing__(self, name: str) -> tuple[str, str] | None:
        namespace, local, prefix = split(name)
        known = None
        if namespace and not prefix:
            known = (ns.CLIENT if namespace == self.content else namespace, local)
        self[name] = known
        return known


def plain(attrs: dict[str, str]) -> dict[str, str]:
    """Attributes by the names that a `Stanza` has them under."""
    return {_plain_name(name): value for name, value in attrs.items()}


def _plain_name(name: str) -> str:
    if SEPARATOR not in name:
        return name
    namespace, local, _ = split(name)
    return f"xml:{local}" if namespace == ns.XML else f"{namespace}{SEPARATOR}{local}"
