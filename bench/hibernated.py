"""What a session costs that waits for its client, in memory: ``python -m bench.hibernated [SESSIONS]``.

Sessions are bound, enable stream management, get one message each, and lose their connection; nothing of a
connection is left, so no socket is needed to measure what remains.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from xmppd.core.jid import JID
from xmppd.testing import InProcessServer

ACCOUNTS = 100


def resident() -> int:
    """Memory of this process, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


def hibernate(world: InProcessServer, number: int) -> None:
    """One session that loses its connection."""
    client = world.connect()
    account = world.server.registry.account(JID.parse(f"user{number % ACCOUNTS}@localhost"))
    assert account is not None
    client.open()
    # Not with the password: deriving its keys 10,000 times would take minutes.
    client.stream.authenticated(account)
    client.stream.restart()
    client.open()
    client.bind(f"device{number}")
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    client.ask(f"<message to='{client.jid}' type='chat'><body>Did you see the mail?</body></message>")
    client.cut()


def main() -> None:
    """Measure and print one line."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    limits = ("sessions_per_account", "sm_detached_per_account")
    world = InProcessServer(*(f"limits.{name}=none" for name in limits), "limits.sm_resume_timeout=1d")
    for number in range(ACCOUNTS):
        world.add_user(f"user{number}@localhost")
    for number in range(200):
        hibernate(world, number)
    gc.collect()
    before = resident()
    for number in range(200, 200 + sessions):
        hibernate(world, number)
    gc.collect()
    cost = (resident() - before) / sessions
    print(f"{sessions} hibernated sessions: {cost:.1f} KiB each")


if __name__ == "__main__":
    main()
