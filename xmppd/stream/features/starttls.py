"""STARTTLS, which comes before anything else (RFC 6120, section 5)."""

from __future__ import annotations

from typing import Final

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.module import Xep
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.xml.parser import Nonza

__all__ = ["STARTTLS"]


def _offer(_: ClientStream) -> bytes:
    return f"<starttls xmlns='{ns.TLS}'><required/></starttls>".encode()


_FAILURE: Final = f"<failure xmlns='{ns.TLS}'/>".encode()


def _start(stream: ClientStream, _: Nonza) -> None:
    try:
        stream.start_tls()
    except StreamError:
        # What it is, and then why (section 5.4.2.2).
        stream.write(_FAILURE)
        raise


STARTTLS = Feature(
    frozenset((State.PLAIN,)),
    _offer,
    {(ns.TLS, "starttls"): _start},
    # The same without asking is a listener of its own.
    xeps=(Xep("0368", "1.1.0", "SRV records for XMPP over TLS"),),
)
