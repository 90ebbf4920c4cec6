"""A client logs in, whichever elements carry it: SASL (RFC 6120, section 6) or SASL2 (XEP-0388).

Here is what they share: the exchange, what a failure costs, and when a stream has had enough of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from xmppd.auth import mechanisms
from xmppd.auth.anonymous import AnonymousExchange
from xmppd.auth.channel_binding import bindings
from xmppd.auth.offer import Offer
from xmppd.auth.sasl import Challenge, Exchange, SaslFailure, Success, decode_base64
from xmppd.auth.throttle import delay_after
from xmppd.core.account import Account
from xmppd.core.counters import hits
from xmppd.core.errors import StreamError
from xmppd.core.pauses import pause
from xmppd.stream.c2s import ClientStream, State

__all__ = [
    "Login",
    "Profile",
    "abort",
    "admit",
    "available_bindings",
    "begin",
    "check_password_age",
    "respond",
    "the_offer",
]

_log = Logger()


@dataclass(frozen=True)
class Profile:
    """In which elements SASL is carried.

    :ivar namespace: of those elements.
    :ivar challenge: a challenge of the server.
    :ivar failure: the end without success.
    :ivar succeed: what follows on success; it raises `SaslFailure` if that cannot be.
    """

    namespace: str
    challenge: Callable[[bytes], bytes]
    failure: Callable[[SaslFailure], bytes]
    succeed: Callable[[ClientStream, Login, Success, Account], Awaitable[None]]


@dataclass(frozen=True)
class Login:
    """One exchange that is under way.

    :ivar request: what the client wants beside, as the profile keeps it.
    :ivar began: when, by the reactor's clock.
    """

    profile: Profile
    exchange: Exchange
    request: Any
    began: float


# -- what is offered


def available_bindings(stream: ClientStream) -> dict[str, bytes]:
    """The channel-binding data of the stream's connection, by type, made once."""
    if stream.bindings is None:
        connection = stream.tls_connection()
        stream.bindings = bindings(connection) if connection is not None else {}
    return stream.bindings


def the_offer(stream: ClientStream) -> Offer:
    """What this stream advertises, made once: XEP-0474 hashes it.

    Both profiles advertise the same mechanisms, so it is the offer of either.
    """
    if stream.offer is None:
        assert stream.served is not None
        found = available_bindings(stream)
        stream.offer = mechanisms.make_offer(tls=True, bindings=found, enabled=stream.served.mechanisms)
    return stream.offer


def admit(stream: ClientStream, local: str) -> None:
    """Let somebody try to log in.

    :raises SaslFailure: ``temporary-auth-failure`` after too many wrong passwords.
    """
    assert stream.served is not None
    name = f"{local}@{stream.served.jid.text}"
    throttle = stream.services.throttle
    if throttle.wait(stream.address, name) > 0:
        limit = throttle.refused_by(stream.address, name)
        hits.hit(limit)
        raise SaslFailure("temporary-auth-failure", f"Too many wrong passwords; try again later ({limit})")


# -- the exchange


async def begin(
    stream: ClientStream, profile: Profile, start: Callable[[], tuple[Exchange, bytes | None, Any]]
) -> None:
    """Begin an exchange.

    :param start: makes it, and gives the initial response and the rest of the request; it may raise
        `SaslFailure`.
    """
    if stream.state is State.PLAIN:
        await _fail(stream, profile, SaslFailure("encryption-required", "Use STARTTLS first"))
        return
    if stream.state is not State.SECURE or stream.served is None:
        raise StreamError("policy-violation", "You are logged in already")
    if stream.login is not None:
        await _fail(stream, profile, SaslFailure("malformed-request", "One exchange at a time"))
        return
    try:
        exchange, data, request = start()
    except SaslFailure as problem:
        await _fail(stream, profile, problem)
        return
    stream.login = Login(profile, exchange, request, stream.services.clock.seconds())
    await _step(stream, stream.login, data)


async def respond(stream: ClientStream, text: str) -> None:
    """The client answers a challenge, in base64."""
    login = _under_way(stream)
    try:
        data = decode_base64(text)
    except SaslFailure as problem:
        await _fail(stream, login.profile, problem)
        return
    await _step(stream, login, data)


async def abort(stream: ClientStream) -> None:
    """The client gives up."""
    await _fail(stream, _under_way(stream).profile, SaslFailure("aborted"))


def _under_way(stream: ClientStream) -> Login:
    if stream.login is None:
        raise StreamError("not-authorized", "There is no authentication under way")
    return stream.login


async def _step(stream: ClientStream, login: Login, data: bytes | None) -> None:
    try:
        outcome = await login.exchange.step(data)
        if stream.state is State.CLOSED:
            return
        if isinstance(outcome, Challenge):
            stream.write(login.profile.challenge(outcome.data))
        else:
            await _succeed(stream, login, outcome)
    except SaslFailure as problem:
        await _fail(stream, login.profile, problem)


async def _succeed(stream: ClientStream, login: Login, success: Success) -> None:
    assert stream.served is not None
    guest = isinstance(login.exchange, AnonymousExchange)
    account = stream.services.keeper.enter(stream.served.jid, success.identity, guest=guest)
    if account is None:
        raise SaslFailure("not-authorized")
    check_password_age(login, account)
    if not guest:
        stream.services.throttle.succeeded(stream.address, account.jid.text)
    await login.profile.succeed(stream, login, success, account)


def check_password_age(login: Login, account: Account) -> None:
    """Whoever has kept an exchange open until the password was changed may know the old one only.

    :raises SaslFailure: ``credentials-expired``.
    """
    if account.password_set_at > login.began:
        raise SaslFailure("credentials-expired", "The password was changed meanwhile")


async def _fail(stream: ClientStream, profile: Profile, problem: SaslFailure) -> None:
    """Answer a failure, after a while, and count it."""
    local = stream.login.exchange.local if stream.login is not None else ""
    stream.login = None
    stream.failures += 1
    _log_failure(stream, local, problem)
    if problem.is_wrong_password and stream.served is not None:
        stream.services.throttle.failed(stream.address, f"{local}@{stream.served.jid.text}")
    if problem.condition != "aborted":
        await pause(stream.services.clock, delay_after(stream.failures))
    if stream.state is State.CLOSED:
        return
    stream.write(profile.failure(problem))
    if stream.failures >= stream.services.failures_per_stream:
        raise StreamError("policy-violation", "Too many failed logins (auth_failures_per_stream)")


def _log_failure(stream: ClientStream, local: str, problem: SaslFailure) -> None:
    """Tell the operator; but no name that no account has: it may be a password in the wrong place."""
    if problem.condition == "aborted" or not stream.may_log():
        return
    if problem.condition == "temporary-auth-failure" and problem.__cause__ is not None:
        _log.failure("{stream}: a login could not be checked", Failure(problem.__cause__), stream=stream)
        return
    account = None
    if local and stream.served is not None:
        account = stream.services.keeper.enter(stream.served.jid, local, guest=False)
    who = "" if account is None else f" as {account.jid}"
    _log.info("{stream}: login{who} failed: {problem}", stream=stream, who=who, problem=problem)
