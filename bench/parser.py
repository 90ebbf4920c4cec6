"""What it costs to read a stanza off a stream and to write it to another.

    python -m bench.parser [--rounds 200]

Microseconds of CPU for one stanza, the best of many short rounds: what else runs on the machine disturbs
some of them, and the best was disturbed least. Each stanza arrives in one chunk on a stream that has
authenticated, as from a client that sends now and then; `chunks` are 64 KiB of such messages, cut anywhere.
"""

import argparse
import time
from collections.abc import Callable
from xml.parsers import expat

from bench.load.flow import message_template
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.xml.parser import Limits, standard_header
from xmppd.xml.reader import ParserPool, StreamReader

NUMBER = 1_000_000
MESSAGE = message_template("user12@chat.bench.example", "3f8a2c61-9d4e-4b70-8c15-e2a") % (NUMBER, NUMBER)
PRESENCE = b"<presence><show>away</show></presence>"
PING = b"<iq type='get' id='ping-123' to='bench.example'><ping xmlns='urn:xmpp:ping'/></iq>"
CHUNK = 65_536
TARGET_OF_ROUND = 0.002


def best(work: Callable[[], object], rounds: int, stanzas: int = 1) -> float:
    """Microseconds of CPU for each stanza of `work`, in the best of the rounds."""
    started = time.process_time()
    work()
    times = max(1, round(TARGET_OF_ROUND / max(time.process_time() - started, 1e-6)))
    least = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(times):
            work()
        least = min(least, time.process_time() - started)
    return least / times / stanzas * 1e6


def settled_reader() -> StreamReader:
    """A stream as it is after authentication."""
    reader = StreamReader(Limits())
    reader.push(standard_header().xml())
    reader.next()
    reader.settle(ParserPool(Limits()))
    return reader


def reading(data: bytes) -> Callable[[], object]:
    """One stanza in one chunk."""
    reader = settled_reader()

    def work() -> object:
        reader.push(data)
        return reader.next()

    return work


def reading_chunks(messages: int) -> Callable[[], object]:
    """Many stanzas in large chunks."""
    reader = settled_reader()
    data = MESSAGE * messages

    def work() -> None:
        for start in range(0, len(data), CHUNK):
            reader.push(data[start : start + CHUNK])
            while reader.next() is not None:
                pass

    return work


def writing() -> Callable[[], object]:
    """The bytes of a message for one more resource."""
    stanza = reading(MESSAGE)()
    assert isinstance(stanza, Stanza)
    del stanza.attrs["to"]
    stanza.sender = JID.parse("user11@bench.example/laptop")
    to = JID.parse("user12@bench.example/phone")
    return lambda: stanza.readdressed(to=to).wire


def expat_alone() -> Callable[[], object]:
    """What no arrangement of handlers can go below."""
    parser = expat.ParserCreate("UTF-8", "\x01")
    parser.Parse(standard_header().xml())
    return lambda: parser.Parse(MESSAGE)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.parser", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    cases: list[tuple[str, Callable[[], object], int]] = [
        (f"chat message, {len(MESSAGE)} bytes", reading(MESSAGE), 1),
        ("the same in chunks of 64 KiB", reading_chunks(1000), 1000),
        (f"presence, {len(PRESENCE)} bytes", reading(PRESENCE), 1),
        (f"iq ping, {len(PING)} bytes", reading(PING), 1),
        ("writing the message to a resource", writing(), 1),
        ("expat without handlers, the message", expat_alone(), 1),
    ]
    for name, work, stanzas in cases:
        print(f"{name:<40}{best(work, rounds, stanzas):7.2f} µs")


if __name__ == "__main__":
    main()
