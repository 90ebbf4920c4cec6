"""The messages that a SCRAM client sends (RFC 5802 section 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from xmppd.auth.sasl import SaslFailure, decode_base64, decode_utf8

MAX_MESSAGE_BYTES: Final = 8192

_GS2_HEADER: Final = re.compile(r"(?:([ny])|p=([A-Za-z0-9.-]{1,64})),(?:a=([^,]*))?,")
_NONCE: Final = re.compile(r"r=([!-+\--~]{1,512})")
# Extensions are ignored (section 5.1), but none may look like an attribute that has a place of its own.
_EXTENSION: Final = re.compile(r"(?![anmrcsipve])[A-Za-z]=[^,]+")
_ESCAPE: Final = re.compile(r"=(2[Cc]|3[Dd])?")


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The client's first message.

    ``gs2_header`` and ``bare`` are its two halves as they came. ``flag`` is 'n', 'y' or 'p', with ``binding``
    the channel-binding type of 'p'. ``authzid`` and ``username`` are unescaped, not normalised.
    """

    gs2_header: str
    flag: str
    binding: str
    authzid: str
    bare: str
    username: str
    nonce: str


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """The client's last message: ``channel_binding`` still in base64, ``without_proof`` as it came."""

    channel_binding: str
    nonce: str
    without_proof: str
    proof: bytes


def parse_client_first(message: bytes) -> ClientFirst:
    """Take a client-first-message apart.

    :raises SaslFailure: with ``malformed-request``, mandatory extensions ("m=") included.
    """
    text = _decode(message)
    header = _GS2_HEADER.match(text)
    if header is None:
        raise _malformed("bad GS2 header")
    flag, binding, authzid = header.groups(default="")
    bare = text[header.end() :]
    username, nonce, *extensions = _split(bare, 2)
    _check_extensions(extensions)
    if not username.startswith("n="):
        raise _malformed("user name expected")
    return ClientFirst(
        gs2_header=header.group(),
        flag=flag or "p",
        binding=binding,
        authzid=_unescape(authzid),
        bare=bare,
        username=_unescape(username[2:]),
        nonce=_parse_nonce(nonce),
    )


def parse_client_final(message: bytes) -> ClientFinal:
    """Take a client-final-message apart.

    :raises SaslFailure: with ``malformed-request``, mandatory extensions ("m=") included.
    """
    without_proof, _, proof = _decode(message).rpartition(",")
    channel_binding, nonce, *extensions = _split(without_proof, 2)
    _check_extensions(extensions)
    if not channel_binding.startswith("c="):
        raise _malformed("channel binding expected")
    if not proof.startswith("p="):
        raise _malformed("proof expected")
    return ClientFinal(
        channel_binding=channel_binding[2:],
        nonce=_parse_nonce(nonce),
        without_proof=without_proof,
        proof=_parse_proof(proof[2:]),
    )


def _malformed(reason: str) -> SaslFailure:
    return SaslFailure("malformed-request", reason)


def _decode(message: bytes) -> str:
    if len(message) > MAX_MESSAGE_BYTES or b"\0" in message:
        raise _malformed("too long, or with a null character")
    return decode_utf8(message)


def _split(text: str, least: int) -> list[str]:
    fields = text.split(",")
    if fields[0].startswith("m="):
        raise _malformed("mandatory extensions are not supported")
    if len(fields) < least:
        raise _malformed("incomplete message")
    return fields


def _check_extensions(extensions: list[str]) -> None:
    if not all(map(_EXTENSION.fullmatch, extensions)):
        raise _malformed("bad extension")


def _parse_nonce(text: str) -> str:
    match = _NONCE.fullmatch(text)
    if match is None:
        raise _malformed("bad nonce")
    return match.group(1)


def _parse_proof(text: str) -> bytes:
    try:
        return decode_base64(text)
    except SaslFailure as error:
        raise _malformed("bad proof") from error


def _unescape(saslname: str) -> str:
    """Undo the escaping of commas and equals signs; a lone equals sign is an error (section 5.1)."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            raise _malformed("bad user name encoding")
        return chr(int(match.group(1), 16))

    return _ESCAPE.sub(replace, saslname)
