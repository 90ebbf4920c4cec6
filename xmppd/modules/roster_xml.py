"""How a roster looks on the wire (RFC 6121, section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.addresses import LONGEST_LISTED
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.limits import Limits
from xmppd.core.roster import Item, Roster
from xmppd.core.stanza import Stanza, escape_attribute, escape_text
from xmppd.core.subscriptions import APPROVED, PENDING_OUT, subscription
from xmppd.xml.tree import Element

__all__ = ["Wish", "item_element", "push", "query_element", "read_wish", "removal_element", "version_text"]

#: Most groups of one contact, and bytes of their names together: a whole roster is sent at once.
MOST_GROUPS: Final = 64
MOST_GROUP_BYTES: Final = 4 << 10


class Wish(NamedTuple):
    """What a roster set asks for.

    :ivar remove: the contact is to be removed; name and groups mean nothing then.
    """

    jid: JID
    remove: bool
    name: str
    groups: tuple[str, ...]


def item_element(item: Item) -> bytes:
    """A contact as it stands in the roster."""
    state = item.state
    text = f"<item jid='{item.jid.xml}'"
    if item.name:
        text += f" name='{escape_attribute(item.name)}'"
    text += f" subscription='{subscription(state)}'"
    if state & PENDING_OUT:
        text += " ask='subscribe'"
    if state & APPROVED:
        text += " approved='true'"
    if not item.groups:
        return f"{text}/>".encode()
    groups = "".join(f"<group>{escape_text(group)}</group>" for group in item.groups)
    return f"{text}>{groups}</item>".encode()


def removal_element(contact: JID) -> bytes:
    """A contact that is no longer in the roster."""
    return f"<item jid='{contact.xml}' subscription='remove'/>".encode()


def version_text(roster: Roster, version: int) -> str:
    """The ``ver`` attribute.  It names the account too: another one may have the same address later."""
    return f"{roster.account.id or 0}-{version}{roster.era}"


def query_element(roster: Roster, version: int, items: Iterable[bytes]) -> bytes:
    """The ``<query/>`` of a result or push."""
    start = f"<query xmlns='{ns.ROSTER}' ver='{version_text(roster, version)}'".encode()
    inner = b"".join(items)
    return b"%b>%b</query>" % (start, inner) if inner else start + b"/>"


def push(roster: Roster, version: int, element: bytes) -> Stanza:
    """A roster push (section 2.1.6), still without addressee.

    :param version: of the roster with this change in it; no two pushes have the same.
    """
    query = query_element(roster, version, (element,))
    children = ((ns.ROSTER, "query", 0, len(query)),)
    attrs = {"type": "set", "id": f"roster-{version}"}
    return Stanza("iq", attrs, query, children, sender=roster.account.jid)


def read_wish(query: Element, account: Account, limits: Limits) -> Wish:
    """Read a roster set (sections 2.1.5 and 2.3.3).

    :raises StanzaError: ``bad-request``, ``jid-malformed``, ``not-allowed`` or ``not-acceptable``.
    """
    items = list(query.elements())
    if len(items) != 1 or (items[0].uri, items[0].name) != (ns.ROSTER, "item"):
        raise StanzaError("bad-request", "A roster set has exactly one <item/>")
    jid = _read_jid(items[0].getAttribute("jid"))
    if items[0].getAttribute("subscription") == "remove":
        return Wish(jid, True, "", ())
    if jid == account.jid:
        raise StanzaError("not-allowed", "Nobody is their own contact")
    if len(jid.text.encode()) > LONGEST_LISTED:
        text = f"An address of more than {LONGEST_LISTED} bytes cannot be a contact"
        raise StanzaError("not-acceptable", text)
    name = items[0].getAttribute("name") or ""
    _check_length(name, limits)
    return Wish(jid, False, name, _read_groups(items[0], limits))


def _read_jid(text: str | None) -> JID:
    if not text:
        raise StanzaError("bad-request", "The <item/> has no 'jid'")
    try:
        return JID.parse(text)
    except InvalidJID as problem:
        raise StanzaError("jid-malformed", f"The 'jid' of the <item/> is no JID: {problem}") from None


def _read_groups(item: Element, limits: Limits) -> tuple[str, ...]:
    groups = tuple(str(group) for group in item.elements(ns.ROSTER, "group"))
    if len(set(groups)) < len(groups):
        raise StanzaError("bad-request", "A group is named twice")
    if len(groups) > MOST_GROUPS:
        raise StanzaError("not-acceptable", f"A contact may be in {MOST_GROUPS} groups here")
    for group in groups:
        if not group:
            raise StanzaError("not-acceptable", "A group has no name")
        _check_length(group, limits)
    if sum(len(group.encode()) for group in groups) > MOST_GROUP_BYTES:
        raise StanzaError("not-acceptable", f"The groups of a contact may have {MOST_GROUP_BYTES} bytes here")
    return groups


def _check_length(name: str, limits: Limits) -> None:
    most = limits.roster_name_bytes
    if len(name.encode()) > most:
        raise StanzaError("not-acceptable", f"A name may have {most} bytes here (roster_name_bytes)")
