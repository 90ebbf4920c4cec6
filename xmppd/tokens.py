"""The tokens of one domain's clients in the database (XEP-0484)."""

from __future__ import annotations

from collections.abc import Sequence

from xmppd.auth.fast import MOST_CLIENTS
from xmppd.storage import tokens as store
from xmppd.storage.database import Database
from xmppd.storage.statement import Cursor
from xmppd.storage.tokens import Token

__all__ = ["DomainTokens"]


class DomainTokens:
    """See `xmppd.auth.fast.Tokens`."""

    def __init__(self, database: Database, domain: str) -> None:
        self._database, self._domain = database, domain

    async def find(self, local: str, client: str) -> Sequence[Token]:
        """The tokens of one client of an account, expired ones included."""
        return await self._database.read("tokens", store.find, self._domain, local, client)

    async def change(
        self, account: int, client: str, *, used: Token | None, revoked: bool, added: Token | None
    ) -> None:
        """Note that a token was used for the first time, revoke all, add one, in this order; durably."""
        await self._database.write("token", _change, account, client, used, revoked, added)


def _change(
    cursor: Cursor, account: int, client: str, used: Token | None, revoked: bool, added: Token | None
) -> None:
    if used is not None:
        store.use(cursor, account, client, used)
    if revoked:
        store.revoke(cursor, account, client)
    if added is not None:
        store.add(cursor, account, client, added, most=MOST_CLIENTS)
