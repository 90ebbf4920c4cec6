"""Why a place cannot be listened at, in words for operators."""

import errno
from collections.abc import Mapping
from typing import Final

from xmppd.config.model import Endpoint


def explain_listen_error(error: BaseException, endpoint: Endpoint) -> str:
    """Say in one line why a place cannot be listened at, and what to do.

    :param error: the ``CannotListenError`` of Twisted, or the ``OSError`` itself.
    """
    cause = getattr(error, "socketError", error)
    number = cause.errno if isinstance(cause, OSError) else None
    why, remedy = _LISTEN_ERRORS.get(number or 0, (str(cause), "check [listen] in the configuration"))
    key = "listen.c2s_direct_tls" if endpoint.direct_tls else "listen.c2s"
    return f"{key}: cannot listen on {endpoint.shown}: {why}; {remedy}"


_LISTEN_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    errno.EADDRINUSE: (
        "another program has the port",
        "stop it (`ss -ltnp` names it) or set another port",
    ),
    errno.EACCES: ("not permitted", "take a port above 1023, or let the service bind to it"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "correct listen.interfaces (`ip address`)"),
    errno.EAFNOSUPPORT: ("this machine has no IPv6", 'set listen.interfaces = ["0.0.0.0"]'),
}
