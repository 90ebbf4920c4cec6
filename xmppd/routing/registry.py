"""Which accounts exist and who is online, all of it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xmppd.core.account import Account
from xmppd.core.context import Session
from xmppd.core.jid import JID

__all__ = ["LocalRegistry"]


class LocalRegistry:
    """The registry of one process (see `xmppd.core.context.Registry`).

    :param domains: the served domains.
    """

    def __init__(self, domains: Iterable[str]) -> None:
        self.domains = frozenset(domains)
        self._accounts: dict[str, Account] = {}

    def is_local(self, domain: str) -> bool:
        """Whether this process serves the domain."""
        return domain in self.domains

    def account(self, jid: JID) -> Account | None:
        """The account of a local bare JID (a resource is ignored)."""
        return self._accounts.get(jid.bare.text)

    def accounts(self) -> Iterator[Account]:
        """All accounts."""
        return iter(self._accounts.values())

    def add(self, account: Account) -> None:
        """From now on the account exists."""
        self._accounts[account.jid.text] = account

    def remove(self, account: Account) -> None:
        """The account is gone."""
        self._accounts.pop(account.jid.text, None)

    def session(self, jid: JID) -> Session | None:
        """The session bound to a full JID."""
        account = self._accounts.get(jid.bare.text)
        if account is not None:
            for session in account.sessions:
                if session.jid == jid:
                    return session
        return None

    def sessions(self) -> Iterator[Session]:
        """All sessions of the process."""
        for account in self._accounts.values():
            yield from account.sessions
