"""What a session costs whose client is away (XEP-0198)."""

from __future__ import annotations

from bench.load.client import Client
from bench.load.registry import Result, scenario
from bench.load.run import LOGINS_AT_A_TIME, Run

__all__ = ["hibernated"]

_WARM = 200


async def _come_and_go(run: Run, specs: list[tuple[int, str]]) -> None:
    """Sessions that can be resumed, each with a message that its client has not acknowledged."""
    clients = await run.login_many(specs, smacks=True)
    for client in clients:
        _write_to_itself(client)
    await run.sleep(0.1)
    for client in clients:
        client.vanish()


def _write_to_itself(client: Client) -> None:
    to = f"{client.jid}/{client.resource}"
    client.send(f"<message to='{to}' type='chat'><body>Did you see the mail?</body></message>".encode())


@scenario("hibernated")
async def hibernated(run: Run) -> Result:
    """Growth of memory for each of --clients that is away; wants a fresh server (unit: session)."""
    options = run.options
    users = min(options.clients, options.idle_users)
    specs = [(number % users, f"away{number // users}") for number in range(_WARM + options.clients)]
    await _come_and_go(run, specs[:_WARM])  # now the server has loaded what it loads once
    await run.sleep(options.settle)
    before, meter = run.rss(), run.measure()
    for first in range(_WARM, len(specs), LOGINS_AT_A_TIME):
        await _come_and_go(run, specs[first : first + LOGINS_AT_A_TIME])
    meter.stop()
    await run.sleep(options.settle)
    after = run.rss()
    return {
        **meter.report(options.clients, "session"),
        "kib_per_client": round((after - before) / options.clients, 1),
        "notes": {"clients": options.clients, "kib_before": before, "kib_after": after},
    }
