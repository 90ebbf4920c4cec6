"""The command line of `xmppctl archive`."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

Ask = Callable[[argparse.Namespace, Mapping[str, object]], int]
Add = Callable[..., argparse.ArgumentParser]

#: Which messages are deleted.
_CHOICES: Final = ("with", "start", "end")


def add_archive(add: Add, ask: Ask) -> None:
    """Add the commands.

    :param add: makes a command from its name, what runs it, and its help.
    :param ask: has the server do a command, with its arguments, and shows the answer.
    """
    stats = add("stats", _asking(ask, "jid"), "Show how large the archives are.")
    export = add(
        "export", _asking(ask, "folder", "jid"), "Write archives into files (XEP-0227), one an account."
    )
    export.add_argument("folder", type=Path, metavar="FOLDER", help="where the server may write")
    restore = add(
        "import",
        _asking(ask, "file"),
        "Read archives from a file (XEP-0227) into the accounts in it.",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="that the server may read")
    expire = add("expire", _asking(ask, "jid", "older"), "Let messages expire now, as the limits say.")
    expire.add_argument("--older", metavar="PERIOD", help="all older than that, such as 6m (months) or 1y")
    for command in (stats, export, expire):
        command.add_argument("jid", nargs="?", metavar="ADDRESS", help="of one account, or one domain, alone")
    run = _asking(ask, "jid", *_CHOICES)
    delete: argparse.ArgumentParser = add(
        "delete", lambda options: run(_chosen(delete, options)), "Delete messages of an account for good."
    )
    delete.add_argument("jid", metavar="ADDRESS", help="for example alice@example.org")
    delete.add_argument("--with", metavar="ADDRESS", help="of the conversation with someone alone")
    delete.add_argument("--start", metavar="TIME", help="from a day or a time on, such as 2026-01-31")
    delete.add_argument("--end", metavar="TIME", help="to a day or a time, inclusive")
    delete.add_argument("--all", action="store_true", help="of the whole archive; nothing asks again")


def _asking(ask: Ask, *names: str) -> Callable[[argparse.Namespace], int]:
    """What runs a command: it hands on the arguments of these names."""

    def run(options: argparse.Namespace) -> int:
        return ask(options, {name: _value(getattr(options, name)) for name in names})

    return run


def _chosen(command: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.Namespace:
    """The options, if they choose messages: one that was forgotten must not mean the whole archive."""
    some = any(getattr(options, name) is not None for name in _CHOICES)
    if some == bool(options.all):
        command.error("say which messages: --with, --start and --end, or --all of them")
    return options


def _value(given: object) -> object:
    """What goes to the server: it runs in another folder."""
    return str(given.absolute()) if isinstance(given, Path) else given
