"""What reading an archive costs the server, and whether that grows with the archive.

    python -m bench.archive [--messages 10000,2000000] [--url postgresql://…] [--sync 100000]

The whole server runs in this process, but the sockets (`xmppd.testing`): its CPU is that of this process, and
a page is what one query sends. The archive is one account's, with 500 contacts of whom few write most, and
is put into the database directly. Without --url it works in temporary SQLite files, beside --folder if that
is given; a PostgreSQL database has to be empty, and takes one number of messages.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from bench.storage import STANZAS, WORDS
from xmppd.core import ns
from xmppd.modules.search import FULLTEXT
from xmppd.storage import search_index
from xmppd.storage.archive import APPEND, ArchiveRow
from xmppd.storage.database import dialect_of
from xmppd.storage.dialect import Dialect
from xmppd.storage.statement import Cursor
from xmppd.testing import BEGINNING, Client, InProcessServer

OWNER = "owner@localhost"
CONTACTS = 500
CHUNK = 5000
#: Rows that are indexed at once while the archive is made.
INDEXED = 200
PAGES = (50, 250)
#: Pages of each kind that are measured, and searches.
TIMES, SEARCHES = 200, 20
SETTINGS = (
    f"limits.max_archive_query_results={max(PAGES)}",
    "limits.archive_expires_after=never",
    "limits.rate=none",
)

_LAST = re.compile("<last>([^<]+)</last>")


@dataclass
class Cost:
    """What pages cost.

    :ivar cpu: seconds of this process, and
    :ivar wall: seconds that passed.
    """

    pages: int = 0
    results: int = 0
    cpu: float = 0.0
    wall: float = 0.0

    def line(self, what: str) -> str:
        """One row of the table."""
        pages = max(1, self.pages)
        each = f"{self.cpu / self.results * 1e6:8.1f} µs CPU a result" if self.results > pages else " " * 24
        page = f"{self.cpu / pages * 1000:8.2f} ms CPU {self.wall / pages * 1000:8.2f} ms wall"
        return f"{what:<38}{each} {page}  a page of {self.results / pages:.0f}"


# -- the archive


def contact(choose: random.Random) -> str:
    """Few write most: the first has a fortieth of all messages, the last hardly any."""
    return f"contact{min(int(choose.expovariate(1 / 40)), CONTACTS - 1)}@example.net"


def rows(account: int, number: int) -> Iterator[ArchiveRow]:
    """The archive of an account, over the year before the server begins."""
    choose = random.Random(number)
    last, step = int(BEGINNING * 1_000_000), 365 * 86400 * 1_000_000 // (number + 1)
    for index in range(number):
        outgoing, stanza = index % 2, choose.choice(STANZAS)
        seq = last - (number - index) * step
        yield ArchiveRow(account, seq, contact(choose), "phone", "laptop", outgoing, 1, 0, 0, stanza)


def fill(url: str, account: int, number: int) -> None:
    """Put an archive into a database that no server uses, and index it; nothing need outlive a crash."""
    dialect = dialect_of(url)
    dialect.prepare()
    args, keywords = dialect.arguments()
    connection = import_module(dialect.module).connect(*args, **keywords)
    dialect.open_writer(connection)
    connection.execute(
        "PRAGMA synchronous = OFF" if dialect.name == "sqlite" else "SET synchronous_commit = off"
    )

    def write(function: Callable[[Any], Any]) -> Any:
        dialect.begin_write(connection)
        found = function(dialect.cursor(connection))
        dialect.commit(connection)
        return found

    def index(cursor: Cursor) -> bool:
        batch = search_index.next_batch(cursor, account, INDEXED)
        if batch is not None:
            search_index.add_batch(cursor, batch)
        return batch is not None

    made = rows(account, number)
    while chunk := list(islice(made, CHUNK)):
        write(partial(_append, dialect, chunk))
    write(search_index.open_index)
    while write(index):
        pass
    connection.close()
    dialect.close()


def _append(dialect: Dialect, chunk: list[ArchiveRow], cursor: Cursor) -> None:
    dialect.bulk(cursor, APPEND, chunk)


def serve(url: str, number: int) -> InProcessServer:
    """A server with such an archive."""
    server = InProcessServer(*SETTINGS, database=url)
    server.add_user(OWNER)
    account = next(iter(server.server.registry.accounts())).id
    assert account is not None
    server.stop()
    fill(url, account, number)
    return InProcessServer(*SETTINGS, database=url)


# -- the queries


def query(size: int, place: str = "", field: str = "", value: str = "") -> str:
    """A query of the owner's archive (XEP-0313), with one field of its form or none."""
    form = ""
    if field:
        kind = f"<field var='FORM_TYPE' type='hidden'><value>{ns.MAM}</value></field>"
        wanted = f"<field var='{field}'><value>{value}</value></field>"
        form = f"<x xmlns='{ns.DATA}' type='submit'>{kind}{wanted}</x>"
    paging = f"<set xmlns='{ns.RSM}'><max>{size}</max>{place}</set>"
    return f"<iq type='set' id='q'><query xmlns='{ns.MAM}'>{form}{paging}</query></iq>"


def ask(client: Client, cost: Cost, text: str) -> str:
    """One page; the answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    client.send(text)
    answer = client.take()
    while "<fin " not in answer:
        if client.closed or "type='error'" in answer:
            raise RuntimeError(answer)
        client.world.settle()
        answer += client.take()
    cost.wall += time.perf_counter() - wall
    cost.cpu += time.process_time() - cpu
    cost.pages += 1
    cost.results += answer.count("</forwarded>")
    return answer


def kinds(size: int) -> dict[str, tuple[int, Callable[[], str]]]:
    """What is measured: how many pages, and what is asked for."""
    choose = random.Random(size)

    def search(first: int, last: int) -> Callable[[], str]:
        return lambda: query(size, "<before/>", FULLTEXT, choose.choice(WORDS[first:last]))

    return {
        "first page": (TIMES, lambda: query(size)),
        "last page": (TIMES, lambda: query(size, "<before/>")),
        "page from the middle": (TIMES, lambda: query(size, "", "start", "2025-07-01T00:00:00Z")),
        "with who writes much": (TIMES, lambda: query(size, "", "with", "contact0@example.net")),
        "with who writes little": (TIMES, lambda: query(size, "", "with", "contact300@example.net")),
        "search for a frequent word": (SEARCHES, search(0, 20)),
        "search for a rare word": (SEARCHES, search(5000, 10_000)),
        "search for what nobody said": (SEARCHES, lambda: query(size, "", FULLTEXT, "xylophone")),
    }


def measure_pages(client: Client) -> None:
    """A table of both sizes of pages."""
    for size in PAGES:
        for what, (times, make) in kinds(size).items():
            ask(client, Cost(), make())
            cost = Cost()
            for _ in range(times):
                ask(client, cost, make())
            print(cost.line(f"page of {size}: {what}"), flush=True)


def measure_sync(client: Client, messages: int) -> None:
    """Pages of the largest size, one after the other, until there are so many results."""
    cost, place = Cost(), ""
    while cost.results < messages:
        answer = ask(client, cost, query(max(PAGES), place))
        last = _LAST.search(answer)
        if last is None or "complete='true'" in answer:
            break
        place = f"<after>{last[1]}</after>"
    each = cost.cpu / max(1, cost.results) * 1e6
    print(f"sync of {cost.results:,}: {cost.wall:.1f} s, {each:.1f} µs CPU a result", flush=True)


def measure(url: str, number: int, sync: int) -> None:
    """One archive."""
    server = serve(url, number)
    print(f"\n{number:,} messages", flush=True)
    client = server.login(f"{OWNER}/bench", presence=False)
    measure_pages(client)
    measure_sync(client, sync)
    server.stop()


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", default="10000,2000000", help="sizes of the archive")
    parser.add_argument("--sync", type=int, default=100_000, help="messages that one client reads at once")
    parser.add_argument("--url", help="an empty database")
    parser.add_argument("--folder", type=Path, help="for the temporary databases")
    options = parser.parse_args()
    for text in options.messages.split(","):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            measure(options.url or f"sqlite:{folder}/bench.sqlite", int(text), options.sync)


if __name__ == "__main__":
    main()
