"""STARTTLS, which comes before anything else (RFC 6120, section 5)."""

from __future__ import annotations

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.module import Xep
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.xml.parser import Nonza

__all__ = ["STARTTLS"]


def _offer(_: ClientStream) -> bytes:
    return f"<starttls xmlns='{ns.TLS}'><required/></starttls>".encode()


def _start(stream: ClientStream, _: Nonza) -> None:
    if stream.state is not State.PLAIN or stream.served is None:
        raise StreamError("policy-violation", "TLS is there already")
    stream.start_tls()


STARTTLS = Feature(
    frozenset((State.PLAIN,)),
    _offer,
    {(ns.TLS, "starttls"): _start},
    # The same without asking is a listener of its own.
    xeps=(Xep("0368", "1.1.0", "SRV records for XMPP over TLS"),),
)
