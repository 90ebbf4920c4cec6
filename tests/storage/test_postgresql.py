"""What only PostgreSQL does: a server that stops and comes back, and commits that nobody confirmed."""

import signal
import threading
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import errors
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from tests.postgres import PostgreSQLServer, server
from tests.storage.base import BlockingStore, Noted, OnPostgreSQL, StorageTestCase, message
from tests.storage.test_database import ThreadlessReactor, seqs
from tests.storage.test_writer import NotedEvents
from xmppd.storage import accounts, meta, postgresql, search_engines, search_index
from xmppd.storage.archive import APPEND
from xmppd.storage.database import Database, dialect_of
from xmppd.storage.errors import (
    FaultError,
    FullError,
    RefusedError,
    StorageError,
    UnreachableError,
)
from xmppd.storage.postgresql import LOCK, PostgreSQL, placeholders
from xmppd.storage.threads import NoThreads
from xmppd.storage.words import terms


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def wait_for(database: Database, *, faulted: bool) -> None:
    while database.faulted is not faulted:
        await sleep(0.01)


class SpellingTests(SynchronousTestCase):
    def test_parameters(self) -> None:
        self.assertEqual(placeholders("SELECT ? WHERE x % 2 = ?"), "SELECT %s WHERE x %% 2 = %s")

    def test_what_waiting_may_help(self) -> None:
        dialect = PostgreSQL("postgresql://")
        self.assertIsInstance(dialect.fault(psycopg.OperationalError("Connection refused")), UnreachableError)
        self.assertIsInstance(
            dialect.fault(psycopg.OperationalError("FATAL:  the database system is starting up")),
            UnreachableError,
        )
        for error in (psycopg.OperationalError('FATAL:  role "x" does not exist'), errors.AdminShutdown()):
            self.assertNotIsInstance(dialect.fault(error), UnreachableError)
        self.assertIsInstance(dialect.fault(errors.DiskFull()), FullError)

    def test_what_is_a_fault_and_what_is_a_mistake(self) -> None:
        dialect = PostgreSQL("postgresql://")
        faults = [
            errors.DiskFull(),
            errors.AdminShutdown(),
            errors.TooManyConnections(),
            errors.ReadOnlySqlTransaction(),
            errors.DeadlockDetected(),
            errors.LockNotAvailable(),
            errors.DataCorrupted(),
            psycopg.OperationalError("connection refused"),
            psycopg.InterfaceError("the connection is closed"),
            FaultError("ours"),
        ]
        mistakes = [
            errors.UniqueViolation(),
            errors.NumericValueOutOfRange(),
            errors.UndefinedTable(),
            errors.ProgramLimitExceeded(),
            psycopg.DataError("NUL"),
            ValueError(),
        ]
        self.assertEqual([dialect.is_fault(error) for error in faults], [True] * len(faults))
        self.assertEqual([dialect.is_fault(error) for error in mistakes], [False] * len(mistakes))


class StatementTests(OnPostgreSQL, StorageTestCase):
    def test_error_names_the_constraint_and_no_value(self) -> None:
        store = self.make_store()
        texts = []
        for row in (message(seq=1, peer=None), message(seq=1, kind=1 << 40), message(seq=1, peer="se\0cret")):
            with self.assertRaises((psycopg.Error, ValueError)) as caught, store.transaction() as cursor:
                cursor.execute(APPEND.sql, row._replace(stanza=b"secret", resource="secret"))
            texts.append(str(store.dialect.translate(caught.exception)))
        self.assertEqual(texts[0], "NotNullViolation 23502 archive peer")
        self.assertEqual(texts[1], "NumericValueOutOfRange 22003")
        self.assertNotIn("secret", texts[2])

    async def test_unreachable_server_is_named_without_the_password(self) -> None:
        url = "postgresql://juliet:balcony@127.0.0.1:1/verona"
        error = await self.assertFailure(Deferred.fromCoroutine(Database(reactor, url).open()), FaultError)
        self.assertIn("127.0.0.1", str(error))
        self.assertNotIn("balcony", str(error))
        self.assertEqual(len(str(error).splitlines()), 1)

    async def test_address_that_is_none(self) -> None:
        """It is not quoted, as the driver would: it may hold a password."""
        for url in ("postgresql://juliet:balcony%@127.0.0.1/verona", "postgresql://h/verona?balcony=1"):
            error = await self.assertFailure(
                Deferred.fromCoroutine(Database(reactor, url).open()), FaultError
            )
            self.assertEqual(str(error), "the address of the database is no postgresql://USER@HOST/NAME")


class OpeningTests(OnPostgreSQL, StorageTestCase):
    """What an operator may have forgotten is told in one line, with what to do; an address is not quoted."""

    async def refused(self, url: str) -> str:
        error = await self.assertFailure(Deferred.fromCoroutine(Database(reactor, url).open()), StorageError)
        self.assertNotIn("\n", str(error))
        self.assertNotIn("balcony", str(error))
        return str(error)

    def url(self, name: str, user: str = "xmppd") -> str:
        return f"postgresql://{user}:balcony@127.0.0.1:{server().port}/{name}"

    def run_once(self, *statements: str) -> None:
        with psycopg.connect(server().url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    async def test_no_such_database(self) -> None:
        line = await self.refused(self.url("verona"))
        self.assertIn('database "verona" does not exist (createdb', line)

    async def test_no_such_user(self) -> None:
        self.assertIn("(createuser makes it)", await self.refused(self.url("postgres", "tybalt")))

    async def test_missing_rights(self) -> None:
        self.run_once(
            "DROP SCHEMA IF EXISTS walled",
            "DROP ROLE IF EXISTS paris",
            "CREATE ROLE paris LOGIN",
            "CREATE SCHEMA walled",
            "GRANT USAGE ON SCHEMA walled TO paris",
        )
        line = await self.refused(self.url("postgres?options=-csearch_path%3Dwalled", "paris"))
        self.assertIn("permission denied for schema walled (the database has to belong to the user", line)

    async def test_no_such_schema(self) -> None:
        line = await self.refused(self.url("postgres?options=-csearch_path%3Dnowhere"))
        self.assertIn("no schema has been selected", line)

    async def test_another_encoding(self) -> None:
        """A text that cannot be stored would be refused message by message."""
        self.run_once(
            "DROP DATABASE IF EXISTS old", "CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0"
        )
        self.assertIn("has the encoding LATIN1", await self.refused(self.url("old")))

    def test_wrong_password_says_where_it_belongs(self) -> None:
        """As the driver says it; the server of these tests asks for none."""
        for said in (
            'FATAL:  password authentication failed for user "x"',
            "fe_sendauth: no password supplied",
        ):
            error = psycopg.OperationalError(f'connection to server at "h" failed: {said}\nFurther lines')
            self.assertIn(f"{said} (it belongs into ~/.pgpass", PostgreSQL("").describe(error))


class NotUpYetTests(StorageTestCase):
    """The server of the database begins later than ours."""

    def test_it_is_waited_for(self) -> None:
        clock = ThreadlessReactor()
        database = Database(clock, "postgresql://x@127.0.0.1:1/x", threads=NoThreads)
        opening = Deferred.fromCoroutine(database.open(5.0))
        clock.advance(2.0)
        self.assertNoResult(opening)
        database.dialect._url = server().make_url()
        clock.advance(2.0)
        self.successResultOf(opening)
        self.successResultOf(Deferred.fromCoroutine(database.close()))

    def test_not_for_ever(self) -> None:
        clock = ThreadlessReactor()
        database = Database(clock, "postgresql://x@127.0.0.1:1/x", threads=NoThreads)
        opening = Deferred.fromCoroutine(database.open(5.0))
        clock.pump([2.0, 2.0])
        self.assertNoResult(opening)
        clock.advance(2.0)
        self.failureResultOf(opening, UnreachableError)
        self.successResultOf(Deferred.fromCoroutine(database.close()))

    def test_what_waiting_cannot_mend_is_told_at_once(self) -> None:
        url = f"postgresql://xmppd@127.0.0.1:{server().port}/verona"
        database = Database(ThreadlessReactor(), url, threads=NoThreads)
        self.failureResultOf(Deferred.fromCoroutine(database.open(60.0)), FaultError)


class SettingsTests(OnPostgreSQL, StorageTestCase):
    """What holds for each connection, whatever the server's defaults are, and for those made again."""

    async def settings(self, pool: Any, *names: str) -> list[str]:
        def run(connection: Any) -> list[str]:
            return [connection.raw.execute(f"SHOW {name}").fetchone()[0] for name in names]

        found: list[str] = await pool.runWithConnection(run)
        return found

    async def test_a_commit_is_on_the_disk_when_it_returns(self) -> None:
        database = await self.make_database()
        for _ in range(2):
            found = await self.settings(database._write_pool, "synchronous_commit", "lock_timeout")
            self.assertEqual(found, ["on", "30s"])
            await database._write_pool.runWithConnection(lambda connection: connection.raw.close())
            await database.write("put", meta.put, "a", "1")

    async def test_no_query_of_a_reader_takes_for_ever(self) -> None:
        database = await self.make_database(readers=1)
        self.assertEqual(await self.settings(database._read_pool, "statement_timeout"), ["1min"])
        await database.scrub()
        self.assertEqual(await self.settings(database._read_pool, "statement_timeout"), ["1min"])

    async def test_scrubbing_keeps_nobody_from_writing(self) -> None:
        """With millions of rows it takes seconds."""
        database = await self.make_database()
        scrub, inside, go_on = database.dialect.scrub, threading.Event(), threading.Event()

        def slow(connection: Any) -> bool:
            inside.set()
            go_on.wait(10)
            return scrub(connection)

        self.patch(database.dialect, "scrub", slow)
        scrubbing = Deferred.fromCoroutine(database.scrub())
        await deferToThread(inside.wait, 10)
        await database.write("put", meta.put, "a", "1")
        self.assertNoResult(scrubbing)
        go_on.set()
        await scrubbing


class OneWriterTests(OnPostgreSQL, StorageTestCase):
    """Two processes would each keep their own truth in memory."""

    def end_connections(self) -> None:
        with psycopg.connect(server().url(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s",
                (LOCK,),
            )

    async def test_another_schema_of_the_database_is_another_one(self) -> None:
        await self.make_database()
        await self.make_database()

    async def test_who_lost_its_connection_to_another_process_writes_nothing(self) -> None:
        self.patch(postgresql, "PATIENCE", "100ms")
        url = self.make_url()
        first = await self.make_database(url)
        self.end_connections()
        second = await self.make_database(url)
        heard: list[Any] = []
        first.append(APPEND, message(seq=1), Noted(1, heard))
        await wait_for(first, faulted=True)
        await second.write("put", meta.put, "a", "1")
        self.assertEqual((heard, await second.read("seqs", seqs)), ([], []))
        await second.close()
        await wait_for(first, faulted=False)
        self.assertEqual(heard, [1])


class FrequentWordTests(OnPostgreSQL, StorageTestCase):
    """Of a word that everyone says all the time, not all rows are fetched for one page."""

    def find(self, word: str, enough: int) -> tuple[search_engines.Found, int]:
        """What is found, and how often the whole index was asked."""
        with self.store.transaction() as cursor:
            asked: list[str] = []
            execute = cursor.execute
            cursor.execute = lambda sql, *more: (asked.append(sql), execute(sql, *more))[1]
            index = search_engines.index_of(cursor)
            found = index.find(cursor, 1, terms(word), 0, 1 << 60, "DESC", enough)
        return found, sum("hit" in sql for sql in asked)

    def test_the_nearest_rows_are_looked_at_first(self) -> None:
        self.patch(search_engines.TextSearch, "NEAR", 10)
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            accounts.create(cursor, "example.org", "juliet", [], created=1)
            search_index.open_index(cursor)
            for seq in range(1, 101):
                words = "often seldom" if seq % 20 == 0 else "often"
                body = f"<message xmlns='jabber:client'><body>{words}</body></message>"
                cursor.execute(APPEND.sql, message(1, seq, stanza=body.encode()))
            batch = search_index.next_batch(cursor, 1, 100)
            assert batch is not None
            search_index.add_batch(cursor, batch)
        self.assertEqual(self.find("often", 10), ((list(range(100, 90, -1)), 91), 0))
        self.assertEqual(self.find("seldom", 1), (([100], 91), 0))
        self.assertEqual(self.find("seldom", 2), (([100, 80, 60, 40, 20], None), 1))
        self.assertEqual(self.find("never", 1), (([], None), 1))


class TicketTests(OnPostgreSQL, StorageTestCase):
    """What became of a transaction is asked for by another connection."""

    def setUp(self) -> None:
        url = self.make_url()
        self.store = BlockingStore(dialect_of(url))
        self.addCleanup(self.store.close)
        self.dialect, self.connection = self.store.dialect, self.store.connection
        self.other = psycopg.connect(url, autocommit=True)
        self.addCleanup(self.other.close)

    def write_something(self) -> str:
        self.dialect.begin_write(self.connection)
        meta.put(self.dialect.cursor(self.connection), "a", "1")
        ticket = self.dialect.ticket(self.connection)
        assert ticket is not None
        return ticket

    def test_committed(self) -> None:
        ticket = self.write_something()
        self.dialect.commit(self.connection)
        self.assertTrue(self.dialect.was_committed(self.other, ticket))

    def test_number_that_was_given_out_again(self) -> None:
        """A crash of the server forgets numbers: another transaction of the same one was taken for it"""
        ticket = self.write_something()
        self.dialect.rollback(self.connection)
        (number,) = self.other.execute("SELECT pg_current_xact_id()::text").fetchone() or ("",)
        self.assertFalse(self.dialect.was_committed(self.other, f"{number} {ticket.split()[1]}"))

    def test_number_that_was_not_given_out_again(self) -> None:
        """The server refuses to say anything of it; nobody waited for would have used it up"""
        ticket = self.write_something()
        self.dialect.rollback(self.connection)
        future = int(ticket.split()[0]) + 1_000_000
        self.assertFalse(self.dialect.was_committed(self.other, f"{future} {ticket.split()[1]}"))

    def test_rolled_back(self) -> None:
        ticket = self.write_something()
        self.dialect.rollback(self.connection)
        self.assertFalse(self.dialect.was_committed(self.other, ticket))

    def test_under_way(self) -> None:
        ticket = self.write_something()
        self.assertRaises(FaultError, self.dialect.was_committed, self.other, ticket)
        self.dialect.rollback(self.connection)

    def test_transaction_that_wrote_nothing_needs_none(self) -> None:
        self.dialect.begin_write(self.connection)
        self.assertIsNone(self.dialect.ticket(self.connection))
        self.dialect.rollback(self.connection)


class LostCommitTests(OnPostgreSQL, StorageTestCase):
    """The connection is lost in a commit: the rows are stored once, whether it took place or not."""

    async def lose_a_commit(self, *, took_place: bool) -> None:
        database = await self.make_database()
        observer, heard = NotedEvents(), []
        database.observe(observer)
        commit, lost = database.dialect.commit, []

        def commit_and_lose(connection: Any) -> None:
            if lost:
                commit(connection)
                return
            lost.append(connection)
            if took_place:
                commit(connection)
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        with patch.object(database.dialect, "commit", commit_and_lose):
            for seq in range(10):
                database.append(APPEND, message(seq=seq), Noted(seq, heard))
            writing = Deferred.fromCoroutine(database.write("put", meta.put, "a", "1"))
            await wait_for(database, faulted=True)
            self.assertEqual(heard, [])
            await wait_for(database, faulted=False)
        await writing
        self.assertEqual(heard, list(range(10)))
        self.assertEqual(await database.read("seqs", seqs), list(range(10)))
        self.assertEqual(observer.events, ["fault", "healthy"])
        self.assertEqual(database.counters.failures, 0)

    async def test_it_took_place(self) -> None:
        await self.lose_a_commit(took_place=True)

    async def test_it_did_not_take_place(self) -> None:
        await self.lose_a_commit(took_place=False)


class StoppedServerTests(StorageTestCase):
    """A server of its own, to stop and start."""

    def setUp(self) -> None:
        self.server = PostgreSQLServer()
        self.addCleanup(self.server.remove)
        self.server.start()

    async def test_writer_waits_for_the_server_and_goes_on(self) -> None:
        for how in (signal.SIGINT, signal.SIGQUIT):
            database = await self.make_database(self.server.make_url())
            observer, heard = NotedEvents(), []
            database.observe(observer)
            database.append(APPEND, message(seq=1), Noted(1, heard))
            self.assertEqual(await database.read("seqs", seqs), [1])
            await deferToThread(self.server.stop, how)
            for seq in (2, 3):
                database.append(APPEND, message(seq=seq), Noted(seq, heard))
            await wait_for(database, faulted=True)
            await self.assertFailure(Deferred.fromCoroutine(database.read("seqs", seqs)), FaultError)
            self.assertEqual(heard, [1])
            await deferToThread(self.server.start)
            await wait_for(database, faulted=False)
            self.assertEqual(heard, [1, 2, 3])
            self.assertEqual(await database.read("seqs", seqs), [1, 2, 3])
            self.assertEqual((observer.events[0], observer.events[-1]), ("fault", "healthy"))
            await database.close()

    async def test_restart_while_nothing_is_to_do_is_not_even_noticed(self) -> None:
        database = await self.make_database(self.server.make_url(), readers=1)
        observer = NotedEvents()
        database.observe(observer)
        await database.write("put", meta.put, "a", "1")
        self.assertEqual(await database.read("get", meta.get, "a"), "1")
        await deferToThread(self.crash)
        self.assertEqual(await database.read("get", meta.get, "a"), "1")
        await database.write("put", meta.put, "a", "2")
        self.assertEqual(await database.read("get", meta.get, "a"), "2")
        self.assertEqual(observer.events, [])

    async def test_nothing_that_was_reported_is_lost_when_the_server_crashes_under_load(self) -> None:
        url = self.server.make_url()
        database = await self.make_database(url)
        heard: list[Any] = []
        seq = 0
        for round_number in range(3):
            crash = deferToThread(self.crash)
            until = seq + 300
            while seq < until or not crash.called:
                seq += 1
                database.append(APPEND, message(seq=seq), Noted(seq, heard))
                await sleep(0.0005)
            await crash
            await wait_for(database, faulted=False)
            self.assertEqual(database.counters.failures, 0, round_number)
        await database.close()
        self.assertEqual(heard, list(range(1, seq + 1)))
        store = BlockingStore(dialect_of(url))
        self.addCleanup(store.close)
        with store.transaction() as cursor:
            self.assertEqual(seqs(cursor), heard)

    def crash(self) -> None:
        self.server.stop(signal.SIGQUIT)
        self.server.start()

    async def test_closing_while_the_server_is_away_reports_what_is_lost(self) -> None:
        database = await self.make_database(self.server.make_url())
        heard: list[Any] = []
        await deferToThread(self.server.stop)
        database.append(APPEND, message(seq=1), Noted(1, heard))
        await database.close()
        self.assertEqual(heard, [(1, "ClosedError")])

    async def test_row_that_is_refused_after_a_recovery_fails_alone(self) -> None:
        database = await self.make_database(self.server.make_url())
        heard: list[Any] = []
        await deferToThread(self.server.stop)
        database.append(APPEND, message(seq=1, peer=None), Noted(1, heard))
        database.append(APPEND, message(seq=2), Noted(2, heard))
        await wait_for(database, faulted=True)
        await deferToThread(self.server.start)
        await wait_for(database, faulted=False)
        self.assertEqual(heard, [(1, RefusedError.__name__), 2])
