"""A stream error of the client: it has ended the stream, and is not answered with another one."""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.errors import STREAM_CONDITIONS
from xmppd.stream.c2s import ClientStream
from xmppd.stream.features import Feature
from xmppd.xml.parser import Nonza

__all__ = ["GOODBYE"]

_log: Final = Logger()


def _error(stream: ClientStream, nonza: Nonza) -> None:
    """End the stream (RFC 6120, section 4.9.1.1), and note what the client found wrong."""
    if stream.may_log():
        names = [part.name for part in nonza.element().elements() if part.name in STREAM_CONDITIONS]
        condition = names[0] if names else "for no known reason"
        _log.info("{stream}: the client ends it: {condition}", stream=stream, condition=condition)
    stream.end(None)


GOODBYE: Final = Feature(nonzas={(ns.STREAMS, "error"): _error})
