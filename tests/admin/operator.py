"""A server for xmppctl that exists in memory alone."""

from collections.abc import Callable, Iterable, Mapping

from xmppd.admin.commands import FoundRow, SessionRow, StreamManagementRow, UserRow
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID


class FakeOperator:
    """Serves a.example and b.example, and notes what it is told (see `xmppd.admin.commands.Operator`)."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.rows: list[SessionRow] = []
        self.messages: list[FoundRow] = []
        self.kicked: list[tuple[str, str]] = []
        self.fault: Exception | None = None

    domains = frozenset({"a.example", "b.example"})

    async def add_user(self, jid: JID, password: str) -> None:
        if self.fault is not None:
            raise self.fault
        if jid.text in self.states:
            raise StanzaError("conflict", f"The name {jid} is taken")
        self.passwords[jid.text] = password
        self.states[jid.text] = "active"

    async def set_password(self, jid: JID, password: str) -> None:
        self.require(jid)
        self.passwords[jid.text] = password

    async def remove_user(self, jid: JID, report: Callable[[int], None]) -> None:
        self.require(jid)
        report(7)
        self.states[jid.text] = "removed"

    async def release_user(self, jid: JID) -> None:
        if self.states.get(jid.text) != "removed":
            raise StanzaError("item-not-found", f"No account {jid} was removed")
        del self.states[jid.text]

    async def set_enabled(self, jid: JID, enabled: bool) -> None:
        self.require(jid)
        self.states[jid.text] = "active" if enabled else "disabled"

    async def users(self, domain: str | None = None) -> Iterable[UserRow]:
        return [
            UserRow(jid, state, 1_900_000_000.5, sum(row.jid.startswith(f"{jid}/") for row in self.rows))
            for jid, state in self.states.items()
            if domain in {None, jid.partition("@")[2]}
        ]

    def sessions(self) -> Iterable[SessionRow]:
        return self.rows

    async def kick(self, jid: JID, reason: str) -> int:
        self.kicked.append((jid.text, reason))
        return sum(jid.text in {row.jid, JID.parse(row.jid).bare.text} for row in self.rows)

    async def search_archive(self, jid: JID, words: str, limit: int) -> tuple[Iterable[FoundRow], bool]:
        self.require(jid)
        found = [row for row in self.messages if words in row.text]
        return found[-limit:], len(found) <= limit

    async def stats(self) -> Mapping[str, int | float | str]:
        return {"accounts": len(self.states), "messages": 12, "uptime": 3.25, "version": "0.1.0"}

    def require(self, jid: JID) -> None:
        if self.states.get(jid.text) in {None, "removed"}:
            raise StanzaError("item-not-found", f"There is no account {jid}")


def session(jid: str, *, sm: StreamManagementRow | None = None, client: str | None = "Gajim 2") -> SessionRow:
    """Make a session."""
    alive = sm is None or not sm.hibernated
    return SessionRow(
        jid=jid,
        address="[::1]:50000" if alive else None,
        client=client,
        tls="TLSv1.3" if alive else None,
        since=1_900_000_000.0,
        priority=5 if alive else None,
        sm=sm,
    )
