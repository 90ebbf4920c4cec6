"""Users who are each other's contacts: neighbours on a ring."""

from __future__ import annotations

import asyncio
import re

from bench.load.client import Client
from bench.load.run import PING, ROSTER, Run
from bench.load.target import XmppError

__all__ = ["fill_rosters", "ring"]

_BATCH = 10
_MUTUAL = re.compile(rb"subscription=['\"]both")


def ring(user_count: int, members: int, contacts: int) -> dict[int, list[int]]:
    """The members' numbers and the numbers of their contacts, as many to both sides.

    The members come just before the owners of the archives, at the end of all accounts, so that the users of
    the other scenarios have empty rosters.

    :raises XmppError: there are not enough accounts.
    """
    first, half = user_count - 2 - members, contacts // 2
    if first < 0:
        raise XmppError(f"{members} users with rosters need {members + 2} accounts")
    steps = [step for step in range(-half, half + 1) if step]
    return {first + place: [first + (place + step) % members for step in steps] for place in range(members)}


async def fill_rosters(run: Run) -> None:
    """Make the members mutual contacts, where they are not yet, by what RFC 6121 has for it.

    Everybody asks before anybody agrees, and nobody is available meanwhile, so that the server sends little.
    """
    options = run.options
    contacts = ring(options.user_count, options.members, options.contacts)
    clients = await run.login_many([(index, "fill") for index in contacts], presence=False)
    rosters = [await client.iq(ROSTER, "have") for client in clients]
    wanted = options.contacts // 2 * 2
    if any(len(_MUTUAL.findall(roster)) < wanted for roster in rosters):
        for kind in ("subscribe", "subscribed"):
            for first in range(0, wanted, _BATCH):
                batch = slice(first, first + _BATCH)
                await asyncio.gather(
                    *(_ask(run, each, kind, contacts[each.index][batch]) for each in clients)
                )
            await asyncio.sleep(1)
    for client in clients:
        client.close()
    await asyncio.sleep(0.5)


async def _ask(run: Run, client: Client, kind: str, contacts: list[int]) -> None:
    stanzas = "".join(f"<presence type='{kind}' to='{run.target.jid(contact)}'/>" for contact in contacts)
    client.send(stanzas.encode())
    await client.iq(PING, kind, run.target.domain)
