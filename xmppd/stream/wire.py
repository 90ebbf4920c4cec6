"""What a stream writes that is no stanza: headers, errors, features."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.stanza import escape_attribute, escape_text

__all__ = ["LONGEST_LANG", "PROCEED", "describe_connection", "header", "readable_address", "stream_error"]

PROCEED: Final = f"<proceed xmlns='{ns.TLS}'/>".encode()

#: A language tag is at most this long (RFC 5646, section 4.4.1, is content with 35).
LONGEST_LANG: Final = 35


def header(stream_id: str, domain: str, to: str | None = None) -> bytes:
    """Our stream header (RFC 6120, section 4.7).

    :param domain: one that is served here, also where the peer named none (section 4.9.1.2).
    :param to: who the peer says it is; left out if that is no JID.
    """
    text = (
        f"<?xml version='1.0'?><stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'"
        f" id='{stream_id}' version='1.0' xml:lang='en' from='{escape_attribute(domain)}'"
    )
    if to:
        with suppress(InvalidJID):
            text += f" to='{JID.parse(to).bare.xml}'"
    return (text + ">").encode()


def stream_error(problem: StreamError | None) -> bytes:
    """The ``<stream:error/>`` of a problem; nothing if there is none."""
    if problem is None:
        return b""
    text = ""
    if problem.text:
        text = f"<text xmlns='{ns.STREAM_ERRORS}' xml:lang='en'>{escape_text(problem.text)}</text>"
    condition = f"<{problem.condition} xmlns='{ns.STREAM_ERRORS}'/>"
    return b"<stream:error>%b%b</stream:error>" % ((condition + text).encode(), problem.app or b"")


def readable_address(address: str) -> str:
    """An address as its owner would write it: one of IPv4 without the clothes that IPv6 puts on it."""
    inner = address.removeprefix("::ffff:")
    return inner if "." in inner else address


def describe_connection(address: str, tls: Any) -> dict[str, str]:
    """Where a client comes from and how it is encrypted, for people."""
    described = {"address": address}
    if tls is not None:
        described["tls"] = str(tls.get_protocol_version_name())
        described["cipher"] = str(tls.get_cipher_name())
    return described
