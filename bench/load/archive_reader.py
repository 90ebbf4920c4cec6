"""Filling and reading a message archive (XEP-0313)."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

from bench.load.client import Client
from bench.load.flow import BODY_END, Flow
from bench.load.meter import Latencies
from bench.load.run import Run
from bench.load.sinks import Counter, nothing
from bench.load.target import XmppError

__all__ = ["fill_archive", "owners", "pages"]

_LAST = re.compile(rb"<last>([^<]+)</last>")
_COUNT = re.compile(rb"<count>(\d+)</count>")
_COMPLETE = re.compile(rb"<fin\b[^>]*complete=['\"]true")


def owners(run: Run) -> tuple[int, int]:
    """The accounts whose archives are read, the last two: who sends, and who receives."""
    return run.options.user_count - 2, run.options.user_count - 1


def _query(page: int, after: str | None = None) -> str:
    position = f"<after>{after}</after>" if after else ""
    return (
        "<query xmlns='urn:xmpp:mam:2' queryid='q'><set xmlns='http://jabber.org/protocol/rsm'>"
        f"<max>{page}</max>{position}</set></query>"
    )


async def _present(run: Run) -> int:
    probe = await run.login(owners(run)[0], "probe", presence=False)
    found = _COUNT.search(await probe.iq(_query(0), "count", kind="set"))
    probe.close()
    return int(found.group(1)) if found else 0


async def fill_archive(run: Run) -> None:
    """Bring the archives of both owners up to ``--archive`` messages.

    :raises XmppError: they do not get there.
    """
    missing = run.options.archive - await _present(run)
    if missing <= 0:
        return
    sender, receiver = await run.login_many([(owner, "fill") for owner in owners(run)])
    flow = Flow(run, sender, receiver.jid, Latencies(), min(20, missing), limit=missing)
    sender.count(Counter(BODY_END, nothing, run.on_error))
    receiver.count(Counter(BODY_END, flow.on_delivery))
    flow.start()
    await run.drain(lambda: missing - flow.delivered, patience=600 + missing / 1000)
    sender.close()
    receiver.close()
    if flow.delivered < missing:
        raise XmppError(f"the archive got {flow.delivered} of {missing}; {run.error_sample}")


async def pages(client: Client, size: int) -> AsyncIterator[tuple[int, float]]:
    """Read the whole archive forwards; for each page its results and the seconds that it took."""
    after = None
    while True:
        began = time.perf_counter()
        answer = await client.iq(_query(size, after), "page", kind="set")
        yield answer.count(b"</forwarded>"), time.perf_counter() - began
        last = _LAST.search(answer, answer.rfind(b"<fin"))
        if _COMPLETE.search(answer) or not last:
            return
        after = last.group(1).decode()
