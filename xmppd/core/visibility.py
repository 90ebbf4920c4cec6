"""Whose presence may be seen by whom: the one question before anything tells others about an account.

Answers to a stranger are those for an account that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from xmppd.core.account import Account
from xmppd.core.jid import JID

if TYPE_CHECKING:
    from xmppd.core.context import Host

__all__ = ["may_see_presence"]


class _Contacts(Protocol):
    def may_see_presence(self, viewer: JID) -> bool: ...


class _Keeper(Protocol):
    async def load(self, account: Account) -> _Contacts: ...


class _Roster(Protocol):
    """What the module ``roster`` has."""

    keeper: _Keeper


async def may_see_presence(host: Host, account: Account, viewer: JID) -> bool:
    """Whether an account's presence is for the eyes of someone: its own user, and its subscribers.

    It waits for the disk where the account's roster is not in memory.
    """
    if viewer.bare == account.jid:
        return True
    roster = host.modules.get("roster")
    if roster is None:
        return False
    contacts = await cast(_Roster, roster).keeper.load(account)
    return contacts.may_see_presence(viewer)
