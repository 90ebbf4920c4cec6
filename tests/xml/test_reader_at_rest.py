"""What readers keep, what they share, and how often they look at a byte."""

from __future__ import annotations

import gc
import re
import sys
import weakref
from random import Random
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from tests.xml.documents import Stream, chunkings, chunks, form_of_item, streams
from tests.xml.streams import HEADER, MESSAGE, begun, drain, end_of, one_stanza, settled
from xmppd.core.errors import StreamError
from xmppd.xml import gate, parser, reader
from xmppd.xml.parser import Header, Limits, standard_header
from xmppd.xml.reader import ParserPool, StreamReader


def footprint(stream: StreamReader) -> int:
    """Bytes of memory that a reader alone keeps, what it shares with others aside."""
    size, seen, todo = 0, set(), [stream]
    while todo:
        thing: Any = todo.pop()
        if id(thing) in seen or isinstance(thing, (type, ParserPool, Limits, Header)) or thing is None:
            continue
        seen.add(id(thing))
        size += sys.getsizeof(thing)
        todo += gc.get_referents(thing)
    return size


class RestTests(unittest.TestCase):
    """Most streams are quiet most of the time."""

    def setUp(self) -> None:
        self.made: list[weakref.ref[Any]] = []
        made = self.made

        class Counted(parser.XMLParser):
            def __init__(self, header: Header | None = None, *, limits: Limits) -> None:
                super().__init__(header, limits=limits)
                made.extend([weakref.ref(self), weakref.ref(self._expat.StartElementHandler)])

        self.patch(reader, "XMLParser", Counted)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def alive(self) -> int:
        return sum(made() is not None for made in self.made)

    def test_at_rest_there_is_no_parser_and_no_buffer(self) -> None:
        other = HEADER[:-1] + b" xmlns:a='urn:a'>"
        pool = ParserPool(Limits(), keep=0)
        for stream in (begun(), begun(header=other), settled(pool), settled(pool, header=other)):
            for chunk in (
                b"",
                b" ",
                MESSAGE,
                MESSAGE + b"\n",
                MESSAGE[:50],
                MESSAGE[50:],
                MESSAGE * 300,
                b"\n",
            ):
                stream.push(chunk)
                drain(stream)
            self.assertEqual(self.alive(), 0)
            self.assertLess(footprint(stream), 600)

    def test_after_an_error_and_after_the_end(self) -> None:
        for data in (
            b"<a><!-- -->" + b"x" * 9999,
            b"<a></b>",
            b"</stream:stream>" + b"<a>" * 999,
            b"<a>" * 999,
        ):
            for stream in (begun(), settled(ParserPool(Limits(), keep=0))):
                end_of(stream, [data])
                self.assertEqual(self.alive(), 0)
                self.assertLess(footprint(stream), 900)

    def test_error_makes_no_cycle(self) -> None:
        class Referable(StreamReader):
            __slots__ = ("__weakref__",)

        stream = Referable(ParserPool(Limits()))
        seen = weakref.ref(stream)
        self.assertIsNotNone(end_of(stream, [b"<a></b>"])[1])
        del stream
        self.assertIsNone(seen())

    def test_parsers_are_thrown_away_when_worn(self) -> None:
        by_bytes = ParserPool(Limits(), wear=5 * len(MESSAGE))
        by_names = ParserPool(Limits(), names=50)
        for pool, data in (
            (by_bytes, [MESSAGE] * 20),
            (by_names, [b"<iq><a%d/></iq>" % number for number in range(200)]),
        ):
            stream = settled(pool)
            before = len(self.made)
            for chunk in data:
                stream.push(chunk)
                self.assertEqual(len(drain(stream)), 1)
                self.assertLessEqual(self.alive(), 2)
            self.assertIn((len(self.made) - before) // 2, range(4, 7))
            while pool._idle:
                pool._idle.pop().close()

    def test_pool_keeps_a_few(self) -> None:
        pool = ParserPool(Limits(), keep=3)
        crowd = [settled(pool) for _ in range(10)]
        for part in (MESSAGE[:80], MESSAGE[80:]):
            for stream in crowd:
                stream.push(part)
        self.assertEqual([len(drain(stream)) for stream in crowd], [1] * 10)
        self.assertEqual(self.alive(), 2 * 3)


class WorkTests(unittest.TestCase):
    """Bytes that come one by one are looked at, and copied, once."""

    def test_gate(self) -> None:
        looked = 0

        def counting(search: Any) -> Any:
            def counted(data: Any, start: int = 0) -> Any:
                nonlocal looked
                found = search(data, start)
                looked += (found.end() if found and found.end() > start else len(data)) - start
                return found

            return counted

        class Kept(bytearray):
            def find(self, what: bytes, start: int = 0, end: int | None = None) -> int:
                nonlocal looked
                found = super().find(what, start, len(self) if end is None else end)
                looked += (found if found >= 0 else len(self) if end is None else end) - start
                return found

        for name in ("_in_tag", "_whole_tags", "match_tag"):
            self.patch(gate, name, counting(getattr(gate, name)))
        size = 20_000
        for data in (
            b"<message id='" + b"x" * size + b"'/>",
            b"<message " + b" " * size + b"/>",
            b"<message>" + b"x" * size + b"</message>",
            b"<message>" + b"<a/>" * (size // 4) + b"</message>",
            b"<message><![CDATA[" + b"x" * size + b"]]></message>",
            b"<message>" + b"<![CDATA[]]>" * (size // 12) + b"</message>",
            b"<message>" + b"<a b='>'/>" * (size // 10) + b"</message>",
            b" " * size,
        ):
            looked = 0
            tested = gate.Gate(at_start=False)
            tested.kept = Kept()
            passed = b""
            for byte in data:
                passed += tested.feed(bytes((byte,)))
            self.assertEqual(passed + tested.kept, data)
            self.assertLess(looked, 20 * len(data))

    def test_parser_adds_to_what_it_has(self) -> None:
        stream = settled()
        stream.push(b"<message><a/>")
        buffer = stream._parser._buffer
        for _ in range(900):
            stream.push(b"<a/>")
            self.assertIs(stream._parser._buffer, buffer)
        stream.push(b"</message>")
        self.assertEqual(len(stream.next().children), 901)


class WholeTagsTests(unittest.TestCase):
    """Newer expats wait for twice the bytes of a token that came in part ("reparse deferral")."""

    @given(streams(), chunkings())
    def test_expat_never_sees_a_part_of_a_tag(self, stream: Stream, random: Random) -> None:
        whole = re.compile(
            rb"""(?:[^<]*(?:<!\[CDATA\[(?s:.*?)\]\]>|<(?:[^<>'"!]|'[^'<]*'|"[^"<]*")+>))*""",
        ).fullmatch

        class Watched:
            def __init__(self, expat: Any) -> None:
                self.__dict__["expat"] = expat

            def __getattr__(self, name: str) -> Any:
                return getattr(self.expat, name)

            def __setattr__(self, name: str, value: Any) -> None:
                setattr(self.expat, name, value)

            def Parse(self, data: bytes) -> None:
                assert whole(data), data
                self.expat.Parse(data)

        class Watching(parser.XMLParser):
            def __init__(self, header: Header | None = None, *, limits: Limits) -> None:
                super().__init__(header, limits=limits)
                self._expat = Watched(self._expat)
                self._parse = self._expat.Parse

        pool = ParserPool(Limits())
        tested = StreamReader(ParserPool(Limits()))
        with mock.patch.object(reader, "XMLParser", Watching):
            for chunk in chunks(stream.data, random):
                tested.push(chunk)
                for item in drain(tested):
                    if isinstance(item, Header):
                        tested.settle(pool)
            self.assertIsNone(tested.next())


class PoolTests(unittest.TestCase):
    @given(st.lists(streams(), min_size=2, max_size=4), chunkings())
    def test_streams_do_not_mix(self, several: list[Stream], random: Random) -> None:
        pool = ParserPool(Limits(), keep=2, names=60)
        strangers = ParserPool(Limits(), keep=2, names=60)
        todo = [(StreamReader(strangers), stream, chunks(stream.data, random), []) for stream in several]
        while busy := [one for one in todo if one[2]]:
            stream, _, waiting, items = random.choice(busy)
            stream.push(waiting.pop(0))
            for item in drain(stream):
                items.append(item)
                if isinstance(item, Header):
                    stream.settle(pool)
                    items += drain(stream)
        for _, stream, _, items in todo:
            self.assertEqual([form_of_item(item, stream.content) for item in items], stream.forms)

    def test_parsers_of_streams_with_other_headers_do_not_enter(self) -> None:
        pool = ParserPool(Limits())
        first = settled(pool, header=HEADER[:-1] + b" xmlns:a='urn:a'>")
        one_stanza(first, b"<message><a:b/></message>")
        second = settled(pool)
        second.push(b"<message><a:b/></message>")
        self.assertRaises(StreamError, second.next)
        one_stanza(settled(pool), MESSAGE)

    def test_nothing_of_the_first_header_is_seen_by_another_stream(self) -> None:
        pool = ParserPool(Limits())
        first = begun(header=HEADER.replace(b">", b" from='secret@example.org'>"))
        first.push(b"<a/>")
        first.settle(pool)
        drain(first)
        second = settled(pool)
        second.push(b"<b/>")
        (item,) = drain(second)
        self.assertEqual(item.header, standard_header())
