"""Times on the wire (XEP-0082) and the mark of late delivery (XEP-0203)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza

__all__ = ["delay_element", "delayed", "parse_stamp", "stamp"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def _up_to_seconds(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def stamp(microseconds: int) -> str:
    """A time as XEP-0082 writes it, in UTC.

    :param microseconds: since 1970.
    """
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_up_to_seconds(seconds)}.{rest:06d}Z"


def parse_stamp(text: str) -> int:
    """Microseconds since 1970 of a DateTime of XEP-0082.

    :raises ValueError: if it is none; a zone is required.
    """
    if len(text) > 40 or "T" not in text or not text.isascii():
        raise ValueError("not a DateTime")
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a DateTime needs a zone")
    return (time - _EPOCH) // timedelta(microseconds=1)


def delay_element(microseconds: int, by: JID | None = None) -> bytes:
    """The ``<delay/>`` that says when something was first sent, and who kept it."""
    keeper = f" from='{by.xml}'" if by is not None else ""
    return f"<delay xmlns='{ns.DELAY}'{keeper} stamp='{stamp(microseconds)}'/>".encode()


def delayed(stanza: Stanza, at: float, by: JID | None = None) -> Stanza:
    """The stanza with the time of its sending, unless it is an iq or has one.

    :param at: seconds since 1970.
    """
    if stanza.kind == "iq" or stanza.has(ns.DELAY, "delay"):
        return stanza
    return stanza.adding(ns.DELAY, "delay", delay_element(int(at * 1_000_000), by))
