"""The reader of a stream: headers, limits, what STARTTLS and SASL ask of it, and what it keeps."""

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

from tests.xml.documents import Stream, chunkings, chunks, form_of_element, form_of_item, streams
from tests.xml.streams import HEADER, MESSAGE, begun, drain, end_of, one_stanza, settled
from xmppd.core import ns
from xmppd.core.counters import limit_named
from xmppd.core.errors import StreamError
from xmppd.core.stanza import Stanza
from xmppd.xml import gate, parser, reader
from xmppd.xml.parser import Header, Item, Limits, Nonza, StreamEnd, standard_header
from xmppd.xml.reader import ParserPool, StreamReader


def header_of(data: bytes) -> Header:
    """The header that these bytes are."""
    stream = StreamReader(Limits())
    stream.push(data)
    item = stream.next()
    assert isinstance(item, Header)
    assert stream.next() is None
    return item


class HeaderTests(unittest.TestCase):
    def test_usual(self) -> None:
        header = header_of(
            f"<?xml version='1.0'?><stream:stream to='example.org' xml:lang='de' version='1.0'"
            f" xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'>".encode()
        )
        self.assertEqual((header.namespace, header.name), (ns.STREAMS, "stream"))
        self.assertEqual(header.attrs, {"to": "example.org", "xml:lang": "de", "version": "1.0"})
        self.assertEqual(header.content, ns.CLIENT)
        self.assertTrue(header.is_standard)

    def test_equal_to_the_standard_header(self) -> None:
        self.assertEqual(header_of(HEADER), standard_header())
        self.assertEqual(header_of(standard_header(ns.SERVER).xml()), standard_header(ns.SERVER))

    def test_wrong_ones_are_judged_by_the_stream(self) -> None:
        """Name and namespaces are not the reader's business, so that the right error can be sent."""
        cases: list[tuple[bytes, tuple[str, str, str]]] = [
            (b"<stream>", ("", "stream", "")),
            (
                b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'>",
                (*["urn:ietf:params:xml:ns:xmpp-framing"], "open", "urn:ietf:params:xml:ns:xmpp-framing"),
            ),
            (
                f"<stream:features xmlns:stream='{ns.STREAMS}' xmlns='{ns.CLIENT}'>".encode(),
                (ns.STREAMS, "features", ns.CLIENT),
            ),
            (
                b"<stream:stream xmlns:stream='urn:other' xmlns='jabber:client'>",
                ("urn:other", "stream", ns.CLIENT),
            ),
            (f"<stream:stream xmlns:stream='{ns.STREAMS}'>".encode(), (ns.STREAMS, "stream", "")),
            (f"<stream xmlns='{ns.STREAMS}'>".encode(), (ns.STREAMS, "stream", ns.STREAMS)),
            (b"<message xmlns='jabber:client'>", (ns.CLIENT, "message", ns.CLIENT)),
        ]
        for data, expected in cases:
            header = header_of(data)
            self.assertEqual((header.namespace, header.name, header.content), expected)

    def test_other_prefixes_hold_for_the_whole_stream(self) -> None:
        root = f"<s:stream xmlns:s='{ns.STREAMS}' xmlns='{ns.CLIENT}' xmlns:stream='urn:x' xmlns:q='urn:q'>"
        data = root.encode()
        for stream in (begun(header=data), settled(header=data)):
            stanza = one_stanza(stream, b"<message q:a='1'><q:b/><body>x</body><stream:c/></message>")
            self.assertEqual(stanza.attrs, {"urn:q\x01a": "1"})
            self.assertEqual(
                stanza.render(to=None),
                b"<message xmlns:n0='urn:q' n0:a='1'>"
                b"<b xmlns='urn:q'/><body>x</body><c xmlns='urn:x'/></message>",
            )
            stream.push(b"<stream:d/><s:error/></s:stream>")
            first, second, end = drain(stream)
            self.assertEqual(form_of_element(first.element()), ("urn:x", "d", {}, ()))
            self.assertEqual(form_of_element(second.element()), (ns.STREAMS, "error", {}, ()))
            self.assertIsInstance(end, StreamEnd)

    def test_header_that_ends_at_once(self) -> None:
        stream = StreamReader(Limits())
        stream.push(HEADER[:-1] + b"/>")
        self.assertEqual([type(item) for item in drain(stream)], [Header, StreamEnd])

    def test_bounds(self) -> None:
        limits = Limits(header_bytes=300, attributes=5)
        for name, many in ((b"a%d", 4), (b"xmlns:a%d", 4)):
            more = b"".join(b" " + name % number + b"='1'" for number in range(many))
            for data in ([HEADER[:-1] + more + b">"], [bytes((byte,)) for byte in HEADER[:-1] + more + b">"]):
                self.assertEqual(end_of(StreamReader(limits), data)[1].condition, "policy-violation")
        for size, fits in ((300, True), (301, False)):
            data = HEADER[:-1] + b" a='" + b"x" * (size - len(HEADER) - 5) + b"'>"
            self.assertEqual(len(data), size)
            for pieces in ([data], [b"  " + data[:100], data[100:]], [bytes((byte,)) for byte in data]):
                items, problem = end_of(StreamReader(limits), pieces)
                self.assertEqual((len(items), problem is None), (int(fits), fits))


class LimitTests(unittest.TestCase):
    """What is exactly at a limit passes, and one more does not, wherever the bytes are cut."""

    def check(self, limits: Limits, data: bytes, *, fits: bool) -> None:
        pool = ParserPool(limits)
        cut = len(data) // 2
        first = b"<r xmlns='urn:xmpp:sm:3'/>" if limits.stanza_bytes > 30 else b"<r/>"
        for pieces in (
            [first + b"\n " + data],
            [first, b"   " + data[:cut], data[cut:] + b" "],
            [bytes((byte,)) for byte in first + b"\n" * 99 + data],
        ):
            for stream in (begun(), settled(pool)):
                stream.limits = limits
                items, problem = end_of(stream, pieces)
                self.assertEqual([type(item) for item in items[:1]], [Nonza])
                self.assertEqual((len(items), problem is None), (2, True) if fits else (1, False), data)
                if problem is not None:
                    self.assertEqual(problem.condition, "policy-violation")

    def test_bytes(self) -> None:
        for shell in (
            b"<message><body>%b</body></message>",
            b"<message id='%b'/>",
            b"<a>%b</a>",
            b"<a><b/><c/>%b</a>",
        ):
            for size in (99, 100, 101):
                data = shell % (b"x" * (size - len(shell) + 2))
                self.assertEqual(len(data), size)
                self.check(Limits(stanza_bytes=100), data, fits=size <= 100)

    def test_bytes_of_what_is_not_finished(self) -> None:
        for shell in (
            b"<message><body>",
            b"<message id='",
            b"<message><body><![CDATA[",
            b"<message ",
            b"<message><a/>",
        ):
            for pieces in ([shell + b" " * 100], [shell, b" " * 100], [b" "] * 50 + [shell] + [b" "] * 100):
                items, problem = end_of(settled(ParserPool(Limits(stanza_bytes=100))), pieces)
                self.assertEqual((items, problem.condition), ([], "policy-violation"))
        # Nothing waits in the gate here.
        items, problem = end_of(
            settled(ParserPool(Limits(stanza_bytes=100))), [b"<message>" + b"<a></a>" * 14]
        )
        self.assertEqual((items, problem.condition), ([], "policy-violation"))

    def test_many_stanzas_are_more_than_the_limit_together(self) -> None:
        stream = settled(ParserPool(Limits(stanza_bytes=len(MESSAGE))))
        data = MESSAGE * 20
        for cut in (0, 1, 50, len(MESSAGE), len(MESSAGE) + 3):
            stream.push(data[:cut])
            stream.push(data[cut:])
            self.assertEqual(len(drain(stream)), 20)

    def test_elements(self) -> None:
        for count in (4, 5, 6):
            wide = b"<iq>" + b"<a/>" * (count - 1) + b"</iq>"
            deep = b"<iq>" + b"<a>" * (count - 1) + b"</a>" * (count - 1) + b"</iq>"
            self.check(Limits(elements=5), wide, fits=count <= 5)
            self.check(Limits(elements=5), deep, fits=count <= 5)
            self.check(Limits(depth=5), deep, fits=count <= 5)
            self.check(Limits(depth=2), wide, fits=True)

    def test_attributes(self) -> None:
        for count in (4, 5, 6):
            own = b"<iq" + b"".join(b" a%d=''" % number for number in range(count)) + b"/>"
            spread = b"<iq b=''>" + b"<a b=''/>" * (count - 1) + b"</iq>"
            self.check(Limits(attributes=5), own, fits=count <= 5)
            self.check(Limits(attributes=5), spread, fits=count <= 5)

    def test_declared_prefixes_are_attributes(self) -> None:
        for count in (5, 6):
            declared = b"".join(b" xmlns:a%d='u'" % number for number in range(count))
            for before, behind in ((b"<iq", b"/>"), (b"<iq><b", b"/></iq>"), (b"<x", b"/>")):
                data = before + declared + behind
                self.check(Limits(attributes=5), data, fits=count <= 5)
        text = b"<iq><a>xmlns: xmlns: xmlns: xmlns: xmlns: xmlns: </a></iq>"
        self.check(Limits(attributes=5), text, fits=True)

    def test_counts_begin_anew_with_each_element(self) -> None:
        stream = settled(ParserPool(Limits(elements=3, attributes=3, depth=2)))
        stream.push(b"<iq a='' b=''><c d=''/><c/></iq>" * 10)
        self.assertEqual(len(drain(stream)), 10)

    def test_names_of_limits_are_told(self) -> None:
        """By the names that they have in the configuration."""
        cases = {
            "stanza_bytes": (Limits(stanza_bytes=20), b"<message id='" + b"x" * 20),
            "unauthenticated_stanza_bytes": (Limits(stanza_bytes=5, of_strangers=True), b"<message/>"),
            "stanza_elements": (Limits(elements=1), b"<a><b/></a>"),
            "unauthenticated_elements": (Limits(elements=1, of_strangers=True), b"<a><b/></a>"),
            "stanza_depth": (Limits(depth=1, of_strangers=True), b"<a><b/></a>"),
            "stanza_attributes": (Limits(attributes=1), b"<a b='' c=''/>"),
        }
        for name, (limits, data) in cases.items():
            _, problem = end_of(settled(ParserPool(limits)), [data])
            self.assertEqual(limit_named(problem.text), name)
        _, problem = end_of(StreamReader(Limits(header_bytes=20)), [HEADER])
        self.assertEqual(limit_named(problem.text), "stream_header_bytes")

    def test_what_is_written_anew_has_the_same_limit(self) -> None:
        """Namespaces that are declared once and used often would grow a hundredfold."""
        uri = b"urn:" + b"x" * 400
        stream = settled(ParserPool(Limits(stanza_bytes=5_000)))
        stream.push(b"<message xmlns:a='" + uri + b"'>" + b"<a:b/>" * 10 + b"</message>")
        self.assertEqual(len(drain(stream)), 1)
        stream.push(b"<message xmlns:a='" + uri + b"'>" + b"<a:b/>" * 20 + b"</message>")
        with self.assertRaises(StreamError) as caught:
            stream.next()
        self.assertEqual(caught.exception.condition, "policy-violation")

    def test_long_namespaces(self) -> None:
        """Expat would write them out before every name of a tag."""
        for declaration in (b"xmlns", b"xmlns:a", b"xmlns:" + b"p" * 3000):
            for size, fits in ((512, True), (513, False)):
                data = b"<iq><b c='' " + declaration + b" =\n'" + b"u" * size + b"'/></iq>"
                self.check(Limits(), data, fits=fits)
                self.check(Limits(), data.replace(b"'", b'"'), fits=fits)

    def test_long_texts_that_look_like_namespaces(self) -> None:
        text = b"xmlns='" + b"x" * 600
        stream = settled()
        stream.push(
            b"<iq><a>"
            + text
            + b"'</a></iq><iq><a b=\""
            + text
            + b"'\"/></iq><iq><a><![CDATA[<b "
            + text
            + b"'>]]></a></iq>"
        )
        self.assertEqual(len(drain(stream)), 3)


class SettleTests(unittest.TestCase):
    def test_limits_are_the_pools(self) -> None:
        small, big = Limits(stanza_bytes=30), Limits(stanza_bytes=1000)
        data = b"<message><body>" + b"x" * 100 + b"</body></message>"
        stream = begun(Limits(stanza_bytes=100))
        stream.limits = small
        stream.settle(ParserPool(big))
        self.assertEqual(len(one_stanza(stream, data).children), 1)
        self.assertIs(stream.limits, big)

    def test_what_waits_comes_out(self) -> None:
        stream = begun()
        stream.push(MESSAGE + MESSAGE + MESSAGE[:60])
        self.assertIsInstance(stream.next(), Stanza)
        stream.settle(ParserPool(Limits()))
        self.assertTrue(stream.waiting)
        self.assertEqual(len(drain(stream)), 1)
        self.assertEqual(one_stanza(stream, MESSAGE[60:]).inner, one_stanza(settled(), MESSAGE).inner)

    def test_stanza_that_has_begun_may_be_as_long_as_the_pool_allows(self) -> None:
        data = b"<message><body>" + b"x" * 100 + b"</body></message>"
        for cut in (1, 5, 12, 30):
            stream = StreamReader(Limits(stanza_bytes=100))
            stream.push(HEADER + data[:cut])
            stream.next()
            self.assertIsNone(stream.next())
            stream.settle(ParserPool(Limits()))
            self.assertEqual(len(one_stanza(stream, data[cut:]).children), 1)

    def test_before_the_header(self) -> None:
        stream = StreamReader(Limits())
        stream.push(b"<?xml ver")
        stream.settle(ParserPool(Limits()))
        stream.push(b"sion='1.0'?>" + HEADER + MESSAGE)
        self.assertEqual([type(item) for item in drain(stream)], [Header, Stanza])

    def test_no_declaration_may_follow(self) -> None:
        for pieces in ([b"<?xml version='1.0'?>"], [b"<", b"?xml version='1.0'?>"]):
            _, problem = end_of(settled(), pieces)
            self.assertEqual(problem.condition, "restricted-xml")

    def test_after_an_error(self) -> None:
        stream = begun()
        stream.push(b"<!-- -->")
        self.assertRaises(StreamError, stream.next)
        stream.settle(ParserPool(Limits()))
        self.assertRaises(StreamError, stream.next)


class OneByOneTests(unittest.TestCase):
    """Before it is settled a reader looks at nothing behind the item that it gives."""

    def test_nothing_is_judged_too_early(self) -> None:
        for rest in (b"<!-- -->", b"\xff", b"<a <b", b"text", b"<a/>" * 9999, b"x" * 99_999):
            stream = begun()
            stream.push(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + rest)
            self.assertEqual(stream.next().name, "starttls")
            self.assertTrue(stream.leftover())

    def test_leftover(self) -> None:
        for rest, left in (
            (b"", False),
            (b"\n", False),
            (b" \r\n\t", False),
            (b" x", True),
            (b"<", True),
            (b"\0", True),
        ):
            for pieces in ([b"<starttls/>" + rest], [b"<starttls", b"/>" + rest], [b"<starttls/>", rest]):
                stream = begun()
                for chunk in pieces:
                    stream.push(chunk)
                stream.next()
                self.assertEqual(stream.leftover(), left)

    def test_restart_with_the_new_header_already_there(self) -> None:
        before = HEADER + b"<auth><![CDATA[x]]></auth>"
        header = HEADER.replace(b">", b" id='2'>")
        for declaration in (b"", b"<?xml version='1.0'?>", b"\n<?xml version='1.0' encoding='UTF-8'?>\n"):
            behind = declaration + header + MESSAGE
            for cut in range(len(behind)):
                stream = StreamReader(Limits())
                stream.push(before + behind[:cut])
                self.assertEqual([type(stream.next()), type(stream.next())], [Header, Nonza])
                stream.restart()
                stream.push(behind[cut:])
                first, second = drain(stream)
                self.assertEqual(first.attrs, {"id": "2"})
                self.assertIsInstance(second, Stanza)

    def test_restart_forgets_the_old_stream(self) -> None:
        stream = begun(header=HEADER[:-1] + b" xmlns:a='urn:a'>")
        stream.push(b"<auth/>")
        stream.next()
        stream.restart()
        stream.push(b" \n" + HEADER + b"<a:b/>")
        self.assertEqual(stream.next(), standard_header())
        with self.assertRaises(StreamError) as caught:
            stream.next()
        self.assertEqual(caught.exception.condition, "not-well-formed")

    def test_restart_is_no_second_stream_inside_of_the_first(self) -> None:
        stream = begun()
        stream.push(b"<auth/>")
        stream.next()
        stream.restart()
        stream.push(b"<presence/></stream:stream>")
        self.assertIsInstance(stream.next(), Header)


class CanonicalFormTests(unittest.TestCase):
    """Children whose bytes would mean something else in another place are written anew."""

    def check(self, children: bytes, expected: bytes, start: bytes = b"<message>") -> None:
        for stream in (begun(), settled()):
            stanza = one_stanza(stream, start + children + b"</message>")
            self.assertEqual(stanza.inner, expected)
            self.assertEqual(b"".join(stanza.xml(child) for child in stanza.children), expected)

    def test_as_it_came(self) -> None:
        for children in (
            b"<body>a &amp; b</body>",
            b'<body xml:lang = "de" >xmlns=</body >',
            b"<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            b"<x xmlns='urn:x' xmlns:p='urn:p'><p:y p:z=''/></x>",
            b"<x xmlns='urn:x'/><y xmlns='urn:y'></y><subject/>",
        ):
            self.check(children, children)

    def test_text_is_left_out(self) -> None:
        for text in (b"text", b" ", b">", b"x>", b"/>", b"]]", b"&gt;", b"\n"):
            for one, two in (
                (b"<x xmlns='u'/>", b"<y/>"),
                (b"<x xmlns='u'></x>", b"<y></y>"),
                (b"<x/>", b"<y>/></y>"),
            ):
                self.check(text + one + text + two + text, one + two)
                self.check(one + text + two, one + two)
                self.check(one + two + text, one + two)
                self.check(text + one, one)
        self.check(b"text", b"")

    def test_content_namespace_is_not_declared_again(self) -> None:
        """On a stream between servers it would be another one."""
        self.check(b"<body xmlns='jabber:client'>a</body>", b"<body>a</body>")
        self.check(b"<body xml:lang='>' xmlns='jabber:client'/>", b"<body xml:lang='&gt;'/>")

    def test_prefixes(self) -> None:
        self.check(
            b"<x xmlns='urn:x'><p:y/></x>",
            b"<x xmlns='urn:x'><y xmlns='urn:p'/></x>",
            b"<message xmlns:p='urn:p'>",
        )
        self.check(b"<p:x xmlns:p='urn:p'><y/></p:x>", b"<x xmlns='urn:p'><y xmlns='jabber:client'/></x>")
        self.check(
            b"<x xmlns='urn:x'><stream:y/></x>", f"<x xmlns='urn:x'><y xmlns='{ns.STREAMS}'/></x>".encode()
        )
        self.check(
            b"<x xmlns='urn:x' stream:y='1'/>",
            f"<x xmlns='urn:x' xmlns:n0='{ns.STREAMS}' n0:y='1'/>".encode(),
        )
        self.check(b"<c:body xmlns:c='jabber:client'>a</c:body>", b"<body>a</body>")

    def test_prefix_of_the_stanza_itself(self) -> None:
        stanza = one_stanza(settled(), b"<c:message xmlns:c='jabber:client' id='1'><c:body/></c:message>")
        self.assertEqual((stanza.attrs, stanza.inner), ({"id": "1"}, b"<body/>"))

    def test_sections(self) -> None:
        self.check(b"<body><![CDATA[<a>]]></body>", b"<body>&lt;a&gt;</body>")
        self.check(b"<![CDATA[<a>]]><body/>", b"<body/>")

    def test_no_namespace(self) -> None:
        self.check(b"<x xmlns=''><y/></x>", b"<x xmlns=''><y/></x>")

    def test_attributes_of_the_xml_namespace(self) -> None:
        stanza = one_stanza(settled(), b"<message xml:lang='de' xml:space='preserve'/>")
        self.assertEqual(stanza.render(to=None), b"<message xml:lang='de' xml:space='preserve'/>")


class WhitespaceTests(unittest.TestCase):
    def test_keepalives(self) -> None:
        for make in (begun, settled):
            stream = make()
            for _ in range(3):
                for chunk in (b" ", b"\n", b"\r\n\t ", b" " * 5000):
                    stream.push(chunk)
                    self.assertIsNone(stream.next())
                    self.assertFalse(stream.leftover())
                stream.push(b"\n\n" + MESSAGE + b" ")
                self.assertEqual(len(drain(stream)), 1)

    def test_between_children_it_is_left_out(self) -> None:
        stanza = one_stanza(settled(), b"<message>\n  <body> a </body>\n  <x xmlns='urn:x'> </x>\n</message>")
        self.assertEqual(stanza.inner, b"<body> a </body><x xmlns='urn:x'> </x>")


class EndTests(unittest.TestCase):
    def test_nothing_comes_behind_it(self) -> None:
        for rest in (
            b"",
            b" ",
            b"text",
            b"<presence/>",
            b"</stream:stream>",
            b"<!-- -->",
            b"\xff",
            b"<a",
            HEADER,
        ):
            for make in (begun, settled):
                for pieces in (
                    [b"<presence/></stream:stream>" + rest],
                    [b"<presence/>", b"</stream:stream >", rest],
                ):
                    stream = make()
                    items, problem = end_of(stream, pieces)
                    self.assertEqual([type(item) for item in items], [Stanza, StreamEnd])
                    self.assertIsNone(problem)
                    self.assertFalse(stream.waiting)


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

        stream = Referable(Limits())
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
        tested = StreamReader(Limits())
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
        todo = [(StreamReader(Limits()), stream, chunks(stream.data, random), []) for stream in several]
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


class ItemsTests(unittest.TestCase):
    def test_order_when_nobody_asks(self) -> None:
        stream = settled()
        for number in range(5):
            stream.push(b"<iq id='%d'/><iq id='%d'/>" % (2 * number, 2 * number + 1))
        self.assertEqual([int(item.id) for item in drain(stream)], list(range(10)))

    def test_error_waits_for_its_turn(self) -> None:
        stream = settled()
        stream.push(MESSAGE + b"<a></b>")
        self.assertTrue(stream.waiting)
        self.assertIsInstance(stream.next(), Stanza)
        self.assertTrue(stream.waiting)
        self.assertRaises(StreamError, stream.next)

    def test_stanzas_of_other_namespaces_are_none(self) -> None:
        items: list[Item] = []
        for data in (
            b"<message xmlns='urn:x'/>",
            b"<message xmlns='jabber:server'/>",
            b"<message xmlns=''/>",
            b"<Message/>",
        ):
            stream = settled()
            stream.push(data)
            items += drain(stream)
        self.assertEqual([type(item) for item in items], [Nonza] * 4)
