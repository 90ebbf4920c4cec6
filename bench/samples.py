"""Where samples of running threads were taken: own time and time with what is called, by function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Samples", "Spent", "read_samples", "share_out"]

#: Where a thread waits for work. The reactor's poll is not among them: under load it works.
WAITING = ("Condition.wait ", "wait (threading.py", "_worker (concurrent", "DatabaseThreads._next ")


@dataclass
class Samples:
    """The samples of one thread.

    :ivar own: samples in a function itself.
    :ivar whole: samples in a function or in what it calls.
    """

    own: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)

    def add(self, stack: list[str], number: int) -> None:
        """Count one stack, outermost first."""
        if stack[-1].startswith(WAITING):
            return
        self.own[stack[-1]] += number
        self.whole.update(dict.fromkeys(stack, number))


@dataclass(frozen=True)
class Spent:
    """CPU time of a function, in microseconds a unit of work."""

    function: str
    thread: str
    own: float
    whole: float


def read_samples(lines: Iterable[str]) -> dict[str, Samples]:
    """Read what ``py-spy record --format raw --threads`` writes: a stack a line, and how often it was seen.

    :returns: by thread, as py-spy names it (``thread (4711): MainThread``).
    """
    threads: dict[str, Samples] = {}
    for line in lines:
        stack, _, number = line.rstrip().rpartition(" ")
        thread, *functions = stack.split(";")
        if functions:
            threads.setdefault(thread, Samples()).add(functions, int(number))
    return {name: samples for name, samples in threads.items() if samples.own}


def thread_id(name: str) -> int:
    """The number in py-spy's name of a thread."""
    return int(name.partition("(")[2].partition(")")[0])


def share_out(threads: Mapping[str, Samples], cpu: Mapping[int, float], units: float) -> list[Spent]:
    """Share out the CPU time that each thread has really used over its samples.

    :param cpu: seconds by the system's number of the thread.
    :param units: pieces of work done meanwhile.
    """
    spent = []
    for name, samples in threads.items():
        number = thread_id(name)
        each = cpu.get(number, 0.0) / samples.own.total() / units * 1e6
        thread = name.partition(": ")[2].partition("-")[0]
        spent += [
            Spent(function, thread, samples.own[function] * each, whole * each)
            for function, whole in samples.whole.items()
        ]
    return sorted(spent, key=lambda one: -one.own)
