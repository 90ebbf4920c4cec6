"""Fills the search index in the background, when nobody else wants the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.logger import Logger

from xmppd.core.context import Clock, Database
from xmppd.core.pauses import pause
from xmppd.storage import search_index
from xmppd.storage.errors import ClosedError, StorageError

__all__ = ["Indexer"]

_log = Logger()

#: Rows that one transaction indexes: 1 to 2 ms of the writer.
STEP: Final = 50
#: Seconds that messages gather; until then a search reads them.
GATHER: Final = 15.0
#: Seconds between steps, at least and, while others write, at most.
PAUSE: Final = 0.02
LONGEST: Final = 10.0
#: What part of the time steps may take.
SHARE: Final = 0.2
#: Seconds between looks for what nobody told of: erased words, restored messages.
LOOK: Final = 600.0


class Indexer:
    """One worker for the archives of some accounts.

    :param accounts: gives their numbers.
    :param spawn: runs a coroutine.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        accounts: Callable[[], Iterable[int]],
        spawn: Callable[[Any], None],
    ) -> None:
        self._database, self._clock, self._accounts, self._spawn = database, clock, accounts, spawn
        #: Accounts with rows that are not indexed, who waits longest first.
        self._behind: dict[int, None] = {}
        self._timer: Any = None
        self._next_look = 0.0
        self._working = False
        self._stopped = False

    async def start(self) -> None:
        """See what is to be done, and begin with it soon."""
        await self._look()
        self._wait(GATHER)

    def stop(self) -> None:
        """Do nothing more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note(self, account: int) -> None:
        """An archive has one more row."""
        self._behind[account] = None

    def forget(self, account: int) -> None:
        """There is no such archive any more."""
        self._behind.pop(account, None)

    # -- when

    def _wait(self, seconds: float) -> None:
        self._timer = self._clock.callLater(seconds, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._spawn(self._work())

    async def _work(self) -> None:
        try:
            if self._clock.seconds() >= self._next_look:
                await self._look()
                await self._clean()
            await self._index()
        except ClosedError:
            self._stopped = True
        except StorageError as error:
            _log.warn("the search index waits for the database: {error}", error=str(error))
        finally:
            if not self._stopped:
                self._wait(GATHER)

    async def _look(self) -> None:
        """Find archives with rows that are not indexed."""
        self._next_look = self._clock.seconds() + LOOK
        numbers = list(self._accounts())
        self._behind.update(
            dict.fromkeys(await self._database.read("archives to index", search_index.behind, numbers))
        )

    # -- what

    async def _index(self) -> None:
        """Index until nothing is left to do."""
        while self._behind:
            await self._turn()
            if self._stopped:
                break
            account = next(iter(self._behind))
            del self._behind[account]
            batch = await self._database.read("rows to index", search_index.next_batch, account, STEP)
            if batch is not None:
                self._behind[account] = None
                await self._step("index", search_index.add_batch, batch)

    async def _clean(self) -> None:
        """Wipe from the index what was erased."""
        if not await self._database.read("index to clean", search_index.needs_cleaning):
            return
        more, first = True, True
        while more and not self._stopped:
            await self._turn()
            more = await self._step("clean index", lambda cursor, begin=first: _clean(cursor, begin))
            first = False
        await self._database.scrub()

    async def _step(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Write, then leave the database to others for a time that fits to what it took."""
        began = self._clock.seconds()
        result = await self._database.write(name, function, *args)
        await self._pause((self._clock.seconds() - began) * (1 / SHARE - 1))
        return result

    async def _turn(self) -> None:
        """Wait until nobody else writes."""
        wait = PAUSE
        while not self._stopped and (self._database.queued or self._database.faulted):
            await self._pause(wait)
            wait = min(2 * wait, LONGEST)

    async def _pause(self, seconds: float) -> None:
        await pause(self._clock, min(max(seconds, PAUSE), LONGEST))


def _clean(cursor: Any, begin: bool) -> bool:
    return search_index.clean(cursor, begin=begin)
