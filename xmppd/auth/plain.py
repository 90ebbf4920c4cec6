"""SASL PLAIN (RFC 4616)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from xmppd.auth.accounts import Directory
from xmppd.auth.sasl import Challenge, SaslFailure, Success, decode_utf8, prepare_identity


@dataclass(frozen=True, slots=True)
class PlainMessage:
    """What a client says of itself; nothing is normalised yet."""

    authzid: str
    authcid: str
    password: str = field(repr=False)


def parse_plain(message: bytes) -> PlainMessage:
    """Take the message apart.

    :raises SaslFailure: with ``malformed-request``.
    """
    parts = decode_utf8(message).split("\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise SaslFailure("malformed-request", "authzid, authcid and password expected")
    return PlainMessage(*parts)


class PlainExchange:
    """PLAIN as an exchange that a stream can drive (:class:`~xmppd.auth.sasl.Exchange`).

    :param admit: called with the local part before anything is looked up; may raise SaslFailure.
    """

    def __init__(self, directory: Directory, admit: Callable[[str], None]) -> None:
        self._directory = directory
        self._admit = admit
        self.local = ""

    async def step(self, data: bytes | None) -> Challenge | Success:
        """See :meth:`xmppd.auth.sasl.Exchange.step`."""
        if data is None:
            return Challenge(b"")
        message = parse_plain(data)
        self.local = prepare_identity(message.authcid, message.authzid, self._directory.domain)
        self._admit(self.local)
        if not await self._directory.check_password(self.local, message.password):
            raise SaslFailure("not-authorized")
        await self._directory.require_enabled(self.local)
        return Success(None, self.local)
