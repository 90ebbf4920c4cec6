"""One client reads its whole archive, page after page."""

from __future__ import annotations

import time

from bench.load.archive_reader import fill_archive, owners, pages
from bench.load.meter import Latencies
from bench.load.registry import Result, scenario
from bench.load.run import Run

__all__ = ["archive"]


@scenario("archive")
async def archive(run: Run) -> Result:
    """One client reads its archive in pages of --page, back to back (unit: result; latency: a page)."""
    await fill_archive(run)
    client = await run.login(owners(run)[0], "reader", presence=False)
    async for _ in pages(client, run.options.page):
        pass  # once, to load what the server loads
    latencies, results, last = Latencies(), 0, 0
    meter = run.measure()
    deadline = time.perf_counter() + run.options.seconds
    while time.perf_counter() < deadline:
        last = 0
        async for count, seconds in pages(client, run.options.page):
            last += count
            latencies.add(seconds)
        results += last
    meter.stop()
    notes = {"archive": last, "page": round(results / len(latencies.values), 1)}
    return {**meter.report(results, "result"), "latency_ms": latencies.report(), "notes": notes}
