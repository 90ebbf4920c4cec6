"""What people read who start the server: its lines on their console, not in the log."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

__all__ = ["complain", "give_up", "say", "xmppctl"]


def say(line: str) -> None:
    """A line for whoever looks at the console; the log takes over the ordinary output."""
    stream = sys.__stdout__
    if stream is not None:
        stream.write(line + "\n")
        stream.flush()


def complain(lines: str) -> None:
    """Tell whoever has started the server why it does not run."""
    stream = sys.__stderr__
    if stream is not None:
        stream.write("".join(f"xmppd: {line}\n" for line in lines.splitlines()))
        stream.flush()


def give_up(lines: str) -> NoReturn:
    """End before anything is set up."""
    complain(lines)
    raise SystemExit(1)


def xmppctl() -> str:
    """How to call xmppctl from here: its name, or its path where the shell would not find it."""
    path = os.path.join(os.path.dirname(sys.executable), "xmppctl")
    found = shutil.which("xmppctl")
    if found is not None and os.path.realpath(found) == os.path.realpath(path):
        return "xmppctl"
    near = os.path.relpath(path)
    if near.startswith(os.pardir):
        return path
    return near if os.sep in near else os.path.join(os.curdir, near)
