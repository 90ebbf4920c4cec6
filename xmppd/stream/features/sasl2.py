"""Authentication with SASL2 (XEP-0388): one request for login, resumption, binding and what goes with it.

There is no new stream after it: what follows ``<authenticate/>`` on the wire belongs to the session already.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable
from contextlib import suppress

from xmppd.auth import fast as tokens
from xmppd.auth import mechanisms
from xmppd.auth.sasl import Exchange, SaslFailure, Success, decode_base64
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.errors import StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.module import Xep
from xmppd.core.stanza import escape_text
from xmppd.stream import login
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature, bind2, fast
from xmppd.stream.features.sasl2_request import Request, text_of
from xmppd.stream.features.sm import resume
from xmppd.stream.login import Login, Profile, admit, the_offer
from xmppd.xml.parser import Nonza

__all__ = ["SASL2"]


def _offer(stream: ClientStream) -> bytes:
    names = "".join(f"<mechanism>{name}</mechanism>" for name in the_offer(stream).mechanisms)
    if not names:
        return b""
    inline = bind2.offer_inline(stream) + f"<sm xmlns='{ns.SM}'/>".encode() + fast.offer_inline(stream)
    return b"<authentication xmlns='%b'>%b<inline>%b</inline></authentication>" % (
        ns.SASL2.encode(),
        names.encode(),
        inline,
    )


# -- elements


def _authenticate(stream: ClientStream, nonza: Nonza) -> Awaitable[None]:
    if stream.login is not None:
        # While one exchange is under way nothing but its answers may come (section 2.4).
        raise StreamError("policy-violation", "One login at a time")

    def start() -> tuple[Exchange, bytes | None, Request]:
        request = Request.read(nonza.element())
        exchange = _start(stream, request)
        response = request.child(ns.SASL2, "initial-response")
        return exchange, None if response is None else decode_base64(text_of(response)), request

    return login.begin(stream, _PROFILE, start)


def _start(stream: ClientStream, request: Request) -> Exchange:
    if request.mechanism in tokens.MECHANISMS:
        return fast.start(stream, request)
    assert stream.served is not None
    return mechanisms.start(
        request.mechanism,
        the_offer(stream),
        stream.served.directory,
        admit=lambda local: admit(stream, local),
    )


def _response(stream: ClientStream, nonza: Nonza) -> Awaitable[None]:
    return login.respond(stream, text_of(nonza.element()))


def _abort(stream: ClientStream, _: Nonza) -> Awaitable[None]:
    return login.abort(stream)


def _base64(data: bytes) -> str:
    # An empty element stands for no bytes here (section 2.2).
    return base64.b64encode(data).decode()


def _challenge(data: bytes) -> bytes:
    return f"<challenge xmlns='{ns.SASL2}'>{_base64(data)}</challenge>".encode()


def _failure(problem: SaslFailure) -> bytes:
    text = f"<text>{escape_text(problem.text)}</text>" if problem.text else ""
    condition = f"<{problem.condition} xmlns='{ns.SASL}'/>"
    return f"<failure xmlns='{ns.SASL2}'>{condition}{text}</failure>".encode()


# -- success


async def _succeed(stream: ClientStream, under_way: Login, success: Success, account: Account) -> None:
    """Do what the client asked for, and answer all of it at once (section 2.6.1)."""
    request: Request = under_way.request
    _check_claim(stream, account)
    token = await fast.give_token(stream, under_way, account)
    if stream.state is State.CLOSED:
        return
    stream.authenticated(account)

    def answer(jid: JID, results: bytes) -> bytes:
        data = "" if success.data is None else f"<additional-data>{_base64(success.data)}</additional-data>"
        who = f"<authorization-identifier>{escape_text(jid.text)}</authorization-identifier>"
        return b"<success xmlns='%b'>%b%b%b</success>" % (
            ns.SASL2.encode(),
            (data + who).encode(),
            fast.token_element(token),
            results,
        )

    failed = b""
    resumption = request.child(ns.SM, "resume")
    if resumption is not None:
        # No features follow a resumption: the stream goes on where it was (XEP-0198, section 9.2).
        failed = await resume(
            stream, ns.SM, resumption.attributes, lambda session, resumed: answer(session.jid, resumed)
        )
    if stream.state is not State.AUTHENTICATED:
        return
    if not await bind2.bind(stream, request, lambda jid, bound: answer(jid, failed + bound)):
        stream.write(answer(account.jid, failed) + stream.offered())


def _check_claim(stream: ClientStream, account: Account) -> None:
    """Whoever says in the stream header who it is must be that (section 2.3)."""
    if stream.claimed is None or account.is_guest:
        return
    with suppress(InvalidJID):
        if JID.parse(stream.claimed).bare == account.jid:
            return
    raise SaslFailure("invalid-authzid", "The stream was opened by somebody else")


_PROFILE = Profile(ns.SASL2, _challenge, _failure, _succeed)

SASL2 = Feature(
    frozenset((State.SECURE,)),
    _offer,
    {
        (ns.SASL2, "authenticate"): _authenticate,
        (ns.SASL2, "response"): _response,
        (ns.SASL2, "abort"): _abort,
    },
    xeps=(
        Xep("0386", "1.1.0", "Bind 2"),
        Xep("0388", "1.0.4", "Extensible SASL Profile"),
        Xep("0484", "0.2.0", "Fast Authentication Streamlining Tokens"),
    ),
)
