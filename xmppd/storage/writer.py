"""The group writer's side in the reactor: what waits, when a group starts, and what a fault means."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from xmppd.core.context import Clock
from xmppd.storage.errors import ClosedError
from xmppd.storage.group import Outcome
from xmppd.storage.statement import Completion, Cursor, Row, State, Statement, Unit, Write

FIRST_RETRY = 0.1
LAST_RETRY = 5.0
"""Seconds between attempts of a faulted writer: doubled from the first to the last."""


PROBE_BYTES = 64 * 1024


def probe(cursor: Cursor) -> None:
    """Find out whether there is room to write, where a faulted writer has nothing else to try it with."""
    cursor.execute("INSERT INTO meta (name, value) VALUES ('probe', ?)", (token_hex(PROBE_BYTES // 2),))
    cursor.execute("DELETE FROM meta WHERE name = 'probe'")


class Observer(Protocol):
    """Who acts on the state of the writer; called in the reactor's thread."""

    def on_fault(self, error: BaseException) -> None:
        """An attempt to write failed; also called after each further attempt that fails.

        Nothing is under way at this moment: rows that are queued can be withdrawn.
        """

    def on_healthy(self) -> None:
        """Writing works again, and the completions of the rows of that group have been called."""

    def on_full(self) -> None:
        """More waits than the queue is meant to hold: stop reading from those who cause it."""

    def on_drained(self) -> None:
        """The queue has room again."""


@dataclass(frozen=True)
class Limits:
    """When a group starts, and when the queue is full."""

    group_delay: float = 0.005
    """Seconds after its first unit that a group starts for which a function, or somebody who reads, waits."""
    patience: float = 4.0
    """How many times as long one takes that has rows only: the more are written at once, the less each of
    them costs (13 µs among 300, 18 among 70), and who sent them does without a word for a moment."""
    group_rows: int = 1000
    """Rows that start a group at once."""
    queue_rows: int = 20_000
    queue_bytes: int = 64 * 1024 * 1024
    """Rows, and bytes of their stanzas, beyond which the queue is full."""
    write_patience: float = 5.0
    """Seconds that a unit of `write` waits for a faulted writer before it fails."""


@dataclass
class Counters:
    """For metrics: what the writer did since the start of the process."""

    groups: int = 0
    rows: int = 0
    seconds: float = 0.0
    """Time that groups took, from their start to their completions."""
    failures: int = 0
    """Units that failed alone."""
    faults: int = 0
    """Attempts that failed as a whole."""


class Runner(Protocol):
    """What runs groups, outside the reactor's thread; neither method ever fails."""

    def run_group(self, units: list[Unit | Write]) -> Awaitable[Outcome]:
        """Run one transaction."""

    def was_committed(self, ticket: str) -> Awaitable[bool | Exception]:
        """What became of a transaction; an exception if that cannot be said yet."""


class GroupWriter:
    """Takes all that waits into one transaction every few milliseconds. A group takes everything that is
    queued when it starts, so rows that are appended in one turn of the reactor (both sides of a message) are
    never torn apart. One group is under way at a time. A group that fails as a whole makes the writer
    *faulted*. It keeps the units, and tries again until they are stored; rows can be withdrawn in the
    meantime, and units of `write` fail after `write_patience`.
    """

    _log = Logger()

    def __init__(self, reactor: Clock, runner: Runner, limits: Limits) -> None:
        self.faulted = False
        self.full = False
        self.closed = False
        self.closing = False
        self._busy = False
        self.counters = Counters()
        self._reactor = reactor
        self._runner = runner
        self._limits = limits
        self._observers: list[Observer] = []
        self._queue: list[Unit | Write] = []
        self._bytes = 0
        self._running: list[Unit | Write] = []
        self._in_doubt: tuple[str, Outcome] | None = None
        self._timer: Any = None
        #: When the open group is to start, and when it is if somebody comes to wait; whether somebody has.
        self._due = self._prompt = 0.0
        self._hurried = False
        self._retry = FIRST_RETRY
        self._waiting_here: list[Deferred[None]] = []
        self._waiting_running: list[Deferred[None]] = []
        self._idle: list[Deferred[None]] = []

    # What others call

    def observe(self, observer: Observer) -> None:
        """Tell this observer of faults and of a full queue from now on."""
        self._observers.append(observer)

    @property
    def queued(self) -> int:
        """Units that are not stored yet."""
        return len(self._queue) + len(self._running)

    def append(self, statement: Statement, row: Row, done: Completion | None) -> Unit:
        """Queue one row."""
        unit = Unit(statement, row, done)
        if self.closed:
            self._refuse(unit)
        else:
            if statement.weight is not None:
                self._bytes += unit.size
            self._push(unit)
        return unit

    def write(self, name: str, function: Callable[..., Any], args: tuple[object, ...]) -> Deferred[Any]:
        """Queue one function."""
        if self.closed:
            raise ClosedError(name)
        write = Write(name, function, args, self._reactor.seconds())
        self._push(write)
        self._hurry()
        return write.deferred

    def settled(self) -> Deferred[None] | None:
        """When all that is queued now is stored or has failed; None if there is nothing to wait for.

        While the writer is faulted nobody waits: what can be read is what was stored.
        """
        if self.faulted or not (self._queue or self._running):
            return None
        self._hurry()
        waiting = self._waiting_here if self._queue else self._waiting_running
        waiting.append(Deferred())
        return waiting[-1]

    async def close(self) -> None:
        """Store what is queued, with one last attempt if the writer is faulted; then take no more."""
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._busy:
            self._start()
        await idle

    # Groups

    def _push(self, unit: Unit | Write) -> None:
        queue = self._queue
        queue.append(unit)
        limits, waiting = self._limits, len(queue)
        if waiting == 1:
            self._hurried = False
            self._prompt = self._reactor.seconds() + limits.group_delay
            self._due = self._prompt + limits.group_delay * (limits.patience - 1)
            if not (self._busy or self.faulted):
                self._start_in(limits.group_delay * limits.patience)
        elif waiting == limits.group_rows and not (self._busy or self.faulted):
            self._start_in(0)
        if not self.full and (waiting > limits.queue_rows or self._bytes > limits.queue_bytes):
            self._now_full()

    def _hurry(self) -> None:
        """Somebody waits for the open group."""
        if self._hurried or not self._queue:
            return
        self._hurried, self._due = True, self._prompt
        if not (self._busy or self.faulted):
            self._start_in(self._delay())

    def _delay(self) -> float:
        """Seconds until the open group is to start."""
        if self.closing or len(self._queue) >= self._limits.group_rows:
            return 0
        return max(0.0, self._due - self._reactor.seconds())

    def _start_in(self, delay: float) -> None:
        if self._timer is None:
            self._timer = self._reactor.callLater(delay, self._timed)
        else:
            self._timer.reset(delay)

    def _timed(self) -> None:
        self._timer = None
        self._start()

    def _start(self) -> None:
        self._busy = True
        if self._in_doubt is not None:
            self._spawn(self._resolve(*self._in_doubt))
            return
        units = [unit for unit in self._queue if unit.state is State.QUEUED]
        if not units and self.faulted:
            units = [self._probe()]
        self._queue = []
        self._bytes = 0
        self._waiting_running, self._waiting_here = self._waiting_here, []
        if units:
            self._begin(units)
        else:
            self._ended_well([], Outcome())

    def _probe(self) -> Write:
        write = Write("probe", probe, (), self._reactor.seconds())
        write.deferred.addErrback(lambda _: None)
        return write

    def _begin(self, units: list[Unit | Write]) -> None:
        for unit in units:
            unit.state = State.RUNNING
        self._running = units
        self._spawn(self._run(units))

    def _spawn(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        Deferred.fromCoroutine(coroutine).addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("the group writer failed", failure)

    async def _run(self, units: list[Unit | Write]) -> None:
        began = self._reactor.seconds()
        outcome = await self._runner.run_group(units)
        self.counters.seconds += self._reactor.seconds() - began
        if outcome.fault is None:
            self._ended_well(units, outcome)
        elif outcome.ticket is None:
            self._ended_in_fault(units, outcome.fault)
        else:
            self._in_doubt = (outcome.ticket, outcome)
            self._ended_in_fault([], outcome.fault)

    async def _resolve(self, ticket: str, outcome: Outcome) -> None:
        """Find out about a transaction whose commit was not confirmed; until then its units count as
        running."""
        answer = await self._runner.was_committed(ticket)
        if isinstance(answer, Exception):
            self._ended_in_fault([], answer)
            return
        self._in_doubt = None
        if answer:
            self._ended_well(self._running, outcome)
        else:
            self._put_back(self._running)
            self._start()

    # Ends. It counts as busy until everyone was told: who hears of a group may queue more, or close.

    def _ended_well(self, units: list[Unit | Write], outcome: Outcome) -> None:
        self._running = []
        self._count(units, outcome)
        self._complete(units, outcome)
        self._release(self._waiting_running)
        if self.faulted:
            self._recovered()
        self._check_drained()
        # Not before: whoever was told may have queued more, or closed.
        self._busy = False
        if self._queue:
            self._start_in(self._delay())
        elif self.closing:
            self._close()

    def _ended_in_fault(self, units: list[Unit | Write], error: Exception) -> None:
        self._put_back(units)
        self.counters.faults += 1
        if not self.faulted:
            self.faulted = True
            self._log.error("writing to the database failed: {error}", error=str(error))
        self._release(self._waiting_running)
        self._release(self._waiting_here)
        self._fail_impatient(error)
        self._tell("on_fault", error)
        self._check_drained()
        self._busy = False
        if self.closing:
            self._give_up()
        else:
            self._start_in(self._retry)
            self._retry = min(self._retry * 2, LAST_RETRY)

    def _close(self) -> None:
        self.closed = True
        self._release(self._idle)

    def _put_back(self, units: list[Unit | Write]) -> None:
        if units:
            self._running = []
        for unit in units:
            unit.state = State.QUEUED
        self._queue = [unit for unit in (*units, *self._queue) if unit.state is State.QUEUED]
        self._bytes = sum(unit.size for unit in self._queue)

    def _fail_impatient(self, error: Exception) -> None:
        limit = self._reactor.seconds() - self._limits.write_patience
        for unit in self._queue:
            if isinstance(unit, Write) and unit.state is State.QUEUED and unit.born <= limit:
                self._fail(unit, error)

    def _recovered(self) -> None:
        self.faulted = False
        self._retry = FIRST_RETRY
        self._log.info("writing to the database works again")
        self._tell("on_healthy")

    def _give_up(self) -> None:
        units = self._running + self._queue
        self._running, self._queue, self._in_doubt = [], [], None
        left = [unit for unit in units if unit.state is not State.ENDED]
        if left:
            self._log.error(
                "{count} writes could not be stored before the database was closed", count=len(left)
            )
        self.closed = True
        for unit in left:
            self._fail(unit, ClosedError("the database was closed while it could not be written to"))
        self._release(self._idle)

    def _count(self, units: list[Unit | Write], outcome: Outcome) -> None:
        self.counters.groups += 1 if units else 0
        self.counters.rows += len(units) - len(outcome.failures)
        self.counters.failures += len(outcome.failures)

    def _complete(self, units: list[Unit | Write], outcome: Outcome) -> None:
        """Tell everyone in order. One who raises an error harms no other."""
        failures, values = outcome.failures, outcome.values
        for position, unit in enumerate(units):
            if position in failures:
                self._fail(unit, failures[position])
                continue
            unit.state = State.ENDED
            try:
                if isinstance(unit, Unit):
                    if unit.done is not None:
                        unit.done.committed()
                elif not unit.deferred.called:
                    unit.deferred.callback(values[position])
            except Exception:
                self._log.failure("a completion failed")

    def _fail(self, unit: Unit | Write, error: Exception) -> None:
        unit.state = State.ENDED
        try:
            if isinstance(unit, Write):
                if not unit.deferred.called:
                    unit.deferred.errback(error)
            elif unit.done is not None:
                unit.done.failed(error)
        except Exception:
            self._log.failure("a completion failed")

    def _refuse(self, unit: Unit) -> None:
        """Not inside of append: its caller does not expect the answer before the handle."""
        unit.state = State.ENDED
        self._reactor.callLater(0, self._fail, unit, ClosedError("the database is closed"))

    def _release(self, waiting: list[Deferred[None]]) -> None:
        released = waiting[:]
        waiting.clear()
        for deferred in released:
            if not deferred.called:
                deferred.callback(None)

    # How full the queue is

    def _now_full(self) -> None:
        self.full = True
        self._log.warn("{count} writes wait for the database", count=self.queued)
        self._tell("on_full")

    def _check_drained(self) -> None:
        limits = self._limits
        if (
            self.full
            and len(self._queue) <= limits.queue_rows // 2
            and self._bytes <= limits.queue_bytes // 2
        ):
            self.full = False
            self._tell("on_drained")

    def _tell(self, event: str, *args: object) -> None:
        for observer in self._observers:
            try:
                getattr(observer, event)(*args)
            except Exception:
                self._log.failure("an observer of the database failed at {event}", event=event)
