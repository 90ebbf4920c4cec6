"""Result sets in pages (XEP-0059): reading the request, writing the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xmppd.core import ns
from xmppd.core.errors import StanzaError
from xmppd.core.stanza import escape_attribute, escape_text
from xmppd.xml import tree

__all__ = ["PageRequest", "read", "write"]

_number = re.compile("[0-9]{1,10}").fullmatch
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a result set is wanted (XEP-0059, section 2).

    :ivar max: the most results, None for as many as the server likes, 0 for the count alone.
    :ivar before: the results before this id, ``''`` for the last page, None where not asked for.
    :ivar after: the results after this id, or None.  What it means beside `before` no XEP says.
    :ivar index: the results from this position on, or None.
    """

    max: int | None = None
    before: str | None = None
    after: str | None = None
    index: int | None = None


def read(parent: tree.Element) -> PageRequest:
    """The page that a request asks for; without a ``<set/>`` in it, one without bounds.

    :param parent: the payload of the request.
    :raises StanzaError: ``bad-request`` for anything but each of the four elements at most once, with a
        number or an id in it; also for ``index`` beside an id.
    """
    found = [child for child in parent.elements() if (child.uri, child.name) == (ns.RSM, "set")]
    if not found:
        return PageRequest()
    if len(found) > 1:
        raise StanzaError("bad-request", "More than one <set/>")
    return _page(_texts(found[0]))


def _texts(element: tree.Element) -> dict[str, str]:
    texts: dict[str, str] = {}
    for child in element.elements():
        if child.uri != ns.RSM:
            continue
        if child.name not in ("max", "before", "after", "index"):
            raise StanzaError("bad-request", "An unknown element in <set/>")
        if child.name in texts:
            raise StanzaError("bad-request", f"<{child.name}/> twice in <set/>")
        if any(not isinstance(part, str) for part in child.children):
            raise StanzaError("bad-request", f"An element in <{child.name}/>")
        texts[child.name] = "".join(child.children)
    return texts


def _page(texts: dict[str, str]) -> PageRequest:
    if "index" in texts and ("before" in texts or "after" in texts):
        raise StanzaError("bad-request", "Either an <index/> or an id")
    if texts.get("after") == "":
        raise StanzaError("bad-request", "An empty <after/>")
    return PageRequest(_count(texts, "max"), texts.get("before"), texts.get("after"), _count(texts, "index"))


def _count(texts: dict[str, str], name: str) -> int | None:
    if name not in texts:
        return None
    text = texts[name].strip(_SPACE)
    if not _number(text):
        raise StanzaError("bad-request", f"<{name}/> is not a whole number of at most ten digits")
    return int(text)


def write(
    first: str | None = None, last: str | None = None, *, index: int | None = None, count: int | None = None
) -> bytes:
    """The ``<set/>`` of an answer (XEP-0059, section 2).

    :param first: the id of the first result of the page; None for an empty page, then `last` too.
    :param index: the position of the first result in the whole set, where it is known.
    :param count: how many results the whole set has, where it is known.
    """
    text = f"<set xmlns='{ns.RSM}'>"
    if first is not None and last is not None:
        place = "" if index is None else f" index='{escape_attribute(str(index))}'"
        text += f"<first{place}>{escape_text(first)}</first><last>{escape_text(last)}</last>"
    if count is not None:
        text += f"<count>{count}</count>"
    return f"{text}</set>".encode()
