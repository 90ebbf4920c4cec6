"""A process that stores messages as fast as it can, two rows each, and prints what was reported as stored.

Started by tests that kill it: `python -m tests.storage.load URL`.
"""

import os
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from tests.storage.base import message
from xmppd.storage.archive import APPEND
from xmppd.storage.database import Database


class Printed:
    """A completion that prints, unbuffered: what is printed was reported."""

    def __init__(self, seq: int) -> None:
        self.seq = seq

    def committed(self) -> None:
        os.write(1, b"%d\n" % self.seq)

    def failed(self, error: BaseException) -> None:
        os.write(1, b"failed\n")


async def load(database: Database, seq: int = 0) -> None:
    """Append one message in each turn of the reactor."""
    await database.open()

    def turn(seq: int) -> None:
        for number in (seq + 1, seq + 2):
            database.append(APPEND, message(number % 2, number), Printed(number))
        reactor.callLater(0.0002, turn, seq + 2)

    turn(seq)


if __name__ == "__main__":
    Deferred.fromCoroutine(load(Database(reactor, sys.argv[1]))).addErrback(lambda _: os._exit(1))
    reactor.run()
