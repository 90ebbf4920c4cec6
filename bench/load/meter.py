"""Meters for CPU time, memory and latency."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Latencies", "Meter", "cpu_seconds", "descendants", "rss_kib", "thread_seconds"]

_TICK = os.sysconf("SC_CLK_TCK")
#: Of what follows the name in /proc/PID/stat: utime and stime.
_CPU_FIELDS = slice(11, 13)


def _read(path: str) -> str:
    """A file of /proc; nothing where its process has ended meanwhile."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def descendants(pids: Iterable[int]) -> list[int]:
    """These processes and all their children, down to the last."""
    found: list[int] = []
    ahead = list(pids)
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        for thread in _threads(pid):
            ahead += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes with all their threads, in steps of 10 ms."""
    ticks = sum(
        int(ticks)
        for pid in pids
        for ticks in _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[_CPU_FIELDS]
    )
    return ticks / _TICK


def thread_seconds(pid: int) -> dict[int, float]:
    """The same for each thread of a process, in nanoseconds where the kernel counts them."""
    spent = {thread: _read(f"/proc/{pid}/task/{thread}/schedstat").split() for thread in _threads(pid)}
    return {int(thread): int(fields[0]) / 1e9 for thread, fields in spent.items() if fields}


def machine_seconds() -> float:
    """CPU seconds that the machine was busy, or that were stolen from it, since it started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, _read("/proc/stat").split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


def rss_kib(pids: Iterable[int]) -> int:
    """Resident memory of these processes, in KiB."""
    return sum(
        int(line.split()[1])
        for pid in pids
        for line in _read(f"/proc/{pid}/status").splitlines()
        if line.startswith("VmRSS:")
    )


class Meter:
    """Measures a stretch of time: seconds of the wall, and of CPU for server, generator and all others.

    :ivar began: when it began, by `time.perf_counter`.
    """

    def __init__(self, server_pids: Iterable[int]) -> None:
        self.pids = descendants(server_pids)
        self.began = self.wall = self.server = self.generator = self.others = 0.0

    def _look(self) -> tuple[float, float, float, float]:
        return time.perf_counter(), cpu_seconds(self.pids), time.process_time(), machine_seconds()

    def start(self) -> None:
        """Begin the stretch."""
        self._begin = self._look()
        self.began = self._begin[0]

    def stop(self) -> None:
        """End the stretch."""
        wall, server, generator, machine = (
            end - begin for begin, end in zip(self._begin, self._look(), strict=True)
        )
        self.wall, self.server, self.generator = wall, server, generator
        self.others = max(0.0, machine - server - generator)

    def report(self, units: int, unit: str) -> dict[str, Any]:
        """The figures for so many pieces of work done in the stretch; ``*_busy`` in cores."""
        return {
            "unit": unit,
            "units": units,
            "seconds": round(self.wall, 3),
            "rate": units / self.wall,
            "server_cpu_us": self.server / units * 1e6 if units else None,
            "generator_cpu_us": self.generator / units * 1e6 if units else None,
            "server_busy": self.server / self.wall,
            "generator_busy": self.generator / self.wall,
            "others_busy": self.others / self.wall,
        }


class Latencies:
    """Collects seconds, reports milliseconds."""

    def __init__(self) -> None:
        self.values = array("d")
        self.add = self.values.append

    def clear(self) -> None:
        del self.values[:]

    def report(self) -> dict[str, float]:
        """Percentiles: ``p50``, ``p95``, ``p99``, ``max``; empty where nothing was collected."""
        ordered = sorted(self.values)
        if not ordered:
            return {}
        places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        return {
            name: round(ordered[min(len(ordered) - 1, int(place * len(ordered)))] * 1e3, 3)
            for name, place in places.items()
        }
