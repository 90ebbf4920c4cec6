"""What only SQLite does: files, faults of the disk, copies."""

import errno
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.storage.base import Noted, OnSQLite, StorageTestCase, connect, message
from tests.storage.test_database import FiringList, seqs
from tests.storage.test_writer import NotedEvents
from xmppd.storage import accounts, archive, meta, sqlite
from xmppd.storage.archive import APPEND
from xmppd.storage.database import SCRUB_AFTER, Connection, Database
from xmppd.storage.errors import FaultError, FullError, RefusedError
from xmppd.storage.migrate import migrate
from xmppd.storage.sqlite import CHUNKS, SQLite, chunks
from xmppd.storage.statement import Cursor
from xmppd.storage.threads import NoThreads
from xmppd.testing import MemoryReactor


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


class Relay:
    """Two who read from a database by turns: one does not end before the other has begun."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._handed = [threading.Semaphore(0), threading.Semaphore(0)]

    def read(self, path: Path, number: int) -> int:
        """Read until it is to stop; how often it was."""
        mine, other = self._handed[number], self._handed[1 - number]
        turns = 0
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            while not self.stop.is_set():
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM archive").fetchone()
                other.release()
                mine.acquire(timeout=1)
                connection.execute("ROLLBACK")
                turns += 1
        other.release()
        return turns


class SQLiteTestCase(OnSQLite, StorageTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.url = f"sqlite:{self.path}"

    async def wait_for(self, database: Database, *, faulted: bool) -> None:
        while database.faulted is not faulted:
            await sleep(0.01)

    async def pragma(self, database: Database, pragma: str) -> Any:
        """Run a pragma on the writer's connection."""

        def run(connection: Connection) -> Any:
            return connection.raw.execute(f"PRAGMA {pragma}").fetchone()

        return await database._write_pool.runWithConnection(run)


class FileTests(SQLiteTestCase):
    @given(st.integers(0, 3000))
    def test_chunks_are_all_rows_in_few_sizes(self, number: int) -> None:
        rows = [(n,) for n in range(number)]
        cut = list(chunks(rows))
        self.assertEqual([row for chunk in cut for row in chunk], rows)
        self.assertLessEqual({len(chunk) for chunk in cut}, set(CHUNKS))

    async def test_new_file_is_its_owner_s_alone(self) -> None:
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        database = await self.make_database(self.url)
        database.append(APPEND, message())
        await database.read("seqs", seqs)
        names = [self.path, *self.path.parent.glob(f"{self.path.name}-*")]
        self.assertEqual([stat.S_IMODE(name.stat().st_mode) for name in names], [0o600] * 4)

    async def test_connections_are_set_up_to_keep_what_they_report(self) -> None:
        database = await self.make_database(self.url)
        found = [
            (await self.pragma(database, name))[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        ]
        self.assertEqual(found, ["wal", 2, 1, 1, 30_000])

    async def test_folder_that_is_not_there(self) -> None:
        opening = Deferred.fromCoroutine(Database(reactor, f"sqlite:{self.path}/below/it").open())
        error = await self.assertFailure(opening, FaultError)
        self.assertIn(f"{self.path}/below: No such file", str(error))

    async def test_files_that_may_not_be_written(self) -> None:
        """The one that is refused is named, before the first row would find out and wait for better times."""
        await (await self.make_database(self.url)).close()
        made = os.open
        for refused in (self.path.absolute(), self.path.absolute().with_name(f"{self.path.name}-lock")):

            def make(path: Path, flags: int, mode: int = 0o777, refused: Path = refused) -> int:
                if path == refused and flags & os.O_RDWR:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                return made(path, flags, mode)

            self.patch(os, "open", make)
            opening = Deferred.fromCoroutine(Database(reactor, self.url).open())
            error = await self.assertFailure(opening, FaultError)
            self.assertEqual(str(error), f"{refused}: Permission denied")

    async def test_file_that_is_no_database(self) -> None:
        self.path.write_bytes(b"To be, or not to be, that is the question. " * 100)
        opening = Deferred.fromCoroutine(Database(reactor, self.url).open())
        error = await self.assertFailure(opening, FaultError)
        self.assertIn("not a database", str(error))

    async def test_erased_content_is_in_no_file(self) -> None:
        database = await self.make_database(self.url)
        secret = b"the rest is silence"
        for seq in range(50):
            database.append(APPEND, message(seq=seq, stanza=secret * 50))
        await database.write("erase", archive.redact, 1, 7, b"<gone/>")
        await database.write("erase", archive.erase, 1)
        await database.scrub()
        files = [self.path, *self.path.parent.glob(f"{self.path.name}-wal")]
        self.assertNotIn(secret, b"".join(file.read_bytes() for file in files))

    def test_scrubbing_does_not_wait_for_whoever_reads(self) -> None:
        dialect = SQLite(str(self.path))
        dialect.prepare()
        self.addCleanup(dialect.close)
        connection = connect(dialect)
        self.addCleanup(connection.close)
        migrate(dialect, connection)
        self.patch(sqlite, "SCRUB_TIMEOUT", 0)
        reader = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(reader.close)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM meta").fetchall()
        connection.execute("DELETE FROM meta")
        self.assertFalse(dialect.scrub(connection))
        reader.execute("ROLLBACK")
        self.assertTrue(dialect.scrub(connection))
        self.assertEqual(connection.execute("PRAGMA busy_timeout").fetchone()[0], 30_000)

    async def test_scrubbing_that_fails_is_tried_again_unless_the_database_is_closed(self) -> None:
        clock = MemoryReactor()
        database = Database(clock, self.url, threads=NoThreads)
        opening = Deferred.fromCoroutine(database.open())
        clock.pump([0.01] * 10)
        await opening
        outcomes = [sqlite3.OperationalError("disk I/O error"), False, True]

        def scrub(_: object) -> bool:
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return bool(outcome)

        self.patch(database.dialect, "scrub", scrub)
        database.scrub_later()
        for left in (3, 2, 1, 0, 0):
            self.assertEqual(len(outcomes), left)
            clock.pump([SCRUB_AFTER, 0.01, 0.01])
        database.scrub_later()
        closing = Deferred.fromCoroutine(database.close())
        clock.pump([0.01] * 10)
        await closing
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_log_stays_small_though_there_is_always_a_reader(self) -> None:
        """SQLite alone begins its log anew only when nobody reads: never, while some sync."""
        bound = 512 * 1024
        self.patch(sqlite, "LOG_BYTES", bound)
        database = await self.make_database(self.url)
        relay = Relay()
        readers = [deferToThread(relay.read, self.path, number) for number in range(2)]
        sizes: list[int] = []
        for seq in range(100):
            row = message(seq=seq, stanza=bytes(50_000))
            await database.write("row", lambda cursor, row=row: cursor.execute(APPEND.sql, row))
            sizes.append(self.path.with_name(f"{self.path.name}-wal").stat().st_size)
        relay.stop.set()
        self.assertGreater(min(await gatherResults(readers)), 1)
        self.assertLess(max(sizes), 3 * bound)
        self.assertEqual(await database.read("seqs", seqs), list(range(100)))

    def test_copy_is_made_before_an_upgrade(self) -> None:
        dialect = SQLite(str(self.path))
        dialect.prepare()
        self.addCleanup(dialect.close)
        connection = connect(dialect)
        self.addCleanup(connection.close)
        migrate(dialect, connection)
        connection.execute("INSERT INTO meta VALUES ('before', 'upgrade')")
        line = dialect.back_up(connection, "before-version-2")
        copy = Path(f"{self.path.absolute()}.before-version-2")
        self.assertIn(str(copy), line)
        self.assertEqual(stat.S_IMODE(copy.stat().st_mode), 0o600)
        kept = sqlite3.connect(copy)
        self.addCleanup(kept.close)
        self.assertEqual(
            kept.execute("SELECT value FROM meta WHERE name = 'before'").fetchone(), ("upgrade",)
        )
        self.assertEqual(list(self.path.parent.glob(f"{self.path.name}*.unfinished")), [])

    async def test_another_process_that_writes_is_waited_for(self) -> None:
        database = await self.make_database(self.url)
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        writing = Deferred.fromCoroutine(database.write("put", meta.put, "a", "1"))
        await sleep(0.1)
        self.assertNoResult(writing)
        other.execute("COMMIT")
        await writing


class FaultTests(SQLiteTestCase):
    """Disk full, by a bound on the pages of the file."""

    async def fill(self, **options: Any) -> Database:
        database = await self.make_database(self.url, **options)
        await self.pragma(database, "max_page_count = 60")
        return database

    async def test_full_disk_is_a_fault_that_ends_by_itself(self) -> None:
        database = await self.fill()
        observer, errors = NotedEvents(), []
        observer.on_fault = lambda error: observer.events.append("fault") or errors.append(type(error))
        database.observe(observer)
        heard: list[Any] = []
        database.append(APPEND, message(seq=1), Noted(1, heard))
        await database.read("seqs", seqs)
        for seq in range(2, 100):
            database.append(APPEND, message(seq=seq, stanza=b"x" * 4000), Noted(seq, heard))
        await self.wait_for(database, faulted=True)
        self.assertEqual(heard, [1])
        self.assertEqual(database.queued, 98)
        await self.pragma(database, "max_page_count = 100000")
        await self.wait_for(database, faulted=False)
        self.assertEqual(heard, list(range(1, 100)))
        self.assertEqual(await database.read("seqs", seqs), list(range(1, 100)))
        self.assertEqual((observer.events[0], observer.events[-1]), ("fault", "healthy"))
        self.assertEqual(set(errors), {FullError})

    async def test_reading_goes_on_with_what_is_stored(self) -> None:
        database = await self.fill()
        database.append(APPEND, message(seq=1))
        await database.read("seqs", seqs)
        database.append(APPEND, message(seq=2, stanza=b"x" * 400_000))
        await self.wait_for(database, faulted=True)
        self.assertEqual(await database.read("seqs", seqs), [1])
        await self.pragma(database, "max_page_count = 100000")

    async def test_withdrawn_rows_let_a_writer_recover(self) -> None:
        database = await self.fill()
        heard: list[Any] = []
        handle = database.append(APPEND, message(seq=2, stanza=b"x" * 400_000), Noted(2, heard))
        await self.wait_for(database, faulted=True)
        while not handle.withdraw():
            await sleep(0.001)
        await self.wait_for(database, faulted=False)
        self.assertEqual((heard, await database.read("seqs", seqs)), ([], []))

    async def test_probe_does_not_take_a_full_disk_for_a_healthy_one(self) -> None:
        database = await self.make_database(self.url)
        pages = (await self.pragma(database, "page_count"))[0]
        await self.pragma(database, f"max_page_count = {pages + 1}")
        handle = database.append(APPEND, message(seq=2, stanza=b"x" * 400_000))
        await self.wait_for(database, faulted=True)
        while not handle.withdraw():
            await sleep(0.001)
        faults = database.counters.faults
        while database.counters.faults < faults + 2:
            await sleep(0.01)
        self.assertTrue(database.faulted)
        await self.pragma(database, "max_page_count = 100000")
        await self.wait_for(database, faulted=False)

    async def test_closing_on_a_full_disk_reports_what_is_lost(self) -> None:
        database = await self.fill()
        heard: list[Any] = []
        database.append(APPEND, message(seq=1, stanza=b"x" * 400_000), Noted(1, heard))
        await self.wait_for(database, faulted=True)
        await database.close()
        self.assertEqual(heard, [(1, "ClosedError")])

    async def test_full_queue_is_told_and_drained(self) -> None:
        database = await self.make_database(self.url, queue_rows=100)
        observer = NotedEvents()
        database.observe(observer)
        for seq in range(101):
            database.append(APPEND, message(seq=seq))
        self.assertTrue(database.full)
        await database.read("seqs", seqs)
        self.assertFalse(database.full)
        self.assertEqual(observer.events, ["full", "drained"])

    async def test_file_that_was_moved_away_is_a_fault_until_it_is_back(self) -> None:
        database = await self.make_database(self.url)
        heard: list[Any] = []
        aside = self.path.with_name("aside")
        self.path.rename(aside)
        database.append(APPEND, message(seq=1), Noted(1, heard))
        await self.wait_for(database, faulted=True)
        self.assertEqual(heard, [])
        self.path.write_bytes(b"")
        await sleep(0.3)
        self.assertTrue(database.faulted)
        aside.rename(self.path)
        await self.wait_for(database, faulted=False)
        self.assertEqual(heard, [1])

    async def test_page_of_the_file_that_is_damaged_is_a_fault(self) -> None:
        """A fault of the file, not of the rows: they are kept, and the process lives on."""
        database = await self.make_database(self.url)
        await database.write("create", accounts.create, "example.org", "juliet", [], created=1)
        await database.scrub()
        with self.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (self.path.stat().st_size - 4096))
        written: Deferred[None] = Deferred()
        database.append(APPEND, message(seq=1), Noted(1, heard := FiringList(written)))
        await self.pragma(database, "shrink_memory")
        await self.wait_for(database, faulted=True)
        self.assertEqual(list(heard), [])
        written.addErrback(lambda _: None)

    async def test_reader_that_fails_leaves_the_others_alone(self) -> None:
        database = await self.make_database(self.url)

        def interrupted(cursor: Cursor) -> None:
            raise sqlite3.OperationalError("interrupted")

        reading = Deferred.fromCoroutine(database.read("interrupted", interrupted))
        await self.assertFailure(reading, RefusedError)
        self.assertEqual(await database.read("seqs", seqs), [])


class MemoryTests(StorageTestCase):
    async def test_works_like_any_other_until_it_is_closed(self) -> None:
        database = await self.make_database("sqlite::memory:")
        heard: list[Any] = []
        for seq in range(100):
            database.append(APPEND, message(seq=seq), Noted(seq, heard))
        self.assertEqual(await database.read("seqs", seqs), list(range(100)))
        self.assertEqual(heard, list(range(100)))
        reading = [Deferred.fromCoroutine(database.read("seqs", seqs)) for _ in range(10)]
        writing = [Deferred.fromCoroutine(database.write("put", meta.put, str(n), "1")) for n in range(10)]
        await gatherResults([*reading, *writing])
        await database.scrub()
        await database.close()
        self.assertFalse(Path(":memory:").exists())

    async def test_each_has_its_own_memory(self) -> None:
        one, other = [await self.make_database("sqlite::memory:") for _ in range(2)]
        await one.write("put", meta.put, "a", "1")
        self.assertIsNone(await other.read("get", meta.get, "a"))
