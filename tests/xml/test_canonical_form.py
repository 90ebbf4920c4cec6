"""Stanzas in the form in which they can stand anywhere."""

from __future__ import annotations

from twisted.trial import unittest

from tests.xml.streams import begun, one_stanza, settled
from xmppd.core import ns


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
