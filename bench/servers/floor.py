"""bench/floor.py beside the servers: what it costs to move the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import twisted
from bench.servers.base import Population, Server, make_certificate

__all__ = ["Floor", "FloorRows", "FloorStock"]

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class Floor(Server):
    """Nothing is stored."""

    name = "floor"
    mechanism = "PLAIN"
    registers = False
    rest: ClassVar[float] = 0.2
    extra: ClassVar[list[str]] = []

    def configure(self, population: Population) -> None:
        make_certificate(self.root)

    def command(self) -> list[str]:
        files = ["--key", str(self.root / "key.pem"), "--certificate", str(self.root / "cert.pem")]
        return [sys.executable, "-m", "bench.floor", "--port", str(self.port), *files, *self.extra]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(CHECKOUT)}

    def version(self) -> str:
        return f"Twisted {twisted.__version__}, Python {sys.version.split(maxsplit=1)[0]}"


class FloorRows(Floor):
    """Two rows a message, synced in groups."""

    name = "floor-rows"
    extra: ClassVar[list[str]] = ["--rows", "rows.sqlite"]


class FloorStock(Floor):
    """TLS and TCP as Twisted has them."""

    name = "floor-stock"
    extra: ClassVar[list[str]] = ["--stock"]
