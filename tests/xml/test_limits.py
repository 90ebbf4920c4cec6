"""The bounds of what a stream may send."""

from __future__ import annotations

from twisted.trial import unittest

from tests.xml.streams import HEADER, MESSAGE, begun, drain, end_of, settled
from xmppd.core.counters import limit_named
from xmppd.core.errors import StreamError
from xmppd.xml.parser import Limits, Nonza
from xmppd.xml.reader import ParserPool, StreamReader


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
                stream.use(ParserPool(limits))
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
        _, problem = end_of(StreamReader(ParserPool(Limits(header_bytes=20))), [HEADER])
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
