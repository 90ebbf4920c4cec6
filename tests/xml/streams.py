"""What the tests of the reader share: a usual header, and readers that have come behind it."""

from __future__ import annotations

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.stanza import Stanza
from xmppd.xml.parser import Header, Item, Limits
from xmppd.xml.reader import ParserPool, StreamReader

HEADER = f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode()
MESSAGE = (
    b"<message to='bob@example.org' type='chat' id='1'><body>Hello</body>"
    b"<origin-id xmlns='urn:xmpp:sid:0' id='1'/><request xmlns='urn:xmpp:receipts'/></message>"
)


def drain(reader: StreamReader) -> list[Item]:
    """All that is ready."""
    items = []
    while (item := reader.next()) is not None:
        items.append(item)
    return items


def begun(limits: Limits | None = None, header: bytes = HEADER) -> StreamReader:
    """An unsettled reader behind a header."""
    reader = StreamReader(ParserPool(limits or Limits(), keep=0))
    reader.push(header)
    assert isinstance(reader.next(), Header)
    return reader


def settled(pool: ParserPool | None = None, header: bytes = HEADER) -> StreamReader:
    """A settled reader behind a header."""
    reader = begun(header=header)
    reader.settle(pool or ParserPool(Limits()))
    return reader


def one_stanza(reader: StreamReader, data: bytes) -> Stanza:
    """The one stanza that these bytes are."""
    reader.push(data)
    (item,) = drain(reader)
    assert isinstance(item, Stanza)
    return item


def end_of(reader: StreamReader, chunks: list[bytes]) -> tuple[list[Item], StreamError | None]:
    """Push until the reader fails; the items that came before, and the error."""
    items = []
    try:
        for chunk in chunks:
            reader.push(chunk)
            while (item := reader.next()) is not None:
                items.append(item)
    except StreamError as problem:
        return items, problem
    return items, None
