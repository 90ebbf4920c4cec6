"""Authentication with SASL (RFC 6120, section 6; XEP-0440 for channel-binding types)."""

from __future__ import annotations

from twisted.internet.task import deferLater

from xmppd.auth import mechanisms
from xmppd.auth.anonymous import AnonymousExchange
from xmppd.auth.channel_binding import bindings
from xmppd.auth.offer import Offer
from xmppd.auth.sasl import (
    Challenge,
    SaslFailure,
    Success,
    decode_base64,
    encode_base64,
    initial_response,
)
from xmppd.auth.throttle import delay_after
from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.stanza import escape_text
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.xml.parser import Nonza

__all__ = ["SASL"]


def _the_offer(stream: ClientStream) -> Offer:
    """What this stream advertises, made once: XEP-0474 hashes it."""
    if stream.offer is None:
        assert stream.served is not None
        connection = stream.tls_connection()
        found = bindings(connection) if connection is not None else {}
        stream.offer = mechanisms.make_offer(tls=True, bindings=found, enabled=stream.served.mechanisms)
    return stream.offer


def _offer(stream: ClientStream) -> bytes:
    offer = _the_offer(stream)
    names = "".join(f"<mechanism>{name}</mechanism>" for name in offer.mechanisms)
    text = f"<mechanisms xmlns='{ns.SASL}'>{names}</mechanisms>"
    if offer.bindings:
        types = "".join(f"<channel-binding type='{name}'/>" for name in offer.bindings)
        text += f"<sasl-channel-binding xmlns='{ns.SASL_CHANNEL_BINDING}'>{types}</sasl-channel-binding>"
    return text.encode()


def _text_of(nonza: Nonza) -> str:
    return "".join(part for part in nonza.element().children if isinstance(part, str))


async def _auth(stream: ClientStream, nonza: Nonza) -> None:
    if stream.state is State.PLAIN:
        await _fail(stream, SaslFailure("encryption-required", "Use STARTTLS first"))
        return
    if stream.state is not State.SECURE or stream.served is None:
        raise StreamError("policy-violation", "You are logged in already")
    if stream.exchange is not None:
        await _fail(stream, SaslFailure("malformed-request", "One exchange at a time"))
        return
    try:
        stream.exchange = mechanisms.start(
            nonza.attrs.get("mechanism", ""),
            _the_offer(stream),
            stream.served.directory,
            admit=lambda local: _admit(stream, local),
        )
        data = initial_response(_text_of(nonza))
    except SaslFailure as problem:
        await _fail(stream, problem)
        return
    await _step(stream, data)


async def _response(stream: ClientStream, nonza: Nonza) -> None:
    if stream.exchange is None:
        raise StreamError("not-authorized", "There is no authentication under way")
    try:
        data = decode_base64(_text_of(nonza))
    except SaslFailure as problem:
        await _fail(stream, problem)
        return
    await _step(stream, data)


async def _abort(stream: ClientStream, _: Nonza) -> None:
    if stream.exchange is None:
        raise StreamError("not-authorized", "There is no authentication under way")
    await _fail(stream, SaslFailure("aborted"))


def _admit(stream: ClientStream, local: str) -> None:
    assert stream.served is not None
    name = f"{local}@{stream.served.jid.text}"
    if stream.services.throttle.wait(stream.address, name) > 0:
        raise SaslFailure("temporary-auth-failure", "Too many wrong passwords; try again later")


async def _step(stream: ClientStream, data: bytes | None) -> None:
    exchange = stream.exchange
    assert exchange is not None
    try:
        outcome = await exchange.step(data)
    except SaslFailure as problem:
        await _fail(stream, problem)
        return
    if stream.state is State.CLOSED:
        return
    if isinstance(outcome, Challenge):
        text = encode_base64(outcome.data)
        stream.write(f"<challenge xmlns='{ns.SASL}'>{text}</challenge>".encode())
    else:
        await _succeed(stream, outcome, guest=isinstance(exchange, AnonymousExchange))


async def _succeed(stream: ClientStream, success: Success, *, guest: bool) -> None:
    assert stream.served is not None
    account = stream.services.keeper.enter(stream.served.jid, success.identity, guest=guest)
    if account is None:
        await _fail(stream, SaslFailure("not-authorized"))
        return
    if not guest:
        stream.services.throttle.succeeded(stream.address, account.jid.text)
    stream.authenticated(account)
    text = "" if success.data is None else encode_base64(success.data)
    stream.write(f"<success xmlns='{ns.SASL}'>{text}</success>".encode())
    stream.restart()


async def _fail(stream: ClientStream, problem: SaslFailure) -> None:
    """Answer a failure, after a while, and count it."""
    local = stream.exchange.local if stream.exchange is not None else ""
    stream.exchange = None
    stream.failures += 1
    if problem.is_wrong_password and stream.served is not None:
        stream.services.throttle.failed(stream.address, f"{local}@{stream.served.jid.text}")
    if problem.condition != "aborted":
        await deferLater(stream.services.clock, delay_after(stream.failures))  # type: ignore[arg-type]
    if stream.state is State.CLOSED:
        return
    text = f"<text xml:lang='en'>{escape_text(problem.text)}</text>" if problem.text else ""
    stream.write(f"<failure xmlns='{ns.SASL}'><{problem.condition}/>{text}</failure>".encode())
    if stream.failures >= stream.services.failures_per_stream:
        raise StreamError("policy-violation", "Too many failed logins (auth_failures_per_stream)")


SASL = Feature(
    frozenset((State.SECURE,)),
    _offer,
    {(ns.SASL, "auth"): _auth, (ns.SASL, "response"): _response, (ns.SASL, "abort"): _abort},
)
