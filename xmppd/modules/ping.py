"""XMPP Ping (XEP-0199)."""

from __future__ import annotations

from xmppd.core import ns
from xmppd.core.errors import StanzaError
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq

__all__ = ["Ping"]


class Ping(Module):
    """Answers pings, for an account only to its own user: others would learn which accounts exist."""

    name = "ping"
    xeps = (Xep("0199", "2.0.1", "XMPP Ping"),)
    features = (ns.PING,)
    account_features = (ns.PING,)

    @iq("get", ns.PING, "ping")
    def ping(self, request: IqRequest) -> Payload:
        """An empty result."""
        if request.account is not None and not request.is_own:
            raise StanzaError("service-unavailable")
        return None
