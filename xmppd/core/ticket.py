"""What an incoming stanza holds where nobody waits until all that it caused is durable."""

from __future__ import annotations

from typing import Final

__all__ = ["NO_TICKET", "NoTicket"]


class NoTicket:
    """The ticket of a stanza that nobody counts (see `xmppd.core.context.Ticket`)."""

    __slots__ = ()

    def hold(self) -> None:
        """Nobody waits."""

    def committed(self) -> None:
        """Nobody waits."""

    def failed(self, error: BaseException) -> None:
        """Nobody waits."""


NO_TICKET: Final = NoTicket()
