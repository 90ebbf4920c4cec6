"""Whatever the style and wherever the bytes are cut: the items are what an independent parse finds."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from tests.xml.documents import (
    Stream,
    chunkings,
    chunks,
    form_of_bytes,
    form_of_element,
    form_of_item,
    streams,
)
from xmppd.core import ns
from xmppd.core.stanza import Stanza
from xmppd.xml.parser import Header, Item, Limits, Nonza
from xmppd.xml.reader import ParserPool, StreamReader

LIMITS = Limits()
POOL = ParserPool(LIMITS, wear=20_000, names=100)


def drain(reader: StreamReader) -> list[Item]:
    """All that is ready."""
    items = []
    while (item := reader.next()) is not None:
        items.append(item)
    return items


class ItemTests(unittest.TestCase):
    @given(streams(), chunkings(), st.booleans())
    def test_items_of_any_chunking(self, stream: Stream, random: Random, settled: bool) -> None:
        reader = StreamReader(ParserPool(LIMITS))
        items: list[Item] = []
        pushed = 0
        for chunk in chunks(stream.data, random):
            reader.push(chunk)
            pushed += len(chunk)
            for item in drain(reader):
                if settled and isinstance(item, Header):
                    reader.settle(POOL)
                    items += [item, *drain(reader)]
                else:
                    items.append(item)
            # At once: neither the gate nor expat may hold back what is complete.
            self.assertEqual(len(items), sum(end <= pushed for end in stream.ends))
        self.assertEqual([form_of_item(item, stream.content) for item in items], stream.forms)
        self.assertFalse(reader.waiting)
        for item, shape in zip(items, stream.forms, strict=True):
            if isinstance(item, Stanza):
                self._check_children(item, shape[3], stream.content)
            elif isinstance(item, Nonza):
                self.assertEqual(form_of_element(item.element()), shape)
                self.assertEqual((item.namespace, item.name), shape[:2])

    @given(streams(), st.integers(1, 5))
    def test_nothing_behind_an_item_is_touched(self, stream: Stream, number: int) -> None:
        """Until `settle` each item may change what the following bytes are"""
        reader = StreamReader(ParserPool(LIMITS))
        reader.push(stream.data)
        ends = stream.ends[:number]
        for _ in ends:
            self.assertIsNotNone(reader.next())
        self.assertEqual(bytes(reader._raw), stream.data[ends[-1] :])

    def _check_children(self, stanza: Stanza, shapes: tuple, content: str) -> None:
        self.assertEqual(
            [(namespace, name) for namespace, name, _, _ in stanza.children],
            [(ns.CLIENT if shape[0] == content else shape[0], shape[1]) for shape in shapes],
        )
        self.assertEqual(b"".join(stanza.xml(child) for child in stanza.children), stanza.inner)
        for child, shape in zip(stanza.children, shapes, strict=True):
            inside = f"<w xmlns='{content}'>".encode() + stanza.xml(child) + b"</w>"
            self.assertEqual(form_of_bytes(inside)[3], (shape,))
            if child[0] != ns.CLIENT:
                elsewhere = b"<w xmlns='urn:elsewhere'>" + stanza.xml(child) + b"</w>"
                self.assertEqual(form_of_bytes(elsewhere)[3], (shape,))
