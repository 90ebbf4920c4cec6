"""Who listens: what streams negotiate, and a stream for every connection that may come in."""

from __future__ import annotations

from typing import Final

from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from xmppd.auth.throttle import address_key
from xmppd.core.counters import hits
from xmppd.stream.admission import TurnedAway
from xmppd.stream.c2s import ClientStream
from xmppd.stream.features import Feature
from xmppd.stream.features.bind import BIND, INFORMATION, LIMITS
from xmppd.stream.features.csi import CSI
from xmppd.stream.features.goodbye import GOODBYE
from xmppd.stream.features.registration import REGISTRATION
from xmppd.stream.features.sasl import SASL
from xmppd.stream.features.sasl2 import SASL2
from xmppd.stream.features.sm import SM
from xmppd.stream.features.starttls import STARTTLS
from xmppd.stream.services import Services

__all__ = ["FEATURES", "StreamFactory"]

_log = Logger()

#: What a stream negotiates, in the order in which it is offered (XEP-0170).
FEATURES: Final[tuple[Feature, ...]] = (
    STARTTLS,
    SASL2,
    SASL,
    REGISTRATION,
    BIND,
    LIMITS,
    INFORMATION,
    SM,
    CSI,
    GOODBYE,
)


class StreamFactory(Factory):
    """Makes a stream for every connection that may come in.

    :param direct: whether the connections begin with TLS.
    """

    noisy = False

    def __init__(self, services: Services, *, direct: bool) -> None:
        self._services, self._direct = services, direct

    def buildProtocol(self, addr: object) -> Protocol | None:
        """A stream for a new connection; whom only TLS could tell why not is closed without a word."""
        host = getattr(addr, "host", "")
        problem = self._services.admission.refusal(address_key(host) if host else "")
        if problem is None:
            return ClientStream(self._services, FEATURES, direct=self._direct)
        hits.told(problem.text)
        if self._services.lines.allows(host):
            _log.info("{host} turned away: {problem}", host=host, problem=problem)
        return None if self._direct else TurnedAway(problem, self._services.keeper.hostname())
