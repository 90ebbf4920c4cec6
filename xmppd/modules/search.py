"""Full-text search in archives (XEP-0431): the field of the query form, and what it finds.

A message is found by all of the words that are searched for, whatever their case and accents; a word of three
letters or more finds those that begin with it. Signs mean nothing. Encrypted messages are not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Host
from xmppd.core.errors import StanzaError
from xmppd.core.events import AccountRemoved, MessageArriving, MessageSending
from xmppd.core.hooks import Stage
from xmppd.core.module import Module, Xep, on
from xmppd.modules.indexing import Indexer
from xmppd.storage import search as store
from xmppd.storage import search_index
from xmppd.storage.archive_query import Page, Query
from xmppd.storage.words import terms

__all__ = ["FULLTEXT", "Options", "Search", "search_of"]

_log = Logger()

#: The field of the form (XEP-0431, section 4.1).
FULLTEXT: Final = f"{{{ns.FULLTEXT}}}fulltext"


@dataclass(frozen=True)
class Options:
    """Options of the search for words."""

    enabled: bool = True
    """Whether users can search their archives for words; an index for it is kept in the database."""


class Search(Module):
    """Finds messages by their words, and keeps the index that makes it fast."""

    name = "search"
    xeps = (Xep("0431", "0.2.0", "Full Text Search in MAM"),)
    Options = Options
    account_features: tuple[str, ...] = (ns.FULLTEXT,)
    serves_guests = False

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self.enabled: bool = options.enabled
        if not self.enabled:
            self.account_features = ()
        self._indexer: Indexer | None = None

    async def start(self) -> None:
        """Begin to index what is not indexed yet."""
        context = self.context
        if not self.enabled:
            return
        if not await context.database.write("open search index", search_index.open_index):
            _log.warn("this SQLite is without FTS5: searches have to read whole archives")
            return
        self._indexer = Indexer(context.database, context.clock, self._numbers, context.spawn)
        await self._indexer.start()

    async def stop(self) -> None:
        """What is not indexed yet will be after the next start."""
        if self._indexer is not None:
            self._indexer.stop()

    def _numbers(self) -> list[int]:
        domain = self.context.domain.text
        accounts = self.context.registry.accounts()
        return [each.id for each in accounts if each.id is not None and each.jid.domain == domain]

    # -- what is searched for

    async def find(self, account: Account, query: Query, text: str) -> Page:
        """One page of an account's messages with all words of a text; see `xmppd.storage.search`.

        :param query: what else must hold.
        :raises StanzaError: ``policy-violation`` for too long a text.
        """
        try:
            wanted = terms(text)
        except ValueError as problem:
            raise StanzaError("policy-violation", str(problem).capitalize()) from None
        assert account.id is not None
        return await store.search(self.context.database, account.id, query, wanted)

    # -- what there is to index

    @on(MessageSending, Stage.ARCHIVE)
    def sent(self, event: MessageSending) -> None:
        """Its row is to be indexed, some time."""
        if self._indexer is not None and event.archived_as is not None and event.account.id is not None:
            self._indexer.note(event.account.id)

    @on(MessageArriving, Stage.ARCHIVE)
    def arrived(self, event: MessageArriving) -> None:
        """Its row is to be indexed, some time."""
        if self._indexer is not None and event.archived_as is not None and event.account.id is not None:
            self._indexer.note(event.account.id)

    @on(AccountRemoved)
    def removed(self, event: AccountRemoved) -> None:
        """Its archive is gone."""
        if self._indexer is not None and event.account.id is not None:
            self._indexer.forget(event.account.id)


def search_of(host: Host) -> Search | None:
    """Who searches the archives of a domain; None where nobody does."""
    found = cast("Search | None", host.modules.get("search"))
    return found if found is not None and found.enabled else None
