"""The nonzas of client state (XEP-0352)."""

from __future__ import annotations

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.module import Xep
from xmppd.stream import csi
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.stream.session import ClientSession
from xmppd.xml.parser import Nonza

__all__ = ["CSI"]


def _offer(_: ClientStream) -> bytes:
    return f"<csi xmlns='{ns.CSI}'/>".encode()


def _inactive(stream: ClientStream, _: Nonza) -> None:
    csi.deactivate(_session(stream), stream.services.csi_queue)


def _active(stream: ClientStream, _: Nonza) -> None:
    csi.activate(_session(stream))


def _session(stream: ClientStream) -> ClientSession:
    if stream.session is None:
        raise StreamError("policy-violation", "Bind a resource first")
    return stream.session


CSI = Feature(
    frozenset((State.AUTHENTICATED, State.BOUND)),
    _offer,
    {(ns.CSI, "active"): _active, (ns.CSI, "inactive"): _inactive},
    xeps=(Xep("0352", "1.0.0", "Client State Indication"),),
)
