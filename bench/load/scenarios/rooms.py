"""Group chat (XEP-0045)."""

from __future__ import annotations

import re

from bench.load.client import Client
from bench.load.fanout import FanOut
from bench.load.flow import BODY_END, message_template
from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.sinks import Counter
from bench.load.target import XmppError

__all__ = ["muc"]

_CREATED = re.compile(rb"code=['\"](?:201|110)['\"]")
_JOINED = re.compile(rb"<subject\b[^>]*(?:/>|>)|<presence\b(?=[^>]*type=['\"]error)")
_INSTANT = (
    "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
)


def _enter(client: Client, room: str) -> None:
    client.send(
        f"<presence to='{room}/nick{client.index}'><x xmlns='http://jabber.org/protocol/muc'/></presence>".encode()
    )


async def _fill(clients: list[Client], room: str) -> None:
    """Let the first client make the room, and the others join one by one."""
    creator = clients[0]
    _enter(creator, room)
    await creator.read_until(_CREATED)
    await creator.iq(_INSTANT, "instant", room, kind="set")
    for client in clients[1:]:
        _enter(client, room)
        match, _ = await client.read_until(_JOINED)
        if b"<subject" not in match.group():
            raise XmppError(f"{client.jid} cannot join: {client.received[:300]!r}")


@scenario("muc")
async def muc(run: Run) -> Result:
    """One room, --senders messages in flight (unit: copy; latency: the last occupant's)."""
    options = run.options
    clients = await run.login_many([(index, "muc") for index in range(options.occupants)])
    room = f"bench{run.stamp}@{options.rooms}"
    await _fill(clients, room)
    await run.sleep(1)
    template = message_template(room, run.stamp, "groupchat")

    def say(number: int) -> None:
        clients[number % options.senders].send(template % (number, number))

    fanout = FanOut(say, len(clients))
    for client in clients:
        client.count(Counter(BODY_END, fanout.on_copy, run.on_error))
    for _ in range(options.senders):
        fanout.send()
    meter, units = await run.window(fanout.latencies, lambda: fanout.copies)
    latency = fanout.latencies.report()
    fanout.active = False
    await run.drain(lambda: len(fanout.flying))
    notes = {"occupants": len(clients), "senders": options.senders}
    return {**meter.report(units, "copy"), "latency_ms": latency, "notes": notes}
