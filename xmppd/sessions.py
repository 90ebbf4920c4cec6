"""Who is bound to what: identities become accounts, streams get sessions, sessions come to an end."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from xmppd.core import replies
from xmppd.core.account import Account
from xmppd.core.context import Ticket
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.events import SessionBound, SessionEnded
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.stanza import Stanza
from xmppd.host import Host
from xmppd.routing.registry import LocalRegistry
from xmppd.routing.router import LocalRouter
from xmppd.storage import sessions as store
from xmppd.storage.archive_book import ArchiveBook
from xmppd.storage.database import Database
from xmppd.storage.errors import FaultError, StorageError
from xmppd.stream.c2s import ClientStream
from xmppd.stream.services import Served
from xmppd.stream.session import ClientSession, detached

__all__ = ["Keeper"]

_log = Logger()

#: Ended sessions of one account of which `h` is remembered; clients come and go as fast as they like.
MOST_REMEMBERED: Final = 64


class Keeper:
    """The sessions of the process (see `xmppd.stream.services.SessionKeeper`).

    :param hosts: the served domains by name.
    :param now: seconds since 1970.
    :param per_account: most sessions of one account, None for any number.
    """

    def __init__(
        self,
        hosts: dict[str, Host],
        registry: LocalRegistry,
        router: LocalRouter,
        *,
        database: Database,
        archive: ArchiveBook,
        now: Callable[[], float],
        per_account: int | None,
    ) -> None:
        self._hosts, self._registry, self._router = hosts, registry, router
        self._database, self._archive, self._now = database, archive, now
        self._per_account = per_account
        self._loops: list[LoopingCall] = []
        #: The tokens of the newest sessions that have ended, until the account is removed.
        self._ended: WeakKeyDictionary[Account, deque[str]] = WeakKeyDictionary()

    # -- what is known after a crash

    def start(self, clock: Any, streams: Iterable[ClientStream]) -> None:
        """Write down regularly how far clients got, for those that come back after a crash."""
        for loop, every in (
            (LoopingCall(self._write_handled, streams), 1.0),
            (LoopingCall(self._prune), 3600.0),
        ):
            loop.clock = clock
            loop.start(every, now=False)
            self._loops.append(loop)

    def stop(self) -> None:
        """Write no more."""
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._loops.clear()

    def _write_handled(self, streams: Iterable[ClientStream]) -> None:
        for stream in streams:
            if stream.session is not None:
                self._remember_moved(stream.session)

    def left(self, session: ClientSession) -> None:
        """A session has lost its connection, and nobody looks at it any more: write down how far it got."""
        self._remember_moved(session)
        self._remember_the_rest(session)

    def _remember_moved(self, session: ClientSession) -> None:
        if session.ledger is not None and session.ledger.moved():
            self._remember(session)

    def _remember_the_rest(self, session: ClientSession) -> None:
        """Write it down again when what the client sent last has been handled."""
        if session.ledger is not None and not session.ledger.settled:
            session.ledger.when_settled().addCallback(lambda _: self._remember_moved(session))

    def _prune(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._forget_expired())

    async def _forget_expired(self) -> None:
        try:
            await self._database.write("prune sessions", store.prune, int(self._now()))
        except StorageError as error:
            _log.warn("sessions that have expired are forgotten later: {error}", error=str(error))

    # -- identities

    def served(self, domain: str) -> Served | None:
        """The domain of that name, if it is served here."""
        try:
            jid = JID.parse(domain)
        except InvalidJID:
            return None
        return self._hosts.get(jid.text)

    def hostname(self) -> str:
        """The domain in whose name those are answered who asked for none that is served: the first one."""
        return next(iter(self._hosts))

    def enter(self, domain: JID, local: str, *, guest: bool) -> Account | None:
        """The account behind an authenticated identity; None if it is gone meanwhile."""
        jid = JID.make(local, domain.text)
        return Account(None, jid, None) if guest else self._registry.account(jid)

    # -- sessions

    def bind(self, session: ClientSession) -> None:
        """Put a session in its account; another one of the same full JID ends with ``conflict``.

        :raises StanzaError: ``not-allowed``, ``resource-constraint``.
        """
        account = session.account
        if account.is_guest:
            # Not before: a guest who never binds a resource leaves no trace.
            self._registry.add(account)
        if self._registry.account(account.jid) is not account or not account.enabled:
            raise StanzaError("not-allowed", "The account was removed or disabled")
        for other in list(account.sessions):
            if other.jid == session.jid:
                other.close(StreamError("conflict", "The same resource was bound on another connection"))
        if self._per_account is not None and len(account.sessions) >= self._per_account:
            self._make_room(account, self._per_account)
        account.sessions.append(session)
        self._hosts[account.jid.domain].hooks.run(SessionBound(session))

    def _make_room(self, account: Account, most: int) -> None:
        """End a session that only waits for resumption: whoever is there comes first."""
        waiting = detached(account)
        if not waiting:
            raise StanzaError(
                "resource-constraint", f"An account may have {most} sessions (sessions_per_account)"
            )
        hits.hit("sessions_per_account")
        waiting[0].close()

    def end(self, session: ClientSession) -> None:
        """A session is over for good: what it had and never acknowledged is dealt with once."""
        if session.ended:
            return
        session.ended = True
        account = session.account
        if session in account.sessions:
            account.sessions.remove(session)
        if session.smacks is not None:
            self._remember_last(session)
            self._remember_the_rest(session)
            session.smacks.stop()
        now, mailbox = self._now(), account.mailbox
        # First of all: whoever gives it the backlog hears of its end as well, and passes on what is held.
        unsent = [] if mailbox is None else [(stanza, now) for stanza in mailbox.take_unsent(session)]
        unacknowledged = [
            (entry.kept, entry.at)
            for entry in session.take_unacknowledged()
            # What is in the archive waits there for another one.
            if entry.row is None and isinstance(entry.kept, Stanza)
        ]
        ended = SessionEnded(session, unacknowledged + unsent)
        for problem in self._hosts[account.jid.domain].hooks.tell(ended):
            _log.failure("the end of {session}", Failure(problem), session=session.jid.text)
        if account.is_guest and not account.sessions:
            self._registry.remove(account)

    def _remember_last(self, session: ClientSession) -> None:
        """Remember a session that has ended; of too many of an account the first one is forgotten."""
        self._remember(session)
        account, smacks = session.account, session.smacks
        if account.id is not None and smacks is not None and smacks.token:
            ended = self._ended.setdefault(account, deque())
            ended.append(smacks.token)
            if len(ended) > MOST_REMEMBERED:
                self._database.append(store.FORGET, (account.id, ended.popleft()))

    def _remember(self, session: ClientSession) -> None:
        """Write down how far the client got, for a resumption that comes too late."""
        smacks, ledger, account = session.smacks, session.ledger, session.account
        if account.id is None or self._registry.account(account.jid) is not account:
            # Of a guest nothing is kept, nor of an account that was removed.
            return
        if smacks is not None and smacks.token and ledger is not None:
            until = int(self._now() + store.REMEMBERED_FOR)
            self._database.append(store.REMEMBER_HANDLED, (account.id, smacks.token, ledger.handled, until))

    def named(self, account: Account, token: str) -> ClientSession | None:
        """The session that a token of stream management names, within the account only."""
        for session in account.sessions:
            if isinstance(session, ClientSession) and session.smacks is not None:
                own = session.smacks.token
                if own and secrets.compare_digest(own.encode(), token.encode()):
                    return session
        return None

    async def handled_before(self, account: Account, token: str) -> int | None:
        """`h` of a session that is gone, where it is known."""
        if account.id is None:
            return None
        # What it sent last may be about to become durable; with that, it is written down how far it got.
        await self._database.settled()
        return await self._database.read("handled", store.handled, account.id, token)

    async def stored_messages(self, session: ClientSession, rows: Collection[int]) -> Mapping[int, Stanza]:
        """Messages of which a session has kept only the position in the archive.

        :raises StorageError: they cannot be read now.
        """
        if not rows:
            return {}
        found = await self._archive.messages(session.account, list(rows))
        if self._database.faulted:
            raise FaultError("what waits to be written would be missing")
        return found

    # -- stanzas

    def receive(self, stanza: Stanza, session: ClientSession, ticket: Ticket) -> Deferred[Any] | None:
        """A stanza with sender and addressee set; the answer is something to wait for, if anything."""
        return self._router.send(stanza, session, ticket)

    def refuse(self, stanza: Stanza, session: ClientSession, problem: StanzaError) -> None:
        """Answer a client's stanza with an error."""
        if replies.may_answer_with_error(stanza):
            session.send(replies.error(stanza, problem))
