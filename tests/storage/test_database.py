"""The door with its threads: reading what was written, faults, and the end of the process."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.storage.base import Noted, bad, message, on_each_database
from xmppd.storage import archive, archive_query, meta
from xmppd.storage.archive import APPEND
from xmppd.storage.archive_query import Query
from xmppd.storage.database import Database, dialect_of
from xmppd.storage.errors import ClosedError, FaultError, InUseError, RefusedError, SchemaError, StorageError
from xmppd.storage.statement import Cursor
from xmppd.storage.threads import NoThreads


def seqs(cursor: Cursor) -> list[int]:
    cursor.execute("SELECT seq FROM archive ORDER BY seq")
    return [row[0] for row in cursor.fetchall()]


@on_each_database
class DatabaseTests:
    async def test_row_is_read_back_at_once(self) -> None:
        database = await self.make_database()
        for seq in range(20):
            database.append(APPEND, message(seq=seq))
            self.assertEqual(await database.read("test", seqs), list(range(seq + 1)))

    async def test_completions_come_in_order_after_the_commit(self) -> None:
        database = await self.make_database()
        heard: list[Any] = []
        for seq in range(50):
            database.append(APPEND, message(seq=seq), Noted(seq, heard))
        database.append(APPEND, bad(message(seq=99)), Noted("bad", heard))
        self.assertEqual(heard, [])
        self.assertEqual(await database.read("test", seqs), list(range(50)))
        self.assertEqual(heard, [*range(50), ("bad", "RefusedError")])

    async def test_one_wake_up_of_the_reactor_for_a_group(self) -> None:
        database = await self.make_database()
        with patch.object(reactor, "callFromThread", wraps=reactor.callFromThread) as wake_up:
            for seq in range(200):
                database.append(APPEND, message(seq=seq), Noted(seq, []))
            written = Deferred()
            database.append(APPEND, message(seq=999), Noted(1, FiringList(written)))
            await written
        self.assertEqual(wake_up.call_count, 1)

    async def test_function_is_run_with_its_arguments_and_gives_its_value(self) -> None:
        database = await self.make_database()

        def put(cursor: Cursor, name: str, value: str, *, suffix: str = "") -> str:
            meta.put(cursor, name, value + suffix)
            return value

        self.assertEqual(await database.write("put", put, "a", "1"), "1")
        self.assertEqual(await database.write("put", put, "b", "1", suffix="2"), "1")
        self.assertEqual(await database.read("get", meta.get, "a"), "1")
        self.assertEqual(await database.read("get", meta.get, name="b"), "12")

    async def test_function_that_raises_fails_alone(self) -> None:
        database = await self.make_database()

        def fail(cursor: Cursor) -> None:
            meta.put(cursor, "a", "1")
            raise LookupError("its own")

        failing = Deferred.fromCoroutine(database.write("fail", fail))
        beside = Deferred.fromCoroutine(database.write("put", meta.put, "b", "1"))
        await beside
        self.failureResultOf(failing, LookupError)
        self.assertIsNone(await database.read("get", meta.get, "a"))
        self.assertEqual(await database.read("get", meta.get, "b"), "1")

    async def test_error_of_reading_is_the_function_s_or_ours(self) -> None:
        database = await self.make_database()

        def fail(cursor: Cursor) -> None:
            raise LookupError("its own")

        def refused(cursor: Cursor) -> None:
            cursor.execute("SELECT nonsense FROM nowhere")

        await self.assertFailure(Deferred.fromCoroutine(database.read("fail", fail)), LookupError)
        await self.assertFailure(Deferred.fromCoroutine(database.read("refused", refused)), RefusedError)
        self.assertEqual(await database.read("get", seqs), [])

    async def test_reading_cannot_write(self) -> None:
        database = await self.make_database()
        reading = database.read("put", meta.put, "a", "1")
        await self.assertFailure(Deferred.fromCoroutine(reading), StorageError)

    async def test_reading_sees_one_state_throughout(self) -> None:
        database = await self.make_database()
        database.append(APPEND, message(seq=1))
        inside, go_on = threading.Event(), threading.Event()

        def read_twice(cursor: Cursor) -> tuple[list[int], list[int]]:
            first = seqs(cursor)
            inside.set()
            go_on.wait(10)
            return first, seqs(cursor)

        reading = Deferred.fromCoroutine(database.read("twice", read_twice))
        await deferToThread(inside.wait, 10)
        await database.write("append", lambda cursor: cursor.execute(APPEND.sql, message(seq=2)))
        go_on.set()
        self.assertEqual(await reading, ([1], [1]))
        self.assertEqual(await database.read("seqs", seqs), [1, 2])

    async def test_readers_run_beside_each_other_and_beside_the_writer(self) -> None:
        database = await self.make_database(readers=2)
        meeting = threading.Barrier(3)

        def meet(cursor: Cursor) -> int:
            return meeting.wait(10)

        reading = [Deferred.fromCoroutine(database.read("meet", meet)) for _ in range(2)]
        writing = Deferred.fromCoroutine(database.write("meet", meet))
        self.assertEqual(sorted(await gatherResults([*reading, writing])), [0, 1, 2])

    async def test_withdrawn_row_is_not_stored(self) -> None:
        database = await self.make_database()
        heard: list[Any] = []
        handle = database.append(APPEND, message(seq=1), Noted(1, heard))
        database.append(APPEND, message(seq=2), Noted(2, heard))
        self.assertTrue(handle.withdraw())
        self.assertEqual(await database.read("test", seqs), [2])
        self.assertEqual(heard, [2])
        self.assertFalse(handle.withdraw())

    async def test_everything_queued_is_stored_when_it_closes(self) -> None:
        url = self.make_url()
        database = await self.make_database(url, group_delay=100.0)
        heard: list[Any] = []
        for seq in range(3000):
            database.append(APPEND, message(seq=seq), Noted(seq, heard))
        writing = Deferred.fromCoroutine(database.write("put", meta.put, "a", "1"))
        await database.close()
        self.assertEqual(heard, list(range(3000)))
        self.successResultOf(writing)
        again = await self.make_database(url)
        self.assertEqual(await again.read("test", seqs), list(range(3000)))

    async def test_closed_database_says_so(self) -> None:
        database = await self.make_database()
        await database.close()
        for work in (database.read("seqs", seqs), database.write("put", meta.put, "a", "1")):
            await self.assertFailure(Deferred.fromCoroutine(work), ClosedError)
        written = Deferred()
        database.append(APPEND, message(), Noted(1, heard := FiringList(written)))
        await written
        self.assertEqual(list(heard), [(1, "ClosedError")])

    async def test_closing_twice_is_closing_once(self) -> None:
        database = await self.make_database()
        await gatherResults([Deferred.fromCoroutine(database.close()) for _ in range(2)])
        await database.close()

    async def test_closing_does_not_wait_for_a_reader_that_takes_long(self) -> None:
        database = await self.make_database()
        inside = threading.Event()

        def count_for_minutes(cursor: Cursor) -> None:
            inside.set()
            cursor.execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000)"
                " SELECT count(*) FROM n"
            )

        reading = Deferred.fromCoroutine(database.read("long", count_for_minutes))
        await deferToThread(inside.wait, 10)
        await deferLater(reactor, 0.05)
        await database.close()
        await self.assertFailure(reading, FaultError)

    async def test_figures_for_metrics(self) -> None:
        database = await self.make_database()
        for row in (message(seq=1), message(seq=2), bad(message(seq=3))):
            database.append(APPEND, row)
        await database.read("seqs", seqs)
        await database.write("put", meta.put, "a", "1")
        counters = database.counters
        self.assertEqual((counters.groups, counters.rows, counters.failures, counters.faults), (2, 3, 1, 0))
        self.assertGreater(counters.seconds, 0)
        for name in ("seqs", "put"):
            self.assertEqual(database.timings[name].count, 1)
            self.assertGreater(database.timings[name].seconds, 0)
        self.assertEqual(database.queued, 0)

    async def test_opened_twice_in_a_row_it_has_what_it_had(self) -> None:
        url = self.make_url()
        database = await self.make_database(url)
        await database.write("put", meta.put, "a", "1")
        await database.close()
        again = await self.make_database(url)
        self.assertEqual(await again.read("get", meta.get, "a"), "1")

    async def test_one_process_at_a_time(self) -> None:
        url = self.make_url()
        database = await self.make_database(url)
        for _ in range(2):
            opening = Deferred.fromCoroutine(Database(reactor, url).open())
            error = await self.assertFailure(opening, InUseError)
            self.assertIn("in use by another process", str(error))
        await database.write("put", meta.put, "a", "1")
        await database.close()
        again = await self.make_database(url)
        self.assertEqual(await again.read("get", meta.get, "a"), "1")

    async def test_newer_database_is_not_opened(self) -> None:
        url = self.make_url()
        database = await self.make_database(url)
        await database.write("put", meta.put, "schema_version", "999")
        await database.close()
        opening = Deferred.fromCoroutine(Database(reactor, url).open())
        await self.assertFailure(opening, SchemaError)

    async def test_erased_content_is_scrubbed(self) -> None:
        database = await self.make_database()
        database.append(APPEND, message(seq=1))
        await database.write("erase", archive.erase, 1)
        await database.scrub()
        self.assertEqual(await database.read("seqs", seqs), [])

    async def test_page_through_the_door(self) -> None:
        database = await self.make_database()
        for seq in range(1, 120):
            database.append(APPEND, message(seq=seq))
        page = await database.read("page", archive_query.page, 1, Query(after=10, limit=50))
        self.assertEqual([seq for seq, _ in page.rows], list(range(11, 61)))
        self.assertFalse(page.complete)

    async def test_process_that_is_killed_loses_nothing_that_it_reported(self) -> None:
        """`kill -9` in the middle of the load, then a look at what is there."""
        for round_number in range(3):
            url = self.make_url()
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.storage.load", url],
                stdout=subprocess.PIPE,
                cwd=Path(__file__).resolve().parents[2],
            )
            lines = await deferToThread(read_and_kill, child, 300 + 400 * round_number)
            reported = [int(line) for line in lines]
            database = await self.make_database(url)
            found = await database.read("seqs", seqs)
            await database.close()
            self.assertGreaterEqual(len(reported), 300)
            self.assertEqual(reported, list(range(1, len(reported) + 1)))
            self.assertEqual(found, list(range(1, len(found) + 1)))
            self.assertGreaterEqual(len(found), len(reported))
            self.assertEqual(len(found) % 2, 0, "both sides of a message are in the same group")


def read_and_kill(child: Any, lines: int) -> list[bytes]:
    """Read until there were some lines, kill, and return all whole lines."""
    read = [child.stdout.readline() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    read += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    return [line for line in read if line.endswith(b"\n")]


class FiringList(list):
    """A list that fires a Deferred when something is put into it."""

    def __init__(self, deferred: Deferred[None]) -> None:
        super().__init__()
        self.deferred = deferred

    def append(self, item: object) -> None:
        super().append(item)
        self.deferred.callback(None)


class ThreadlessReactor(Clock):
    """A reactor of a test: a clock, and what adbapi asks of a reactor."""

    def callWhenRunning(self, function: Any, *args: Any) -> None:
        return None

    def callFromThread(self, function: Any, *args: Any) -> None:
        function(*args)

    def removeSystemEventTrigger(self, trigger: object) -> None:
        return None


class NoThreadsTests(TestCase):
    """The database in a test with a fake clock."""

    def test_everything_happens_when_the_clock_says_so(self) -> None:
        clock = ThreadlessReactor()
        database = Database(clock, f"sqlite:{self.mktemp()}", threads=NoThreads)
        self.successResultOf(Deferred.fromCoroutine(database.open()))
        heard: list[Any] = []
        database.append(APPEND, message(seq=1), Noted(1, heard))
        reading = Deferred.fromCoroutine(database.read("seqs", seqs))
        failing = Deferred.fromCoroutine(database.write("fail", lambda cursor: 1 // 0))
        self.assertEqual(heard, [])
        self.assertNoResult(reading)
        clock.advance(0.005)
        self.assertEqual(heard, [1])
        self.assertEqual(self.successResultOf(reading), [1])
        self.failureResultOf(failing, ZeroDivisionError)
        self.successResultOf(Deferred.fromCoroutine(database.close()))


class URLTests(TestCase):
    def test_unknown_database_is_refused_without_quoting_the_address(self) -> None:
        for url in ("mysql://u:secret@h/d", "sqlite:", "", "secret"):
            with self.assertRaises(ValueError) as caught:
                dialect_of(url)
            self.assertNotIn("secret", str(caught.exception))

    def test_without_the_driver_of_postgresql(self) -> None:
        """What to do is said; it is not installed with the program."""
        self.patch(sys, "modules", {**sys.modules, "xmppd.storage.postgresql": None})
        error = self.assertRaises(StorageError, dialect_of, "postgresql://h/d")
        self.assertIn("-m pip install 'psycopg[binary]'", str(error))

    def test_sqlite_with_and_without_slashes(self) -> None:
        path = str(Path(self.mktemp()).absolute())
        for url in (f"sqlite:{path}", f"sqlite://{path}"):
            self.assertEqual(dialect_of(url).arguments(), dialect_of(f"sqlite:{path}").arguments())
