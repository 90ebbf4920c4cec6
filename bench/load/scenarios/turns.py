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
        #: Seconds of CPU for a message, of each turn.
        self.costs: list[float] = []

    async def talk(self) -> None:
        """Talk for one turn."""
        cpu, before = self._cpu(), self.pairs.delivered
        self.pairs.start()
        await self.run.sleep(TURN)
        await self.pairs.stop()
        await self.run.sleep(REST)
        messages = self.pairs.delivered - before
        self.messages += messages
        self.costs.append((self._cpu() - cpu) / max(1, messages))

    def _cpu(self) -> float:
        return sum(sum(thread_seconds(pid).values()) for pid in self.run.options.pids)


@scenario("turns")
async def turns(run: Run) -> Result:
    """Chat with stream management and without it by turns of half a second (unit: message with it).

    The figures are those of the turn in the middle: in some the machine does something else.
    """
    options = run.options
    plain, managed = Turn(run, 0, 0), Turn(run, 2 * options.pairs, ACK_EVERY)
    for each in (plain, managed):
        await each.pairs.login()
        await each.talk()
        each.messages, each.costs = 0, []
    meter = run.measure()
    order = [plain, managed]
    while not plain.costs or 2 * TURN * len(plain.costs) < options.seconds:
        for each in order:
            await each.talk()
        order.reverse()
    meter.stop()
    return {
        **meter.report(managed.messages, "message"),
        "server_cpu_us": median(managed.costs) * 1e6,
        "plain_cpu_us": median(plain.costs) * 1e6,
        "notes": {"turns": len(plain.costs)},
    }
