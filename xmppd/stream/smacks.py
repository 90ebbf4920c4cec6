"""Stream management of one session (XEP-0198): acknowledgements, resumption, hibernation.

Nonzas come in through `handle`; what is counted is counted in `xmppd.stream.ledger` and `unacknowledged`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.context import Clock
from xmppd.core.counters import hits
from xmppd.core.errors import StreamError
from xmppd.core.stanza import Stanza, escape_attribute
from xmppd.stream.csi import activate
from xmppd.stream.ledger import Ledger
from xmppd.stream.miscount import Recount
from xmppd.stream.unacknowledged import TooHigh, Unacknowledged

if TYPE_CHECKING:
    from xmppd.stream.session import ClientSession

__all__ = ["SmLimits", "Smacks", "failed", "new_token", "read_h"]

_log = Logger()
_number = re.compile("[0-9]{1,10}").fullmatch

#: How long an `<r/>` waits for the commit under way, in seconds.
ANSWER_WITHIN: Final = 0.1
#: Unacknowledged stanzas after which the client is asked how far it is, at half the bound of the queue at the
#: latest: each answer takes as long as half a message, and a phone's radio. What lies there for a while is
#: asked about anyway (see `remind`).
ASK_AFTER: Final = 40
#: Positions in the archive that are kept for each stanza that may be kept.
POSITIONS: Final = 20


@dataclass(frozen=True, slots=True)
class SmLimits:
    """Bounds of stream management.

    :ivar queue: unacknowledged stanzas that are kept.
    :ivar queue_bytes: bytes of them.
    :ivar resume: seconds for which a session without connection can be resumed; 0 for never.
    :ivar detached: sessions of one account that wait for resumption, None for any number.
    :ivar location: where clients are to come back to, host and port; '' where DNS says it.
    :ivar first: where the counters of both sides begin: 0, but for tests of their wrapping.
    """

    queue: int = 500
    queue_bytes: int = 2 << 20
    resume: float = 600
    detached: int | None = 16
    location: str = ""
    first: int = 0


def new_token() -> str:
    """An id for resumption: 128 bits that nobody can guess."""
    return secrets.token_urlsafe(16)


def read_h(value: str | None) -> int | None:
    """The number in an ``h`` attribute, or None if it is not one below 2**32."""
    if value is None or not _number(value):
        return None
    h = int(value)
    return h if h < 1 << 32 else None


def failed(xmlns: str, condition: str, h: int | None = None) -> bytes:
    """The answer to a request that cannot be met."""
    known = "" if h is None else f" h='{h}'"
    return f"<failed xmlns='{xmlns}'{known}><{condition} xmlns='{ns.STANZA_ERRORS}'/></failed>".encode()


class Smacks:
    """The stream management of one session, from its ``<enable/>`` to its end.

    :param session: whose.
    :param xmlns: the version of the protocol that the client speaks.
    :param resumable: whether the client asked for resumption and may have it.
    :param resume_for: seconds for which it can be resumed.
    :param expired: called when the session ends because nobody resumed it.
    """

    __slots__ = (
        "_answer_timer",
        "_answers_due",
        "_ask_after",
        "_asked_at",
        "_clock",
        "_expired",
        "_expiry",
        "_is_lenient",
        "_limits",
        "_recount",
        "_session",
        "_tell_more",
        "_turn",
        "resumable",
        "resume_for",
        "token",
        "xmlns",
    )

    def __init__(
        self,
        session: ClientSession,
        xmlns: str,
        clock: Clock,
        limits: SmLimits,
        *,
        resumable: bool,
        resume_for: float,
        expired: Callable[[ClientSession], None],
    ) -> None:
        self._session, self._clock, self._limits, self._expired = session, clock, limits, expired
        self.xmlns = xmlns
        self.resumable = resumable
        self.resume_for = resume_for
        self.token = new_token() if resumable else ""
        self._recount = Recount()
        self._ask_after = max(1, min(ASK_AFTER, limits.queue // 2))
        #: Requests without an answer, and whether the last answer was given before its time.
        self._answers_due = 0
        self._tell_more = False
        self._asked_at: int | None = None
        #: Whether twice as much may be kept: what was held for the client as well, until less is left of it.
        self._is_lenient = False
        self._answer_timer: Any = None
        self._expiry: Any = None
        self._turn: DeferredLock | None = None
        session.smacks = self
        session.ledger = Ledger(limits.first)
        self.watch_ledger()

    def watch_ledger(self) -> None:
        """Hear when all that the client sent has been handled."""
        if self._session.ledger is not None:
            self._session.ledger.on_settled = self._settled

    def begin(self) -> None:
        """Write ``<enabled/>``; what is sent after it is counted."""
        self._session.outbox.nonza(self.enabled())
        self._session.outbox.count(self._limits.first)

    def enabled(self) -> bytes:
        """The answer to ``<enable/>``."""
        offer = ""
        if self.resumable:
            offer = f" resume='true' id='{escape_attribute(self.token)}' max='{int(self.resume_for)}'"
            if self._limits.location:
                offer += f" location='{escape_attribute(self._limits.location)}'"
        return f"<enabled xmlns='{self.xmlns}'{offer}/>".encode()

    # -- what we have handled

    def asked(self) -> None:
        """The client sent ``<r/>``: answer when the commit under way is over, or in 100 ms."""
        ledger = self._session.ledger
        assert ledger is not None
        if ledger.settled:
            self._tell()
            return
        self._answers_due += 1
        if self._answer_timer is None:
            self._answer_timer = self._clock.callLater(ANSWER_WITHIN, self._answer_anyway)

    def _settled(self) -> None:
        if self._answers_due or self._tell_more:
            if self._answer_timer is not None:
                self._answer_timer.cancel()
                self._answer_timer = None
            self._tell_more = False
            self._answer()

    def _answer_anyway(self) -> None:
        """Answer with what there is; another ``<a/>`` follows by itself when the rest is durable."""
        self._answer_timer = None
        self._tell_more = True
        self._answer()

    def _answer(self) -> None:
        due, self._answers_due = max(1, self._answers_due), 0
        for _ in range(due):
            self._tell()

    def _tell(self) -> None:
        ledger = self._session.ledger
        assert ledger is not None
        self._recount.nonzas += 1
        self._session.outbox.nonza(b"<a xmlns='%b' h='%d'/>" % (self.xmlns.encode(), ledger.handled))

    # -- what the client has handled

    def acknowledged(self, h: str | None) -> None:
        """The client sent ``<a/>``.

        :raises StreamError: it is not a number, or more than we sent (XEP-0198, section 6).
        """
        number = read_h(h)
        if number is None:
            raise StreamError("invalid-xml", "h must be a number below 2**32")
        asked_at, self._asked_at = self._asked_at, None
        try:
            self._session.outbox.acknowledged(number)
        except TooHigh as problem:
            self._recount.too_high(self._session.jid.text, number, problem.sent)
            raise too_high(self.xmlns, problem) from None
        if self._is_lenient and self._fits():
            self._is_lenient = False
        if asked_at is not None:
            self._recount.answered(self._session.jid.text, number, asked_at)

    def queued(self, stanza: Stanza) -> None:
        """A stanza was queued: ask for an acknowledgement now and then, and keep the queue bounded."""
        self._recount.sent(stanza)
        queue = self._session.outbox.queue
        if queue is None:
            return
        number, limits = len(queue), self._limits
        if self._asked_at is None and number >= self._ask_after and not queue.unsent:
            self.ask()
        if number <= limits.queue and queue.kept_bytes <= limits.queue_bytes:
            # As nearly always; the rest asks more.
            return
        most = 2 if self._is_lenient else 1
        positions = POSITIONS * limits.queue
        if queue.fits(most * limits.queue, most * limits.queue_bytes) and number <= positions:
            return
        if self.resumable:
            self._overflow(queue)
        if self._session.stream is not None and not queue.unsent:
            queue.trim(limits.queue // 2, limits.queue_bytes // 2, positions)

    def be_lenient(self) -> None:
        """Whoever comes back is sent what was held for them beside all that was kept: that is no overflow."""
        self._is_lenient = True

    def _fits(self) -> bool:
        queue, limits = self._session.outbox.queue, self._limits
        return queue is None or (len(queue) <= limits.queue and queue.kept_bytes <= limits.queue_bytes)

    @property
    def is_far_behind(self) -> bool:
        """Whether so much waits for a client that comes back, or is away, that it is not to become more.

        A long backlog was queued to its end, until that was too much to be kept, and the session over.
        """
        session, queue = self._session, self._session.outbox.queue
        if queue is None or (session.stream is not None and not queue.unsent):
            return False
        return len(queue) > POSITIONS * self._limits.queue // 2

    def remind(self, before: float) -> None:
        """Ask if something is not acknowledged that was sent before.

        :param before: seconds since 1970.
        """
        queue = self._session.outbox.queue
        oldest = None if queue is None else queue.oldest
        if oldest is not None and oldest.at <= before:
            self.ask()

    def ask(self) -> None:
        """Send ``<r/>``, behind what is queued in this turn."""
        outbox = self._session.outbox
        if self._asked_at is None and self._session.stream is not None and outbox.queue is not None:
            self._asked_at = outbox.queue.written
            self._recount.nonzas += 1
            outbox.nonza(f"<r xmlns='{self.xmlns}'/>".encode())

    def _overflow(self, queue: Unacknowledged) -> None:
        """Too much to keep: acknowledgements go on, but the session can no longer be resumed."""
        self.resumable = False
        limit = "sm_queue" if queue.kept_bytes <= self._limits.queue_bytes else "sm_queue_bytes"
        hits.hit(limit)
        _log.info(
            "{session}: too much is not acknowledged ({limit}): not resumable any more",
            session=self._session.jid.text,
            limit=limit,
        )
        if self._expiry is not None:
            # Not at once: of many that are full, each would tell the others of its end, one inside the other.
            self._expiry.reset(0)
        elif self._session.stream is not None and queue.unsent:
            # It does not even read what it is sent again: nothing of that may be forgotten.
            self._session.stream.cut()

    # -- hibernation

    def hibernate(self) -> None:
        """The connection is gone: wait for the client to come back."""
        self.wait_for_return(self.resume_for)

    def wait_for_return(self, seconds: float) -> None:
        """Be resumable for so long."""
        self._forget_question()
        self._session.outbox.detach()
        self._expiry = self._clock.callLater(seconds, self.expire)

    @property
    def seconds_left(self) -> float:
        """How long it can still be resumed; the whole time while it is connected."""
        if self._expiry is None or not self._expiry.active():
            return self.resume_for
        return max(0.0, float(self._expiry.getTime()) - self._clock.seconds())

    def expire(self) -> None:
        """Nobody came back in time, or the session was ended by other means."""
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()
        self._expiry = None
        self._expired(self._session)

    async def in_turn(self, resume: Callable[..., Awaitable[None]], *args: object) -> None:
        """Let one connection after the other resume: the last that asks is the last that gets it."""
        if self._turn is None:
            self._turn = DeferredLock()
        await self._turn.run(resume, *args)

    def resumed(self, h: int, wrap: Callable[[bytes], bytes] = bytes) -> None:
        """The client is back on another connection; the outbox is attached to it already.

        What is not acknowledged is to be sent again (`xmppd.stream.again`).

        :param h: what the client had handled; checked by `Unacknowledged.can_acknowledge` before.
        :param wrap: puts something around ``<resumed/>``.
        """
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        session, outbox = self._session, self._session.outbox
        assert session.ledger is not None
        assert outbox.queue is not None
        previous = escape_attribute(self.token)
        resumed = f"<resumed xmlns='{self.xmlns}' previd='{previous}' h='{session.ledger.handled}'/>".encode()
        outbox.nonza(wrap(resumed))
        # From now on all stands behind that, also what follows from the acknowledgement.
        outbox.queue.begin_again()
        outbox.acknowledged(h)
        self._recount.again += outbox.queue.unsent
        self.be_lenient()
        activate(session)

    def _forget_question(self) -> None:
        self._asked_at = None
        self._answers_due, self._tell_more = 0, False
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def stop(self) -> None:
        """The session is over: no timer may fire any more."""
        self._forget_question()
        if self._expiry is not None and self._expiry.active():
            self._expiry.cancel()
        self._expiry = None


def too_high(xmlns: str, problem: TooHigh) -> StreamError:
    """The stream error for an acknowledgement of what was never sent."""
    detail = f"<handled-count-too-high xmlns='{xmlns}' h='{problem.h}' send-count='{problem.sent}'/>"
    return StreamError(
        "undefined-condition",
        f"You acknowledged {problem.h} stanzas, but {problem.sent} were sent",
        app=detail.encode(),
    )
