"""This server, from this checkout: archive on, every group of messages synced to the disk.

The variable XMPPD_CHECKOUT names another folder to measure, for example that of an earlier commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from bench.servers.base import Population, Server
from xmppd import __version__

__all__ = ["Xmppd"]

CHECKOUT = Path(os.environ.get("XMPPD_CHECKOUT", Path(__file__).parent.parent.parent)).resolve()


class Xmppd(Server):
    """Started by bench/serve.py, which makes configuration, accounts and rosters.

    :ivar extra: more arguments for it.
    """

    name = "xmppd"
    registers = False
    rest: ClassVar[float] = 0.5

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.users = 0
        self.extra: list[str] = []

    def configure(self, population: Population) -> None:
        self.users = population.users
        (self.root / "rosters.json").write_text(json.dumps(population.rosters))

    def command(self) -> list[str]:
        place = ["--root", str(self.root / "server"), "--port", str(self.port)]
        people = ["--users", str(self.users), "--rosters", str(self.root / "rosters.json")]
        return [sys.executable, str(CHECKOUT / "bench" / "serve.py"), *place, *people, *self.extra]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(CHECKOUT)}

    def version(self) -> str:
        describe = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"]
        commit = subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip()
        python = sys.version.split(maxsplit=1)[0]
        return f"xmppd {__version__} {commit}".rstrip() + f", Python {python}"
