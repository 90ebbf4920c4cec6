"""Authentication with SASL (RFC 6120, section 6; XEP-0440 for channel-binding types)."""

from __future__ import annotations

from collections.abc import Awaitable

from xmppd.auth import mechanisms
from xmppd.auth.sasl import Exchange, SaslFailure, Success, encode_base64, initial_response
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.module import Xep
from xmppd.core.stanza import escape_text
from xmppd.stream import login
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.stream.login import Login, Profile, admit, the_offer
from xmppd.xml.parser import Nonza

__all__ = ["SASL"]


def _offer(stream: ClientStream) -> bytes:
    offer = the_offer(stream)
    names = "".join(f"<mechanism>{name}</mechanism>" for name in offer.mechanisms)
    text = f"<mechanisms xmlns='{ns.SASL}'>{names}</mechanisms>"
    if offer.bindings:
        types = "".join(f"<channel-binding type='{name}'/>" for name in offer.bindings)
        text += f"<sasl-channel-binding xmlns='{ns.SASL_CHANNEL_BINDING}'>{types}</sasl-channel-binding>"
    return text.encode()


def _text_of(nonza: Nonza) -> str:
    return "".join(part for part in nonza.element().children if isinstance(part, str))


def _auth(stream: ClientStream, nonza: Nonza) -> Awaitable[None]:
    def start() -> tuple[Exchange, bytes | None, None]:
        assert stream.served is not None
        exchange = mechanisms.start(
            nonza.attrs.get("mechanism", ""),
            the_offer(stream),
            stream.served.directory,
            admit=lambda local: admit(stream, local),
        )
        return exchange, initial_response(_text_of(nonza)), None

    return login.begin(stream, _PROFILE, start)


def _response(stream: ClientStream, nonza: Nonza) -> Awaitable[None]:
    return login.respond(stream, _text_of(nonza))


def _abort(stream: ClientStream, _: Nonza) -> Awaitable[None]:
    return login.abort(stream)


def _challenge(data: bytes) -> bytes:
    return f"<challenge xmlns='{ns.SASL}'>{encode_base64(data)}</challenge>".encode()


def _failure(problem: SaslFailure) -> bytes:
    text = f"<text xml:lang='en'>{escape_text(problem.text)}</text>" if problem.text else ""
    return f"<failure xmlns='{ns.SASL}'><{problem.condition}/>{text}</failure>".encode()


async def _succeed(stream: ClientStream, _: Login, success: Success, account: Account) -> None:
    stream.authenticated(account)
    text = "" if success.data is None else encode_base64(success.data)
    stream.write(f"<success xmlns='{ns.SASL}'>{text}</success>".encode())
    stream.restart()


_PROFILE = Profile(ns.SASL, _challenge, _failure, _succeed)

SASL = Feature(
    frozenset((State.SECURE,)),
    _offer,
    {(ns.SASL, "auth"): _auth, (ns.SASL, "response"): _response, (ns.SASL, "abort"): _abort},
    xeps=(
        Xep("RFC 6120", "", "Extensible Messaging and Presence Protocol: Core"),
        Xep("0175", "1.2", "Best Practices for Use of SASL ANONYMOUS"),
        Xep("0440", "1.0.0", "SASL Channel-Binding Type Capability"),
        Xep("0474", "0.5.0", "SASL SCRAM Downgrade Protection"),
    ),
)
