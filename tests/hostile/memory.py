"""Strangers who come and go: does a server remember them?

``python -m tests.hostile.memory --connections 20000`` starts a server and reads its memory after each round.
Connections come from many addresses of the loopback network, so that no cap turns them away.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

from tests.hostile.wire import SASL, TLS
from tests.support.server import Server

HEADER = (
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)
#: What strangers say before they go; each is another way to leave something behind.
SAYINGS = tuple(
    saying.encode()
    for saying in (
        "",
        HEADER[:60],
        HEADER,
        HEADER.replace("localhost", "no{number}.example"),
        HEADER.replace(">", " from='stranger{number}@localhost'>"),
        HEADER + "<message><body>" + "x" * 5_000,
        HEADER + "<n{number}/>",
        HEADER + f"<auth xmlns='{SASL}' mechanism='M{{number}}'/>",
        HEADER + f"<starttls xmlns='{TLS}'/>",
        "<!DOCTYPE a>",
        "\0\xff",
    )
)
#: Connections that are open at the same time.
AT_ONCE = 200
#: Addresses that they come from, 127.0.1.1 and on.
ADDRESSES = 50


def resident(pid: int) -> int:
    """Memory of a process, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def open_files(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def visit(port: int, number: int) -> socket.socket:
    """Connect from one of the addresses and say something."""
    source = f"127.0.1.{1 + number % ADDRESSES}"
    connection = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
    connection.settimeout(30)
    saying = SAYINGS[number % len(SAYINGS)].replace(b"{number}", b"%d" % number)
    with suppress(OSError):
        connection.sendall(saying)
    return connection


def leave(connections: list[socket.socket]) -> None:
    """Hear what the server says to each, then go: half of them without closing properly."""
    with selectors.DefaultSelector() as answers:
        for connection in connections[::2]:
            answers.register(connection, selectors.EVENT_READ)
        for key, _ in answers.select(1.0):
            with suppress(OSError):
                key.fileobj.recv(4096)  # type: ignore[union-attr]
    for connection in connections:
        connection.close()


def settle(server: Server) -> None:
    """Wait until the server has noticed that they are gone."""
    for _ in range(100):
        if json.loads(server.ctl("--json", "stats"))["connections"] == 0:
            return
        time.sleep(0.2)
    raise AssertionError("connections are left over")


def rounds(server: Server, connections: int, number_of_rounds: int) -> Iterator[tuple[int, int]]:
    """Let strangers come and go; after each round give the server's memory in KiB and its open files."""
    assert server.process is not None
    numbers = cycle(range(1 << 30))
    for _ in range(number_of_rounds):
        left = connections // number_of_rounds
        while left > 0:
            leave([visit(server.port, number) for number in islice(numbers, min(AT_ONCE, left))])
            left -= AT_ONCE
        settle(server)
        yield resident(server.process.pid), open_files(server.process.pid)


def main() -> int:
    """Print memory and files by round; the exit code says whether the second half has grown by over 2 MiB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    server = Server().start()
    seen = []
    try:
        for kib, files in rounds(server, given.connections, given.rounds):
            seen.append(kib)
            print(f"{len(seen) * given.connections // given.rounds:7} strangers: {kib} KiB, {files} files")
    finally:
        server.stop()
    growth = seen[-1] - seen[len(seen) // 2]
    print(f"growth over the second half: {growth} KiB")
    return int(growth > 2048)


if __name__ == "__main__":
    sys.exit(main())
