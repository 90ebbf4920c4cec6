"""SCRAM, the server's side, without and with channel binding (RFC 5802, RFC 7677, XEP-0474)."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable

from xmppd.auth.accounts import Directory
from xmppd.auth.offer import Offer
from xmppd.auth.passwords import DIGEST_SIZES, Credential, digest, fake_credential, keyed_digest
from xmppd.auth.sasl import Challenge, SaslFailure, Success, prepare_identity
from xmppd.auth.scram_messages import ClientFinal, ClientFirst, parse_client_final, parse_client_first


class ScramServer:
    """One exchange as a state machine: :meth:`first`, :meth:`challenge`, :meth:`final`, each once.

    It cannot be told from outside whether an account exists: without one the same work is done with keys that
    fit no password, and the failure is the same.

    :param hash_name: a key of :data:`~xmppd.auth.passwords.DIGEST_SIZES`.
    :param plus: whether this is the -PLUS form.
    :param domain: the served domain, normalised.
    :param secret: makes the salts of accounts that do not exist.
    :param offer: what this stream advertised; empty where SCRAM is used without negotiation.
    :param nonce: the server's part of the nonce, for tests.
    """

    def __init__(
        self,
        hash_name: str,
        *,
        plus: bool,
        domain: str,
        secret: bytes,
        offer: Offer,
        nonce: str | None = None,
    ) -> None:
        self._hash_name = hash_name
        self._plus = plus
        self._domain = domain
        self._secret = secret
        self._offer = offer
        self._server_nonce = secrets.token_urlsafe(24) if nonce is None else nonce
        self._client_first: ClientFirst | None = None
        self._local = ""
        self._nonce = ""
        self._server_first = ""
        self._exists = False
        self._credential: Credential | None = None

    def first(self, message: bytes) -> str:
        """Take the client's first message and give the local part of the account that it names.

        :raises SaslFailure: for a message or a channel binding that cannot be accepted.
        """
        client_first = parse_client_first(message)
        self._check_flag(client_first)
        self._local = prepare_identity(client_first.username, client_first.authzid, self._domain)
        self._nonce = client_first.nonce + self._server_nonce
        self._client_first = client_first
        return self._local

    def challenge(self, credential: Credential | None) -> bytes:
        """Give the server's first message.

        :param credential: the keys of the account that :meth:`first` named, None if there is none.
        :raises ValueError: if they belong to another hash function.
        """
        fake = fake_credential(self._secret, self._domain, self._local, self._hash_name)
        self._exists = credential is not None
        keys = credential or fake
        if keys.hash_name != self._hash_name:
            raise ValueError(f"keys for {keys.hash_name} in an exchange of {self._hash_name}")
        salt = base64.b64encode(keys.salt).decode()
        self._credential = keys
        self._server_first = f"r={self._nonce},s={salt},i={keys.iterations}{self._protection()}"
        return self._server_first.encode()

    def final(self, message: bytes) -> bytes:
        """Take the client's last message and give the server's, by which the client knows the server.

        :raises SaslFailure: ``not-authorized`` for a wrong password, nonce or channel binding, or if there is
            no such account.
        """
        client_first, keys = self._client_first, self._credential
        if client_first is None or keys is None:
            raise SaslFailure("malformed-request", "message out of order")
        self._credential = None
        final = parse_client_final(message)
        if len(final.proof) != DIGEST_SIZES[self._hash_name]:
            raise SaslFailure("malformed-request", "bad proof")
        auth_message = f"{client_first.bare},{self._server_first},{final.without_proof}".encode()
        signature = keyed_digest(self._hash_name, keys.server_key, auth_message)
        proven = self._is_proven(final.proof, keys, auth_message)
        if not (proven and self._exists and self._fits(client_first, final)):
            raise SaslFailure("not-authorized")
        return b"v=" + base64.b64encode(signature)

    def _protection(self) -> str:
        """Give the attribute that protects what was advertised (XEP-0474); without an offer there is none."""
        return f",h={self._offer.downgrade_hash(self._hash_name)}" if self._offer.mechanisms else ""

    def _check_flag(self, first: ClientFirst) -> None:
        """Check what the client says about channel binding (RFC 5802 section 6)."""
        if first.flag == "y" and self._offer.has_plus:
            raise SaslFailure("not-authorized", "channel binding was offered, and did not arrive")
        if (first.flag == "p") != self._plus:
            raise SaslFailure("malformed-request", "the mechanism and the GS2 header disagree")
        if self._plus and first.binding not in self._offer.bindings:
            raise SaslFailure("malformed-request", "channel-binding type not offered")

    def _is_proven(self, proof: bytes, keys: Credential, auth_message: bytes) -> bool:
        signature = keyed_digest(self._hash_name, keys.stored_key, auth_message)
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        return hmac.compare_digest(digest(self._hash_name, client_key), keys.stored_key)

    def _fits(self, first: ClientFirst, final: ClientFinal) -> bool:
        """Compare what the client's last message repeats: nonce, GS2 header and channel binding."""
        data = self._offer.bindings[first.binding] if self._plus else b""
        expected = base64.b64encode(first.gs2_header.encode() + data)
        same_binding = hmac.compare_digest(expected, final.channel_binding.encode())
        return hmac.compare_digest(self._nonce.encode(), final.nonce.encode()) and same_binding


class ScramExchange:
    """SCRAM as an exchange that a stream can drive (:class:`~xmppd.auth.sasl.Exchange`).

    :param admit: called with the local part before anything is looked up; may raise SaslFailure.
    """

    def __init__(
        self,
        server: ScramServer,
        hash_name: str,
        directory: Directory,
        admit: Callable[[str], None],
    ) -> None:
        self._server = server
        self._hash_name = hash_name
        self._directory = directory
        self._admit = admit
        self.local = ""

    async def step(self, data: bytes | None) -> Challenge | Success:
        """See :meth:`xmppd.auth.sasl.Exchange.step`."""
        if data is None:
            return Challenge(b"")
        if not self.local:
            return await self._challenge(data)
        signature = self._server.final(data)
        await self._directory.require_enabled(self.local)
        return Success(signature, self.local)

    async def _challenge(self, data: bytes) -> Challenge:
        self.local = self._server.first(data)
        self._admit(self.local)
        credential = await self._directory.credential(self.local, self._hash_name)
        return Challenge(self._server.challenge(credential))
