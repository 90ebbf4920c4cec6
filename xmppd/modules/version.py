"""Software version (XEP-0092)."""

from __future__ import annotations

from xmppd import __version__
from xmppd.core import ns
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq

__all__ = ["Version"]

_ANSWER = f"<query xmlns='{ns.VERSION}'><name>xmppd</name><version>{__version__}</version></query>".encode()


class Version(Module):
    """Tells which software serves the domain; not on what system, which is nobody's business."""

    name = "version"
    xeps = (Xep("0092", "1.1", "Software Version"),)
    features = (ns.VERSION,)

    @iq("get", ns.VERSION, "query", "domain")
    def version(self, request: IqRequest) -> Payload:
        """Name and version."""
        return ns.VERSION, "query", _ANSWER
