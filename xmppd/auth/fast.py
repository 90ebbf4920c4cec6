"""Tokens in place of passwords (XEP-0484), and the mechanisms for them (draft-schmaus-kitten-sasl-ht).

The client proves its token with an HMAC over channel-binding data, in its first and only message.  The token
is longer than a block of SHA-256, and so HMAC begins with hashing it (RFC 2104, section 2): the hash is
enough to check the proof, and all that is stored.  It is no better than any other key that an HMAC is
checked with: whoever can read it can make proofs until the token expires.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from xmppd.auth.accounts import Directory, temporary_failures
from xmppd.auth.channel_binding import TLS_EXPORTER, TLS_SERVER_END_POINT
from xmppd.auth.sasl import SaslFailure, Success, decode_utf8, prepare_identity
from xmppd.core.units import DAY
from xmppd.storage.tokens import Token

__all__ = ["MECHANISMS", "NewToken", "TokenExchange", "Tokens", "Wanted", "next_token", "usable"]

MECHANISMS: Final[Mapping[str, str]] = {
    "HT-SHA-256-EXPR": TLS_EXPORTER,
    "HT-SHA-256-ENDP": TLS_SERVER_END_POINT,
    "HT-SHA-256-NONE": "",
}
"""The mechanisms, best first, and the channel-binding type that each needs."""

LIFETIME: Final = 21 * DAY
"""Seconds for which a token is good; a client that stays away for longer needs its password again."""
ROTATE_AFTER: Final = DAY
"""Seconds after which a client that logs in with a token is given another one."""
MOST_CLIENTS: Final = 64
"""Clients of one account that may have tokens."""

_TOKEN_BYTES: Final = 66
_PROOF_BYTES: Final = 32
#: What a client may have: the token in use, and a newer one.
_MOST_TOKENS: Final = 2


class Tokens(Protocol):
    """Where the tokens of a domain are kept."""

    async def find(self, local: str, client: str) -> Sequence[Token]:
        """The tokens of one client of an account: one query, whether there is such an account or not."""
        ...

    async def change(
        self, account: int, client: str, *, used: Token | None, revoked: bool, added: Token | None
    ) -> None:
        """Note that a token was used for the first time, revoke all, add one, in this order; durably."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token for a client."""

    text: str = field(repr=False)
    kept: Token

    @classmethod
    def make(cls, mechanism: str, now: float) -> NewToken:
        """One that nobody can guess.

        :param now: seconds since 1970.
        """
        text = secrets.token_urlsafe(_TOKEN_BYTES)
        key = hashlib.sha256(text.encode()).digest()
        return cls(text, Token(mechanism, key, int(now), int(now + LIFETIME)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks for along with its login.

    :ivar mechanism: what it wants a token for, or None.
    :ivar invalidate: whether the token that it logs in with shall be worth nothing from now on.
    """

    mechanism: str | None = None
    invalidate: bool = False


def usable(bindings: Iterable[str]) -> tuple[str, ...]:
    """The mechanisms that a connection with these channel-binding types can use."""
    there = {"", *bindings}
    return tuple(name for name, needed in MECHANISMS.items() if needed in there)


def next_token(wanted: Wanted, used: Token | None, now: float) -> NewToken | None:
    """A token for a client that has just logged in: it asked for one, or it is time (section 3.5).

    :param used: the token that it logged in with, if it did.
    :param now: seconds since 1970.
    """
    if wanted.mechanism is not None:
        return NewToken.make(wanted.mechanism, now)
    if used is not None and not wanted.invalidate and now - used.issued >= ROTATE_AFTER:
        return NewToken.make(used.mechanism, now)
    return None


class TokenExchange:
    """HT-SHA-256-* as an exchange that a stream can drive (:class:`~xmppd.auth.sasl.Exchange`).

    It cannot be told from outside whether an account, or a token of the client, exists.

    :param mechanism: one of :data:`MECHANISMS`.
    :param client: what the client calls itself (XEP-0388: the id of its user agent).
    :param binding: the data of the connection for the mechanism's channel-binding type.
    :param now: seconds since 1970.
    :param admit: called with the local part before anything is looked up; may raise SaslFailure.
    :ivar token: what the client has logged in with, once it has.
    """

    def __init__(
        self,
        directory: Directory,
        tokens: Tokens,
        mechanism: str,
        client: str,
        *,
        binding: bytes,
        now: float,
        admit: Callable[[str], None],
    ) -> None:
        self._directory, self._tokens = directory, tokens
        self._mechanism, self._client, self._binding = mechanism, client, binding
        self._now, self._admit = now, admit
        self.local = ""
        self.token: Token | None = None

    async def step(self, data: bytes | None) -> Success:
        """See :meth:`xmppd.auth.sasl.Exchange.step`: it is over within one step."""
        if data is None:
            raise SaslFailure("malformed-request", "an initial response is needed")
        name, separator, proof = data.partition(b"\0")
        if not separator or not name or len(proof) != _PROOF_BYTES:
            raise SaslFailure("malformed-request", "name, null character and proof expected")
        self.local = prepare_identity(decode_utf8(name), "", self._directory.domain)
        self._admit(self.local)
        with temporary_failures():
            found = await self._tokens.find(self.local, self._client)
        token = self._proven(found, proof)
        if token is None:
            raise SaslFailure("not-authorized")
        if token.expires <= self._now:
            raise SaslFailure("credentials-expired", "The token has expired; use the password")
        await self._directory.require_enabled(self.local)
        self.token = token
        return Success(self._signature(token.key, b"Responder"), self.local)

    def _proven(self, tokens: Sequence[Token], proof: bytes) -> Token | None:
        """The token that a proof was made with; the work is the same with any number of tokens."""
        fitting = [token for token in tokens if token.mechanism == self._mechanism]
        proven = None
        for token in fitting:
            if self._is_proof(proof, token.key):
                proven = proven or token
        for _ in range(_MOST_TOKENS - len(fitting)):
            self._is_proof(proof, bytes(_PROOF_BYTES))
        return proven

    def _is_proof(self, proof: bytes, key: bytes) -> bool:
        return hmac.compare_digest(self._signature(key, b"Initiator"), proof)

    def _signature(self, key: bytes, who: bytes) -> bytes:
        return hmac.digest(key, who + self._binding, "sha256")
