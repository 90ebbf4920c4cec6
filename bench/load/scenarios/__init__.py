"""All scenarios; importing this registers them."""

from bench.load.scenarios import (
    archive,
    chat,
    flood,
    hibernated,
    login,
    memory,
    mixed,
    neighbour,
    ping,
    prepare,
    presence,
    rooms,
    turns,
)

__all__ = [
    "archive",
    "chat",
    "flood",
    "hibernated",
    "login",
    "memory",
    "mixed",
    "neighbour",
    "ping",
    "prepare",
    "presence",
    "rooms",
    "turns",
]
