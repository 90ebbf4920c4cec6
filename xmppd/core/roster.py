"""A roster in memory: who the contacts of an account are, and how they stand to it (RFC 6121, section 2)."""

from __future__ import annotations

from xmppd.core.account import Account
from xmppd.core.jid import JID
from xmppd.core.subscriptions import FROM, PENDING_IN

__all__ = ["Audience", "Item", "Roster"]

#: Who sees the presence of an account: local accounts, and addresses elsewhere.
Audience = tuple[tuple[Account, ...], tuple[JID, ...]]


class Item:
    """A contact.  There may be millions of them: it has nothing but what is needed.

    :ivar name: what the user calls the contact; empty for no name.
    :ivar state: of the subscription (see `xmppd.core.subscriptions`), but for ``PENDING_IN``: a request is
        kept apart, because it may come from someone who is not in the roster.
    """

    __slots__ = ("groups", "jid", "name", "state")

    def __init__(self, jid: JID, name: str, groups: tuple[str, ...], state: int) -> None:
        self.jid = jid
        self.name = name
        self.groups = groups
        self.state = state


class Roster:
    """The roster of one account.

    :ivar items: the contacts by the text of their JIDs.
    :ivar requests: subscription requests without an answer, by the text of the bare JID: the whole stanza.
    :ivar version: counts the changes that clients are told of.
    :ivar era: goes with `version`: the same number means another change where changes were lost meanwhile.
    :ivar audience: who sees the account's presence; None until somebody works it out (the presence module
        does), and again after each change.
    :ivar unsaved: changes that are not on the disk yet.
    :ivar lost: contacts of which a change will never be there.
    """

    __slots__ = ("account", "audience", "era", "items", "lost", "requests", "unsaved", "version")

    def __init__(self, account: Account, version: int = 0) -> None:
        self.account = account
        self.version = version
        self.era = ""
        self.items: dict[str, Item] = {}
        self.requests: dict[str, bytes] = {}
        self.audience: Audience | None = None
        self.unsaved = 0
        self.lost: tuple[JID, ...] = ()

    def state(self, contact: JID) -> int:
        """How the subscription between the user and a contact stands; also of someone not in the roster."""
        item = self.items.get(contact.text)
        state = 0 if item is None else item.state
        return state | PENDING_IN if contact.text in self.requests else state

    def may_see_presence(self, viewer: JID) -> bool:
        """Whether the viewer's bare JID is subscribed to the account's presence, or is the account's own."""
        item = self.items.get(viewer.bare.text)
        if item is not None and item.state & FROM:
            return True
        return viewer.bare == self.account.jid

    def put(self, item: Item) -> None:
        """Add a contact or replace it: a new version of the roster."""
        before = self.items.get(item.jid.text)
        self.items[item.jid.text] = item
        self.version += 1
        if (0 if before is None else before.state) & FROM != item.state & FROM:
            self.audience = None

    def remove(self, contact: JID) -> None:
        """Take a contact out: a new version of the roster."""
        del self.items[contact.text]
        self.version += 1
        self.audience = None
