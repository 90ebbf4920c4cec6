"""What storing a row, reading a page, and indexing and searching text cost, through the door that the server
uses; what an archive costs the whole server is in bench/archive.py.

    python -m bench.storage [--rows 1000000] [--url sqlite:PATH | postgresql://…]

Times are CPU of this process (all its threads) and wall-clock time. A message is two rows, one in each
archive. Without --url it works in a temporary SQLite file, beside --folder if that is given (durable writes
are as slow as the disk below them).
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from xmppd.storage import accounts, archive_query, search_index
from xmppd.storage.archive import APPEND, ArchiveRow
from xmppd.storage.archive_query import Query
from xmppd.storage.database import Database
from xmppd.storage.search import search
from xmppd.storage.sequence import Sequence
from xmppd.storage.statement import Cursor
from xmppd.storage.words import terms

ACCOUNTS = 100
BODY_LENGTH = 352
VOCABULARY = 20_000
"""Words, of which the most frequent is as frequent as in a natural language."""
TEXTS = 5_000
"""Different messages."""
STEP = 50
"""Rows that are indexed at once, as in the server."""


def make_words(choose: random.Random) -> list[str]:
    """A vocabulary, the most frequent word first."""
    syllables = [first + second for first in "bdfgklmnprstvwz" for second in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < VOCABULARY:
        found["".join(choose.choices(syllables, k=choose.randint(1, 4)))] = None
    return sorted(found, key=len)


def make_stanzas(choose: random.Random, words: list[str]) -> list[bytes]:
    """Messages of one length, some 55 words each."""
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    bodies = (" ".join(choose.choices(words, cum_weights=weights, k=BODY_LENGTH)) for _ in range(TEXTS))
    start = "<message xmlns='jabber:client' type='chat' id='x'>"
    return [f"{start}<body>{body[:BODY_LENGTH]}</body></message>".encode() for body in bodies]


WORDS = make_words(random.Random(1))
STANZAS = make_stanzas(random.Random(2), WORDS)


class Countdown:
    """A completion for many rows: fires when all of them are stored."""

    def __init__(self, rows: int) -> None:
        self.left = rows
        self.deferred: Deferred[None] = Deferred()

    def committed(self) -> None:
        self.left -= 1
        if not self.left:
            self.deferred.callback(None)

    def failed(self, error: BaseException) -> None:
        raise error


class Meter:
    """CPU and wall-clock time of what stands in its `with` block."""

    def __enter__(self) -> "Meter":
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def line(self, name: str, number: int, unit: str) -> str:
        """Microseconds for one of so many."""
        return (
            f"{name:<44}{self.cpu / number * 1e6:8.1f} µs CPU {self.wall / number * 1e6:8.1f} µs wall  {unit}"
        )


def rows_of_message(sequence: Sequence, choose: random.Random) -> tuple[ArchiveRow, ArchiveRow]:
    """Both sides of a message between two of the accounts."""
    a = choose.randrange(ACCOUNTS // 2) * 2 + 1
    b = a + 1
    stanza = choose.choice(STANZAS)
    return (
        ArchiveRow(a, sequence.next(), f"user{b}@example.org", "phone", "laptop", 1, 1, 0, 0, stanza),
        ArchiveRow(b, sequence.next(), f"user{a}@example.org", "laptop", "phone", 0, 1, 1, 0, stanza),
    )


async def append_rows(database: Database, sequence: Sequence, number: int, group: int) -> None:
    """Store rows in groups of one size."""
    choose = random.Random(number)
    for _ in range(number // group):
        done = Countdown(group)
        for _ in range(group // 2):
            for row in rows_of_message(sequence, choose):
                database.append(APPEND, row, done)
        await done.deferred


async def measure_writing(make: Callable[[int], Database], sequence: Sequence) -> None:
    """Groups of 50 and of 1,000 rows; a group starts when its last row is there."""
    for group, number in ((50, 20_000), (1000, 100_000)):
        database = make(group)
        await database.open()
        await append_rows(database, sequence, group * 20, group)
        with Meter() as meter:
            await append_rows(database, sequence, number, group)
        print(meter.line(f"store, groups of {group}", number, "a row"))
        await database.close()


class Flow:
    """So many messages on their way to the disk at any time: the next one comes when one is stored."""

    def __init__(self, database: Database, sequence: Sequence, messages: int) -> None:
        self._database, self._sequence = database, sequence
        self._choose = random.Random(5)
        self._to_come = self._left = messages
        self._halves = 0
        self.done: Deferred[None] = Deferred()

    def send(self) -> None:
        """One more message, if there are any left."""
        if self._to_come:
            self._to_come -= 1
            for row in rows_of_message(self._sequence, self._choose):
                self._database.append(APPEND, row, self)

    def committed(self) -> None:
        """Both sides of a message are in the same transaction, one after the other."""
        self._halves += 1
        if self._halves % 2 == 0:
            self._left -= 1
            self.send()
            if not self._left:
                self.done.callback(None)

    def failed(self, error: BaseException) -> None:
        raise error


async def measure_throughput(url: str, sequence: Sequence, flights: tuple[int, ...] = (1, 50, 1000)) -> None:
    """Messages as they come, with the limits of the server: how many a second, and in which transactions."""
    for flight in flights:
        database = Database(reactor, url)
        await database.open()
        messages = flight * 20 + 500
        flow = Flow(database, sequence, messages)
        with Meter() as meter:
            for _ in range(flight):
                flow.send()
            await flow.done
        counters = database.counters
        print(
            f"store, {flight:,} messages in flight: {messages / meter.wall:,.0f} messages a second,"
            f" {counters.rows / counters.groups:.1f} rows a transaction,"
            f" {meter.cpu / messages * 1e6:.1f} µs CPU a message"
        )
        await database.close()


def peer(number: int) -> str:
    """Whom an account talks to."""
    return f"user{number + 1 if number % 2 else number - 1}@example.org"


async def measure_reading(database: Database, times: int = 1000) -> None:
    """Pages of 50, in a reader's thread, one after the other."""
    choose = random.Random(3)
    first, last = await database.read("bounds", archive_query.bounds, 1) or (0, 0)

    def account() -> int:
        return choose.randrange(ACCOUNTS) + 1

    queries: dict[str, Callable[[], tuple[int, Query]]] = {
        "first page": lambda: (account(), Query()),
        "last page": lambda: (account(), Query(backwards=True)),
        "page from anywhere": lambda: (account(), Query(after=choose.randrange(first, last))),
        "page of one conversation": lambda: (
            n := account(),
            Query(peer=peer(n), after=choose.randrange(first, last)),
        ),
    }
    for name, make in queries.items():
        rows = 0
        with Meter() as meter:
            for _ in range(times):
                rows += len((await database.read("page", archive_query.page, *make())).rows)
        print(meter.line(f"{name} of {rows / times:.0f}", times, "a page"))


async def measure_indexing(database: Database) -> None:
    """Everything, in the steps of the server, one after the other."""
    await database.write("open index", search_index.open_index)
    longest, done = 0.0, 0
    with Meter() as meter:
        for account in range(1, ACCOUNTS + 1):
            while True:
                batch = await database.read("batch", search_index.next_batch, account, STEP)
                if batch is None:
                    break
                began = time.perf_counter()
                await database.write("index", search_index.add_batch, batch)
                longest = max(longest, time.perf_counter() - began)
                done += len(batch.rows)
    print(meter.line(f"index, steps of {STEP}", done, f"a row (longest step {longest * 1000:.0f} ms)"))
    timing = database.timings["index"]
    print(f"{'of that in the writer':<44}{timing.seconds / done * 1e6:30.1f} µs wall  a row")


async def measure_search(database: Database, name: str, times: int) -> None:
    """Searches of pages of 50, newest first.

    :param name: of the state of the index.
    """
    choose = random.Random(4)
    searches: dict[str, Callable[[int], tuple[Query, str]]] = {
        "rare word": lambda _: (Query(backwards=True), choose.choice(WORDS[5000:10_000])),
        "frequent word": lambda _: (Query(backwards=True), choose.choice(WORDS[:20])),
        "beginning of words": lambda _: (Query(backwards=True), choose.choice(WORDS[500:])[:4]),
        "three words of a conversation": lambda n: (
            Query(backwards=True, peer=peer(n)),
            " ".join(choose.choices(WORDS[:300], k=3)),
        ),
        "word that nobody said": lambda _: (Query(backwards=True), "xylophone"),
    }
    for what, make in searches.items():
        rows = 0
        with Meter() as meter:
            for _ in range(times):
                account = choose.randrange(ACCOUNTS) + 1
                query, text = make(account)
                rows += len((await search(database, account, query, terms(text))).rows)
        print(meter.line(f"{name}: {what}", times, f"a search ({rows / times:.1f} found)"))


async def measure(url: str, rows: int) -> None:
    """Everything."""
    sequence = Sequence(time.time)

    def make(group: int) -> Database:
        return Database(reactor, url, group_rows=group, group_delay=1.0)

    await measure_throughput(url, sequence)
    await measure_writing(make, sequence)
    database = make(5000)
    await database.open()
    for number in range(1, ACCOUNTS + 1):
        await database.write("account", _make_account, number)
    with Meter() as meter:
        await append_rows(database, sequence, rows, 5000)
    print(meter.line("store, groups of 5000", rows, "a row"))
    await measure_reading(database)
    await database.close()
    database = Database(reactor, url, group_delay=0)
    await database.open()
    await measure_search(database, "not indexed", 5)
    await measure_indexing(database)
    await measure_search(database, "indexed", 300)
    await database.close()


def _make_account(cursor: Cursor, number: int) -> None:
    accounts.create(cursor, "example.org", f"user{number}", [], created=1)


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the archive that pages are read from")
    parser.add_argument("--url", help="an empty database")
    parser.add_argument("--folder", type=Path, help="for the temporary database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run(options.url or f"sqlite:{folder}/bench.sqlite", options.rows)


def run(url: str, rows: int) -> None:
    """Run the reactor until all is measured."""

    def end(result: Any) -> Any:
        reactor.stop()
        return result

    problems: list[Any] = []
    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(measure(url, rows)).addErrback(problems.append).addBoth(end)
    )
    reactor.run()
    for failure in problems:
        failure.raiseException()


if __name__ == "__main__":
    main()
