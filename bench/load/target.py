"""The server under load, as its clients see it."""

from __future__ import annotations

import asyncio
import hashlib
import ssl

__all__ = ["Target", "XmppError"]


class XmppError(Exception):
    """The server refused a step, dropped a connection, or did not do what a scenario needs."""


def _tls_context() -> ssl.SSLContext:
    """A client's context that verifies nothing: the certificates are self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Target:
    """An address, and accounts user0, user1, ... of one password.

    :param mechanism: ``SCRAM-SHA-1`` or ``PLAIN``.
    :ivar failure: fails when a connection is lost that nobody closed.
    """

    def __init__(self, host: str, port: int, domain: str, password: str, mechanism: str) -> None:
        self.host, self.port, self.domain = host, port, domain
        self.password, self.mechanism = password, mechanism
        self.tls = _tls_context()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._salted: dict[tuple[bytes, int], bytes] = {}

    def jid(self, index: int) -> str:
        """The bare JID of an account."""
        return f"user{index}@{self.domain}"

    def salted_password(self, salt: bytes, iterations: int) -> bytes:
        """Derive it once, as clients do that keep it (RFC 5802, section 5.1)."""
        key = salt, iterations
        if key not in self._salted:
            self._salted[key] = hashlib.pbkdf2_hmac("sha1", self.password.encode(), salt, iterations)
        return self._salted[key]

    def fail(self, error: Exception) -> None:
        """End the scenario: the first error counts."""
        if not self.failure.done():
            self.failure.set_exception(error)
