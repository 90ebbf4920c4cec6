"""The reader of a stream: headers, what STARTTLS and SASL ask of it, white space, the end."""

from __future__ import annotations

from twisted.trial import unittest

from tests.xml.documents import form_of_element
from tests.xml.streams import HEADER, MESSAGE, begun, drain, end_of, one_stanza, settled
from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.stanza import Stanza
from xmppd.xml.parser import Header, Item, Limits, Nonza, StreamEnd, standard_header
from xmppd.xml.reader import PIECE, ParserPool, StreamReader


def header_of(data: bytes) -> Header:
    """The header that these bytes are."""
    stream = StreamReader(ParserPool(Limits()))
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
        for rest in (b"", b"<presence/>", b"text", b"<!-- -->"):
            for pieces in (
                [HEADER[:-1] + b"/>" + rest],
                [HEADER[:-1] + b"/>", rest],
                [HEADER[:-1], b"/", b">" + rest],
            ):
                stream = StreamReader(ParserPool(Limits()))
                items, problem = end_of(stream, pieces)
                self.assertEqual([type(item) for item in items], [Header, StreamEnd])
                self.assertIsNone(problem)
                self.assertFalse(stream.waiting)

    def test_bounds(self) -> None:
        limits = Limits(header_bytes=300, attributes=5)
        for name, many in ((b"a%d", 4), (b"xmlns:a%d", 4)):
            more = b"".join(b" " + name % number + b"='1'" for number in range(many))
            for data in ([HEADER[:-1] + more + b">"], [bytes((byte,)) for byte in HEADER[:-1] + more + b">"]):
                reader = StreamReader(ParserPool(limits))
                self.assertEqual(end_of(reader, data)[1].condition, "policy-violation")
        for size, fits in ((300, True), (301, False)):
            data = HEADER[:-1] + b" a='" + b"x" * (size - len(HEADER) - 5) + b"'>"
            self.assertEqual(len(data), size)
            for pieces in ([data], [b"  " + data[:100], data[100:]], [bytes((byte,)) for byte in data]):
                items, problem = end_of(StreamReader(ParserPool(limits)), pieces)
                self.assertEqual((len(items), problem is None), (int(fits), fits))


class SettleTests(unittest.TestCase):
    def test_limits_are_the_pools(self) -> None:
        small, big = Limits(stanza_bytes=30), Limits(stanza_bytes=1000)
        data = b"<message><body>" + b"x" * 100 + b"</body></message>"
        stream = begun(Limits(stanza_bytes=100))
        stream.use(ParserPool(small))
        stream.settle(ParserPool(big))
        self.assertEqual(len(one_stanza(stream, data).children), 1)

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
            stream = StreamReader(ParserPool(Limits(stanza_bytes=100)))
            stream.push(HEADER + data[:cut])
            stream.next()
            self.assertIsNone(stream.next())
            stream.settle(ParserPool(Limits()))
            self.assertEqual(len(one_stanza(stream, data[cut:]).children), 1)

    def test_before_the_header(self) -> None:
        stream = StreamReader(ParserPool(Limits()))
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
                stream = StreamReader(ParserPool(Limits()))
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


class ItemsTests(unittest.TestCase):
    def test_order_when_nobody_asks(self) -> None:
        stream = settled()
        for number in range(5):
            stream.push(b"<iq id='%d'/><iq id='%d'/>" % (2 * number, 2 * number + 1))
        self.assertEqual([int(item.id) for item in drain(stream)], list(range(10)))

    def test_much_is_parsed_piece_by_piece(self) -> None:
        """Parser CPU: 64 KiB of the smallest stanzas at once would take 0.2 s"""
        stream = settled()
        data = b"".join(b"<iq id='%d'/>" % number for number in range(5_000))
        stream.push(data)
        stream.push(data)
        self.assertEqual(stream._items, [])
        self.assertIsNotNone(stream.next())
        self.assertLess(len(stream._items), PIECE // 10)
        self.assertTrue(stream.waiting)
        ids = [int(item.id) for item in drain(stream)]  # type: ignore[union-attr]
        self.assertEqual(ids, [*range(1, 5_000), *range(5_000)])

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
