"""What is fuzzed: each target takes bytes, and lets out no other error than the one for bad input."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from xmppd.auth.plain import parse_plain
from xmppd.auth.sasl import SaslFailure, decode_base64, encode_base64, initial_response
from xmppd.auth.scram_messages import parse_client_final, parse_client_first
from xmppd.core import ns
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.stanza import Stanza
from xmppd.stream.smacks import read_h
from xmppd.xml import rsm, tree
from xmppd.xml.parser import Header, Limits, Nonza
from xmppd.xml.reader import ParserPool, StreamReader

HEADER = f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode()
LIMITS = Limits(stanza_bytes=10_000, elements=50, depth=10, attributes=20)
POOL = ParserPool(LIMITS)


def xml(data: bytes) -> None:
    """A stream.  The first byte says how it is cut, and how much of a header it has already."""
    if not data:
        return
    size, rest = data[0] % 64 + 1, data[1:]
    if data[0] >= 128:
        rest = HEADER + rest
    whole = _read([rest])
    assert whole == _read([rest[start : start + size] for start in range(0, len(rest), size)])
    assert whole == _read([rest[start : start + 1] for start in range(len(rest))])


def _read(chunks: list[bytes]) -> list[Any]:
    """What a reader makes of chunks: the items, and whether an error is at their end."""
    reader, found = StreamReader(ParserPool(LIMITS)), []
    try:
        for chunk in chunks:
            reader.push(chunk)
            while (item := reader.next()) is not None:
                found.append(_checked(item))
                if isinstance(item, Header):
                    reader.settle(POOL)
    except StreamError:
        # Which of several errors is met first depends on the chunks.
        found.append("error")
    finally:
        reader.close()
    return found


def _checked(item: Any) -> Any:
    """An item in a form that can be compared; a stanza must say the same wherever it stands."""
    if isinstance(item, Nonza):
        item.element()
        return item.namespace, item.name, item.attrs
    if isinstance(item, Stanza):
        alone = item.standing_alone()
        element = tree.parse(alone)
        assert tree.write(tree.parse(tree.write(element))) == tree.write(element)
        assert len(item.children) == sum(1 for _ in element.elements())
        return alone
    return type(item).__name__


def sasl(data: bytes) -> None:
    """The messages of SASL clients, in base 64 and bare."""
    text = data.decode("latin-1")
    with suppress(SaslFailure):
        assert encode_base64(decode_base64(text)) == (text or "=")
    with suppress(SaslFailure):
        initial_response(text)
    with suppress(SaslFailure):
        first = parse_client_first(data)
        assert first.gs2_header + first.bare == data.decode()
    with suppress(SaslFailure):
        final = parse_client_final(data)
        assert data.decode().startswith(f"{final.without_proof},p=")
    with suppress(SaslFailure):
        parse_plain(data)


def jid(data: bytes) -> None:
    """Addresses: what is accepted is its own normal form."""
    with suppress(InvalidJID, UnicodeDecodeError):
        parsed = JID.parse(data.decode())
        again = JID.parse(parsed.text)
        assert (again, again.text) == (parsed, parsed.text)
        assert all(len(part.encode()) <= 1023 for part in (parsed.local, parsed.domain, parsed.resource))
        assert parsed.bare.with_resource(parsed.resource) == parsed if parsed.resource else parsed.is_bare


def pages(data: bytes) -> None:
    """Requests for pages (XEP-0059), and counters of stream management (XEP-0198)."""
    reader = StreamReader(ParserPool(LIMITS))
    request = b"<iq><query xmlns='u'><set xmlns='%b'>%b</set></query></iq>" % (ns.RSM.encode(), data)
    reader.push(HEADER + request)
    with suppress(StreamError, StanzaError):
        while (item := reader.next()) is not None:
            if isinstance(item, Stanza) and (query := tree.child(item, "u", "query")) is not None:
                page = rsm.read(query)
                assert page.max is None or 0 <= page.max < 10**10
    reader.close()
    h = read_h(data.decode("utf-8", "replace"))
    assert h is None or 0 <= h < 1 << 32


TARGETS: dict[str, Callable[[bytes], None]] = {"xml": xml, "sasl": sasl, "jid": jid, "pages": pages}
