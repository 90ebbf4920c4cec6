"""What stream management costs on a machine that is not quiet: chat with it and without it by turns."""

from __future__ import annotations

from statistics import median

from bench.load.meter import thread_seconds
from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.scenarios.chat import Pairs

__all__ = ["turns"]

#: Seconds of one turn. Other work on a machine comes and goes slower than that.
TURN = 0.5
#: Seconds behind it until all that it caused is done, the commit of its last messages too.
REST = 0.1
#: `<r/>` after so many messages.
ACK_EVERY = 5


class Turn:
    """Pairs that talk for a while, and what that costs the server."""

    def __init__(self, run: Run, first: int, ack_every: int) -> None:
        self.run = run
        self.pairs = Pairs(run, first, ack_every)
        self.messages = 0
        self.cpu = 0.0

    async def talk(self) -> float:
        """Talk for one turn; seconds of CPU for a message."""
        cpu, before = self._cpu(), self.pairs.delivered
        self.pairs.start()
        await self.run.sleep(TURN)
        await self.pairs.stop()
        await self.run.sleep(REST)
        spent, messages = self._cpu() - cpu, self.pairs.delivered - before
        self.cpu, self.messages = self.cpu + spent, self.messages + messages
        return spent / max(1, messages)

    def _cpu(self) -> float:
        return sum(sum(thread_seconds(pid).values()) for pid in self.run.options.pids)


@scenario("turns")
async def turns(run: Run) -> Result:
    """Chat with stream management and without it by turns of half a second (unit: message with it)."""
    options = run.options
    plain, managed = Turn(run, 0, 0), Turn(run, 2 * options.pairs, ACK_EVERY)
    for each in (plain, managed):
        await each.pairs.login()
        await each.talk()
        each.cpu, each.messages = 0.0, 0
    meter = run.measure()
    ratios = []
    while not ratios or len(ratios) * 2 * TURN < options.seconds:
        first, second = (plain, managed) if len(ratios) % 2 else (managed, plain)
        costs = {first: await first.talk(), second: await second.talk()}
        ratios.append(costs[managed] / costs[plain])
    meter.stop()
    return {
        **meter.report(managed.messages, "message"),
        "server_cpu_us": managed.cpu / managed.messages * 1e6,
        "plain_cpu_us": plain.cpu / plain.messages * 1e6,
        "notes": {"turns": len(ratios), "median_ratio": round(median(ratios), 3)},
    }
