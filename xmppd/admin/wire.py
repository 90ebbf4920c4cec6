"""What goes over the socket between xmppctl and the server: one JSON object a line.

A request is ``{"command": NAME, "arguments": {…}}``. The answer is any number of lines ``{"progress": {…}}``,
then one ``{"result": …}`` or ``{"error": {"code": CODE, "text": TEXT}}``. The requests of a connection are
answered in order.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

MAX_REQUEST: Final = 65_536
"""The longest request in bytes."""

MAX_ADDRESS: Final = 107
"""Bytes in the address of a socket, on Linux."""


class CommandError(Exception):
    """A command cannot be done.

    :param code: a word for programs: a condition of RFC 6120 section 8.3.3, or ``usage``,
        ``unknown-command``, ``invalid-jid``, ``unknown-domain``, ``internal-error``.
    :param text: a sentence for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return self.text


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Give the name of a socket to the system: its path, or, where that is too long, a short one.

    The short one goes by way of the open folder and holds as long as the context.

    :raises OSError: if there is no such folder.
    """
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def encode(message: Mapping[str, object]) -> bytes:
    """Write one line, in ASCII, so that no terminal or log is led astray by what peers have put in."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read one line.

    :raises CommandError: if it is no JSON object.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise CommandError("usage", "A line that is no JSON object")
    return message


def error(problem: CommandError) -> dict[str, object]:
    """Give the answer for a command that failed."""
    return {"error": {"code": problem.code, "text": problem.text}}
