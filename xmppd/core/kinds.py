"""The kinds of values in a configuration: how one is read, described to an operator, and written.

They are ``bool``, ``int``, ``float``, ``str``, ``Path``, ``JID``, ``Literal``, and numbers that are marked
with a unit or with bounds.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from xmppd.core.jid import JID
from xmppd.core.units import BYTES, PERIODS, SECONDS, parse_amount, render_duration, render_size

OFF: Final = frozenset({"none", "never", "off"})
"""Words that switch off what can be switched off."""


@dataclass(frozen=True)
class Amount:
    """Marks a number that may be written with a unit."""

    what: str
    example: str
    units: Mapping[str, float] = dataclasses.field(hash=False)


@dataclass(frozen=True)
class Between:
    """Marks a number with bounds, both allowed."""

    least: float
    most: float = float("inf")


Seconds = Annotated[float, Amount("a duration", "10m", SECONDS), Between(0)]
"""A duration in seconds; written as a number of seconds or as "500ms", "30s", "10m" (minutes), "1h", "2d"."""

Period = Annotated[float, Amount("a period", "1y", PERIODS), Between(0)]
"""How long something is kept, in seconds; written as :data:`Seconds`, but "m" is a month of 31 days."""

Bytes = Annotated[int, Amount("a size", "256 KiB", BYTES), Between(0)]
"""A size in bytes; written as a number of bytes or as "8 KiB", "2 MiB"."""

Count = Annotated[int, Between(0)]
"""How many of something."""


def quote(value: object) -> str:
    """Write a value as TOML (and JSON) does, in one line of printable characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def strip(hint: Any) -> tuple[Any, tuple[object, ...]]:
    """Take a type out of its Annotated; the second part is the marks."""
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def is_union(base: Any) -> bool:
    """Whether a type is a union, in either way of writing it."""
    return get_origin(base) in (Union, UnionType)


def is_mapping(base: Any) -> bool:
    """Whether a type is a table of keys that are not known before."""
    return get_origin(base) in (dict, Mapping)


def read_scalar(hint: Any, value: object) -> object:
    """Give the value of Python that a value of TOML stands for.

    :raises ValueError: if it is not of the kind; the message says more where there is more to say.
    """
    base, marks = strip(hint)
    amount = _amount(marks)
    if amount is not None and isinstance(value, str):
        value = _read_amount(base, amount, value)
    found = _read_choice(base, value) if get_origin(base) is Literal else _SCALARS[base](value)
    for mark in marks:
        if isinstance(mark, Between) and isinstance(found, int | float):
            _check(mark.least <= found <= mark.most)
    return found


def describe(hint: Any) -> str:
    """Say in a few words what may stand in a field of a type."""
    base, marks = strip(hint)
    if is_union(base):
        return " or ".join(describe(m) if m is not type(None) else '"none"' for m in get_args(base))
    if get_origin(base) is Literal:
        return " or ".join(quote(choice) for choice in get_args(base))
    if get_origin(base) is tuple:
        return f"a list of {describe(get_args(base)[0])}"
    if is_mapping(base) or dataclasses.is_dataclass(base):
        return "a table"
    return _describe_number(marks, _NAMES.get(base, "a value"))


def render(hint: Any, value: object) -> str:
    """Write a value of a field as TOML; reading it for the same type gives the value again."""
    base, marks = strip(hint)
    if value is None:
        return '"none"'
    if is_union(base):
        return render(next(m for m in get_args(base) if m is not type(None) and _fits(m, value)), value)
    if isinstance(value, tuple):
        return f"[{', '.join(render(get_args(base)[0], item) for item in value)}]"
    amount = _amount(marks)
    if amount is not None and isinstance(value, int | float):
        return quote(_with_unit(amount, value))
    if isinstance(value, bool | int | float):
        return quote(value)
    return quote(str(value))


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _amount(marks: tuple[object, ...]) -> Amount | None:
    return next((mark for mark in marks if isinstance(mark, Amount)), None)


def _check(fits: bool) -> None:
    if not fits:
        raise ValueError


def _read_amount(base: Any, amount: Amount, text: str) -> object:
    found = parse_amount(text, amount.units)
    _check(base is not int or found == int(found))
    return base(found)


def _read_choice(base: Any, value: object) -> object:
    _check(any(value == choice and type(value) is type(choice) for choice in get_args(base)))
    return value


def _exactly(*kinds: type) -> Callable[[object], Any]:
    """Read values of exactly these types: true is no number here."""

    def read(value: object) -> object:
        _check(type(value) in kinds)
        return value

    return read


def _read_float(value: object) -> float:
    found = float(_exactly(float, int)(value))
    _check(math.isfinite(found))
    return found


def _read_path(value: object) -> Path:
    text = _exactly(str)(value)
    _check(text != "")
    return Path(text).expanduser()


_SCALARS: Final[Mapping[Any, Callable[[object], object]]] = {
    bool: _exactly(bool),
    int: _exactly(int),
    float: _read_float,
    str: _exactly(str),
    Path: _read_path,
    JID: lambda value: JID.parse(_exactly(str)(value)),
    object: lambda value: value,
}

_NAMES: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
    JID: "an address in quotes",
}


def _describe_number(marks: tuple[object, ...], text: str) -> str:
    for mark in marks:
        if isinstance(mark, Amount):
            text = f'{mark.what} such as "{mark.example}"'
        elif isinstance(mark, Between) and mark.most != float("inf"):
            text += f" from {mark.least:.0f} to {mark.most:.0f}"
        elif isinstance(mark, Between):
            text += f", at least {_with_unit(_amount(marks), mark.least)}" if mark.least > 0 else ""
    return text


def _with_unit(amount: Amount | None, number: float) -> str:
    if amount is None:
        return f"{number:.0f}"
    sized = amount.units is BYTES
    return render_size(int(number)) if sized else render_duration(number, amount.units)


def _fits(hint: Any, value: object) -> bool:
    """Whether a value of Python is one of a member of a union."""
    base, _ = strip(hint)
    if get_origin(base) is Literal:
        return value in get_args(base)
    return isinstance(value, get_origin(base) or base) and isinstance(value, bool) == (base is bool)
