"""Rosters as the store has them, made into rosters in memory, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, cast

from twisted.logger import Logger

from xmppd.core.account import Account
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.roster import Item, Roster
from xmppd.core.subscriptions import APPROVED, PENDING_OUT, subscription
from xmppd.modules.roster_xml import item_element, removal_element
from xmppd.storage import roster as store
from xmppd.storage.statement import Cursor

__all__ = ["MOST_REMOVED", "element_of", "read_roster", "remove_contact", "stored_item"]

_log = Logger()

#: How many removed contacts a roster remembers for clients that still know them.
MOST_REMOVED: Final = 100

#: One text for all that are equal, as far as they are met lately.  Not `sys.intern`: Python 3.12 never lets
#: go of what it has interned, and users think up names.
_shared: Final = lru_cache(maxsize=1024)(str)

_STATES: Final = {"none": 0, "to": 1, "from": 2, "both": 3}


def read_roster(cursor: Cursor, account: Account) -> Roster:
    """Read a roster with its requests; for `Database.read`."""
    assert account.id is not None
    found = store.load(cursor, account.id)
    roster = Roster(account, found.version)
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    for stored in found.items:
        try:
            item = _item(stored)
        except InvalidJID:
            _log.error("a contact of {account} is left out: its address is no JID", account=account)
            continue
        item.groups = shared.setdefault(item.groups, item.groups)
        roster.items[item.jid.text] = item
    roster.requests = {request.jid: request.stanza for request in store.requests(cursor, account.id)}
    return roster


def remove_contact(cursor: Cursor, account: int, jid: str) -> None:
    """Remove a contact, and what was removed long ago for good; for `Database.write`."""
    store.delete(cursor, account, jid)
    store.prune(cursor, account, MOST_REMOVED)


def stored_item(item: Item) -> store.RosterItem:
    """A contact as it is written down."""
    state = item.state
    return store.RosterItem(
        item.jid.text,
        item.name,
        item.groups,
        cast(store.Subscription, subscription(state)),
        ask=bool(state & PENDING_OUT),
        approved=bool(state & APPROVED),
    )


def element_of(stored: store.RosterItem) -> bytes:
    """The ``<item/>`` that tells of a change."""
    return removal_element(JID.known(stored.jid)) if stored.removed else item_element(_item(stored))


def _address(text: str) -> JID:
    """A stored address.

    :raises InvalidJID: it is none.
    """
    jid = JID.known(text)
    if not jid.domain or "@" in jid.domain:
        raise InvalidJID("has no domain")
    return jid


def _item(stored: store.RosterItem) -> Item:
    state = _STATES[stored.subscription]
    if stored.ask:
        state |= PENDING_OUT
    if stored.approved:
        state |= APPROVED
    # The names of groups are few, and repeated in roster after roster.
    return Item(_address(stored.jid), stored.name, tuple(map(_shared, stored.groups)), state)
