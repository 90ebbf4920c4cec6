"""One attempt to go on with a session on a new stream (XEP-0198, section 5)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.logger import Logger

from xmppd.core.account import Account
from xmppd.core.errors import StreamError
from xmppd.storage.errors import StorageError
from xmppd.stream.again import send_again
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import Smacks, failed, too_high
from xmppd.stream.unacknowledged import TooHigh, Unacknowledged

__all__ = ["SETTLE_WITHIN", "Resumption"]

_log = Logger()

#: How long a resumption waits for what the old connection sent last to be durable, in seconds.
SETTLE_WITHIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a ``<resume/>`` asks for.

    :ivar stream: where the session is to go on; its account is known.
    :ivar xmlns: of the ``<resume/>``.
    :ivar token: the `previd`.
    :ivar h: stanzas that the client has handled.
    :ivar wrap: puts something around the ``<resumed/>`` of the session.
    """

    stream: ClientStream
    xmlns: str
    token: str
    h: int
    wrap: Callable[[ClientSession, bytes], bytes]

    async def run(self, account: Account) -> bytes:
        """Resume, if that is possible.

        :returns: the ``<failed/>`` to write; nothing if it is resumed, or the stream has ended meanwhile.
        :raises StreamError: ``undefined-condition`` for too high an `h`.
        """
        keeper = self.stream.services.keeper
        session = keeper.named(account, self.token)
        try:
            if session is not None:
                self._check(session)
                await _smacks(session).in_turn(self._go_on, session)
            if not self._is_wanted:
                return b""
            if session is not None and not session.ended:
                # Its client has gone on from it: what it sent last is to be in `h`, or it comes twice.
                session.close(
                    StreamError("conflict", "Not resumable, and its client is on another connection")
                )
            handled = await keeper.handled_before(account, self.token)
        except StorageError as problem:
            _log.warn(
                "{stream}: a session cannot be resumed now: {problem}", stream=self.stream, problem=problem
            )
            return failed(self.xmlns, "internal-server-error")
        if session is not None and session.ledger is not None:
            # By now; what is written down may be older.
            handled = session.ledger.handled
        return failed(self.xmlns, "item-not-found", handled) if self._is_wanted else b""

    @property
    def _is_wanted(self) -> bool:
        """Whether the stream still waits for a session."""
        return self.stream.state is State.AUTHENTICATED

    async def _go_on(self, session: ClientSession) -> None:
        """Resume a session, unless it or the stream has ended while others had their turn."""
        if not self._is_possible(session):
            return
        self._check(session)
        await self._quiet(session)
        # If what is only in the archive cannot be read, let it be known before it is too late for <failed/>.
        await self.stream.services.keeper.stored_messages(session, _queue(session).missing_rows()[-1:])
        if self._is_possible(session):
            self._check(session)
            self._take_over(session)

    def _is_possible(self, session: ClientSession) -> bool:
        return self._is_wanted and _smacks(session).resumable and not session.ended

    def _check(self, session: ClientSession) -> None:
        """Whoever acknowledges too much is no good reason to cut the old connection.

        :raises StreamError: ``undefined-condition``.
        """
        queue = _queue(session)
        if not queue.can_acknowledge(self.h):
            raise too_high(self.xmlns, TooHigh(self.h, queue.sent))

    async def _quiet(self, session: ClientSession) -> None:
        """Cut the old connection, and let what it sent last become durable, so that `h` covers it."""
        ledger = session.ledger
        assert ledger is not None
        if session.stream is not None:
            session.stream.end(StreamError("conflict", "Resumed on another connection"), keep_session=True)
            _smacks(session).hibernate()
        if not ledger.settled:
            with suppress(TookTooLong):
                await ledger.when_settled().addTimeout(SETTLE_WITHIN, self.stream.services.clock)  # type: ignore[arg-type]
            # Past the time the client sends again what is not durable yet: the old try no longer counts.
            ledger.forget_open()

    def _take_over(self, session: ClientSession) -> None:
        smacks = _smacks(session)
        smacks.xmlns = self.xmlns
        self.stream.bound(session)
        smacks.resumed(self.h, lambda resumed: self.wrap(session, resumed))
        send_again(self.stream, session)


def _smacks(session: ClientSession) -> Smacks:
    assert session.smacks is not None
    return session.smacks


def _queue(session: ClientSession) -> Unacknowledged:
    assert session.outbox.queue is not None
    return session.outbox.queue
