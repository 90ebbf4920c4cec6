"""Typed options: frozen dataclasses filled from tables of a configuration, with every fault found at once.

A field's type says what may stand there: a kind of :mod:`xmppd.core.kinds`, ``tuple[X, ...]``,
``Mapping[str, X]``, another dataclass, or a union of these. Where a type ends in ``| None``, the words
"none", "never" and "off" and the number 0 switch the thing off, and the value is None. Every field has a
default, and below it a docstring of one line that explains it to operators. What a class refuses in its
``__post_init__`` with a ValueError, or an OptionsError that names the fields, is a fault like the others.
"""

import ast
import dataclasses
import difflib
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from xmppd.core.kinds import OFF, describe, is_mapping, is_union, quote, read_scalar, render, strip

T = TypeVar("T")

NOT_A_KEY: Final[Mapping[str, bool]] = {"key": False}
"""Metadata of a field that no table can set."""


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


def validate_options(options_class: type[T], table: Mapping[str, object], key: str = "") -> T:
    """Make an instance of an options class from a table of the configuration.

    :param options_class: a dataclass as the module's docstring describes.
    :param key: the dotted key of the table, '' for the whole file; it begins the keys of the problems.
    :raises OptionsError: with all that is wrong.
    """
    reader = _Reader()
    value: Any = reader.read(options_class, table, key)
    if reader.problems:
        raise OptionsError(reader.problems)
    return cast(T, value)


class OptionField(NamedTuple):
    """A field of an options class: its name, type and default."""

    name: str
    hint: Any
    default: Any


def option_fields(options_class: type) -> list[OptionField]:
    """Give the fields of an options class that a table may set."""
    hints = _hints(options_class)
    return [
        OptionField(field.name, hints[field.name], _default(field))
        for field in dataclasses.fields(options_class)
        if field.metadata.get("key", True)
    ]


@cache
def _hints(options_class: type) -> dict[str, Any]:
    return get_type_hints(options_class, include_extras=True)


def option_help(options_class: type) -> dict[str, str]:
    """Give the docstrings below the fields of an options class, by field, each as one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(options_class)))
    body = cast(ast.ClassDef, tree.body[0]).body
    found = {}
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(line))):
                found[name] = " ".join(line.split())
    return found


def join_key(key: str, name: str) -> str:
    """Give the dotted key of a name in the table of another key, quoted where TOML asks for it."""
    quoted = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quote(name)
    return f"{key}.{quoted}" if key else quoted


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give the remedy for a name that is not among the known ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"remove it, or use one of: {', '.join(names)}" if names else "remove it: nothing can be set here"


class _Bad:
    """Stands for a value that has a problem."""


_BAD: Final = _Bad()
_NO_DEFAULT: Final = _Bad()


class _Reader:
    """Reads values by their types and gathers problems instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, hint: Any, value: object, key: str, default: object = _NO_DEFAULT) -> object:
        base, _ = strip(hint)
        if is_union(base):
            return self._read_union(base, value, key, default)
        try:
            return self._read_container(base, value, key) if _contains(base) else read_scalar(hint, value)
        except ValueError as error:
            return self._refuse(hint, value, key, default, str(error))

    def _read_container(self, base: Any, value: object, key: str) -> object:
        if get_origin(base) is tuple and isinstance(value, list):
            return self._read_list(get_args(base)[0], value, key)
        if not isinstance(value, Mapping) or get_origin(base) is tuple:
            raise ValueError
        if is_mapping(base):
            return self._read_mapping(get_args(base)[1], value, key)
        return self._read_table(base, value, key)

    def _refuse(self, hint: Any, value: object, key: str, default: object, why: str) -> _Bad:
        text = f"{_shown(value)} is not {describe(hint)}" + (f" ({why})" if why else "")
        if get_origin(strip(hint)[0]) is tuple and not isinstance(value, Mapping | list):
            text = f"{_shown(value)} is not a list; write {_shown([value])}"
        if default is not _NO_DEFAULT and not _contains(strip(hint)[0]):
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
        return self._refuse(base, value, key, default, "")

    def _read_table(self, options_class: type, table: Mapping[str, object], key: str) -> object:
        fields = {field.name: field for field in option_fields(options_class)}
        before = len(self.problems)
        for name in sorted(table.keys() - fields.keys()):
            text = f"unknown key; {did_you_mean(name, fields)}"
            self.problems.append(Problem(join_key(key, name), text))
        given = {
            name: self.read(field.hint, table[name], join_key(key, name), field.default)
            for name, field in fields.items()
            if name in table
        }
        return _BAD if len(self.problems) > before else self._construct(options_class, given, key)

    def _construct(self, options_class: type, given: dict[str, object], key: str) -> object:
        try:
            return options_class(**given)
        except OptionsError as error:
            self.problems += [Problem(_below(key, problem.key), problem.text) for problem in error.problems]
            return _BAD
        except ValueError as error:
            self.problems.append(Problem(key, str(error)))
            return _BAD

    def _read_list(self, hint: Any, values: list[object], key: str) -> tuple[object, ...]:
        return tuple(self.read(hint, value, f"{key}[{place}]") for place, value in enumerate(values))

    def _read_mapping(self, hint: Any, table: Mapping[str, object], key: str) -> dict[str, object]:
        return {name: self.read(hint, value, join_key(key, name)) for name, value in table.items()}


def _below(key: str, inner: str) -> str:
    return f"{key}.{inner}" if key else inner


def _default(field: "dataclasses.Field[object]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING:
        raise TypeError(f"option {field.name} has no default")
    return field.default


def _contains(base: Any) -> bool:
    """Whether values of a type are tables or lists."""
    return get_origin(base) is tuple or is_mapping(base) or dataclasses.is_dataclass(base)


def _is_off(value: object, members: list[Any]) -> bool:
    if isinstance(value, str):
        return value.lower() in OFF
    return isinstance(value, bool | int | float) and value == 0 and bool not in members


def _shown(value: object) -> str:
    text = quote(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."
