"""Bytes of any kind: only `StreamError` comes out, and the same for any chunking."""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from tests.xml.documents import chunkings, chunks
from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.stanza import Stanza
from xmppd.xml.gate import Gate
from xmppd.xml.parser import Header, Limits, Nonza
from xmppd.xml.reader import ParserPool, StreamReader

HEADER = f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode()
TOKENS = [
    HEADER,
    b"<message>",
    b"</message>",
    b"<message to='a'>",
    b"<presence/>",
    b"<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
    b"<body>",
    b"</body>",
    b"<a",
    b"<b",
    b"/>",
    b">",
    b"</",
    b" x='",
    b" x='1'",
    b' y="',
    b"'",
    b'"',
    b"=",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<!DOCTYPE a>",
    b"<?xml version='1.0'?>",
    b"<?a ?>",
    b"&lt;",
    b"&nbsp;",
    b"&#0;",
    b"&#x20;",
    b"&",
    b" xmlns='jabber:client'",
    b" xmlns:p='urn:p'",
    b" xmlns:p=''",
    b"<p:q/>",
    b"<stream:error/>",
    b"</stream:stream>",
    b" ",
    b"\n",
    b"text",
    b"\xc3\xa9",
    b"\xc3",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\0",
    b"\x01",
    b"a" * 60,
]
tokens = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=3), max_size=12).map(b"".join)
LIMITS = Limits(elements=5, depth=3, attributes=3)
POOL = ParserPool(LIMITS)


def outcome(data: bytes, random: Random | None, *, settled: bool) -> tuple[list[Any], str | None]:
    """What comes out of a reader, and the condition of the error behind it."""
    reader = StreamReader(ParserPool(LIMITS))
    found: list[Any] = []
    try:
        for chunk in chunks(data, random) if random else [data]:
            reader.push(chunk)
            while (item := reader.next()) is not None:
                found.append(item)
                if settled and isinstance(item, Header):
                    reader.settle(POOL)
    except StreamError as problem:
        return [_shape(item) for item in found], problem.condition
    return [_shape(item) for item in found], None


def _shape(item: Any) -> Any:
    if isinstance(item, Stanza):
        return item.kind, item.attrs, item.inner, item.children
    if isinstance(item, Nonza):
        return item.namespace, item.name, item.attrs, item.raw
    return type(item).__name__


def is_utf8(data: bytes) -> bool:
    """Whether it is, and no byte order mark or start of one is in it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class HostileTests(unittest.TestCase):
    @given(tokens, chunkings(), st.booleans(), st.booleans())
    def test_any_bytes(self, data: bytes, random: Random, settled: bool, headed: bool) -> None:
        if headed:
            data = HEADER + data
        items, condition = outcome(data, random, settled=settled)
        same_items, same_condition = outcome(data, None, settled=False)
        self.assertEqual(items, same_items)
        if is_utf8(data):
            self.assertEqual(condition, same_condition)
        else:
            # Which of two faults in one tag is named first may depend on the cuts.
            self.assertEqual(condition is None, same_condition is None)


class CostTests(unittest.TestCase):
    """Parser CPU: what strangers send is read in few steps, whatever stands in it."""

    def steps(self, data: bytes) -> int:
        """How often the gate is fed with what a stranger has sent."""
        reader, number = StreamReader(ParserPool(Limits())), 0
        feed = Gate.feed

        def counted(gate: Gate, piece: bytes) -> bytes:
            nonlocal number
            number += 1
            return feed(gate, piece)

        self.patch(Gate, "feed", counted)
        reader.push(HEADER + data)
        with contextlib.suppress(StreamError):
            while reader.next() is not None:
                pass
        return number

    def test_brackets_that_end_no_tag(self) -> None:
        many = b">" * 5_000
        for data in (
            b"<iq>" + many,
            b"<iq a='" + many,
            b'<iq a="' + many,
            b"<iq><![CDATA[" + many,
            b"<iq><![CDATA[x]" + many,
            b"<iq a='" + many + b"' b='" + many + b"'>" + many + b"</iq>",
        ):
            self.assertLess(self.steps(data), 12, data[:20])
