"""FAST (XEP-0484): a client that has logged in gets a token, and logs in with it the next time.

What comes in TLS early data could be replayed.  It is never accepted: OpenSSL refuses it unless a context
allows it, and those of `xmppd.stream.tls` do not.  So ``tls-0rtt`` is not offered, and ``count`` has no use.
"""

from __future__ import annotations

from xmppd.auth.accounts import temporary_failures
from xmppd.auth.fast import MECHANISMS, NewToken, TokenExchange, Wanted, next_token, usable
from xmppd.auth.sasl import Exchange, SaslFailure
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.stream.c2s import ClientStream
from xmppd.stream.features.sasl2_request import Request
from xmppd.stream.login import Login, admit, available_bindings, check_password_age
from xmppd.xml.delay import stamp

__all__ = ["give_token", "offer_inline", "start", "token_element"]


def offer_inline(stream: ClientStream) -> bytes:
    """The element inside SASL2's ``<inline/>``."""
    if stream.served is None or stream.served.tokens is None:
        return b""
    names = "".join(f"<mechanism>{name}</mechanism>" for name in usable(available_bindings(stream)))
    return f"<fast xmlns='{ns.FAST}'>{names}</fast>".encode()


def start(stream: ClientStream, request: Request) -> Exchange:
    """Begin an exchange with a token.

    :raises SaslFailure: ``invalid-mechanism`` if it was not offered, ``malformed-request``.
    """
    served, mechanism = stream.served, request.mechanism
    bindings = available_bindings(stream)
    if served is None or served.tokens is None or mechanism not in usable(bindings):
        raise SaslFailure("invalid-mechanism", "It was not offered")
    if request.child(ns.FAST, "fast") is None or not request.client:
        raise SaslFailure("malformed-request", "A token needs <fast/> and the id of a <user-agent/>")
    return TokenExchange(
        served.directory,
        served.tokens,
        mechanism,
        request.client,
        binding=bindings.get(MECHANISMS[mechanism], b""),
        now=stream.services.now(),
        admit=lambda local: admit(stream, local),
    )


async def give_token(stream: ClientStream, login: Login, account: Account) -> NewToken | None:
    """Do what is to be done with tokens before a login is answered.

    :returns: a new token for the client, durable already.
    :raises SaslFailure: ``temporary-auth-failure`` if the store fails, ``credentials-expired``.
    """
    assert stream.served is not None
    tokens, request, exchange = stream.served.tokens, login.request, login.exchange
    if tokens is None or account.id is None or not request.client:
        return None
    used = exchange.token if isinstance(exchange, TokenExchange) else None
    wanted = Wanted(_wanted_mechanism(stream, request), used is not None and _invalidates(request))
    new = next_token(wanted, used, stream.services.now())
    first_use = used if used is not None and not used.used else None
    if new is None and first_use is None and not wanted.invalidate:
        return None
    added = None if new is None else new.kept
    with temporary_failures():
        await tokens.change(
            account.id, request.client, used=first_use, revoked=wanted.invalidate, added=added
        )
        try:
            check_password_age(login, account)
        except SaslFailure:
            # A new password has revoked all tokens, perhaps before this one was there.
            await tokens.change(account.id, request.client, used=None, revoked=True, added=None)
            raise
    return new


def _wanted_mechanism(stream: ClientStream, request: Request) -> str | None:
    wanted = request.child(ns.FAST, "request-token")
    name = "" if wanted is None else wanted.attributes.get("mechanism", "")
    return name if name in usable(available_bindings(stream)) else None


def _invalidates(request: Request) -> bool:
    element = request.child(ns.FAST, "fast")
    return element is not None and element.attributes.get("invalidate") in ("true", "1")


def token_element(token: NewToken | None) -> bytes:
    """What a client gets in ``<success/>``."""
    if token is None:
        return b""
    expiry = stamp(token.kept.expires * 1_000_000)
    return f"<token xmlns='{ns.FAST}' expiry='{expiry}' token='{token.text}'/>".encode()
