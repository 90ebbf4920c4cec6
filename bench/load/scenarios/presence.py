"""Changes of presence among many contacts."""

from __future__ import annotations

from bench.load.fanout import FanOut
from bench.load.registry import Result, scenario
from bench.load.ring import fill_rosters, ring
from bench.load.run import Run
from bench.load.sinks import Counter
from bench.load.target import XmppError

__all__ = ["presence"]

_PROBES = 3


async def _learn_width(run: Run, fanout: FanOut) -> int:
    """Find out how many get a change: the contacts, and with some servers oneself."""
    for _ in range(_PROBES):
        fanout.restart(0)
        fanout.send()
        await run.sleep(min(1.0, run.options.warmup))
    if fanout.copies < run.options.contacts // 2 * 2:
        raise XmppError(f"a change of presence reached {fanout.copies} clients only; {run.error_sample}")
    return fanout.copies


@scenario("presence")
async def presence(run: Run) -> Result:
    """--members users with --contacts each change presence (unit: delivery; latency: the last one's)."""
    options = run.options
    await fill_rosters(run)
    members = ring(options.user_count, options.members, options.contacts)
    clients = await run.login_many([(index, "presence") for index in members])

    def change(number: int) -> None:
        status = b"<presence><show>away</show><status>change %d</status></presence>" % number
        clients[number % len(clients)].send(status)

    fanout = FanOut(change)
    for client in clients:
        client.count(Counter(b"</status>", fanout.on_copy, run.on_error))
    fanout.restart(await _learn_width(run, fanout))
    for _ in range(options.window):
        fanout.send()
    meter, units = await run.window(fanout.latencies, lambda: fanout.copies)
    latency = fanout.latencies.report()
    fanout.active = False
    await run.drain(lambda: len(fanout.flying))
    notes = {"members": options.members, "copies": fanout.width}
    return {**meter.report(units, "delivery"), "latency_ms": latency, "notes": notes}
