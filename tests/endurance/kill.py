"""Kill the server again and again under load: ``python -m tests.endurance.kill --kills 200``.

Accounts write to each other and note what the server acknowledges. After each ``kill -9`` and restart,
everything acknowledged is in both archives and delivered; what was not acknowledged is in both archives or
in neither; nothing is in an archive more often than it was sent; what an archive once showed stays.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from tests.endurance.archive import BODY, STANZA_ID, Archived, all_after, result_of
from tests.endurance.client import PATIENCE, Client, Failed, Lost, Session
from tests.support.server import Server

WINDOW = 40  # unacknowledged stanzas with which a client waits
ACCOUNTS = 4


class Account:
    """One account: what it sent, was acknowledged, received and found in its archive.

    :ivar sent: bodies, and how often each was sent.
    :ivar acknowledged: bodies, and how often the server acknowledged each.
    :ivar awaited: bodies that others were acknowledged and that have not come here.
    :ivar archive: everything in the archive, in its order.
    """

    def __init__(self, server: Server, name: str, chance: random.Random) -> None:
        self.server, self.name, self.chance = server, name, chance
        self.jid = f"{name}@localhost"
        self.others: list[Account] = []
        self.sent: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.awaited: set[str] = set()
        self.archive: list[Archived] = []
        self.client: Client | None = None
        self._archived: set[str] = set()
        self._delivered: set[str] = set()
        self._session = Session()
        self._again: list[tuple[Account, str]] = []

    # -- what the client notices

    def _on_acknowledged(self, note: tuple[Account, str] | None) -> None:
        if note is not None:
            to, body = note
            self.acknowledged[body] += 1
            if body not in to.received:
                to.awaited.add(body)

    def _on_message(self, message: Element) -> None:
        if (found := result_of(message)) is not None:
            if found.id in self._archived:
                raise Failed(f"{found.id} is in the archive twice")
            self._archived.add(found.id)
            self.archive.append(found)
            return
        self._on_chat(message)

    def _on_chat(self, message: Element) -> None:
        body, mark = message.findtext(BODY), message.find(STANZA_ID)
        sender = next((each for each in self.others if each.sent[body or ""]), None)
        if not body or mark is None or sender is None:
            raise Failed(f"nobody sent {body!r}, from {message.get('from')}")
        if mark.attrib["id"] in self._delivered:
            raise Failed(f"{body} came twice in one session")
        self._delivered.add(mark.attrib["id"])
        self.received[body] += 1
        self.awaited.discard(body)

    # -- what it does

    async def arrive(self) -> None:
        """Connect; the old session is gone, so begin a new one and be available."""
        self.client = Client(self._session, self._on_message)
        await self.client.connect(self.server, self.name, "secret")
        if self._session.token and await self.client.resume() is None:
            raise Failed("a session outlived the kill")
        old, self._session = self._session, Session(self._on_acknowledged)
        self._again += [sent.note for sent in old.unacknowledged if sent.note]
        self._delivered.clear()
        self.client.session = self._session
        await self.client.begin("phone")
        self.client.send("<presence/>")

    async def look(self) -> None:
        """Wait for what was acknowledged, and read on in the archive."""
        assert self.client is not None
        client, archive = self.client, self.archive
        await all_after(client, lambda: archive, archive[-1].id if archive else None)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self.awaited and client.problem is None:
                    await asyncio.sleep(0.01)
        if client.problem is not None:
            raise client.problem
        if self.awaited:
            raise Failed(f"{self.jid} never got {sorted(self.awaited)[:5]}")

    async def chatter(self) -> None:
        """Send until the connection is lost; half of what was not acknowledged is sent again."""
        assert self.client is not None
        again, self._again = self._again, []
        for to, body in again:
            if self.chance.random() < 0.5:
                self._write(to, body)
        while True:
            for _ in range(self.chance.randint(1, 5)):
                self._write(self.chance.choice(self.others), f"{self.name}-{self.sent.total()}")
            self.client.request()
            await asyncio.sleep(self.chance.uniform(0, 0.05))
            while len(self._session.unacknowledged) > WINDOW and self.client.problem is None:
                await asyncio.sleep(0.005)

    def _write(self, to: Account, body: str) -> None:
        assert self.client is not None
        self.sent[body] += 1
        self.client.chat(to.jid, body, (to, body))

    async def leave(self) -> None:
        """Let go of the connection."""
        if self.client is not None:
            await self.client.cut()
            if isinstance(self.client.problem, Failed):
                raise self.client.problem


def compare(accounts: list[Account]) -> None:
    """Hold both archives of each message against what was sent and acknowledged. Raises Failed."""
    for account in accounts:
        own = Counter(row.body for row in account.archive if row.sender == account.jid)
        theirs = Counter(
            row.body for other in account.others for row in other.archive if row.sender == account.jid
        )
        if own != theirs:
            raise Failed(f"in one archive only: {sorted(((own - theirs) + (theirs - own)).items())[:5]}")
        if lost := account.acknowledged - own:
            raise Failed(f"acknowledged and lost: {sorted(lost.items())[:5]}")
        if doubled := own - account.sent:
            raise Failed(f"not sent so often: {sorted(doubled.items())[:5]}")


def check_files(data: Path) -> None:
    """Check a copy of the database as the kill left it. Raises Failed."""
    with tempfile.TemporaryDirectory() as folder:
        for file in data.glob("xmppd.sqlite*"):
            if not file.name.endswith("-shm"):  # what SQLite makes anew after a crash
                shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder, "xmppd.sqlite"))) as database:
            (found,) = database.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        raise Failed(f"the database is broken: {found}")


class KillLoop:
    """A server of its own, accounts on it, and a number of kills.

    :param say: called with a line after each kill.
    """

    def __init__(self, seed: int, say: Callable[[str], None] = lambda line: None) -> None:
        self.chance = random.Random(seed)
        self.say = say
        self.server = Server()
        self.kills = 0
        self.where: Counter[str] = Counter()
        self.accounts = [Account(self.server, f"user{n}", self.chance) for n in range(ACCOUNTS)]
        for account in self.accounts:
            account.others = [other for other in self.accounts if other is not account]

    async def run(self, kills: int) -> None:
        """Kill that often, then look once more. Raises Failed."""
        await asyncio.to_thread(self._start)
        try:
            while self.kills < kills:
                await self._round()
            await self._all(account.arrive() for account in self.accounts)
            await self._settle()
        finally:
            await asyncio.gather(*(account.leave() for account in self.accounts))
            await asyncio.to_thread(self.server.stop)

    def _start(self) -> None:
        configured = self.server.configuration.read_text()
        self.server.configuration.write_text(configured.replace('"debug"', '"info"'))
        self.server.start()
        for account in self.accounts:
            self.server.add_account(account.name, "secret")

    async def _round(self) -> None:
        """Live until the kill, which comes while clients log in and look, or under load."""
        self.stage = "login"
        early = self.chance.random() < 0.25
        killing = self._kill_in(self.chance.uniform(0, 0.4)) if early else None
        with suppress(Lost):
            await self._all(account.arrive() for account in self.accounts)
            self.stage = "archive"
            await self._settle()
            self.stage = "load"
            killing = killing or self._kill_in(self.chance.uniform(0.02, 0.8))
            await self._all(account.chatter() for account in self.accounts)
        if killing is None:
            problems = [each.client.problem for each in self.accounts if each.client is not None]
            raise Failed(f"lost without a kill: {problems}")
        await killing
        for account in self.accounts:
            await account.leave()
        await self._start_again()
        self.say(f"kill {self.kills}: {self.summary()}")

    async def _settle(self) -> None:
        await self._all(account.look() for account in self.accounts)
        compare(self.accounts)

    async def _all(self, doing: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Do all; afterwards raise a failure if there is one, else the first Lost."""
        ends = await asyncio.gather(*doing, return_exceptions=True)
        errors = sorted((end for end in ends if end is not None), key=lambda end: isinstance(end, Lost))
        if errors:
            raise errors[0]

    def _kill_in(self, seconds: float) -> asyncio.Task[None]:
        async def kill() -> None:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.server.end, True)
            self.where[self.stage] += 1
            self.kills += 1

        return asyncio.get_running_loop().create_task(kill())

    async def _start_again(self) -> None:
        """Start; now and then the start itself is killed."""
        await asyncio.to_thread(check_files, self.server.root / "data")
        if self.chance.random() < 0.1:
            starting = asyncio.get_running_loop().create_task(asyncio.to_thread(self.server.start))
            await asyncio.sleep(self.chance.uniform(0.3, 1.2))
            assert self.server.process is not None
            self.server.process.kill()
            with suppress(AssertionError):
                await starting
            self.server.process.wait()
            self.where["start"] += 1
            self.kills += 1
        await asyncio.to_thread(self.server.start)

    def summary(self) -> str:
        """What was done so far, in words."""
        sent = sum(account.sent.total() for account in self.accounts)
        acknowledged = sum(account.acknowledged.total() for account in self.accounts)
        archived = sum(len(account.archive) for account in self.accounts)
        where = ", ".join(f"{stage} {number}" for stage, number in sorted(self.where.items()))
        return f"{sent} sent, {acknowledged} acknowledged, {archived} rows read; killed during: {where}"


def main() -> int:
    """Run from the command line; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server is stopped, too
    print(f"seed {given.seed}", flush=True)
    loop = KillLoop(given.seed, lambda line: print(line, flush=True))
    try:
        asyncio.run(loop.run(given.kills))
    except Failed as failure:
        print(f"{loop.kills} kills; {loop.summary()}\nFAILED: {failure}")
        return 1
    print(f"{loop.kills} kills; {loop.summary()}\nnothing acknowledged was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
