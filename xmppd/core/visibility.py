"""Whose presence may be seen by whom: the one question before anything tells strangers about an account.

Answers to a stranger are those for an account that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from xmppd.core.account import Account
from xmppd.core.jid import JID

if TYPE_CHECKING:
    from xmppd.core.context import Host

__all__ = ["PresenceRules", "may_see_presence"]


class PresenceRules(Protocol):
    """What the module ``presence`` knows."""

    def may_see_presence(self, account: Account, viewer: JID) -> bool:
        """Whether the viewer's bare JID has a subscription to the account's presence."""
        ...


def may_see_presence(host: Host, account: Account, viewer: JID) -> bool:
    """Whether an account's presence is for the eyes of someone: its own user, and its subscribers."""
    if viewer.bare == account.jid:
        return True
    rules = host.modules.get("presence")
    return rules is not None and cast(PresenceRules, rules).may_see_presence(account, viewer)
