"""Start a server that is ready to be measured, and become it.

    python bench/serve.py --root DIR --port PORT [--users N] [--rosters FILE] [--set KEY=VALUE ...]
                          [--profile FILE]

In a new folder it writes a configuration for domain localhost (loopback only, STARTTLS, in-band registration
open, no limits of rates, connections and sessions) and makes accounts user0 to user<N-1> with password `pw`,
and `admin` with password `admin`.  A folder that is there already is used as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.defer import ensureDeferred

from xmppd.auth.passwords import derive_all
from xmppd.storage import accounts, roster
from xmppd.storage.database import Database

CONFIGURATION = """\
[server]
data = "data"
certs = "certs"
log_level = "info"

[listen]
interfaces = ["127.0.0.1"]
c2s = [{port}]
c2s_direct_tls = []

[limits]
rate = "none"
unauthenticated = "none"
unauthenticated_per_address = "none"
connections_per_address = "none"
sessions_per_account = "none"
auth_failures_per_address = "none"
auth_failures_per_account = "none"
registrations_per_address = "none"
archive_expires_after = "never"

[domains.localhost]
registration = true
admins = ["admin@localhost"]
"""


def credentials(password: str) -> list[accounts.Credential]:
    """What is stored of a password; derived once for all users, because they share it."""
    return [
        accounts.Credential(each.hash_name, each.salt, each.iterations, each.stored_key, each.server_key)
        for each in derive_all(password).values()
    ]


def fill(cursor: Any, names: Sequence[str], rosters: Mapping[str, Sequence[str]]) -> None:
    """Make accounts and mutual contacts."""
    now = int(time.time())
    shared = credentials("pw")
    numbers = {name: accounts.create(cursor, "localhost", name, shared, created=now).id for name in names}
    accounts.create(cursor, "localhost", "admin", credentials("admin"), created=now)
    for name, contacts in rosters.items():
        for contact in contacts:
            roster.upsert(cursor, numbers[name], roster.RosterItem(jid=contact, subscription="both"))


async def make(reactor: Any, root: Path, names: Sequence[str], rosters: Mapping[str, Sequence[str]]) -> None:
    """Make the database."""
    database = Database(reactor, f"sqlite:{root / 'data' / 'xmppd.sqlite'}")
    await database.open()
    await database.write("fill", fill, names, rosters)
    await database.close()


def prepare(root: Path, port: int, users: int, rosters: Mapping[str, Sequence[str]]) -> None:
    """Make the folder, its configuration and its database; under its name it is there when it is whole."""
    part = root.with_name(f"{root.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "data").mkdir(parents=True)
    (part / "xmppd.toml").write_text(CONFIGURATION.format(port=port))
    names = list(dict.fromkeys([f"user{number}" for number in range(users)] + list(rosters)))
    made: list[None] = []
    try:
        task.react(
            lambda reactor: ensureDeferred(make(reactor, part, names, rosters)).addCallback(made.append)
        )
    except SystemExit as end:
        # Also where it was interrupted that says 0.
        if end.code or not made:
            raise
    part.rename(root)


def program(profile: Path | None) -> list[str]:
    """The server, under cProfile where its figures are to go into a file."""
    if profile is None:
        return ["-m", "xmppd"]
    profiler = ["--profiler=cprofile", "--savestats", f"--profile={profile.resolve()}"]
    return [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", *profiler, "xmppd"]


def main() -> None:
    """Read the command line, prepare, and become the server."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--rosters", type=Path)
    parser.add_argument("--profile", type=Path, help="run under cProfile, which writes this file at the end")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    root = options.root.resolve()
    if not root.exists():
        rosters = json.loads(options.rosters.read_text()) if options.rosters else {}
        prepare(root, options.port, options.users, rosters)
    command = [sys.executable, *program(options.profile), "--config", str(root / "xmppd.toml")]
    command += [f"--set=listen.c2s=[{options.port}]"] + [f"--set={setting}" for setting in options.set]
    os.execv(sys.executable, command)  # noqa: S606 (it becomes the server)


if __name__ == "__main__":
    main()
