"""Check an installation of xmppd from outside: its programs answer, it serves, and a client logs in.

    python -m tests.packaging.check FOLDER

The folder is the one with the installed programs; this Python needs slixmpp, the installation does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.server import ENVIRONMENT, Server

CLIENT = Path(__file__).parent.parent / "interop" / "clients" / "with_slixmpp.py"


def output(*command: str | Path) -> str:
    """What a command prints; AssertionError with all of it if it fails."""
    done = subprocess.run(
        command, cwd="/", env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_programs(programs: Path) -> None:
    """Each program explains itself, and Twisted lists the plugin once."""
    plugins = [line.split()[:1] for line in output(programs / "twistd", "--help").splitlines()]
    assert plugins.count(["xmppd"]) == 1, plugins
    for command in (["twistd", "xmppd", "--help"], ["xmppd", "--help"], ["xmppctl", "--help"]):
        shown = output(programs / command[0], *command[1:])
        assert "--config" in shown, shown


def check_service(programs: Path) -> None:
    """The server starts, takes an account and lets a client in."""
    server = Server(programs)
    try:
        server.start()
        server.add_account("alice", "secret")
        call = {
            "call": 1,
            "do": "connect",
            "jid": "alice@localhost",
            "password": "secret",
            "port": server.port,
        }
        client = subprocess.run(
            [sys.executable, CLIENT],
            input=json.dumps(call),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={**ENVIRONMENT, "CA": str(server.ca)},
        )
        assert '"result": {"jid": "alice@localhost/' in client.stdout, f"{client.stderr}\n{server.log()}"
    finally:
        server.stop()


def check(programs: Path) -> None:
    """Raises AssertionError or another error when something does not work."""
    check_programs(programs)
    check_service(programs)


if __name__ == "__main__":
    check(Path(sys.argv[1]).absolute())
    print(f"the installation in {sys.argv[1]} works")
