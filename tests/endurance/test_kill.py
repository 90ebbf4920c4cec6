"""The kill loop in its short form, and that its checks see what they are there for."""

import asyncio
import sqlite3
from pathlib import Path
from random import Random

from twisted.trial.unittest import TestCase

from tests.endurance.archive import Archived
from tests.endurance.client import Failed, Sent, Session
from tests.endurance.kill import Account, KillLoop, check_files, compare
from tests.support.server import Server

KILLS = 8


class KillTests(TestCase):
    def test_nothing_acknowledged_is_lost(self) -> None:
        loop = KillLoop(seed=KILLS)
        asyncio.run(loop.run(KILLS))
        self.assertGreaterEqual(loop.kills, KILLS)
        for account in loop.accounts:
            self.assertTrue(account.acknowledged)


class CheckTests(TestCase):
    """Two accounts; alice sent "tea" once, it was acknowledged and is in both archives."""

    def setUp(self) -> None:
        server = Server()
        self.addCleanup(server.stop)
        self.alice, self.bob = (Account(server, name, Random(1)) for name in ("alice", "bob"))
        self.alice.others, self.bob.others = [self.bob], [self.alice]
        self.alice.sent["tea"] = self.alice.acknowledged["tea"] = 1
        for number, account in enumerate((self.alice, self.bob)):
            account.archive.append(Archived(f"id {number}", "alice@localhost", "tea"))

    def refuses(self, words: str) -> None:
        self.assertIn(words, str(self.assertRaises(Failed, compare, [self.alice, self.bob])))

    def test_all_is_well(self) -> None:
        compare([self.alice, self.bob])

    def test_sees_a_message_in_one_archive_only(self) -> None:
        self.bob.archive.clear()
        self.refuses("in one archive only")

    def test_sees_a_lost_message(self) -> None:
        self.alice.archive.clear()
        self.bob.archive.clear()
        self.refuses("acknowledged and lost")

    def test_sees_a_doubled_message(self) -> None:
        self.alice.archive *= 2
        self.bob.archive *= 2
        self.refuses("not sent so often")

    def test_sees_a_broken_database(self) -> None:
        data = Path(self.mktemp())
        data.mkdir()
        file = data / "xmppd.sqlite"
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE cups (name TEXT NOT NULL)")
            database.execute("CREATE INDEX by_name ON cups (name)")
            database.executemany("INSERT INTO cups VALUES (?)", [(f"cup {n}",) for n in range(2000)])
        database.close()
        check_files(data)
        pages = bytearray(file.read_bytes())
        pages[-4096:] = bytes(4096)
        file.write_bytes(pages)
        self.assertRaises((Failed, sqlite3.DatabaseError), check_files, data)

    def test_sees_an_acknowledgement_of_what_was_not_sent(self) -> None:
        session = Session()
        session.unacknowledged.append(Sent("<message/>", None))
        session.acknowledge(1)
        for lie in (0, 2):
            self.assertRaises(Failed, session.acknowledge, lie)
