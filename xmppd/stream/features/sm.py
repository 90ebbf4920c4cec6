"""The nonzas of stream management (XEP-0198): enable, resume, ask and acknowledge."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred

from xmppd.core import ns
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

__all__ = ["SM"]

#: How long a resumption waits for what the old connection sent last to be durable, in seconds.
SETTLE_WITHIN = 5.0


def _offer(_: ClientStream) -> bytes:
    return f"<sm xmlns='{ns.SM}'/><sm xmlns='{ns.SM2}'/>".encode()


def _enable(stream: ClientStream, nonza: Nonza) -> None:
    session = stream.session
    if session is None:
        stream.write(failed(nonza.namespace, "unexpected-request"))
        return
    if session.smacks is not None:
        stream.write(failed(nonza.namespace, "unexpected-request"))
        raise StreamError("policy-violation", "Stream management is enabled already")
    limits = stream.services.sm
    wanted = read_h(nonza.attrs.get("max"))
    resume_for = limits.resume if not wanted else min(limits.resume, float(wanted))
    Smacks(
        session,
        nonza.namespace,
        stream.services.clock,
        limits,
        resumable=nonza.attrs.get("resume") in ("true", "1") and resume_for > 0,
        resume_for=resume_for,
        expired=stream.services.keeper.end,
    ).begin()


def _ask(stream: ClientStream, _: Nonza) -> None:
    _smacks(stream).asked()


def _acknowledge(stream: ClientStream, nonza: Nonza) -> None:
    _smacks(stream).acknowledged(nonza.attrs.get("h"))


def _smacks(stream: ClientStream) -> Smacks:
    if stream.session is None or stream.session.smacks is None:
        raise StreamError("policy-violation", "Stream management is not enabled")
    return stream.session.smacks


async def _resume(stream: ClientStream, nonza: Nonza) -> None:
    xmlns = nonza.namespace
    if stream.state is not State.AUTHENTICATED or stream.account is None:
        stream.write(failed(xmlns, "unexpected-request"))
        return
    h = read_h(nonza.attrs.get("h"))
    token = nonza.attrs.get("previd", "")
    if h is None or not token:
        stream.write(failed(xmlns, "bad-request"))
        return
    keeper = stream.services.keeper
    session = keeper.resumable(stream.account, token)
    if session is not None:
        await _quiet(stream, session)
        # It may have ended, or have been resumed elsewhere, meanwhile: look again.
        session = keeper.resumable(stream.account, token)
    if stream.state is not State.AUTHENTICATED:
        return
    if session is None:
        handled = await keeper.handled_before(stream.account, token)
        stream.write(failed(xmlns, "item-not-found", handled))
        return
    if not session.outbox.can_acknowledge(h):
        raise too_high(xmlns, TooHigh(h, session.outbox.sent))
    stored = await keeper.stored_messages(session)
    if stream.state is State.AUTHENTICATED and keeper.resumable(stream.account, token) is session:
        _take_over(stream, session, h, stored)


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


def _take_over(stream: ClientStream, session: ClientSession, h: int, stored: Mapping[int, Stanza]) -> None:
    assert session.smacks is not None
    if session.stream is not None:
        # Another connection has resumed it meanwhile; the latest one wins.
        session.stream.end(StreamError("conflict", "Resumed on another connection"), keep_session=True)
    stream.bound(session)
    session.smacks.resumed(h, lambda entry: _again(entry, stored, session))


def _again(entry: Sent, stored: Mapping[int, Stanza], session: ClientSession) -> bytes:
    """The bytes of a stanza that is sent again."""
    stanza = entry.stanza
    if stanza is None:
        # A message that has been erased meanwhile has its number all the same.
        erased = Stanza("message", {"type": "headline"}, to=session.jid, sender=session.account.jid)
        stanza = stored.get(entry.row or 0, erased)
    return delayed(stanza, entry.at).wire


SM = Feature(
    frozenset((State.AUTHENTICATED,)),
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
