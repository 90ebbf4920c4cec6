"""What a table says about where and when it was measured."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3
import ssl
import sys
from pathlib import Path
from typing import Any

__all__ = ["describe", "file_system", "sentence"]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on; on ``tmpfs`` syncing costs nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = folder.resolve()
    kinds = {Path(place): kind for place, kind in mounts}
    return next((kinds[each] for each in (path, *path.parents) if each in kinds), "unknown")


def describe(command: str, folder: Path) -> dict[str, Any]:
    """The machine now, for the first line of a file of results.

    :param folder: where servers keep their data.
    """
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": _system(),
        "kernel": platform.release(),
        "file_system": file_system(folder),
        "python": sys.version.split(maxsplit=1)[0],
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
    }


def sentence(about: dict[str, Any]) -> str:
    """The same for people."""
    return (
        f"Measured {about['date']} by `{about['command']}`: {about['processor']}, {about['cores']} cores, "
        f"{about['system']}, kernel {about['kernel']}, data on {about['file_system']}; "
        f"Python {about['python']}, SQLite {about['sqlite']}, {about['openssl']}."
    )
