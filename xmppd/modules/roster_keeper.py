"""The rosters of a domain in memory: read when they are needed, and kept as long as they are.

A roster stays while its account has sessions.  Those of accounts that are offline are needed for
subscriptions and probes; a few of them stay, too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from xmppd.core.account import Account
from xmppd.core.context import Context, Host, Ticket
from xmppd.core.errors import StanzaError
from xmppd.core.roster import Roster
from xmppd.core.stanza import Stanza
from xmppd.modules.roster_store import read_roster
from xmppd.storage import roster_eras
from xmppd.storage.errors import FaultError

__all__ = ["MOST_IDLE", "MOST_WAITING", "RosterKeeper", "Saved", "keeper_of"]

_log = Logger()

#: How many rosters of accounts without sessions stay in memory.
MOST_IDLE: Final = 64
#: How much may wait for one roster to be read.
MOST_WAITING: Final = 1000
#: Seconds after which a roster is read again that the database could not give.
RETRY: Final = 5.0

#: What is done with a roster once it is there.
Work = Callable[[Roster], None]


class _Waiting:
    """Something that waits for a roster to be read.

    :ivar done: fires when it has been done or has failed.
    """

    __slots__ = ("done", "stanza", "ticket", "work")

    def __init__(self, work: Work, stanza: Stanza | None, ticket: Ticket | None) -> None:
        self.work, self.stanza, self.ticket = work, stanza, ticket
        self.done: Deferred[None] = Deferred()


class Saved:
    """A ticket to wait for.

    :ivar done: fires when nothing holds it any more, or fails with what went wrong.
    """

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred()
        self._open = 0

    async def wait(self) -> None:
        """Wait for what holds it."""
        if self._open or self.done.called:
            await self.done

    def hold(self) -> None:
        """One more thing to wait for."""
        self._open += 1

    def committed(self) -> None:
        """One thing less to wait for."""
        self._open -= 1
        if not self._open and not self.done.called:
            self.done.callback(None)

    def failed(self, error: BaseException) -> None:
        """One of them will never come."""
        self._open -= 1
        if not self.done.called:
            self.done.errback(error)


class RosterKeeper:
    """Keeps the rosters of one domain.

    :param most_idle: how many rosters of accounts without sessions stay in memory.
    """

    def __init__(self, context: Context, most_idle: int = MOST_IDLE) -> None:
        self._context = context
        self._most_idle = most_idle
        self._rosters: dict[Account, Roster] = {}
        self._waiting: dict[Account, list[_Waiting]] = {}
        #: Accounts without sessions whose rosters are in memory, the longest unused first.
        self._idle: OrderedDict[Account, None] = OrderedDict()
        self._era = ""

    # -- what the numbers of versions mean

    async def start(self) -> None:
        """Take up the era of the last run; after a crash, which may have lost changes, begin another."""
        context = self._context
        self._era = await context.database.write("roster era", roster_eras.take_up, context.domain.text)

    def begin_era(self) -> None:
        """Changes that clients were told of are lost: their numbers will be given out again."""
        self._era = roster_eras.new()

    def stop(self) -> None:
        """The run ends well, if this is written down behind all changes."""
        row = roster_eras.row(self._context.domain.text, self._era, ended=True)
        self._context.database.append(roster_eras.SAVE, row)

    # -- what is in memory

    def get(self, account: Account) -> Roster | None:
        """The roster, if it is in memory."""
        return self._rosters.get(account)

    def loaded(self) -> list[Roster]:
        """All rosters in memory."""
        return list(self._rosters.values())

    def is_reading(self, account: Account) -> bool:
        """Whether the roster is being read: what is used now comes behind what waits for it."""
        return account in self._waiting

    # -- using one

    def use(
        self, account: Account, work: Work, stanza: Stanza | None = None, ticket: Ticket | None = None
    ) -> Deferred[None] | None:
        """Do something with a roster: at once where it is in memory, else in order as soon as it is read.

        :param stanza: what is answered with an error if that fails later.
        :param ticket: is held while the work waits; without one the server itself wants it, whatever waits,
            and however long.
        :returns: where the work waits, what fires when it has been done or has failed.
        :raises StanzaError: what the work raises at once; ``resource-constraint`` if too much waits.
        """
        roster = self._rosters.get(account)
        if roster is not None:
            if account in self._idle:
                self._idle.move_to_end(account)
            work(roster)
            return None
        queue = self._waiting.get(account)
        if queue is not None and ticket is not None and len(queue) >= MOST_WAITING:
            raise StanzaError("resource-constraint")
        if ticket is not None:
            ticket.hold()
        waiting = _Waiting(work, stanza, ticket)
        if queue is not None:
            queue.append(waiting)
        else:
            self._waiting[account] = [waiting]
            self._context.spawn(self._read(account))
        return waiting.done

    async def load(self, account: Account) -> Roster:
        """The roster, read if need be.

        :raises StanzaError: ``internal-server-error`` if it cannot be read.
        """
        found: Deferred[Roster] = Deferred()
        waiting = Saved()
        waiting.done.addErrback(lambda _: found.errback(StanzaError("internal-server-error")))
        self.use(account, found.callback, None, waiting)
        return await found

    async def _read(self, account: Account) -> None:
        try:
            roster = await self._stored(account)
        except FaultError as error:
            _log.warn("the roster of {account} cannot be read: {error}", account=account, error=error)
            self._fail(account, error, again=True)
            return
        except Exception as error:
            _log.failure("the roster of {account} cannot be read", account=account)
            self._fail(account, error, again=False)
            return
        self._rosters[account] = roster
        if not account.sessions:
            self._rest(account)
        for waiting in self._waiting.pop(account):
            self._run(waiting, roster)

    def _fail(self, account: Account, error: Exception, *, again: bool) -> None:
        """Nobody waits for a database that is gone, but what the server itself has to do: that is not lost.

        :param again: whether it may be there later.
        """
        waiting = self._waiting.pop(account)
        kept = [each for each in waiting if again and each.ticket is None]
        if kept:
            self._waiting[account] = kept
            self._context.clock.callLater(RETRY, lambda: self._context.spawn(self._read(account)))
        for each in waiting:
            if each not in kept:
                self._finish(each, error)

    async def _stored(self, account: Account) -> Roster:
        if account.id is None:
            return Roster(account)
        roster = await self._context.database.read("roster", read_roster, account)
        roster.era = self._era
        return roster

    def _run(self, waiting: _Waiting, roster: Roster) -> None:
        problem: Exception | None = None
        try:
            waiting.work(roster)
        except StanzaError as raised:
            problem = raised
        except Exception as raised:
            _log.failure("{stanza} failed", stanza=waiting.stanza)
            problem = raised
        self._finish(waiting, problem)

    def _finish(self, waiting: _Waiting, problem: Exception | None) -> None:
        if problem is not None and waiting.stanza is not None:
            answer = problem if isinstance(problem, StanzaError) else StanzaError("internal-server-error")
            self._context.router.refuse(waiting.stanza, answer)
        if waiting.ticket is not None:
            if problem is None:
                waiting.ticket.committed()
            else:
                waiting.ticket.failed(problem)
        waiting.done.callback(None)

    # -- how long they stay

    def wake(self, account: Account) -> None:
        """The account has a session: read its roster, and keep it."""
        self._idle.pop(account, None)
        self.use(account, lambda roster: None)

    def rest(self, account: Account) -> None:
        """The account may have no session any more."""
        if not account.sessions and account in self._rosters:
            self._rest(account)

    def forget(self, account: Account) -> None:
        """Let go of a roster."""
        self._rosters.pop(account, None)
        self._idle.pop(account, None)

    def _rest(self, account: Account) -> None:
        if account.is_guest:
            # Nobody comes back to it, and it stands in no store.
            self.forget(account)
            return
        self._idle[account] = None
        for oldest in tuple(self._idle) if len(self._idle) > self._most_idle else ():
            if len(self._idle) <= self._most_idle:
                return
            # What is not written yet must not be read again without it.
            if not self._rosters[oldest].unsaved:
                self.forget(oldest)


class _KeepsRosters(Protocol):
    keeper: RosterKeeper


def keeper_of(host: Host) -> RosterKeeper:
    """The keeper of a domain's rosters: the roster module has it."""
    return cast(_KeepsRosters, host.modules["roster"]).keeper
