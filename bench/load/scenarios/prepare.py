"""What other scenarios find ready; no measurement."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from bench.load.archive_reader import fill_archive
from bench.load.client import Client
from bench.load.registry import Result, scenario
from bench.load.ring import fill_rosters
from bench.load.run import LOGINS_AT_A_TIME, Run

__all__ = ["accounts", "archives", "rosters"]


async def _register(run: Run, indices: Iterator[int]) -> None:
    for index in indices:
        await Client(run.target, index).register()


@scenario("accounts")
async def accounts(run: Run) -> Result:
    """Make --user-count accounts by in-band registration."""
    indices = iter(range(run.options.user_count))
    await asyncio.gather(*(_register(run, indices) for _ in range(LOGINS_AT_A_TIME)))
    return {"unit": "account", "units": run.options.user_count}


@scenario("archives")
async def archives(run: Run) -> Result:
    """Fill the archives that archive and neighbour read."""
    await fill_archive(run)
    return {"unit": "archive", "units": 2}


@scenario("rosters")
async def rosters(run: Run) -> Result:
    """Make the contacts that presence needs."""
    await fill_rosters(run)
    return {"unit": "roster", "units": run.options.members}
