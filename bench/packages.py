"""Debian's packages of the servers to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["MissingPackagesError", "install", "wanted"]

#: First word of a server's name -> what it needs.
PACKAGES = {
    "prosody": ("prosody", "lua-dbi-sqlite3"),
    "ejabberd": ("ejabberd", "erlang-p1-sqlite3"),
}
#: Asked by Debian's packages before they start a service (invoke-rc.d(8)); 101 forbids it.
POLICY = Path("/usr/sbin/policy-rc.d")


class MissingPackagesError(Exception):
    """Packages are missing, and we may not install them; the text has the line that does."""


def wanted(servers: Sequence[str]) -> list[str]:
    """The packages that these servers need."""
    families = dict.fromkeys(name.split("-")[0] for name in servers)
    return [package for family in families for package in PACKAGES.get(family, ())]


def _is_installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep packages from starting their services, unless the system has its own rule."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install(servers: Sequence[str]) -> None:
    """Install what is missing for these servers.

    :raises MissingPackagesError: we may not, or cannot.
    """
    packages = wanted(servers)
    if not packages:
        return
    line = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if not shutil.which("dpkg-query"):
        raise MissingPackagesError(
            "the other servers are measured as Debian packages them; this is no Debian"
        )
    missing = [package for package in packages if not _is_installed(package)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise MissingPackagesError(f"{', '.join(missing)} is missing; as root: {line}")
    print(f"installing {', '.join(missing)}", file=sys.stderr)
    _apt(missing)


def _apt(packages: Sequence[str]) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    update = ["apt-get", "update", "-qq"]
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages]
    with _no_services():
        for command in (update, install):
            done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
            if done.returncode:
                raise MissingPackagesError(f"{' '.join(command)} failed: {done.stderr.strip()[-1000:]}")
