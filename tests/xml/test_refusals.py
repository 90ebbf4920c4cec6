"""What XMPP forbids, and the conditions of RFC 6120 (section 4.9.3) that name it."""

from __future__ import annotations

from twisted.trial import unittest

from tests.xml.streams import HEADER, begun, end_of, settled
from xmppd.xml.parser import Limits
from xmppd.xml.reader import ParserPool, StreamReader

#: Between stanzas, behind ``<presence/>``.
BETWEEN = {
    b"text": "bad-format",
    b"text<presence/>": "bad-format",
    b" text <presence/>": "bad-format",
    b"&#32;<presence/>": "bad-format",
    b"&lt;<presence/>": "bad-format",
    b"<![CDATA[text]]><presence/>": "bad-format",
    b"<![CDATA[ ]]><presence/>": "bad-format",
    b"text</stream:stream>": "bad-format",
    b"\0<presence/>": "bad-format",
    b"<!-- comment -->": "restricted-xml",
    b"<!---->": "restricted-xml",
    b"<?target instruction?>": "restricted-xml",
    b"<?xml version='1.0'?>": "restricted-xml",
    b"<!DOCTYPE a>": "restricted-xml",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>": "restricted-xml",
    b"<![INCLUDE[ ]]>": "restricted-xml",
    b"<!a>": "restricted-xml",
    b"</message>": "not-well-formed",
    b"</stream>": "not-well-formed",
    b"<>": "not-well-formed",
    b"< presence/>": "not-well-formed",
    b"<1/>": "not-well-formed",
    b"<a <b/>": "not-well-formed",
    b"<a<b/>": "not-well-formed",
    b"<a b='<c/>'/>": "not-well-formed",
    b"<a b='1' b='2'/>": "not-well-formed",
    b"<a b=1/>": "not-well-formed",
    b"<a b/>": "not-well-formed",
    b"<a b='1'c='2'/>": "not-well-formed",
    b"<a:b/>": "not-well-formed",
    b"<a b:c='1'/>": "not-well-formed",
    b"<a xmlns:b=''/>": "not-well-formed",
    b"<a xmlns:xml='urn:other'/>": "not-well-formed",
    b"<a xmlns:b='http://www.w3.org/2000/xmlns/'/>": "not-well-formed",
    b"<a xmlns:b='urn:1' xmlns:c='urn:1' b:d='' c:d=''/>": "not-well-formed",
    b"<a:b:c xmlns:a='urn:1'/>": "not-well-formed",
    b"<a b='&c'/>": "not-well-formed",
    b"<a b='&c;'/>": "restricted-xml",
    b"<a b='&#0;'/>": "not-well-formed",
    b"<a b='\xff'/>": "unsupported-encoding",
}

#: Inside of ``<message><body>``.
INSIDE = {
    b"</message>": "not-well-formed",
    b"</Body>": "not-well-formed",
    b"]]></body>": "not-well-formed",
    b"&</body>": "not-well-formed",
    b"& </body>": "not-well-formed",
    b"&nbsp;</body>": "restricted-xml",
    b"&a;</body>": "restricted-xml",
    b"&#0;</body>": "not-well-formed",
    b"&#x1;</body>": "not-well-formed",
    b"&#xD800;</body>": "not-well-formed",
    b"&#xFFFE;</body>": "not-well-formed",
    b"&#x110000;</body>": "not-well-formed",
    b"\0</body>": "not-well-formed",
    b"\x01</body>": "not-well-formed",
    b"\x0c</body>": "not-well-formed",
    b"\xef\xbf\xbe</body>": "not-well-formed",
    b"\xff</body>": "unsupported-encoding",
    b"\xc0\xaf</body>": "unsupported-encoding",
    b"\xed\xa0\x80</body>": "unsupported-encoding",
    b"\xf4\x90\x80\x80</body>": "unsupported-encoding",
    b"\xe2\x82</body>": "unsupported-encoding",
    b"<!-- --></body>": "restricted-xml",
    b"<?a?></body>": "restricted-xml",
    b"<!DOCTYPE a></body>": "restricted-xml",
    b"<![cdata[]]></body>": "restricted-xml",
    b"<![CDATA[\xff]]></body>": "unsupported-encoding",
    b"<![CDATA[\0]]></body>": "not-well-formed",
    b"<![CDATA[]]>]]></body>": "not-well-formed",
    b"<?xml version='1.0'?></body>": "restricted-xml",
    b"</body x='1'>": "not-well-formed",
    b"</body/>": "not-well-formed",
}

#: Instead of a stream.
BEFORE = {
    b"GET / HTTP/1.1\r\n\r\n": "not-well-formed",
    b"\x16\x03\x01\x02\x00": "not-well-formed",
    b"text" + HEADER: "not-well-formed",
    b"</stream:stream>": "not-well-formed",
    b"<![CDATA[]]>" + HEADER: "not-well-formed",
    b"<!-- -->" + HEADER: "restricted-xml",
    b"<?a?>" + HEADER: "restricted-xml",
    b"<!DOCTYPE a>" + HEADER: "restricted-xml",
    b"<stream:stream>": "not-well-formed",
    b"\xef\xbb\xbf" + HEADER: "not-well-formed",
    b"\xef\xbb\xbf<?xml version='1.0'?>" + HEADER: "not-well-formed",
    HEADER.decode().encode("utf-16"): "unsupported-encoding",
    HEADER.decode().encode("utf-16-le"): "unsupported-encoding",
    HEADER.decode().encode("utf-16-be"): "unsupported-encoding",
    "<?xml version='1.0'?>".encode("utf-16-be"): "unsupported-encoding",
    HEADER.replace(b">", b" to='\xe9'>"): "unsupported-encoding",
    b"<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER: "unsupported-encoding",
    b"<?xml version='1.0' encoding='utf-16'?>" + HEADER: "unsupported-encoding",
    b"<?xml version='1.0' encoding='utf8'?>" + HEADER: "unsupported-encoding",
    b"<?xml version='1.1'?>" + HEADER: "restricted-xml",
    b"<?xml version='2.0'?>" + HEADER: "not-well-formed",
    b"<?xml ?>" + HEADER: "not-well-formed",
    b"<?xml?>" + HEADER: "restricted-xml",
    b"<?xml encoding='utf-8'?>" + HEADER: "not-well-formed",
    b"<?xml version='1.0\"?>" + HEADER: "not-well-formed",
    b"<?xml version='1.0' encoding='utf-8' standalone='maybe'?>" + HEADER: "not-well-formed",
    b"<?xml version='1.0'" + b" " * 300 + b"?>" + HEADER: "not-well-formed",
    b"<?xml version='1.0'?><?xml version='1.0'?>" + HEADER: "restricted-xml",
    b"<?xmlish?>" + HEADER: "restricted-xml",
    b"<?XML version='1.0'?>" + HEADER: "restricted-xml",
}

ACCEPTED = [
    b"",
    b" \r\n\t",
    b"<?xml version='1.0'?>",
    b'<?xml version="1.0"?>\n',
    b"\n<?xml version = '1.0' encoding = 'UTF-8' ?>",
    b"<?xml version='1.0' encoding=\"utf-8\"  standalone='yes'?> ",
]


def cuts(data: bytes) -> list[list[bytes]]:
    """The bytes in one piece, in two at each place, and one by one."""
    pairs = [[data[:place], data[place:]] for place in range(1, len(data))]
    return [[data], *pairs[:60], [bytes((byte,)) for byte in data]]


class RefusalTests(unittest.TestCase):
    def check(self, reader: StreamReader, chunks: list[bytes], before: list[str], condition: str) -> None:
        items, problem = end_of(reader, chunks)
        self.assertEqual([type(item).__name__ for item in items], before, chunks)
        self.assertIsNotNone(problem, chunks)
        self.assertEqual(problem.condition, condition, chunks)
        # It stays so, and nothing gets through any more.
        reader.push(b"<presence/>")
        _, again = end_of(reader, [b"<presence/>"])
        self.assertEqual(again.condition, condition, chunks)

    def test_between_stanzas(self) -> None:
        for data, condition in BETWEEN.items():
            for chunks in cuts(b"<presence/>" + data):
                for reader in (begun(), settled()):
                    self.check(reader, chunks, ["Stanza"], condition)

    def test_inside_of_a_stanza(self) -> None:
        for data, condition in INSIDE.items():
            for chunks in cuts(b"<presence/><message><body>" + data):
                for reader in (begun(), settled()):
                    self.check(reader, chunks, ["Stanza"], condition)

    def test_before_the_stream(self) -> None:
        for data, condition in BEFORE.items():
            for chunks in cuts(data):
                self.check(StreamReader(ParserPool(Limits())), chunks, [], condition)

    def test_accepted_before_the_stream(self) -> None:
        for data in ACCEPTED:
            for chunks in cuts(data + HEADER):
                items, problem = end_of(StreamReader(ParserPool(Limits())), chunks)
                self.assertIsNone(problem, chunks)
                self.assertEqual([type(item).__name__ for item in items], ["Header"], chunks)

    def test_forbidden_things_are_text_inside_of_cdata_and_values(self) -> None:
        body = b"<![CDATA[<!-- --><?a?><!DOCTYPE a>&nbsp;</body>]]>"
        for chunks in cuts(b"<message id='--> ?> ]]> &lt;!--'><body>" + body + b"</body></message>"):
            items, problem = end_of(settled(), chunks)
            self.assertIsNone(problem, chunks)
            (stanza,) = items
            self.assertEqual(stanza.id, "--> ?> ]]> <!--")
            self.assertIn(b"&lt;!-- --&gt;&lt;?a?&gt;", stanza.inner)
