"""While the database can store nothing: messages are delivered only once they are stored.

Before a fault is known, delivery does not wait for the disk.  Afterwards a message that could not be written
down must not be shown to anybody as if it had been: it waits in memory until the database is healthy again,
or, if that takes too long, goes back to its sender with an error.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger

from xmppd.core.context import Context
from xmppd.core.errors import StanzaError
from xmppd.core.events import BacklogHolds, MessageArriving
from xmppd.core.hooks import Stage
from xmppd.core.module import Module, on
from xmppd.modules.blocking import is_blocked
from xmppd.routing.delivery import decide
from xmppd.storage.errors import FullError

__all__ = ["Faults"]

_log = Logger()

#: Seconds that a message waits for the database before its sender gets an error.
PATIENCE: Final = 5.0


class Faults(Module):
    """Holds messages back while the writer is faulted."""

    name = "faults"

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        #: What waits, in order of arrival: the event, its row, and since when.
        self._held: list[tuple[MessageArriving, int, float]] = []

    async def start(self) -> None:
        """Hear of faults."""
        self.context.database.observe(self)

    # Behind `archiving`, which has given the message its row: modules load in order of their names.
    @on(MessageArriving, Stage.ARCHIVE)
    def arriving(self, event: MessageArriving) -> bool | None:
        """Hold a message whose row waits in memory."""
        if not self.context.archive.faulted:
            return None
        row = event.archived_as if event.row is None else event.row
        if row is None:
            return None
        self._held.append((event, row, self.context.clock.seconds()))
        return True

    # -- what the writer tells

    def on_healthy(self) -> None:
        """All that waited is stored, or will be: deliver it, in order."""
        self.context.archive.forget_waiting()
        held, self._held = self._held, []
        for event, _, _ in held:
            self._go_on(event)

    def _go_on(self, event: MessageArriving) -> None:
        stanza, account = event.stanza, event.account
        assert stanza.to is not None
        # Who was there when it came may be gone by now.
        event.decision = decide(stanza.message_type, stanza.to, account.sessions)
        if is_blocked(self.context.host, account, stanza.sender):
            # Since it came; it is stored, and passed over.
            if event.row is not None and account.mailbox is not None:
                account.mailbox.pass_over(event.row)
            return
        try:
            self.context.hooks.run_after(event, Stage.ARCHIVE)
        except StanzaError as problem:
            self.context.router.refuse(event.stanza, problem)
        except Exception:
            # What waits behind it goes on.
            _log.failure("a message that had waited for the database")
            if event.row is not None and account.mailbox is not None:
                account.mailbox.wait(event.row)
                self.context.hooks.run(BacklogHolds(account))

    def on_fault(self, error: BaseException) -> None:
        """Another attempt has failed: whoever has waited long enough is told."""
        now = self.context.clock.seconds()
        problem = StanzaError(
            "resource-constraint" if isinstance(error, FullError) else "internal-server-error",
            "The message could not be stored, and nobody has got it; send it again later",
            type="wait",
        )
        still = []
        for event, row, since in self._held:
            if now - since >= PATIENCE and self.context.archive.withdraw(event.account, row):
                if event.account.mailbox is not None:
                    event.account.mailbox.passing.discard(row)
                self.context.router.refuse(event.stanza, problem)
            else:
                still.append((event, row, since))
        self._held = still

    def on_full(self) -> None:
        """The streams stop reading by themselves (`xmppd.pressure`)."""

    def on_drained(self) -> None:
        """The streams read again by themselves."""
