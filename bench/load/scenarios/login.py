"""Logins over new connections."""

from __future__ import annotations

import asyncio
import time

from bench.load.client import Client
from bench.load.meter import Latencies
from bench.load.registry import Result, scenario
from bench.load.run import PRESENCE, ROSTER, Run

__all__ = ["login"]


class Doors:
    """Workers that log in and out, each with accounts of its own."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.latencies = Latencies()
        self.done = 0
        self.active = True

    async def work(self, slot: int) -> None:
        width = self.run.options.concurrency
        accounts, turn = max(1, self.run.options.login_users // width), 0
        while self.active:
            await self.login(slot + width * (turn % accounts), f"l{turn}")
            turn += 1

    async def login(self, index: int, resource: str) -> None:
        """In and out again."""
        began = time.perf_counter()
        client = Client(self.run.target, index, resource)
        await client.login()
        client.send(PRESENCE)
        await client.iq(ROSTER, "roster")
        self.latencies.add(time.perf_counter() - began)
        self.done += 1
        client.close()


@scenario("login")
async def login(run: Run) -> Result:
    """Full logins and logouts, --concurrency at a time (unit: login)."""
    # Once each before: real clients keep their salted password too.
    for client in await run.login_many([(index, "warm") for index in range(run.options.login_users)]):
        client.close()
    doors = Doors(run)
    workers = [asyncio.create_task(doors.work(slot)) for slot in range(run.options.concurrency)]
    meter, units = await run.window(doors.latencies, lambda: doors.done)
    latency = doors.latencies.report()
    doors.active = False
    await asyncio.gather(*workers)
    return {**meter.report(units, "login"), "latency_ms": latency}
