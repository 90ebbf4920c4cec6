"""Last activity (XEP-0012)."""

from __future__ import annotations

from typing import Any, Final

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Session
from xmppd.core.errors import StanzaError
from xmppd.core.events import PresenceSending, SessionEnded
from xmppd.core.hooks import Stage
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq, on
from xmppd.core.stanza import Stanza, escape_text
from xmppd.storage import last_activity as store
from xmppd.storage.last_activity import LastActivity
from xmppd.xml import tree

__all__ = ["Last"]

#: Characters of a status that are kept.
MOST_STATUS: Final = 1000


class Last(Module):
    """Tells how long the server has been up, and when users left.

    A user leaves when the last of the available resources goes.
    """

    name = "last"
    xeps = (Xep("0012", "2.0", "Last Activity"),)
    features = (ns.LAST,)
    account_features = (ns.LAST,)

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._started = context.clock.seconds()

    # -- keeping it

    @on(PresenceSending, Stage.STRIP)
    def unavailable(self, event: PresenceSending) -> None:
        """A session takes leave: it is still available, before anything else happens."""
        stanza, session = event.stanza, event.session
        if stanza.type == "unavailable" and stanza.to is None and session is not None and session.available:
            self._left(event.account, session, _status(stanza))

    @on(SessionEnded, Stage.BLOCK)
    def ended(self, event: SessionEnded) -> None:
        """A session goes without taking leave: it is still available, before anything else happens."""
        if event.session.available:
            self._left(event.session.account, event.session, "")

    def _left(self, account: Account, session: Session, status: str) -> None:
        if account.id is None or self.context.registry.account(account.jid) is not account:
            # Of a guest nothing is kept, nor of an account that was removed.
            return
        if not any(other.available for other in account.sessions if other is not session):
            last = LastActivity(int(self.context.now()), status[:MOST_STATUS])
            self.context.database.append(store.SAVE, last.row(account.id))

    # -- telling it

    @iq("get", ns.LAST, "query", "domain")
    def uptime(self, request: IqRequest) -> Payload:
        """Seconds since the server started."""
        return _answer(self.context.clock.seconds() - self._started)

    @iq("get", ns.LAST, "query", "account", contacts=True)
    async def last(self, request: IqRequest) -> Payload:
        """Seconds since the user left, for those who may see the user's presence.

        Resources that are only connected do not count (section 3): their user does not want to be seen.
        To all others no account exists.  Section 3 wants ``forbidden`` here, which would tell that
        it does.
        """
        account = request.account
        assert account is not None
        if any(session.available for session in account.sessions):
            return _answer(0)
        last = None
        if account.id is not None:
            last = await self.context.database.read("last activity", store.load, account.id)
        if last is None:
            raise StanzaError("item-not-found", "This user has never been there")
        return _answer(self.context.now() - last.at, last.status)


def _status(stanza: Stanza) -> str:
    found = tree.child(stanza, ns.CLIENT, "status")
    return "" if found is None else "".join(part for part in found.children if isinstance(part, str))


def _answer(seconds: float, status: str = "") -> Payload:
    text = f"<query xmlns='{ns.LAST}' seconds='{max(0, int(seconds))}'>{escape_text(status)}</query>"
    return ns.LAST, "query", text.encode()
