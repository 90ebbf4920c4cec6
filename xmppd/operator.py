"""What the server can do for its operator (see `xmppd.admin.commands.Operator`)."""

from __future__ import annotations

import resource
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from xmppd import __version__
from xmppd.admin.commands import FoundRow, SessionRow, StreamManagementRow, UserRow
from xmppd.core import ns
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.jid import JID
from xmppd.modules.search import search_of
from xmppd.storage import accounts as store
from xmppd.storage.archive_book import arrived
from xmppd.storage.archive_query import Query
from xmppd.storage.words import text_of
from xmppd.stream.session import ClientSession
from xmppd.stream.unacknowledged import Sent
from xmppd.xml import tree

if TYPE_CHECKING:
    from xmppd.server import Server

__all__ = ["ServerOperator"]

#: Characters of what a client says of itself that are shown.
LONGEST_NAME: Final = 60


class ServerOperator:
    """The commands of `xmppctl`, carried out."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def domains(self) -> Collection[str]:
        """The domains that the server serves."""
        return self._server.config.domains

    async def add_user(self, jid: JID, password: str) -> None:
        """Make an account."""
        try:
            await self._server.accounts.create(jid, password)
        except StanzaError as problem:
            if problem.condition != "conflict" or self._server.registry.account(jid) is not None:
                raise
            text = (
                f"The name {jid} is reserved, its account was removed; `xmppctl release {jid}` gives it out"
            )
            raise StanzaError("conflict", text) from None

    async def set_password(self, jid: JID, password: str) -> None:
        """Give an account a new password."""
        await self._server.accounts.set_password(jid, password)

    async def remove_user(self, jid: JID, report: Callable[[int], None] = lambda rows: None) -> None:
        """Remove an account with all that is its own; its name stays reserved."""
        await self._server.accounts.remove(jid, report=report)

    async def release_user(self, jid: JID) -> None:
        """Let the name of a removed account be given out again."""
        await self._server.accounts.release(jid)

    async def set_enabled(self, jid: JID, enabled: bool) -> None:
        """Let an account log in, or not any more; the second ends its sessions."""
        await self._server.accounts.set_enabled(jid, enabled)

    async def users(self, domain: str | None = None) -> Iterable[UserRow]:
        """Give all accounts, removed ones too, or those of one domain."""
        rows = await self._server.database.read("accounts", store.load_directory)
        return [self._user(row) for row in rows if domain in (None, row.domain)]

    def _user(self, row: store.Account) -> UserRow:
        account = self._server.registry.account(JID.make(row.name, row.domain))
        sessions = 0 if account is None else len(account.sessions)
        return UserRow(f"{row.name}@{row.domain}", row.state.value, row.created, sessions)

    def _sessions(self) -> Iterator[ClientSession]:
        for session in self._server.registry.sessions():
            if isinstance(session, ClientSession):
                yield session

    def sessions(self) -> Iterable[SessionRow]:
        """Give all sessions."""
        return [_session(session, self._server.now()) for session in self._sessions()]

    async def kick(self, jid: JID, reason: str) -> int:
        """End the sessions of an account or domain, or the one session of a full JID."""
        chosen = [
            session
            for session in self._sessions()
            if jid in (session.jid, session.account.jid) or jid.text == session.jid.domain
        ]
        for session in chosen:
            session.close(StreamError("policy-violation", reason or "The operator has ended this session"))
        return len(chosen)

    async def search_archive(self, jid: JID, words: str, limit: int) -> tuple[Iterable[FoundRow], bool]:
        """Give the newest messages of an account that have all these words, and whether these are all."""
        account = self._server.registry.account(jid)
        if account is None or account.id is None:
            raise StanzaError("item-not-found", f"There is no account {jid}")
        search = search_of(cast(Any, self._server.hosts[jid.domain]))
        if search is None:
            raise StanzaError("feature-not-implemented", "Search is switched off (modules.search.enabled)")
        page = await search.find(account, Query(limit=limit, backwards=True), words)
        ids = self._server.archive.ids_of(account, [seq for seq, _ in page.rows])
        return [
            _found(name, seq, stored) for name, (seq, stored) in zip(ids, page.rows, strict=True)
        ], page.complete

    async def stats(self) -> Mapping[str, int | float | str]:
        """Give figures about the process, by name."""
        server = self._server
        counters = server.database.counters
        usage = resource.getrusage(resource.RUSAGE_SELF)
        sessions = list(self._sessions())
        return {
            "version": __version__,
            "uptime_seconds": round(server.now() - server.started_at),
            "accounts": sum(1 for _ in server.registry.accounts()),
            "connections": len(server.services.streams),
            "sessions": len(sessions),
            "hibernating": sum(session.stream is None for session in sessions),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
            "memory_peak_mib": round(usage.ru_maxrss / 1024, 1),
            "rows_written": counters.rows,
            "groups_written": counters.groups,
            "rows_waiting": server.database.queued,
            "database": "faulted: nothing can be stored" if server.database.faulted else "healthy",
            **{f"hits_{limit}": times for limit, times in hits.all().items()},
        }


def _found(name: str, seq: int, stored: bytes) -> FoundRow:
    message = arrived(stored)
    return FoundRow(name, seq / 1_000_000, str(message.sender), str(message.to), text_of(stored).strip())


def _session(session: ClientSession, now: float) -> SessionRow:
    connected = session.stream is not None
    described = session.description
    tls = f"{described['tls']} {described['cipher']}" if connected and "tls" in described else None
    return SessionRow(
        jid=session.jid.text,
        address=described.get("address") if connected else None,
        client=_client(session),
        tls=tls,
        since=session.since,
        priority=session.priority,
        sm=_stream_management(session, now),
    )


def _client(session: ClientSession) -> str | None:
    """The software that a client says it is, in its entity capabilities (XEP-0115, section 4)."""
    found = None if session.presence is None else tree.child(session.presence, ns.CAPS, "c")
    node = "" if found is None else str(found.getAttribute("node") or "")
    return node[:LONGEST_NAME] or None


def _stream_management(session: ClientSession, now: float) -> StreamManagementRow | None:
    queue = session.outbox.queue
    if session.smacks is None or session.ledger is None or queue is None:
        return None
    first = queue.oldest
    return StreamManagementRow(
        inbound=session.ledger.handled,
        outbound=queue.sent,
        queue=len(queue),
        resumable=session.smacks.resumable,
        hibernated=session.stream is None,
        oldest=None if first is None else _named(first),
        oldest_age=None if first is None else round(now - first.at),
    )


def _named(entry: Sent) -> str:
    """Kind, type and id of a stanza; never what is in it."""
    stanza = entry.stanza
    if stanza is None:
        return "message in the archive" if entry.row is not None else "stanza that is not kept"
    return " ".join(filter(None, (stanza.kind, stanza.type, stanza.id)))
