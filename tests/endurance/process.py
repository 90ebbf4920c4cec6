"""What /proc says about a process (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> int:
    """Memory in use, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def descriptors(pid: int) -> int:
    """How many files and sockets are open; not those of the database, whose connections come and stay."""
    return sum(not _is_of_the_database(f"/proc/{pid}/fd/{each}") for each in os.listdir(f"/proc/{pid}/fd"))


def _is_of_the_database(path: str) -> bool:
    try:
        return ".sqlite" in os.readlink(path)
    except OSError:
        return False  # closed meanwhile


def cpu_seconds(pid: int) -> float:
    """Processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
