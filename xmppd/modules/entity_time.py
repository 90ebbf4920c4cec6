"""Entity time (XEP-0202)."""

from __future__ import annotations

from time import gmtime, localtime, strftime

from xmppd.core import ns
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq

__all__ = ["EntityTime", "zone"]


def zone(offset: int) -> str:
    """A time zone as XEP-0082 writes it (section 3.3).

    :param offset: seconds east of UTC.
    """
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


class EntityTime(Module):
    """Tells the time of the server."""

    name = "time"
    xeps = (Xep("0202", "2.0", "Entity Time"),)
    features = (ns.TIME,)

    @iq("get", ns.TIME, "time", "domain")
    def time(self, request: IqRequest) -> Payload:
        """The time in whole seconds, and the server's time zone."""
        now = self.context.now()
        tzo, utc = zone(localtime(now).tm_gmtoff), strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(now))
        return ns.TIME, "time", f"<time xmlns='{ns.TIME}'><tzo>{tzo}</tzo><utc>{utc}</utc></time>".encode()
