"""All scenarios; importing this registers them."""

from bench.load.scenarios import (
    archive,
    chat,
    flood,
    login,
    memory,
    mixed,
    neighbour,
    ping,
    prepare,
    presence,
    rooms,
)

__all__ = [
    "archive",
    "chat",
    "flood",
    "login",
    "memory",
    "mixed",
    "neighbour",
    "ping",
    "prepare",
    "presence",
    "rooms",
]
