"""Results of a campaign: collected, kept as JSON lines, and summed up."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.campaign import Record

__all__ = ["Results", "read"]


def _lookup(record: Record, path: str) -> Any:
    """A field of a result; a dot leads into a part of it. None where it is missing."""
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


@dataclass
class Results:
    """All results of one campaign.

    :ivar about: the machine, as `machine.describe` has it.
    :ivar file: where they are kept, besides.
    """

    about: dict[str, Any]
    records: list[Record] = field(default_factory=list)
    file: Path | None = None

    def begin(self) -> None:
        """Begin the file anew."""
        if self.file:
            self.file.write_text(json.dumps({"about": self.about}) + "\n")

    def add(self, record: Record) -> None:
        """Keep one more."""
        self.records.append(record)
        if self.file:
            with self.file.open("a") as out:
                out.write(json.dumps(record) + "\n")

    def of(self, case: str, server: str) -> list[Record]:
        """The repetitions of one case on one server."""
        return [each for each in self.records if each["case"] == case and each["server"] == server]

    def cells(self) -> Iterator[tuple[str, str]]:
        """Case and server of all that was measured, each once, in order."""
        yield from dict.fromkeys((each["case"], each["server"]) for each in self.records)

    def values(self, case: str, server: str, path: str) -> list[float]:
        """One figure of all repetitions."""
        found = (_lookup(record, path) for record in self.of(case, server))
        return [value for value in found if value is not None]

    def median(self, case: str, server: str, path: str) -> float | None:
        """The median of a figure over the repetitions; None where there is none."""
        values = self.values(case, server, path)
        return statistics.median(values) if values else None

    def spread(self, case: str, server: str, path: str) -> float | None:
        """How far the repetitions are apart, as a part of the median."""
        values = self.values(case, server, path)
        middle = statistics.median(values) if values else 0
        return (max(values) - min(values)) / middle if middle else None

    def versions(self) -> dict[str, str]:
        """Servers with what they were."""
        return {each["server"]: each["version"] for each in self.records}


def read(path: Path) -> Results:
    """Read what `Results.add` has kept."""
    first, *rest = path.read_text().splitlines()
    return Results(json.loads(first)["about"], [json.loads(line) for line in rest])
