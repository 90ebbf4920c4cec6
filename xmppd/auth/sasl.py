"""What all mechanisms share: steps and ends of an exchange, base64 as XMPP has it (RFC 6120 section 6)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final, Protocol

from xmppd.core.jid import JID, InvalidJID, prepare_local

SASL_CONDITIONS: Final = frozenset(
    {
        "aborted",
        "account-disabled",
        "credentials-expired",
        "encryption-required",
        "incorrect-encoding",
        "invalid-authzid",
        "invalid-mechanism",
        "malformed-request",
        "mechanism-too-weak",
        "not-authorized",
        "temporary-auth-failure",
    }
)
"""Conditions of RFC 6120 section 6.5."""


class SaslFailure(Exception):
    """An authentication that failed; the exchange is over.

    :param condition: a name in :data:`SASL_CONDITIONS`.
    :param text: a sentence for people; it goes to the peer, and so it never depends on whether an account
        exists.
    :raises ValueError: for a condition that the RFC does not know, which is a fault of the program.
    """

    def __init__(self, condition: str, text: str = "") -> None:
        if condition not in SASL_CONDITIONS:
            raise ValueError(f"unknown SASL condition {condition!r}")
        super().__init__(condition, text)
        self.condition = condition
        self.text = text

    @property
    def is_wrong_password(self) -> bool:
        """Whether this was a guess, to be counted by the throttle. What is merely malformed is not."""
        return self.condition == "not-authorized"

    def __str__(self) -> str:
        return f"{self.condition}: {self.text}" if self.text else self.condition


@dataclass(frozen=True, slots=True)
class Challenge:
    """The exchange waits for the peer's answer to ``data``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """The peer is who it claims to be.

    ``identity`` is the local part of its account, normalised. ``data`` goes along with the success, None
    where the mechanism has none.
    """

    data: bytes | None
    identity: str


class Exchange(Protocol):
    """One run of one mechanism with one peer."""

    @property
    def local(self) -> str:
        """The local part that the peer wants to be, '' as long as it has not said so."""

    async def step(self, data: bytes | None) -> Challenge | Success:
        """Take what the peer sent, decoded; None where it sent no initial response.

        One call at a time, none after the end.

        :raises SaslFailure: when the exchange is over without success.
        """


def decode_base64(text: str) -> bytes:
    """Decode the content of an element of SASL; '=' and '' both stand for no bytes.

    :raises SaslFailure: with ``incorrect-encoding`` for anything but canonical base64 (RFC 6120 section
        6.4.2 and RFC 4648 section 4: no white space, no foreign characters, padding bits zero).
    """
    if text in ("", "="):
        return b""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise SaslFailure("incorrect-encoding", "not base64") from error
    if base64.b64encode(data).decode() != text:
        raise SaslFailure("incorrect-encoding", "not canonical base64")
    return data


def encode_base64(data: bytes) -> str:
    """Encode data for an element of SASL; no bytes are '=' (RFC 6120 section 6.4.2)."""
    return base64.b64encode(data).decode() or "="


def initial_response(text: str) -> bytes | None:
    """Decode an initial response; an empty element has none (RFC 6120 section 6.4.2)."""
    return decode_base64(text) if text else None


def decode_utf8(message: bytes) -> str:
    """Decode a message of a mechanism.

    :raises SaslFailure: with ``malformed-request`` if it is not UTF-8.
    """
    try:
        return message.decode()
    except UnicodeDecodeError as error:
        raise SaslFailure("malformed-request", "not UTF-8") from error


def prepare_identity(authcid: str, authzid: str, domain: str) -> str:
    """Settle who a peer wants to be: the normalised local part of its authentication identity.

    :param authcid: a local part (RFC 6120 section 6.3.7).
    :param authzid: '' or the same account's bare JID: nobody acts for somebody else (section 6.3.8).
    :param domain: the served domain, normalised.
    :raises SaslFailure: ``not-authorized`` if no account can have this name, ``invalid-authzid``.
    """
    try:
        local = prepare_local(authcid)
    except InvalidJID as error:
        raise SaslFailure("not-authorized") from error
    if authzid and not _is_bare_jid_of(authzid, local, domain):
        raise SaslFailure("invalid-authzid", "Nobody can act for somebody else here")
    return local


def _is_bare_jid_of(authzid: str, local: str, domain: str) -> bool:
    try:
        return JID.parse(authzid).text == f"{local}@{domain}"
    except InvalidJID:
        return False
