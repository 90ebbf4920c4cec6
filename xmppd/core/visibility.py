"""Whose presence may be seen by whom: the one question before anything tells others about an account.

Answers to a stranger are those for an account that does not exist, and take as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from xmppd.core.jid import JID

if TYPE_CHECKING:
    from xmppd.core.context import Host

__all__ = ["may_see_presence"]


class _Roster(Protocol):
    """What the module ``roster`` has."""

    async def may_see_presence(self, of: JID, viewer: JID) -> bool: ...


async def may_see_presence(host: Host, of: JID, viewer: JID) -> bool:
    """Whether an account's presence is for the eyes of someone: its own user, and its subscribers.

    :param of: the account's bare JID; there may be no such account.
    """
    if viewer.bare == of:
        return True
    roster = host.modules.get("roster")
    return roster is not None and await cast(_Roster, roster).may_see_presence(of, viewer)
