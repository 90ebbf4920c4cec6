"""What can be chosen for one scenario on one running server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from bench.load.registry import SCENARIOS

__all__ = ["Options", "parse"]


def option(default: Any, meaning: str) -> Any:
    """A field of `Options` with its help."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Options:
    """The command line of ``python -m bench.load``; seconds and bytes where nothing else is said."""

    host: str = option("127.0.0.1", "address of the server")
    port: int = option(5222, "its port")
    domain: str = option("localhost", "the domain that it serves")
    rooms: str = option("conference.localhost", "muc: the service for group chat")
    password: str = option("pw", "password of the accounts user0, user1, ...")
    mechanism: str = option("SCRAM-SHA-1", "SCRAM-SHA-1 or PLAIN")
    user_count: int = option(1202, "accounts that there are")
    server_pids: str = option("", "comma separated; children are counted too")
    cpu: int = option(-1, "core to keep this generator on; -1: any")
    seconds: float = option(6.0, "length of the measured window")
    warmup: float = option(2.0, "seconds of load before the window")
    pairs: int = option(50, "chat, ping, mixed: pairs, clients")
    window: int = option(1, "chat: messages in flight a pair; presence: changes in flight")
    online: int = option(0, "chat: others online, at rest")
    carbons: bool = option(False, "chat: two resources a user, carbons on")
    ack_every: int = option(0, "chat: stream management, with <r/> after so many messages")
    archive: int = option(10_000, "archive, neighbour: messages in the archive")
    page: int = option(50, "archive: results a page")
    sync_page: int = option(250, "neighbour: results a page")
    readers: int = option(4, "neighbour: clients that read their archive")
    rate: float = option(50.0, "neighbour, flood, mixed: messages a second of a paced pair")
    every: float = option(60.0, "mixed: seconds between two looks at the server")
    concurrency: int = option(20, "login: logins at a time")
    login_users: int = option(100, "login: accounts used in turn")
    clients: int = option(1000, "memory, hibernated: clients")
    idle_users: int = option(1000, "memory, hibernated: accounts that they use")
    settle: float = option(10.0, "memory, hibernated: seconds of rest before each look")
    occupants: int = option(50, "muc: occupants of the room")
    senders: int = option(1, "muc: how many of them write")
    members: int = option(200, "presence: users")
    contacts: int = option(100, "presence: mutual contacts of each")
    burst: int = option(5000, "flood: messages dumped at once")
    deaf: bool = option(False, "flood: the receiver does not read")

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in self.server_pids.split(",") if pid]


def parse(arguments: Sequence[str] | None = None) -> tuple[str, Options]:
    """Read a command line; returns the scenario's name and its options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Run one scenario against one running server and print the figures as one JSON object.",
        epilog="; ".join(
            f"{name}: {(each.__doc__ or '').splitlines()[0]}" for name, each in SCENARIOS.items()
        ),
    )
    parser.add_argument("scenario", choices=SCENARIOS)
    for each in fields(Options):
        flag, meaning = "--" + each.name.replace("_", "-"), each.metadata["help"]
        if each.default is False:
            parser.add_argument(flag, action="store_true", help=meaning)
        else:
            parser.add_argument(flag, type=type(each.default), default=each.default, help=meaning)
    values = vars(parser.parse_args(arguments))
    return values.pop("scenario"), Options(**values)
