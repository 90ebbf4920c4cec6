"""What storing a row and reading a page cost, through the door that the server uses.

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
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from xmppd.storage import archive
from xmppd.storage.archive import APPEND, ArchiveRow, Query
from xmppd.storage.database import Database
from xmppd.storage.sequence import Sequence

ACCOUNTS = 100
BODY = "Soft you now, the fair Ophelia. " * 11
STANZA = f"<message xmlns='jabber:client' type='chat' id='x'><body>{BODY}</body></message>".encode()


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
    return (
        ArchiveRow(a, sequence.next(), f"user{b}@example.org", "phone", "laptop", 1, 1, 0, 0, STANZA),
        ArchiveRow(b, sequence.next(), f"user{a}@example.org", "laptop", "phone", 0, 1, 1, 0, STANZA),
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


async def measure_writing(make: Callable[[int], Database], sequence: Sequence, rows: int) -> None:
    """Groups of 50 and of 1,000 rows; a group starts when its last row is there."""
    for group, number in ((50, 20_000), (1000, 100_000)):
        database = make(group)
        await database.open()
        await append_rows(database, sequence, group * 20, group)
        with Meter() as meter:
            await append_rows(database, sequence, number, group)
        print(meter.line(f"store, groups of {group}", number, "a row"))
        await database.close()


async def measure_reading(database: Database, times: int = 1000) -> None:
    """Pages of 50, in a reader's thread, one after the other."""
    choose = random.Random(3)
    first, last = await database.read("bounds", archive.bounds, 1) or (0, 0)

    def account() -> int:
        return choose.randrange(ACCOUNTS) + 1

    def peer(number: int) -> str:
        return f"user{number + 1 if number % 2 else number - 1}@example.org"

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
                rows += len((await database.read("page", archive.page, *make())).rows)
        print(meter.line(f"{name} of {rows / times:.0f}", times, "a page"))


async def measure(url: str, rows: int) -> None:
    """Everything."""
    sequence = Sequence(time.time)

    def make(group: int) -> Database:
        return Database(reactor, url, group_rows=group, group_delay=1.0)

    await measure_writing(make, sequence, rows)
    database = make(5000)
    await database.open()
    with Meter() as meter:
        await append_rows(database, sequence, rows, 5000)
    print(meter.line("store, groups of 5000", rows, "a row"))
    await measure_reading(database)
    await database.close()


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
