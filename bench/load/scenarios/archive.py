"""One client reads its whole archive, page after page."""

from __future__ import annotations

import time

from bench.load.archive_reader import fill_archive, owners, pages
from bench.load.client import Client
from bench.load.meter import Latencies
from bench.load.registry import Result, scenario
from bench.load.run import Run

__all__ = ["archive"]

_WARM_SECONDS = 1.0


async def read(run: Run, client: Client, seconds: float, latencies: Latencies) -> int:
    """Read for so long, from the beginning again when all is read; returns the results."""
    results, deadline = 0, time.perf_counter() + seconds
    while True:
        async for count, took in pages(client, run.options.page):
            results += count
            latencies.add(took)
            if time.perf_counter() >= deadline:
                return results


@scenario("archive")
async def archive(run: Run) -> Result:
    """One client reads its archive in pages of --page, back to back (unit: result; latency: a page)."""
    await fill_archive(run)
    client = await run.login(owners(run)[0], "reader", presence=False)
    await read(run, client, _WARM_SECONDS, Latencies())  # to load what the server loads
    latencies = Latencies()
    meter = run.measure()
    results = await read(run, client, run.options.seconds, latencies)
    meter.stop()
    notes = {"page": round(results / len(latencies.values), 1)}
    return {**meter.report(results, "result"), "latency_ms": latencies.report(), "notes": notes}
