"""SASL ANONYMOUS for guests (RFC 4505, XEP-0175)."""

from __future__ import annotations

import uuid

from xmppd.auth.sasl import Success


def guest_local() -> str:
    """Make the local part of a guest: a random UUID, which nobody can guess (XEP-0175 section 3)."""
    return str(uuid.uuid4())


class AnonymousExchange:
    """ANONYMOUS as an exchange that a stream can drive (:class:`~xmppd.auth.sasl.Exchange`)."""

    def __init__(self) -> None:
        self.local = ""

    async def step(self, data: bytes | None) -> Success:
        """See :meth:`xmppd.auth.sasl.Exchange.step`; the trace information in ``data`` is not looked at."""
        del data
        self.local = guest_local()
        return Success(None, self.local)
