"""The command line ``xmppctl``.

It ends with 0 when all is done, with 1 when something could not be done or a check has found something, and
with 2 when the command line or the configuration is wrong.
"""

import argparse
import datetime
import getpass
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from xmppd import __version__
from xmppd.admin import offline, views
from xmppd.admin.archive_cli import add_archive
from xmppd.admin.client import ServerUnreachableError, call
from xmppd.admin.migration import migrate
from xmppd.admin.tables import safe
from xmppd.admin.wire import CommandError
from xmppd.config import ConfigError, module_options
from xmppd.config.sample import sample
from xmppd.core.jid import JID, InvalidJID, prepare_domain

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2

_NEVER_AN_ARGUMENT: Final = (
    "A password is never an argument: others could read it in the list of processes and in the history of "
    "the shell. Leave it out and type it when asked, or send it as one line on standard input. "
    "If this one was real, choose another."
)


class UsageError(Exception):
    """The command line is wrong; the message says how."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run xmppctl; gives the exit code."""
    options = _parser().parse_args(arguments, argparse.Namespace(config=None, socket=None, json=False))
    try:
        code: int = options.run(options)
    except (UsageError, ConfigError) as error:
        return _fail(options, WRONG, "usage", str(error))
    except ServerUnreachableError as error:
        return _fail(options, FAILED, "unreachable", str(error))
    except CommandError as error:
        return _fail(options, FAILED, error.code, error.text)
    except BrokenPipeError:
        # Whoever read the output has read enough. Nothing more may be written, not even at the end.
        sys.stdout = None
        return FAILED
    except KeyboardInterrupt:
        # Below the question for a password, or below the shown ^C.
        print(file=sys.stderr)
        return FAILED
    return code


def _fail(options: argparse.Namespace, code: int, word: str, text: str) -> int:
    _progress.end()
    if options.json:
        print(json.dumps({"error": {"code": word, "text": text}}))
    else:
        print("\n".join(f"xmppctl: {safe(line)}" for line in text.splitlines()), file=sys.stderr)
    return code


# -- the command line


class _Parser(argparse.ArgumentParser):
    """A parser that takes no shortened options, and knows what somebody means who gives a password."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        given = re.search(r"(?<!\S)(-p|--pass)", message)
        super().error(_NEVER_AN_ARGUMENT if given else message)


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--config", type=Path, metavar="FILE", help="the server's configuration file")
    common.add_argument("--socket", type=Path, metavar="PATH", help="the server's socket")
    common.add_argument("--json", action="store_true", help="write JSON for programs")
    parser = _Parser(prog="xmppctl", description="Administers a running xmppd.", parents=[common])
    parser.add_argument("--version", action="version", version=f"xmppctl {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    _add_account_commands(_adder(commands, common))
    _add_other_commands(_adder(commands, common))
    help = "Look after the archives."
    archive = commands.add_parser("archive", help=help, description=help)
    parts = archive.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_archive_commands(_adder(parts, common, "archive-"))
    add_archive(_adder(parts, common, "archive-"), _ask)
    return parser


def _adder(
    commands: "argparse._SubParsersAction[_Parser]", common: _Parser, prefix: str = ""
) -> Callable[..., argparse.ArgumentParser]:
    """What adds a command.

    :param prefix: of its name on the way to the server.
    """

    def add(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help, parents=[common])
        command.set_defaults(run=run, command=prefix + name)
        return command

    return add


def _add_account_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    for name, help in (
        ("adduser", "Make an account; asks for the password, or reads a line from standard input."),
        ("passwd", "Give an account a new password; asks for it, or reads a line from standard input."),
    ):
        command = add(name, _with_password, help)
        command.add_argument("jid", metavar="ADDRESS", help="for example alice@example.org")
        command.add_argument("surplus", nargs="*", default=[], help=argparse.SUPPRESS)
    for name, help in (
        ("deluser", "Remove an account with all that is its own. Its name stays reserved."),
        ("release", "Let the name of a removed account be given out again."),
        ("disable", "End the sessions of an account and let it log in no more."),
        ("enable", "Let a disabled account log in again."),
    ):
        command = add(name, _on_account, help)
        command.add_argument("jid", metavar="ADDRESS", help="for example alice@example.org")


def _add_other_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    users = add("users", _users, "List the accounts.")
    users.add_argument("domain", nargs="?", metavar="DOMAIN", help="of one domain alone")
    sessions = add("sessions", _sessions, "List who is online.")
    sessions.add_argument("jid", nargs="?", metavar="ADDRESS", help="of one account, or one domain, alone")
    sessions.add_argument("--sm", action="store_true", help="show stream management: counters and queues")
    kick = add("kick", _kick, "End the sessions of an account, or one session.")
    kick.add_argument("jid", metavar="ADDRESS", help="alice@example.org, or alice@example.org/phone for one")
    kick.add_argument("reason", nargs="?", metavar="REASON", help="a sentence that the client gets")
    add("stats", _stats, "Show figures about the server.")
    add("check", _check, "Check the configuration and the certificates; needs no server.")
    move = add(
        "migrate",
        _migrate,
        "Move everything from one database into another, which is empty; the server must be stopped.",
    )
    for name in ("source", "target"):
        move.add_argument(
            name,
            metavar=f"{name.upper()}_URL",
            help="sqlite:PATH or postgresql://USER@HOST/NAME; a password belongs into ~/.pgpass",
        )
    sample_command = add("sample", _sample, "Write a configuration with all settings, commented out.")
    sample_command.add_argument(
        "domain", nargs="?", default="localhost", metavar="DOMAIN", help="that it serves"
    )


def _add_archive_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    search = add("search", _search, "Find an account's messages by the words in them, newest last.")
    search.add_argument("jid", metavar="ADDRESS", help="for example alice@example.org")
    search.add_argument("words", nargs="+", metavar="WORD", help="a message has to have all of them")
    search.add_argument("--limit", type=int, default=20, metavar="NUMBER", help="most messages shown (20)")


# -- what the commands do


def _with_password(options: argparse.Namespace) -> int:
    if options.surplus:
        raise UsageError(_NEVER_AN_ARGUMENT)
    jid = _account(options.jid)
    if sys.stdin.isatty():
        _can_have_password(options, jid)
    return _ask(options, {"jid": options.jid, "password": _read_password(options.jid)})


def _can_have_password(options: argparse.Namespace, jid: JID) -> None:
    """Ask the server first: nobody is to think of a password in vain."""
    rows = call(_socket(options), "users", {"domain": jid.domain}, _progress.show)
    state = next((row["state"] for row in rows if row["jid"] == jid.text), None)
    if options.command == "adduser" and state is not None:
        raise CommandError("conflict", f"The name {jid} is taken")
    if options.command == "passwd" and state in (None, "removed"):
        raise CommandError("item-not-found", f"There is no account {jid}")


def _on_account(options: argparse.Namespace) -> int:
    _account(options.jid)
    return _ask(options, {"jid": options.jid})


def _users(options: argparse.Namespace) -> int:
    return _ask(options, {"domain": options.domain})


def _sessions(options: argparse.Namespace) -> int:
    if options.jid is not None:
        _jid(options.jid)
    return _ask(options, {"jid": options.jid})


def _kick(options: argparse.Namespace) -> int:
    _jid(options.jid)
    return _ask(options, {"jid": options.jid, "reason": options.reason})


def _stats(options: argparse.Namespace) -> int:
    return _ask(options, {})


def _check(options: argparse.Namespace) -> int:
    now = datetime.datetime.now(datetime.UTC)
    found = offline.check(options.config or offline.find_file(Path.cwd()), now)
    _show(options, vars(found), views.findings(found))
    return FAILED if found.problems else DONE


def _search(options: argparse.Namespace) -> int:
    _account(options.jid)
    return _ask(options, {"jid": options.jid, "words": " ".join(options.words), "limit": options.limit})


def _migrate(options: argparse.Namespace) -> int:
    def report(text: str, done: int, total: int | None = None) -> None:
        _progress.show({"text": text, "done": done, "total": total})

    try:
        moved = migrate(options.source, options.target, report)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise CommandError("interrupted", "Nothing was moved: interrupted.") from None
    _show(options, vars(moved), views.moved(moved))
    return DONE


def _sample(options: argparse.Namespace) -> int:
    try:
        prepare_domain(options.domain)
    except InvalidJID as error:
        raise UsageError(f"{options.domain} is no name of a domain: {error}") from None
    text = sample(module_options(), options.domain)
    _show(options, {"sample": text}, text.rstrip("\n"))
    return DONE


def _ask(options: argparse.Namespace, arguments: Mapping[str, object]) -> int:
    """Have the server do the command, and show what it says."""
    given = {name: value for name, value in arguments.items() if value is not None}
    result = call(_socket(options), options.command, given, _progress.show)
    _show(options, result, views.result(options.command, result, sm=getattr(options, "sm", False)))
    return DONE


def _socket(options: argparse.Namespace) -> Path:
    found: Path = options.socket or offline.find_socket(options.config, Path.cwd())
    return found


def _show(options: argparse.Namespace, result: Any, text: str) -> None:
    _progress.end()
    print(json.dumps(result, indent=2) if options.json else text, flush=True)


class _Progress:
    """Draws in one line how far a command is, where somebody looks.

    What has come to its end stays to be read; what has not is taken away by what comes next.
    """

    def __init__(self) -> None:
        self._line = ""
        self._ended = True

    def show(self, progress: Mapping[str, Any]) -> None:
        """Draw it anew."""
        line = views.progress(progress)
        if not sys.stderr.isatty() or line == self._line:
            return
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        self._line, self._ended = line, progress["done"] == progress["total"]
        if self._ended:
            print(file=sys.stderr)

    def end(self) -> None:
        """Make room for a result or an error."""
        if not self._ended:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._line, self._ended = "", True


_progress = _Progress()


def _account(text: str) -> JID:
    """Refuse what is no account's address before anything is asked."""
    jid = _jid(text)
    if not jid.local or not jid.is_bare:
        raise UsageError(f"{text} is not the address of an account; write name@domain")
    return jid


def _jid(text: str) -> JID:
    try:
        return JID.parse(text)
    except InvalidJID as error:
        raise UsageError(f"{text} is no valid address: {error}") from None


def _read_password(jid: str) -> str:
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass(f"Password for {jid}: ")
        if getpass.getpass("The same again: ") != password:
            raise UsageError("The two passwords are not the same. Nothing was changed.")
    if not password:
        raise UsageError("An empty password is none. Nothing was changed.")
    return password
