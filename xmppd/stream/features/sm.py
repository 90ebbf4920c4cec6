"""The nonzas of stream management (XEP-0198): enable, resume, ask and acknowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.module import Xep
from xmppd.storage.errors import StorageError
from xmppd.stream.again import send_again
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.stream.outbox import TooHigh
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import Smacks, failed, read_h, too_high
from xmppd.xml.parser import Nonza

__all__ = ["SETTLE_WITHIN", "SM", "enable", "resume"]

_log = Logger()

#: How long a resumption waits for what the old connection sent last to be durable, in seconds.
SETTLE_WITHIN = 5.0


def _offer(stream: ClientStream) -> bytes:
    if stream.session is not None and stream.session.smacks is not None:
        return b""
    return f"<sm xmlns='{ns.SM}'/><sm xmlns='{ns.SM2}'/>".encode()


def _enable(stream: ClientStream, nonza: Nonza) -> None:
    session = stream.session
    if session is None:
        stream.write(failed(nonza.namespace, "unexpected-request"))
        return
    if session.smacks is not None:
        stream.write(failed(nonza.namespace, "unexpected-request"))
        raise StreamError("policy-violation", "Stream management is enabled already")
    enable(stream, session, nonza.namespace, nonza.attrs).begin()


def enable(stream: ClientStream, session: ClientSession, xmlns: str, attrs: Mapping[Any, str]) -> Smacks:
    """Count from now on what a session receives.

    :param attrs: of the ``<enable/>``.
    """
    limits = stream.services.sm
    wanted = read_h(attrs.get("max"))
    resume_for = limits.resume if not wanted else min(limits.resume, float(wanted))
    return Smacks(
        session,
        xmlns,
        stream.services.clock,
        limits,
        resumable=attrs.get("resume") in ("true", "1") and resume_for > 0 and not session.account.is_guest,
        resume_for=resume_for,
        expired=stream.services.keeper.end,
    )


def _ask(stream: ClientStream, _: Nonza) -> None:
    _smacks(stream).asked()


def _acknowledge(stream: ClientStream, nonza: Nonza) -> None:
    _smacks(stream).acknowledged(nonza.attrs.get("h"))


def _smacks(stream: ClientStream) -> Smacks:
    if stream.session is None or stream.session.smacks is None:
        raise StreamError("policy-violation", "Stream management is not enabled")
    return stream.session.smacks


def _bare(_: ClientSession, resumed: bytes) -> bytes:
    return resumed


async def _resume(stream: ClientStream, nonza: Nonza) -> None:
    answer = await resume(stream, nonza.namespace, nonza.attrs)
    if answer:
        stream.write(answer)


async def resume(
    stream: ClientStream,
    xmlns: str,
    attrs: Mapping[Any, str],
    wrap: Callable[[ClientSession, bytes], bytes] = _bare,
) -> bytes:
    """Let a stream go on with a session, if that is possible.

    :param attrs: of the ``<resume/>``.
    :param wrap: puts something around the ``<resumed/>`` of the session.
    :returns: the ``<failed/>`` to write; nothing if it is resumed, or the stream has ended meanwhile.
    """
    account, keeper = stream.account, stream.services.keeper
    if stream.state is not State.AUTHENTICATED or account is None:
        return failed(xmlns, "unexpected-request")
    h, token = read_h(attrs.get("h")), attrs.get("previd", "")
    if h is None or not token:
        return failed(xmlns, "bad-request")
    if not stream.services.sm.resume:
        return failed(xmlns, "feature-not-implemented")
    session = keeper.named(account, token)
    try:
        if session is not None:
            assert session.smacks is not None
            _check(session, xmlns, h)
            await session.smacks.in_turn(_go_on, stream, session, xmlns, h, wrap)
        if stream.state is not State.AUTHENTICATED:
            return b""
        if session is not None and not session.ended:
            # Its client has gone on from it: what it sent last is to be in `h`, or it comes twice.
            session.close(StreamError("conflict", "Not resumable, and its client is on another connection"))
        handled = await keeper.handled_before(account, token)
        if session is not None and session.ledger is not None:
            # By now; what is written down may be older.
            handled = session.ledger.handled
    except StorageError as problem:
        _log.warn("{stream}: a session cannot be resumed now: {problem}", stream=stream, problem=problem)
        return failed(xmlns, "internal-server-error")
    return failed(xmlns, "item-not-found", handled) if stream.state is State.AUTHENTICATED else b""


async def _go_on(
    stream: ClientStream,
    session: ClientSession,
    xmlns: str,
    h: int,
    wrap: Callable[[ClientSession, bytes], bytes],
) -> None:
    """Resume a session, unless it or the stream has ended while others had their turn."""
    if not _is_possible(stream, session):
        return
    _check(session, xmlns, h)
    await _quiet(stream, session)
    # If what is only in the archive cannot be read, let it be known before it is too late for <failed/>.
    await stream.services.keeper.stored_messages(session, session.outbox.missing_rows()[-1:])
    if _is_possible(stream, session):
        _check(session, xmlns, h)
        _take_over(stream, session, xmlns, h, wrap)


def _is_possible(stream: ClientStream, session: ClientSession) -> bool:
    smacks = session.smacks
    return (
        stream.state is State.AUTHENTICATED and smacks is not None and smacks.resumable and not session.ended
    )


def _check(session: ClientSession, xmlns: str, h: int) -> None:
    """Whoever acknowledges too much is no good reason to cut the old connection.

    :raises StreamError: ``undefined-condition``.
    """
    if not session.outbox.can_acknowledge(h):
        raise too_high(xmlns, TooHigh(h, session.outbox.sent))


async def _quiet(stream: ClientStream, session: ClientSession) -> None:
    """Cut the old connection, and let what it sent last become durable, so that `h` covers it."""
    ledger = session.ledger
    assert ledger is not None
    if session.stream is not None:
        session.stream.end(StreamError("conflict", "Resumed on another connection"), keep_session=True)
        assert session.smacks is not None
        session.smacks.hibernate()
    if not ledger.settled:
        with suppress(TookTooLong):
            await ledger.when_settled().addTimeout(SETTLE_WITHIN, stream.services.clock)  # type: ignore[arg-type]
        # Past the time the client sends again what is not durable yet: the old try no longer counts.
        ledger.forget_open()


def _take_over(
    stream: ClientStream,
    session: ClientSession,
    xmlns: str,
    h: int,
    wrap: Callable[[ClientSession, bytes], bytes],
) -> None:
    assert session.smacks is not None
    session.smacks.xmlns = xmlns
    stream.bound(session)
    session.smacks.resumed(h, lambda resumed: wrap(session, resumed))
    send_again(stream, session)


SM = Feature(
    frozenset((State.AUTHENTICATED, State.BOUND)),
    _offer,
    {
        (xmlns, name): handler
        for xmlns in (ns.SM, ns.SM2)
        for name, handler in (
            ("enable", _enable),
            ("resume", _resume),
            ("r", _ask),
            ("a", _acknowledge),
        )
    },
    xeps=(Xep("0198", "1.6.3", "Stream Management"),),
)
