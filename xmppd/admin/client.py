"""The end of the socket that xmppctl holds."""

import pwd
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from xmppd.admin.wire import CommandError, address_of, decode, encode

SILENCE: Final = 120.0
"""Seconds without a word from the server after which it is given up."""

Progress = Callable[[Mapping[str, Any]], None]


class ServerUnreachableError(Exception):
    """There is no talking to the server; the message says why and what to do."""


def call(path: Path, command: str, arguments: Mapping[str, object], progress: Progress) -> Any:
    """Have the server do a command.

    :param path: the server's socket.
    :param progress: gets each report of how far it is.
    :returns: the result, as it came in JSON.
    :raises ServerUnreachableError: if the server does not run or may not be asked.
    :raises CommandError: if it says no.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SILENCE)
        try:
            with address_of(path) as address:
                connection.connect(address)
            connection.sendall(encode({"command": command, "arguments": arguments}))
            return _receive(connection, progress)
        except OSError as error:
            raise ServerUnreachableError(_explain(error, path)) from None


def _receive(connection: socket.socket, progress: Progress) -> Any:
    with connection.makefile("rb") as lines:
        for line in lines:
            answer = decode(line)
            if "progress" in answer:
                progress(answer["progress"])
            elif "error" in answer:
                raise CommandError(answer["error"]["code"], answer["error"]["text"])
            else:
                return answer["result"]
    raise ConnectionResetError


def _explain(error: OSError, path: Path) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return (
            f"The server is not running: nobody answers at {path}. Start it (`make run`, `xmppd` or "
            "`systemctl start xmppd`), or name its socket with --socket or its configuration with --config."
        )
    if isinstance(error, PermissionError):
        return (
            f"Permission denied at {path}: only {_owner(path)} and root may do this. Try `sudo xmppctl ...`."
        )
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "The server ended the connection without an answer; its log says why."
    if isinstance(error, TimeoutError):
        return f"The server has not answered for {SILENCE:.0f} seconds; its log may say why."
    return f"{path}: {error}"


def _owner(path: Path) -> str:
    """Give the user whose socket it is; where even that may not be seen, in words."""
    try:
        return pwd.getpwuid(path.stat().st_uid).pw_name
    except (OSError, KeyError):
        return "the server's user"
