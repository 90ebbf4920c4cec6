"""What a client at rest costs."""

from __future__ import annotations

from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.sinks import nothing

__all__ = ["memory"]

_WARM = 20
_IDLE_SECONDS = 5.0


@scenario("memory")
async def memory(run: Run) -> Result:
    """Growth of memory for each of --clients at rest; wants a fresh server (unit: client)."""
    options = run.options
    users = min(options.clients, options.idle_users)
    for client in await run.login_many([(index, "warm") for index in range(min(_WARM, users))]):
        client.close()  # now the server has loaded what it loads once
    await run.sleep(options.settle)
    before, meter = run.rss(), run.measure()
    specs = [(number % users, f"idle{number // users}") for number in range(options.clients)]
    for client in await run.login_many(specs):
        client.sink = nothing
    meter.stop()
    at_once = run.rss()
    await run.sleep(options.settle)
    settled, idle = run.rss(), run.measure()
    await run.sleep(min(_IDLE_SECONDS, options.settle))
    idle.stop()
    return {
        **meter.report(options.clients, "client"),
        "kib_per_client": round((settled - before) / options.clients, 1),
        "notes": {
            "clients": options.clients,
            "kib_before": before,
            "kib_after": settled,
            "kib_per_client_at_once": round((at_once - before) / options.clients, 1),
            "idle_cpu_percent": round(idle.server / idle.wall * 100, 2),
        },
    }
