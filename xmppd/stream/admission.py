"""Who may connect: bounds of the open connections, in all and from one address (IPv6: one /64).

The maps hold open connections only, so they are as bounded as these are.
"""

from __future__ import annotations

import resource
import secrets
from collections import Counter
from typing import Any, Final

from twisted.internet.protocol import Protocol

from xmppd.core.errors import StreamError
from xmppd.stream import wire

__all__ = ["Admission", "TurnedAway", "raise_file_limit"]

#: File descriptors that no connection gets: for the database, for xmppctl, for files of certificates, and
#: for those that are turned away, which are closed one turn of the reactor later.
RESERVED_FILES: Final = 160
#: As many as anybody needs.
MOST_FILES: Final = 1 << 20


def raise_file_limit() -> int:
    """Let the process open as many files as it may; returns how many of them connections can have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(most - RESERVED_FILES, most // 2)


class Admission:
    """Counts connections.

    :param unauthenticated: most connections without authentication, None for any number.
    :param unauthenticated_per_address: most of them from one address.
    :param per_address: most connections from one address.

    :ivar most: most connections of all kinds: what the operating system allows, None for any number.
    """

    def __init__(
        self,
        *,
        unauthenticated: int | None = None,
        unauthenticated_per_address: int | None = None,
        per_address: int | None = None,
    ) -> None:
        self._most_strangers = unauthenticated
        self._most_strangers_each = unauthenticated_per_address
        self._most_each = per_address
        self._connections: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()
        self._all = self._all_strangers = 0
        self.most: int | None = None

    def refusal(self, origin: str) -> StreamError | None:
        """Why one more connection cannot be taken, if it cannot.

        :param origin: where it comes from (`xmppd.auth.throttle.address_key`); empty where there are no
            addresses.
        """
        if _full(self._all, self.most):
            return StreamError("resource-constraint", "The server has no file descriptors left")
        for used, most, name in (
            (self._connections[origin], self._most_each, "connections_per_address"),
            (self._strangers[origin], self._most_strangers_each, "unauthenticated_per_address"),
        ):
            if origin and _full(used, most):
                return StreamError("policy-violation", f"Too many connections from your address ({name})")
        if _full(self._all_strangers, self._most_strangers):
            return StreamError("resource-constraint", "Too many logins at once (unauthenticated)")
        return None

    def entered(self, origin: str) -> None:
        """There is a new connection."""
        self._all += 1
        self._all_strangers += 1
        self._connections[origin] += 1
        self._strangers[origin] += 1

    def known(self, origin: str) -> None:
        """A connection has authenticated."""
        self._all_strangers -= 1
        _less(self._strangers, origin)

    def left(self, origin: str, *, known: bool) -> None:
        """A connection is gone.

        :param known: whether it had authenticated.
        """
        if not known:
            self.known(origin)
        self._all -= 1
        _less(self._connections, origin)

    def __len__(self) -> int:
        """How many addresses are connected."""
        return len(self._connections)


def _full(used: int, most: int | None) -> bool:
    return most is not None and used >= most


def _less(counter: Counter[str], origin: str) -> None:
    counter[origin] -= 1
    if not counter[origin]:
        del counter[origin]


class TurnedAway(Protocol):
    """A connection that is not taken: it is told why, and closed without waiting for anything.

    :param problem: why.
    :param domain: in whose name it is told.
    """

    transport: Any

    def __init__(self, problem: StreamError, domain: str) -> None:
        self._problem, self._domain = problem, domain

    def connectionMade(self) -> None:
        """Say it."""
        header = wire.header(secrets.token_hex(8), self._domain)
        self.transport.write(header + wire.stream_error(self._problem) + b"</stream:stream>")
        self.transport.loseConnection()
