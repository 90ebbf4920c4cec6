"""The one door to SQL: a pool of one writer and a pool of readers, both behind Twisted's adbapi."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from xmppd.core.lane import Lane
from xmppd.storage.dialect import Dialect
from xmppd.storage.errors import ClosedError, StorageError, UnreachableError
from xmppd.storage.group import Group, Outcome
from xmppd.storage.migrate import migrate
from xmppd.storage.sqlite import MemorySQLite, SQLite
from xmppd.storage.statement import Completion, Cursor, Row, Statement, Unit, Write
from xmppd.storage.threads import DatabaseThreads, Threads
from xmppd.storage.writer import Counters, GroupWriter, Limits, Observer

P = ParamSpec("P")
T = TypeVar("T")

SLOW = 1.0
"""Seconds after which a transaction is mentioned in the log, with its name."""

SCRUB_AFTER = 30.0
"""Seconds that erased content may stand in the database's files where not somebody waits for its end."""

KNOCK_EVERY = 2.0
"""Seconds between attempts to reach a database server that is not up yet."""


def dialect_of(url: str) -> Dialect:
    """The database that a URL means: `sqlite:PATH`, `sqlite::memory:`, or `postgresql://…` as libpq takes it.

    :raises ValueError: for anything else; the message does not quote the URL, which may hold a password.
    :raises StorageError: if the driver is not installed.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        return MemorySQLite() if rest == ":memory:" else SQLite(rest)
    if scheme in ("postgresql", "postgres"):
        return _postgresql(url)
    raise ValueError("a database is sqlite:PATH or postgresql://USER@HOST/NAME")


def _postgresql(url: str) -> Dialect:
    try:
        dialect: Dialect = import_module("xmppd.storage.postgresql").PostgreSQL(url)
    except ImportError as error:
        remedy = f"{sys.executable} -m pip install 'psycopg[binary]'"
        raise StorageError(f"the driver for PostgreSQL is missing ({error}); install it: {remedy}") from None
    return dialect


class Connection:
    """What a pool hands to the functions below instead of adbapi's own wrapper. They begin and end their
    transactions themselves, so that they see what a COMMIT says; adbapi's calls at the end of each function
    do nothing.
    """

    def __init__(self, pool: adbapi.ConnectionPool) -> None:
        self._pool = pool
        self.raw = pool.connect()

    def renew(self) -> bool:
        """Close it and make another; False if that is not possible now (then the next function will try)."""
        self._pool.disconnect(self.raw)
        try:
            self.raw = self._pool.connect()
        except Exception:
            return False
        return True

    def commit(self) -> None:
        """See above."""

    def rollback(self) -> None:
        """See above."""


@dataclass
class Timing:
    """How often a named transaction was run, and how long it took in its thread."""

    count: int = 0
    seconds: float = 0.0


class Database:
    """The database of one process.

    :param reactor: for threads, time and timers.
    :param url: see `dialect_of`.
    :param group_delay: seconds after its first row that a group of writes starts for which somebody waits.
    :param group_rows: rows that start a group at once.
    :param queue_rows: rows, and
    :param queue_bytes: bytes of stanzas that may wait before the database is `full`.
    :param readers: threads and connections for reading.
    :param threads: in tests with a fake clock, `NoThreads`.
    :ivar lane: for what clients can make long: it leaves one reader to all else.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        group_delay: float = Limits.group_delay,
        group_rows: int = 1000,
        queue_rows: int = 20_000,
        queue_bytes: int = 64 * 1024 * 1024,
        readers: int = 3,
        threads: Callable[[], Threads] | None = None,
    ) -> None:
        self.dialect = dialect_of(url)
        self.timings: dict[str, Timing] = {}
        self._reactor = reactor
        self._threads = threads
        self._most_readers = readers
        self.lane = Lane(max(1, readers - 1))
        limits = Limits(group_delay, Limits.patience, group_rows, queue_rows, queue_bytes)
        self._writer = GroupWriter(reactor, self, limits)
        self._write_pool: Any = None
        self._read_pool: Any = None
        self._reads = 0
        self._no_reads: Deferred[None] | None = None
        self._scrub_timer: Any = None

    async def open(self, patience: float = 0.0) -> None:
        """Make or upgrade the database, and start.

        :param patience: seconds to wait for a database server that is not up yet.
        :raises SchemaError: if it belongs to a newer version of the program, or is of another program.
        :raises InUseError: if another process has it open.
        :raises StorageError: if it cannot be opened.
        """
        until = self._reactor.seconds() + patience
        told = False
        while not await self._opened(last=self._reactor.seconds() >= until, told=told):
            told = True
            await deferLater(self._reactor, KNOCK_EVERY)

    async def _opened(self, *, last: bool, told: bool) -> bool:
        """One attempt; False if there may be another one.

        :param told: whether it is in the log that the server is waited for.
        """
        try:
            await self._open()
        except UnreachableError as error:
            if last:
                raise
            if not told:
                self._log.warn("waiting for the database: {error}", error=str(error))
            return False
        return True

    async def _open(self) -> None:
        self._write_pool = self._pool(1, self.dialect.open_writer)
        self._read_pool = self._pool(self._most_readers, self.dialect.open_reader)
        try:
            self.dialect.prepare()
            await self._write_pool.runWithConnection(self._migrate)
        except Exception as error:
            self._close_pools()
            raise self.dialect.translate(error) from None

    def _pool(self, size: int, set_up: Callable[[Any], None]) -> Any:
        args, keywords = self.dialect.arguments()
        pool: Any = adbapi.ConnectionPool(
            self.dialect.module,
            *args,
            cp_min=0,
            cp_max=size,
            cp_openfun=set_up,
            cp_reactor=self._reactor,
            **keywords,
        )
        pool.connectionFactory = Connection
        if pool.running:
            pool.threadpool.stop()
        pool.threadpool = DatabaseThreads(size) if self._threads is None else self._threads()
        return pool

    def _migrate(self, connection: Connection) -> None:
        for line in migrate(self.dialect, connection.raw):
            self._reactor.callFromThread(self._log.info, "{line}", line=line)

    async def close(self) -> None:
        """Store all that is queued, end what reads, and close the connections. Rows that cannot be stored
        (the writer is faulted, and one last attempt failed) are reported as failed.
        """
        if self._writer.closing:
            return
        if self._scrub_timer is not None:
            self._scrub_timer.cancel()
            self._scrub_timer = None
        await self._writer.close()
        if self._reads:
            self._no_reads = Deferred()
            for raw in tuple(self._read_pool.connections.values()):
                self.dialect.interrupt(raw)
            await self._no_reads
        self._close_pools()

    def abandon(self) -> None:
        """Let go of it as a killed process does; what is queued is lost.  For tests without threads."""
        self._close_pools()

    def _close_pools(self) -> None:
        for pool in (self._read_pool, self._write_pool):
            if pool is not None:
                pool.close()
        self._read_pool = self._write_pool = None
        self.dialect.close()

    # Reading

    async def read(
        self, name: str, function: Callable[Concatenate[Cursor, P], T], /, *args: P.args, **keywords: P.kwargs
    ) -> T:
        """Run a function in a transaction that only reads, in another thread.

        It sees all that was queued for writing before (unless writing is faulted: then, what is stored).

        :param name: of the transaction, for figures and the log.
        :raises StorageError: see errors.py; errors of the function's own pass as they are.
        """
        if self._writer.closed:
            raise ClosedError(name)
        await self.settled()
        result: T
        result, seconds = await self._beside(self._read, function, args, keywords)
        self._took(name, seconds)
        return result

    async def _beside(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Run a function with a connection of the readers; closing ends it."""
        self._reads += 1
        try:
            return await self._read_pool.runWithConnection(function, *args)
        except Exception as error:
            raise self.dialect.translate(error) from None
        finally:
            self._reads -= 1
            if self._no_reads is not None and not self._reads:
                self._no_reads.callback(None)

    def _read(
        self, connection: Connection, function: Callable[..., T], args: Any, keywords: Any
    ) -> tuple[T, float]:
        began = time.perf_counter()
        try:
            result = self._read_once(connection, function, args, keywords)
        except Exception as error:
            if not (self.dialect.must_reopen(connection.raw, error) and connection.renew()):
                raise
            result = self._read_once(connection, function, args, keywords)
        return result, time.perf_counter() - began

    def _read_once(self, connection: Connection, function: Callable[..., T], args: Any, keywords: Any) -> T:
        try:
            self.dialect.begin_read(connection.raw)
            return function(self.dialect.cursor(connection.raw), *args, **keywords)
        finally:
            self.dialect.rollback(connection.raw)

    def _took(self, name: str, seconds: float) -> None:
        timing = self.timings.setdefault(name, Timing())
        timing.count += 1
        timing.seconds += seconds
        if seconds > SLOW:
            self._log.warn("{name} took {seconds:.1f} s in the database", name=name, seconds=seconds)

    # Writing

    async def write(
        self, name: str, function: Callable[Concatenate[Cursor, P], T], /, *args: P.args, **keywords: P.kwargs
    ) -> T:
        """Run a function as one unit of the next group. It may be run more than once (a group that failed is
        run again): it must have no effect but on the database.

        :returns: what the function returned, after the commit.
               :raises StorageError: see errors.py; errors of the function's own pass as they are, and undo
                   what it wrote.
        """
        result: T = await self._writer.write(name, _Call(function, keywords) if keywords else function, args)
        return result

    def append(self, statement: Statement, row: Row, done: Completion | None = None) -> Unit:
        """Queue one row for the next group: the fast path.

        :param done: hears in the reactor's thread what became of it.
        :returns: a handle whose `withdraw()` takes the row back while it is not under way.
        """
        return self._writer.append(statement, row, done)

    def scrub_later(self) -> None:
        """As `scrub`, but soon, and once for all that is erased until then: for what happens often."""
        if self._scrub_timer is None and not self._writer.closing:
            self._scrub_timer = self._reactor.callLater(SCRUB_AFTER, self._scrub_now)

    def _scrub_now(self) -> None:
        self._scrub_timer = None
        Deferred.fromCoroutine(self.scrub()).addErrback(self._not_scrubbed)

    def _not_scrubbed(self, failure: Failure) -> None:
        self._log.warn("erased content stands in the database still: {error}", error=str(failure.value))
        self.scrub_later()

    async def settled(self) -> None:
        """When all that is queued now is stored or has failed, at once while writing is faulted."""
        if (settled := self._writer.settled()) is not None:
            await settled

    async def scrub(self) -> None:
        """After content was erased: leave no copy of it in the database's files.

        If that is not possible now it is tried again, and again, without anyone who waits for it.
        """
        await self.settled()
        if self._writer.closed:
            raise ClosedError("scrub")
        if not await self._scrub():
            self.scrub_later()

    async def _scrub(self) -> bool:
        def run(connection: Connection) -> bool:
            return self.dialect.scrub(connection.raw)

        if self.dialect.scrubs_beside:
            return bool(await self._beside(run))
        try:
            return bool(await self._write_pool.runWithConnection(run))
        except Exception as error:
            raise self.dialect.translate(error) from None

    # The state of the writer

    @property
    def faulted(self) -> bool:
        """Whether the last attempt to write failed as a whole."""
        return self._writer.faulted

    @property
    def full(self) -> bool:
        """Whether more waits than should."""
        return self._writer.full

    @property
    def queued(self) -> int:
        """Units that wait to be stored."""
        return self._writer.queued

    @property
    def counters(self) -> Counters:
        """What was written, for metrics."""
        return self._writer.counters

    def observe(self, observer: Observer) -> None:
        """Tell this observer of faults and of a full queue."""
        self._writer.observe(observer)

    # What the group writer runs (writer.Runner)

    async def run_group(self, units: list[Unit | Write]) -> Outcome:
        """Run one transaction in the writer's thread."""
        try:
            outcome: Outcome = await self._write_pool.runWithConnection(self._run_group, units)
        except Exception as error:
            return Outcome(fault=self.dialect.fault(error))
        for position, seconds in outcome.seconds.items():
            unit = units[position]
            if isinstance(unit, Write):
                self._took(unit.name, seconds)
        return outcome

    def _run_group(self, connection: Connection, units: list[Unit | Write]) -> Outcome:
        """A connection that turns out to be lost (the server was restarted meanwhile) is not yet a fault."""
        outcome = Group(self.dialect, connection.raw, units).run()
        if outcome.reopen and connection.renew() and outcome.ticket is None:
            outcome = Group(self.dialect, connection.raw, units).run()
        return outcome

    async def was_committed(self, ticket: str) -> bool | Exception:
        """Ask what became of a transaction."""

        def ask(connection: Connection) -> bool:
            return self.dialect.was_committed(connection.raw, ticket)

        try:
            return bool(await self._write_pool.runWithConnection(ask))
        except Exception as error:
            return self.dialect.fault(error)


class _Call:
    """A function with its keyword arguments."""

    def __init__(self, function: Callable[..., Any], keywords: dict[str, Any]) -> None:
        self._function = function
        self._keywords = keywords

    def __call__(self, cursor: Cursor, *args: object) -> Any:
        return self._function(cursor, *args, **self._keywords)
