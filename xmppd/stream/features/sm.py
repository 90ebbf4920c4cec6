"""The nonzas of stream management (XEP-0198): enable, resume, ask and acknowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.errors import StreamError
from xmppd.core.module import Xep
from xmppd.core.stanza import Stanza
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.stream.outbox import Sent, TooHigh
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import Smacks, failed, read_h, too_high
from xmppd.xml.delay import delayed
from xmppd.xml.parser import Nonza

__all__ = ["SM", "enable", "resume"]

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
        resumable=attrs.get("resume") in ("true", "1") and resume_for > 0,
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
    if stream.state is not State.AUTHENTICATED or stream.account is None:
        return failed(xmlns, "unexpected-request")
    h, token = read_h(attrs.get("h")), attrs.get("previd", "")
    if h is None or not token:
        return failed(xmlns, "bad-request")
    session = await _find(stream, stream.account, token)
    stored: Mapping[int, Stanza] = {}
    if session is not None:
        if not session.outbox.can_acknowledge(h):
            raise too_high(xmlns, TooHigh(h, session.outbox.sent))
        stored = await stream.services.keeper.stored_messages(session)
        if stream.services.keeper.resumable(stream.account, token) is not session:
            session = None
    if session is None:
        handled = await stream.services.keeper.handled_before(stream.account, token)
        return failed(xmlns, "item-not-found", handled) if stream.state is State.AUTHENTICATED else b""
    if stream.state is State.AUTHENTICATED:
        _take_over(stream, session, h, stored, wrap)
    return b""


async def _find(stream: ClientStream, account: Account, token: str) -> ClientSession | None:
    """The session that a token names, no longer on another connection."""
    keeper = stream.services.keeper
    session = keeper.resumable(account, token)
    if session is None:
        return None
    await _quiet(stream, session)
    # It may have ended, or have been resumed elsewhere, meanwhile: look again.
    return keeper.resumable(account, token)


async def _quiet(stream: ClientStream, session: ClientSession) -> None:
    """Cut the old connection, and let what it sent last become durable, so that `h` covers it."""
    if session.stream is not None:
        session.stream.end(StreamError("conflict", "Resumed on another connection"), keep_session=True)
        assert session.smacks is not None
        session.smacks.hibernate()
    ledger = session.ledger
    assert ledger is not None
    if ledger.settled:
        return
    settled: Deferred[None] = Deferred()
    before = ledger.on_settled
    timer = stream.services.clock.callLater(SETTLE_WITHIN, settled.callback, None)

    def done() -> None:
        ledger.on_settled = before
        if timer.active():
            timer.cancel()
            settled.callback(None)
        if before is not None:
            before()

    ledger.on_settled = done
    await settled
    ledger.on_settled = before
    # Past the time the client sends again what is not durable yet: the old try no longer counts.
    ledger.forget_open()


def _take_over(
    stream: ClientStream,
    session: ClientSession,
    h: int,
    stored: Mapping[int, Stanza],
    wrap: Callable[[ClientSession, bytes], bytes],
) -> None:
    assert session.smacks is not None
    if session.stream is not None:
        # Another connection has resumed it meanwhile; the latest one wins.
        session.stream.end(StreamError("conflict", "Resumed on another connection"), keep_session=True)
    stream.bound(session)
    session.smacks.resumed(
        h, lambda entry: _again(entry, stored, session), lambda resumed: wrap(session, resumed)
    )


def _again(entry: Sent, stored: Mapping[int, Stanza], session: ClientSession) -> bytes:
    """The bytes of a stanza that is sent again."""
    stanza = entry.stanza
    if stanza is None:
        # A message that has been erased meanwhile has its number all the same.
        erased = Stanza("message", {"type": "headline"}, to=session.jid, sender=session.account.jid)
        stanza = stored.get(entry.row or 0, erased)
    return delayed(stanza, entry.at).wire


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
