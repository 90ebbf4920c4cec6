"""Sessions that outlive the process: written down at a graceful stop, taken up again at the next start.

Archived messages are kept as positions, everything else as bytes.  Contacts notice nothing: a session that
is written down was never unavailable.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from xmppd.core.account import Account
from xmppd.core.events import SessionBound
from xmppd.core.jid import JID
from xmppd.core.slots import Slot
from xmppd.core.stanza import Stanza
from xmppd.host import Host
from xmppd.routing.registry import LocalRegistry
from xmppd.routing.router import LocalRouter
from xmppd.storage import sessions as store
from xmppd.storage.archive_book import arrived
from xmppd.storage.database import Database
from xmppd.stream.csi import INACTIVE, deactivate
from xmppd.stream.ledger import Ledger
from xmppd.stream.resumption import SETTLE_WITHIN
from xmppd.stream.services import Services
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import Smacks
from xmppd.stream.unacknowledged import Sent, Unacknowledged

__all__ = ["Hibernation"]

_log = Logger()


def _text(stanza: Stanza | None) -> str | None:
    return None if stanza is None else stanza.standing_alone().decode()


def _stanza(text: str | None) -> Stanza | None:
    return None if text is None else arrived(text.encode())


def _entry(entry: Sent) -> list[Any]:
    if entry.row is not None or entry.stanza is None:
        return [entry.row, entry.at, None, 0]
    return [None, entry.at, _text(entry.stanza), entry.stanza.holders]


#: What several sessions of an account were given, by its bytes, and how many equal ones came before it.
_Shared = dict[tuple[str, int], Stanza]


def _sent(entry: list[Any], shared: _Shared, equal: Counter[str]) -> Sent:
    """One entry of a queue.

    :param shared: what is in the queues of others, too, is one stanza again.
    :param equal: how many of the same bytes came before, of those that others have.
    """
    row, at, text, holders = entry
    if text is None:
        return Sent(None, row, at)
    if holders > 1:
        key = text, equal[text]
        if key not in shared:
            shared[key] = arrived(text.encode())
        stanza = shared[key]
        equal[text] += 1
    else:
        stanza = arrived(text.encode())
    stanza.holders = holders
    return Sent(stanza, row, at)


def encode(session: ClientSession) -> bytes:
    """What of a session is not in a column of its own."""
    mailbox, queue = session.account.mailbox, session.outbox.queue
    assert session.smacks is not None
    assert queue is not None
    durable = {
        name: value for name, value in session.slots.items() if name in Slot.all and Slot.all[name].durable
    }
    return json.dumps(
        {
            "jid": session.jid.text,
            "since": session.since,
            "priority": session.priority,
            "presence": _text(session.presence),
            "slots": durable,
            "description": session.description,
            "xmlns": session.smacks.xmlns,
            "resume_for": session.smacks.resume_for,
            "sent": queue.sent,
            "queue": [_entry(entry) for entry in queue.entries],
            "shown": [] if mailbox is None else mailbox.shown_to(session),
        }
    ).encode()


class Hibernation:
    """Writes sessions down and takes them up again.

    :param hosts: the served domains by name.
    """

    def __init__(
        self,
        database: Database,
        registry: LocalRegistry,
        router: LocalRouter,
        services: Services,
        hosts: dict[str, Host],
    ) -> None:
        self._database, self._registry, self._router = database, registry, router
        self._services, self._hosts = services, hosts
        #: Whether the sessions of the last run are taken up, which is done once.
        self.has_begun = False

    # -- stop

    async def sleep(self) -> None:
        """All streams are closed: write down what can be resumed, end the rest properly.

        :raises StorageError: that is not possible now.
        """
        await self._settled()
        for session in self._sessions():
            if session.smacks is None or not session.smacks.resumable or session.account.id is None:
                self._services.keeper.end(session)
        saved = [self._saved(session) for session in self._sessions()]
        if saved:
            await self._database.write("save sessions", store.save_all, saved)
            _log.info("sessions that can be resumed after the next start: {number}", number=len(saved))

    def _sessions(self) -> list[ClientSession]:
        return [session for session in self._registry.sessions() if isinstance(session, ClientSession)]

    async def _settled(self) -> None:
        """Let `h` cover what clients sent last, and let their last requests be answered.

        That is not waited for for ever: what is not handled by then they send again.
        """
        # What is queued is durable then, or the fault is known that keeps it from being so.
        await self._database.settled()
        waiting = [
            session.ledger.when_settled()
            for session in self._sessions()
            if session.ledger is not None and not session.ledger.settled
        ]
        if (answers := self._router.when_answered()) is not None:
            waiting.append(answers)
        # While nothing can be stored nothing moves.
        if waiting and not self._database.faulted:
            everything: Deferred[Any] = DeferredList(waiting, consumeErrors=True)
            await everything.addTimeout(SETTLE_WITHIN, self._services.clock)  # type: ignore[arg-type]

    def _saved(self, session: ClientSession) -> store.SavedSession:
        smacks, ledger, number = session.smacks, session.ledger, session.account.id
        assert smacks is not None
        assert ledger is not None
        assert number is not None
        expires = int(self._services.now() + smacks.seconds_left)
        self._let_go(session)
        smacks.stop()
        return store.SavedSession(number, smacks.token, ledger.handled, expires, encode(session))

    @staticmethod
    def _let_go(session: ClientSession) -> None:
        """Queue what is held for a session, and stands nowhere else: it may be more than fits."""
        if session.account.mailbox is not None:
            for stanza in session.account.mailbox.take_unsent(session):
                session.send(stanza)
        if session.inactive is not None:
            session.inactive.let_go()

    # -- start

    async def wake(self) -> None:
        """Take up the sessions of the last run.

        Those whose time is over end now as they would have ended: others see them, and wait for answers.
        """
        self.has_begun = True
        now = self._services.now()
        accounts = {account.id: account for account in self._registry.accounts()}
        remembered_until = int(now + store.REMEMBERED_FOR)
        shared: defaultdict[int, _Shared] = defaultdict(dict)
        woken: list[tuple[ClientSession, float]] = []
        for saved in await self._database.write("take sessions", store.take_all, remembered_until):
            account = accounts.get(saved.account)
            if account is not None:
                seconds = saved.expires - now if account.enabled else 0.0
                try:
                    woken.append((self._restored(account, saved, shared[saved.account]), seconds))
                except Exception:
                    _log.failure("a session of {account} could not be taken up again", account=account)
        woken.sort(key=lambda pair: pair[0].since)
        for session, _ in woken:
            session.account.sessions.append(session)
        # Not before all are there: what one of them owes is not given to another.
        for session, seconds in woken:
            self._go_on(session, seconds)
        number = sum(seconds > 0 for _, seconds in woken)
        if number:
            _log.info("sessions of the last run that can be resumed: {number}", number=number)

    def _restored(self, account: Account, saved: store.SavedSession, shared: _Shared) -> ClientSession:
        state = json.loads(saved.payload)
        mailbox, services = account.mailbox, self._services
        assert mailbox is not None
        outbox = services.new_outbox()
        session = ClientSession(JID.parse(state["jid"]), account, outbox, state["since"])
        session.priority, session.presence = state["priority"], _stanza(state["presence"])
        session.slots, session.description = state["slots"], state["description"]
        equal: Counter[str] = Counter()
        queue = [_sent(entry, shared, equal) for entry in state["queue"]]
        smacks = Smacks(
            session,
            state["xmlns"],
            services.clock,
            services.sm,
            resumable=True,
            resume_for=state["resume_for"],
            expired=services.keeper.end,
        )
        smacks.token = saved.token
        outbox.queue = Unacknowledged(state["sent"], queue)
        # What was held at the stop is among it.
        smacks.be_lenient()
        session.ledger = Ledger(saved.handled)
        smacks.watch_ledger()
        if INACTIVE.get(session):
            deactivate(session, services.csi_queue)
        rows = [entry.row for entry in queue if entry.row is not None]
        mailbox.restore(session, rows, state.get("shown", ()))
        return session

    def _go_on(self, session: ClientSession, seconds: float) -> None:
        assert session.smacks is not None
        for problem in self._hosts[session.jid.domain].hooks.tell(SessionBound(session)):
            _log.failure("the return of {session}", Failure(problem), session=session.jid.text)
        session.smacks.wait_for_return(max(0.0, seconds))
