"""The commented sample configuration, written from the options themselves so that it cannot drift."""

import dataclasses
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from xmppd.config.model import DomainConfig, Listen, Server
from xmppd.core.kinds import is_mapping, render
from xmppd.core.limits import Limits
from xmppd.core.options import join_key, option_fields, option_help

_HEAD = """\
Configuration of xmppd.

What follows "# " explains. What follows "#" without a blank is a setting with its default: take the "#"
away to change it. Durations are "30s", "10m", "2h" or "7d", sizes "64 KiB" or "2 MiB". `xmppctl check` says
what is wrong with this file; `kill -HUP` reloads certificates and the log level, the rest wants a restart."""

_DOMAINS = """\
One table for each domain that is served; a second one begins, for example, with [domains."example.org"]."""

_MODULES = """\
Options of modules for all domains. [domains."example.org".modules.NAME] sets them for one domain alone."""


_WIDTH: Final = 110


def sample(options: Mapping[str, type], domain: str = "localhost") -> str:
    """Write a configuration with every setting, all of them commented out.

    :param options: the options class of every module by its name.
    :param domain: the domain that it serves.
    """
    parts = [
        _comment(_HEAD),
        *_table("server", Server),
        *_table("listen", Listen),
        *_table("limits", Limits),
        *_modules(options),
        _comment(_DOMAINS),
        *_table(join_key("domains", domain), DomainConfig),
    ]
    return "\n\n".join(parts) + "\n"


def limits_table() -> str:
    """Write all limits with their defaults as a table of Markdown, for the documentation."""
    texts = option_help(Limits)
    rows = [
        f"| `{name}` | {render(hint, default).strip(chr(34))} | {texts[name]} |"
        for name, hint, default in option_fields(Limits)
    ]
    return "\n".join(["| limit | default | what it bounds |", "|---|---|---|", *rows])


def _modules(options: Mapping[str, type]) -> Iterator[str]:
    with_options = [name for name in sorted(options) if option_fields(options[name])]
    if with_options:
        yield _comment(_MODULES)
    for name in with_options:
        yield from _table(join_key("modules", name), options[name])


def _table(key: str, options_class: type) -> Iterator[str]:
    """Write a table and the tables in it."""
    texts = option_help(options_class)
    lines = [_comment(inspect.getdoc(options_class) or ""), f"[{key}]"]
    inner = []
    for name, hint, default in option_fields(options_class):
        if dataclasses.is_dataclass(default):
            inner.append((join_key(key, name), type(default)))
        elif not is_mapping(hint):
            lines += [_comment(texts[name])] if name in texts else []
            lines += [f"#{line}" for line in _setting(name, hint, default)]
    yield "\n".join(lines)
    for inner_key, inner_class in inner:
        yield from _table(inner_key, inner_class)


def _setting(name: str, hint: Any, default: object) -> list[str]:
    """Write a setting, a long list over several lines."""
    line = f"{name} = {render(hint, default)}"
    if len(line) < _WIDTH or not isinstance(default, tuple):
        return [line]
    lines = [f"{name} = ["]
    for item in default:
        written = f"{render(get_args(hint)[0], item)},"
        if len(lines) > 1 and len(lines[-1]) + len(written) < _WIDTH - 1:
            lines[-1] += f" {written}"
        else:
            lines.append(written)
    return [*lines, "]"]


def _comment(text: str) -> str:
    lines = [line for paragraph in text.split("\n\n") for line in (*textwrap.wrap(paragraph, _WIDTH - 2), "")]
    return "\n".join(f"# {line}".rstrip() for line in lines[:-1])
