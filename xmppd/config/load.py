"""From a file, or from nothing, to a validated configuration."""

import dataclasses
import os
import pwd
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any, Final

from xmppd.config.model import Config, DomainConfig
from xmppd.config.resolve import resolve, resolve_server
from xmppd.core.options import OptionsError, Problem, join_key, validate_options
from xmppd.modules import all_modules

_KEYS_OF_DOMAINS: Final = tuple(field.name for field in dataclasses.fields(DomainConfig))


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` has one line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def module_options() -> dict[str, type]:
    """Give the options class of every module, by the module's name."""
    return {module.name: module.Options for module in all_modules()}


def load(
    path: str | Path, options: Mapping[str, type] | None = None, overrides: Iterable[str] = ()
) -> Config:
    """Read and validate a configuration file.

    :param options: the options class of every module by its name; None for those of :func:`module_options`.
    :param overrides: settings of the command line, each like ``limits.sm_queue=100``.
    :raises ConfigError: with everything that is wrong.
    """
    path = Path(path)
    return _build(read_table(path), path.parent, path, options, overrides)


def default_config(
    domain: str = "localhost",
    data: str | Path = "data",
    certs: str | Path = "certs",
    options: Mapping[str, type] | None = None,
    overrides: Iterable[str] = (),
) -> Config:
    """Give the configuration that a server has without a file; paths are relative to the current folder.

    :raises ConfigError: if the name of the domain or an override is wrong.
    """
    table = {"server": {"data": str(data), "certs": str(certs)}, "domains": {domain: {}}}
    return _build(table, Path.cwd(), None, options, overrides)


def user_name(number: int) -> str:
    """Give the name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def socket_of(path: Path) -> Path:
    """Give the socket for xmppctl that a configuration file names, whatever else is wrong with the file.

    :raises ConfigError: if the file cannot be read, or its ``[server]`` is wrong.
    """
    table = {"server": read_table(path).get("server", {})}
    try:
        return resolve_server(validate_options(Config, table).server, path.parent).socket
    except OptionsError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None


def read_table(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    :raises ConfigError: if it is not there, cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        remedy = f"write one (xmppctl sample > {path}) or name another with --config"
        raise ConfigError([f"{path}: no such file; {remedy}"]) from None
    except PermissionError:
        name = user_name(os.geteuid())
        raise ConfigError(
            [f"{path}: {name} may not read it; make it readable: chown {name} {path}"]
        ) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({os.strerror(error.errno or 0)})"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([f"{path}: no valid TOML: {error}; mind that texts stand in quotes"]) from None


def override(table: dict[str, Any], setting: str) -> str:
    """Put one setting of the command line, ``a.b.c=value``, into the tables of a configuration.

    The value is TOML (``true``, ``100``, ``["::1"]``) or else a bare text (``10m``, ``256 KiB``).

    :returns: its dotted key.
    :raises ConfigError: if it is no setting.
    """
    name, equals, value = setting.partition("=")
    path = _path(_parse(f"{name} = 0")) if equals else []
    if not path:
        raise ConfigError([f"--set {setting}: not of the form key=value, such as limits.sm_queue=100"])
    for part in path[:-1]:
        if not isinstance(table.get(part), dict):
            table[part] = {}
        table = table[part]
    table[path[-1]] = _parse(f"v = {value}").get("v", value)
    return reduce(join_key, path, "")


def _parse(text: str) -> dict[str, Any]:
    """Read one line of TOML; nothing if it is none."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
    return table if len(table) == 1 else {}


def _path(table: Mapping[str, Any]) -> list[str]:
    """Give the keys on the way to the only leaf."""
    return [
        name
        for name, inner in table.items()
        for name in (name, *_path(inner if isinstance(inner, Mapping) else {}))
    ]


def _build(
    table: dict[str, Any],
    base: Path,
    file: Path | None,
    options: Mapping[str, type] | None,
    overrides: Iterable[str],
) -> Config:
    """Validate tables, with the settings of the command line in them, and resolve what is relative."""
    keys = [override(table, setting) for setting in overrides]
    problems = _take_dotted(table.get("domains"))
    try:
        config = validate_options(Config, table)
        config = resolve(config, base, module_options() if options is None else options)
    except OptionsError as error:
        problems += error.problems
    if problems:
        raise ConfigError([_line(problem, file, keys) for problem in problems])
    return dataclasses.replace(config, file=file)


def _take_dotted(domains: object) -> list[Problem]:
    """Take out the domains whose names were written without quotes: their dots make tables in tables."""
    problems = []
    for name, table in domains.items() if isinstance(domains, Mapping) else ():
        for dotted in _dotted(name, table) if "." not in name else ():
            text = f"a name with dots stands in quotes; write [{join_key('domains', dotted)}]"
            problems.append(Problem(f"domains.{dotted}", text))
    return problems


def _dotted(name: str, table: object) -> list[str]:
    """Give the names that begin with a name and go on in the tables below it, and take those out."""
    if not isinstance(table, dict):
        return []
    strange = [
        key
        for key, inner in table.items()
        if isinstance(inner, dict) and not get_close_matches(key, _KEYS_OF_DOMAINS)
    ]
    return [
        dotted for key in strange for dotted in _dotted(f"{name}.{key}", table.pop(key)) or [f"{name}.{key}"]
    ]


def _line(problem: Problem, file: Path | None, overridden: list[str]) -> str:
    """Write a problem with the place where its key was set."""
    if any(f"{problem.key}.".startswith(f"{key}.") for key in overridden):
        return f"--set {problem}"
    return f"{file}: {problem}" if file else str(problem)
