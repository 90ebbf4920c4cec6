"""What a client's stream header must be like (RFC 6120, sections 4.7 and 4.8)."""

from __future__ import annotations

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.xml.parser import Header

__all__ = ["check_claim", "check_namespaces", "check_version"]


def check_namespaces(header: Header) -> None:
    """A stream of XMPP, with the stanzas of clients in it.

    :raises StreamError: ``invalid-namespace``, ``bad-format``.
    """
    if header.namespace != ns.STREAMS:
        raise StreamError("invalid-namespace", f"A stream is in {ns.STREAMS}")
    if header.name != "stream":
        raise StreamError("bad-format", "A stream begins with <stream:stream>")
    if header.content != ns.CLIENT:
        raise StreamError("invalid-namespace", f"The content namespace here is {ns.CLIENT}")


def check_version(header: Header) -> None:
    """1.0, or a later one, which is answered with 1.0 (section 4.7.5).

    :raises StreamError: ``unsupported-version``.
    """
    major = header.attrs.get("version", "0").partition(".")[0]
    if not (major.isascii() and major.isdigit() and int(major[:9]) >= 1):
        raise StreamError("unsupported-version", "The stream must have version 1.0")


def check_claim(claimed: str, domain: JID, account: JID | None) -> None:
    """Check who a peer says it is: nobody else than it has authenticated as (section 4.9.3.9).

    Before that it is of the domain that it asks for (XEP-0388, section 2.1); what is no JID says nothing.

    :param account: who has authenticated; None for a stranger or a guest.
    :raises StreamError: ``invalid-from``.
    """
    try:
        jid = JID.parse(claimed)
    except InvalidJID:
        jid = None
    if account is not None and (jid is None or jid.bare != account):
        raise StreamError("invalid-from", "You are logged in as somebody else")
    if jid is not None and jid.domain != domain.text:
        raise StreamError("invalid-from", "The domains in 'from' and 'to' differ")
