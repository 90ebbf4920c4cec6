"""Durations and sizes as people write them in a configuration: "10m", "1 year", "256 KiB"."""

import re
from collections.abc import Mapping
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
MONTH: Final = 31 * DAY
YEAR: Final = 365 * DAY

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

SECONDS: Final[Mapping[str, float]] = {
    "": 1.0,
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": MINUTE,
    "min": MINUTE,
    "minute": MINUTE,
    "h": HOUR,
    "hour": HOUR,
    "d": DAY,
    "day": DAY,
    "w": WEEK,
    "week": WEEK,
    "month": MONTH,
    "y": YEAR,
    "year": YEAR,
}
"""Units of a duration in seconds. "m" is a minute."""

PERIODS: Final[Mapping[str, float]] = {**SECONDS, "m": MONTH}
"""Units of how long something is kept: here "m" is a month of 31 days, as operators know it from Prosody."""

BYTES: Final[Mapping[str, float]] = {
    "": 1,
    "b": 1,
    "byte": 1,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
}
"""Units of a size in bytes."""

_AMOUNT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([a-z]{0,10})")


def parse_amount(text: str, units: Mapping[str, float]) -> float:
    """Give the amount that a number with a unit stands for, such as "90", "10m", "1.5 hours", "2 MiB".

    :param units: :data:`SECONDS`, :data:`PERIODS` or :data:`BYTES`.
    :raises ValueError: if the text is no number with one of these units.
    """
    match = _AMOUNT.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("not a number with a unit")
    unit = match[2] if match[2] in units else match[2].removesuffix("s")
    if unit not in units:
        raise ValueError(f"unknown unit {match[2]}")
    return float(match[1]) * units[unit]


def render_duration(seconds: float, units: Mapping[str, float] = SECONDS) -> str:
    """Write a duration in its largest whole unit; :func:`parse_amount` reads the same again."""
    for unit in sorted("smhdwy", key=lambda unit: -units[unit]):
        if seconds >= units[unit] and seconds % units[unit] == 0:
            return f"{seconds / units[unit]:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


def render_size(size: int) -> str:
    """Write a size in its largest whole binary unit; :func:`parse_amount` reads the same again."""
    for unit, factor in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"
