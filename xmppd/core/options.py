"""Typed options: frozen dataclasses filled from the tables of a configuration, with every fault found at once.

A field's type says what may stand there: ``bool``, ``int``, ``float``, ``str``, ``Path``, ``JID``, ``Literal``,
the kinds below, ``tuple[X, ...]``, ``Mapping[str, X]``, another dataclass, or a union of these. Where a type
ends in ``| None`` the words "none", "never" and "off" and the number 0 switch the thing off, and the value is
None. Every field of an options class has a default.
"""

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from xmppd.core.jid import JID, InvalidJID
from xmppd.core.units import BYTES, PERIODS, SECONDS, parse_amount, render_duration, render_size

T = TypeVar("T")

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


class Problem(NamedTuple):
    """One fault: the dotted key where it stands, and what is wrong and what to do, in one line."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


class OptionsError(ValueError):
    """A table does not fit its options class; ``problems`` has everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def option(default: T, help: str) -> T:
    """Declare a field of an options class with its default and the line that explains it to operators."""
    return cast(T, dataclasses.field(default=default, metadata={"help": help}))


def validate_options(options_class: type[T], table: Mapping[str, object], key: str = "") -> T:
    """Make an instance of an options class from a table of the configuration.

    :param options_class: a dataclass as the module's docstring describes.
    :param key: the dotted key of the table, '' for the whole file; it begins the keys of the problems.
    :raises OptionsError: with all that is wrong.
    """
    reader = _Reader()
    value = reader.read(options_class, table, key)
    if reader.problems:
        raise OptionsError(reader.problems)
    return cast(T, value)


class OptionField(NamedTuple):
    """A field of an options class: its name, type, default, and the line that explains it ('' for none)."""

    name: str
    hint: Any
    default: Any
    help: str


def option_fields(options_class: type) -> Iterator[OptionField]:
    """Give the fields of an options class that a table may set."""
    hints = get_type_hints(options_class, include_extras=True)
    for field in dataclasses.fields(options_class):
        if field.init:
            yield OptionField(field.name, hints[field.name], _default(field), field.metadata.get("help", ""))


def join_key(key: str, name: str) -> str:
    """Give the dotted key of a name in the table of another key, quoted where TOML asks for it."""
    quoted = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    return f"{key}.{quoted}" if key else quoted


def did_you_mean(name: str, known: Iterator[str] | list[str]) -> str:
    """Give the remedy for a name that is not among the known ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"remove it; known here: {', '.join(names)}" if names else "remove it"


def render(hint: Any, value: object) -> str:
    """Write a value of a field as TOML; reading it for the same type gives the value again."""
    base, marks = _strip(hint)
    if value is None:
        return '"none"'
    if get_origin(base) in (Union, UnionType):
        return render(next(m for m in get_args(base) if m is not type(None) and _fits(m, value)), value)
    if isinstance(value, tuple):
        return f"[{', '.join(render(get_args(base)[0], item) for item in value)}]"
    amount = next((mark for mark in marks if isinstance(mark, Amount)), None)
    if amount is not None and isinstance(value, int | float):
        text = render_size(int(value)) if amount.units is BYTES else render_duration(value, amount.units)
        return json.dumps(text)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)


class _Bad:
    """Stands for a value that has a problem."""


_BAD: Final = _Bad()


class _Reader:
    """Reads values by their types and gathers problems instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, hint: Any, value: object, key: str, default: object = dataclasses.MISSING) -> object:
        base, marks = _strip(hint)
        origin = get_origin(base)
        if origin in (Union, UnionType):
            return self._read_union(base, value, key, default)
        if dataclasses.is_dataclass(base):
            return self._read_table(cast(type, base), value, key)
        if origin is tuple and isinstance(value, list):
            return self._read_list(get_args(base)[0], value, key)
        if origin in _MAPPINGS and isinstance(value, Mapping):
            return self._read_mapping(get_args(base)[1], value, key)
        try:
            return _scalar(base, marks, value)
        except ValueError as error:
            return self._refuse(hint, value, key, default, str(error))

    def _refuse(self, hint: Any, value: object, key: str, default: object, why: str) -> _Bad:
        text = f"{_shown(value)} is not {describe(hint)}" + (f" ({why})" if why else "")
        if default is not dataclasses.MISSING:
            text += f"; the default is {render(hint, default)}"
        self.problems.append(Problem(key, text))
        return _BAD

    def _read_union(self, base: Any, value: object, key: str, default: object) -> object:
        members = [member for member in get_args(base) if member is not type(None)]
        if len(members) < len(get_args(base)) and _is_off(value, members):
            return None
        for member in members:
            attempt = _Reader()
            found = attempt.read(member, value, key)
            if not attempt.problems:
                return found
        if len(members) == 1 and isinstance(value, Mapping | list):
            return self.read(members[0], value, key, default)
        return self._refuse(base, value, key, default, "")

    def _read_table(self, options_class: type, value: object, key: str) -> object:
        if not isinstance(value, Mapping):
            return self._refuse(options_class, value, key, dataclasses.MISSING, "")
        fields = {field.name: field for field in option_fields(options_class)}
        before = len(self.problems)
        for name in value.keys() - fields.keys():
            text = f"unknown key; {did_you_mean(name, list(fields))}"
            self.problems.append(Problem(join_key(key, name), text))
        given = {
            name: self.read(field.hint, value[name], join_key(key, name), field.default)
            for name, field in fields.items()
            if name in value
        }
        return _BAD if len(self.problems) > before else self._construct(options_class, given, key)

    def _construct(self, options_class: type, given: dict[str, object], key: str) -> object:
        try:
            return options_class(**given)
        except ValueError as error:
            self.problems.append(Problem(key, str(error)))
            return _BAD

    def _read_list(self, hint: Any, values: list[object], key: str) -> tuple[object, ...]:
        return tuple(self.read(hint, value, f"{key}[{place}]") for place, value in enumerate(values))

    def _read_mapping(self, hint: Any, table: Mapping[str, object], key: str) -> dict[str, object]:
        return {name: self.read(hint, value, join_key(key, name)) for name, value in table.items()}


_MAPPINGS: Final = (dict, Mapping)


def _strip(hint: Any) -> tuple[Any, tuple[object, ...]]:
    """Take a type out of its Annotated."""
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def _default(field: "dataclasses.Field[object]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING:
        raise TypeError(f"option {field.name} has no default")
    return field.default


def _is_off(value: object, members: list[Any]) -> bool:
    if isinstance(value, str):
        return value.lower() in OFF
    return value == 0 and isinstance(value, bool | int | float) and bool not in members


def _fits(hint: Any, value: object) -> bool:
    """Whether a value of Python is one of a member of a union (for writing it)."""
    base, _ = _strip(hint)
    if get_origin(base) is Literal:
        return value in get_args(base)
    kind = get_origin(base) or base
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _scalar(base: Any, marks: tuple[object, ...], value: object) -> object:
    if get_origin(base) is Literal:
        return _choice(get_args(base), value)
    amount = next((mark for mark in marks if isinstance(mark, Amount)), None)
    if amount is not None and isinstance(value, str):
        value = _from_units(base, amount, value)
    found = _SCALARS[base](value) if base in _SCALARS else _no_scalar()
    for mark in marks:
        if isinstance(mark, Between) and not mark.least <= cast(float, found) <= mark.most:
            raise ValueError
    return found


def _no_scalar() -> object:
    raise ValueError


def _from_units(base: Any, amount: Amount, text: str) -> object:
    found = parse_amount(text, amount.units)
    if base is int and found != int(found):
        raise ValueError
    return base(found)


def _choice(choices: tuple[object, ...], value: object) -> object:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    raise ValueError


def _exactly(*kinds: type) -> Callable[[object], object]:
    def read(value: object) -> object:
        if type(value) not in kinds:
            raise ValueError
        return kinds[0](value)

    return read


def _jid(value: object) -> JID:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004
    try:
        return JID.parse(value)
    except InvalidJID as error:
        raise ValueError(str(error)) from error


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError
    return Path(value).expanduser()


_SCALARS: Final[Mapping[Any, Callable[[object], object]]] = {
    bool: _exactly(bool),
    int: _exactly(int),
    float: _exactly(float, int),
    str: _exactly(str),
    Path: _path,
    JID: _jid,
    object: lambda value: value,
    Any: lambda value: value,
}

_NAMES: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
    JID: "an address in quotes",
}


def describe(hint: Any) -> str:
    """Say in a few words what may stand in a field of a type."""
    base, marks = _strip(hint)
    origin = get_origin(base)
    if origin in (Union, UnionType):
        return " or ".join(describe(m) if m is not type(None) else '"none"' for m in get_args(base))
    if origin is Literal:
        return " or ".join(json.dumps(choice) for choice in get_args(base))
    if origin is tuple:
        return f"a list of {describe(get_args(base)[0])}"
    if origin in _MAPPINGS or dataclasses.is_dataclass(base):
        return "a table"
    return _describe_number(marks, _NAMES.get(base, "a value"))


def _describe_number(marks: tuple[object, ...], text: str) -> str:
    for mark in marks:
        if isinstance(mark, Amount):
            text = f'{mark.what} such as "{mark.example}"'
        elif isinstance(mark, Between) and mark.most != float("inf"):
            text += f" from {mark.least:.0f} to {mark.most:.0f}"
        elif isinstance(mark, Between):
            text += f", at least {mark.least:.0f}" if mark.least > 0 else ""
    return text


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:36]} ..."
