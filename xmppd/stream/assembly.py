"""From the limits of the configuration to what all streams share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from xmppd.auth.throttle import Throttle
from xmppd.core.budget import LineBudget
from xmppd.core.context import Clock
from xmppd.core.limits import Limits
from xmppd.stream.admission import Admission
from xmppd.stream.pace import Pace
from xmppd.stream.services import Services, SessionKeeper, Timeouts
from xmppd.stream.smacks import SmLimits
from xmppd.stream.turns import Turns
from xmppd.xml.parser import Limits as XmlLimits
from xmppd.xml.reader import ParserPool

__all__ = ["make_services"]

_log = Logger()


def _left_out(source: str, lines: int) -> None:
    _log.info("{lines} more lines about {source} left out", lines=lines, source=source or "others")


def _of_strangers(limits: Limits) -> XmlLimits:
    """What may be read before authentication."""
    return XmlLimits(
        stanza_bytes=limits.unauthenticated_stanza_bytes,
        elements=limits.unauthenticated_elements,
        depth=limits.stanza_depth,
        attributes=limits.stanza_attributes,
        header_bytes=limits.stream_header_bytes,
        of_strangers=True,
    )


def _of_users(limits: Limits) -> XmlLimits:
    """What may be read afterwards."""
    return XmlLimits(
        stanza_bytes=limits.stanza_bytes,
        elements=limits.stanza_elements,
        depth=limits.stanza_depth,
        attributes=limits.stanza_attributes,
        header_bytes=limits.stream_header_bytes,
    )


def _timeouts(limits: Limits) -> Timeouts:
    return Timeouts(
        handshake=limits.tls_handshake_timeout,
        negotiation=limits.negotiation_timeout,
        registration=limits.registration_timeout,
        idle=limits.idle_timeout,
        answer=limits.answer_timeout,
        close=limits.close_timeout,
        write=limits.write_timeout,
    )


def _throttle(limits: Limits, clock: Clock) -> Throttle:
    return Throttle(
        clock.seconds,
        per_address=limits.auth_failures_per_address,
        per_account=limits.auth_failures_per_account,
        period=limits.auth_failures_period,
    )


def _admission(limits: Limits) -> Admission:
    return Admission(
        unauthenticated=limits.unauthenticated,
        unauthenticated_per_address=limits.unauthenticated_per_address,
        per_address=limits.connections_per_address,
    )


def _stream_management(limits: Limits, location: str | None) -> SmLimits:
    return SmLimits(
        limits.sm_queue,
        limits.sm_queue_bytes,
        limits.sm_resume_timeout or 0,
        limits.sm_detached_per_account,
        location or "",
    )


def make_services(
    limits: Limits,
    clock: Clock,
    now: Callable[[], float],
    keeper: SessionKeeper,
    tls: Any,
    *,
    location: str | None = None,
) -> Services:
    """What all client streams of a process share.

    :param clock: the reactor.
    :param now: seconds since 1970.
    :param tls: what ``transport.startTLS`` takes.
    :param location: host and port where clients resume their sessions, if not where DNS says (XEP-0198).
    """
    return Services(
        clock=clock,
        now=now,
        turns=Turns(clock),
        keeper=keeper,
        strangers=ParserPool(_of_strangers(limits)),
        pool=ParserPool(_of_users(limits)),
        tls=tls,
        throttle=_throttle(limits, clock),
        streams=set(),
        admission=_admission(limits),
        pace=Pace(limits.rate, limits.rate_burst),
        lines=LineBudget(clock, _left_out),
        timeouts=_timeouts(limits),
        sm=_stream_management(limits, location),
        write_buffer=limits.write_buffer_bytes,
        csi_queue=limits.csi_queue,
        failures_per_stream=limits.auth_failures_per_stream,
    )
