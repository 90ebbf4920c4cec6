"""In-band registration before authentication, for domains that allow it (XEP-0077)."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.logger import Logger

from xmppd.core import ns, replies
from xmppd.core.errors import StanzaError
from xmppd.core.stanza import Stanza
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.xml import tree

__all__ = ["REGISTRATION"]

_log = Logger()


def _offer(stream: ClientStream) -> bytes:
    if stream.served is None or stream.served.registrar is None:
        return b""
    return f"<register xmlns='{ns.REGISTER_FEATURE}'/>".encode()


def _wants(stanza: Stanza) -> bool:
    return stanza.kind == "iq" and stanza.has(ns.REGISTER, "query") and stanza.type in ("get", "set")


def _take(stream: ClientStream, stanza: Stanza) -> Awaitable[None]:
    stanza.attrs.pop("from", None)
    stanza.attrs.pop("to", None)
    return _answer(stream, stanza)


async def _answer(stream: ClientStream, stanza: Stanza) -> None:
    try:
        answer = await _register(stream, stanza)
    except StanzaError as problem:
        answer = replies.error(stanza, problem)
    except Exception:
        _log.failure("{stream}: a registration failed", stream=stream)
        answer = replies.error(stanza, StanzaError("internal-server-error"))
    if stream.state is not State.CLOSED:
        stream.write(answer.wire)


async def _register(stream: ClientStream, stanza: Stanza) -> Stanza:
    served = stream.served
    if served is None or served.registrar is None:
        raise StanzaError("service-unavailable", "This server gives no accounts to strangers")
    if not stanza.id or len(stanza.children) != 1:
        raise StanzaError("bad-request", "An iq needs an id and exactly one child")
    stream.deadline.allow(stream.services.timeouts.registration, "registration_timeout")
    if stanza.type == "get":
        return replies.result(stanza, ns.REGISTER, "query", served.registrar.registration_form())
    payload = tree.child(stanza, ns.REGISTER, "query")
    assert payload is not None
    await served.registrar.register(payload, stream.address)
    return replies.result(stanza)


REGISTRATION = Feature(frozenset((State.SECURE,)), _offer, {}, _wants, _take)
