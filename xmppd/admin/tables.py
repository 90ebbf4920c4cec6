"""Readable tables for a terminal."""

import unicodedata
from collections.abc import Mapping, Sequence


def table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write rows below their titles, aligned; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    right = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(titles))]
    widths = [max(map(width, column)) for column in zip(titles, *cells, strict=True)]
    lines = [_line(row, widths, right) for row in (titles, *cells)]
    return "\n".join(lines)


def pairs(values: Mapping[str, object]) -> str:
    """Write names and values, aligned."""
    longest = max(map(width, values), default=0)
    return "\n".join(f"{_pad(name, longest)}  {_cell(value)}" for name, value in values.items())


def safe(text: str) -> str:
    """Take out of a text what a terminal would obey: peers choose names of clients and resources."""
    return "".join(char if char.isprintable() else "�" for char in text)


def width(text: str) -> int:
    """Give the columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "FW" else 1
        for char in text
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else safe(str(value))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        " " * (size - width(cell)) + cell if to_right else _pad(cell, size)
        for cell, size, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _pad(text: str, size: int) -> str:
    return text + " " * (size - width(text))
