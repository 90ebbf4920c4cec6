"""Trees and their writer."""

from __future__ import annotations

from random import Random
from xml.parsers import expat

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from tests.xml.documents import (
    FORGED,
    Node,
    Style,
    element_of,
    form,
    form_of_bytes,
    form_of_element,
    stanzas,
    trees,
    without_text,
)
from tests.xml.streams import begun, one_stanza
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.xml import tree


class WriterTests(unittest.TestCase):
    @given(trees)
    def test_round_trip(self, node: Node) -> None:
        written = tree.write(element_of(node))
        self.assertEqual(form_of_element(tree.parse(written)), form(node))
        self.assertEqual(form_of_bytes(written), form(node))

    @given(trees, st.integers(0, 2**32))
    def test_what_was_read_is_written_the_same(self, node: Node, seed: int) -> None:
        read = tree.parse(Style(Random(seed)).element(node, {}).encode())
        self.assertEqual(form_of_element(read), form(node))
        self.assertEqual(form_of_bytes(tree.write(read)), form(node))

    @given(trees, st.sampled_from((ns.CLIENT, "", FORGED)))
    def test_inside_of_another_namespace(self, node: Node, around: str) -> None:
        written = tree.write(element_of(node), around)
        outer = f"<w{tree.declaration('', around)}>".encode() + written + b"</w>"
        self.assertEqual(form_of_bytes(outer)[3], (form(node),))

    def test_as_it_looks(self) -> None:
        node = tree.Element(("urn:a", "a"))
        node["x"] = "'\"<>&\t\n\r"
        node.attributes[(ns.XML, "lang")] = "de"
        node.attributes[("urn:b", "y")] = "1"
        node.addElement("b", content="a > b]]>\r\n")
        node.addElement(("", "c"))
        self.assertEqual(
            tree.write(node),
            b"<a xmlns='urn:a' x='&apos;&quot;&lt;&gt;&amp;&#9;&#10;&#13;' xml:lang='de'"
            b" xmlns:n0='urn:b' n0:y='1'><b>a &gt; b]]&gt;&#13;\n</b><c xmlns=''/></a>",
        )

    def test_namespace_that_needs_no_declaration(self) -> None:
        """Nor may it have one; what is inside must not depend on the place."""
        node = tree.Element((ns.XML, "a"))
        node.addElement(("urn:b", "b"))
        node.addElement((ns.CLIENT, "c"))
        written = tree.write(node, ns.CLIENT)
        self.assertEqual(written, b"<xml:a xmlns='jabber:client'><b xmlns='urn:b'/><c/></xml:a>")

    def test_no_namespace_given_is_that_of_the_element_around(self) -> None:
        """The way in which domish trees leave the content namespace open."""
        node = tree.Element((None, "iq"))
        node.addElement("body")
        node.addElement((ns.ROSTER, "query")).addElement("item")
        expected = b"<body/><query xmlns='jabber:iq:roster'><item/></query></iq>"
        self.assertEqual(tree.write(node), b"<iq>" + expected)
        self.assertEqual(tree.write(node, ns.CLIENT), b"<iq>" + expected)
        stanza = tree.stanza(node)
        self.assertEqual(
            [child[:2] for child in stanza.children], [(ns.CLIENT, "body"), (ns.ROSTER, "query")]
        )

    def test_forged_namespace_stays_one_element(self) -> None:
        written = tree.write(tree.Element((FORGED, "a"))) + b"<b/>"
        self.assertEqual(len(form_of_bytes(b"<w>" + written + b"</w>")[3]), 2)

    def test_characters_that_xml_forbids(self) -> None:
        node = tree.Element(("urn:a", "a"))
        node["b"] = node.children = "".join(map(chr, [0, 1, 8, 11, 12, 31, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF]))
        read = tree.parse(tree.write(node))
        self.assertEqual((read["b"], str(read)), ("\ufffd" * 10,) * 2)

    def test_depth_is_no_matter(self) -> None:
        node = tree.Element(("urn:a", "a"))
        deepest = node
        for _ in range(5_000):
            deepest = deepest.addElement("a")
        written = tree.write(node)
        self.assertEqual(written, b"<a xmlns='urn:a'>" + b"<a>" * 4_999 + b"<a/>" + b"</a>" * 5_000)
        self.assertEqual(tree.write(tree.parse(written)), written)


class ParseTests(unittest.TestCase):
    def test_text_in_one_piece(self) -> None:
        text = "a&b\n" * 9_000
        read = tree.parse(f"<a>{text.replace('&', '&amp;')}<![CDATA[c]]></a>".encode())
        self.assertEqual(read.children, [text + "c"])

    def test_parents(self) -> None:
        read = tree.parse(b"<a><b/></a>")
        self.assertIs(read.b.parent, read)

    def test_what_is_no_element(self) -> None:
        for xml in (b"", b"<a>", b"<a/><b/>", b"<a:b/>", b"a"):
            self.assertRaises(expat.ExpatError, tree.parse, xml)
        for xml in (b"", b"text", b"<a>", b"<a><b/>"):
            self.assertRaises(ValueError, tree.parse_within, b"<stream>", xml)

    def test_behind_a_header(self) -> None:
        read = tree.parse_within(b"<s xmlns='urn:s' xmlns:p='urn:p'>", b"<p:a b='1'><c/>x</p:a>")
        self.assertEqual(
            form_of_element(read), ("urn:p", "a", {("", "b"): "1"}, (("urn:s", "c", {}, ()), "x"))
        )


class StanzaTests(unittest.TestCase):
    @given(st.sampled_from((ns.CLIENT, ns.SERVER)).flatmap(stanzas))
    def test_of_a_tree(self, node: Node) -> None:
        stanza = tree.stanza(element_of(node))
        expected = without_text(form(node))
        self.assertEqual(form_of_bytes(stanza.standing_alone(node.namespace)), expected)
        self.assertEqual(
            [child[:2] for child in stanza.children],
            [(ns.CLIENT if part[0] == node.namespace else part[0], part[1]) for part in expected[3]],
        )

    @given(stanzas(ns.CLIENT), st.integers(0, 2**32))
    def test_to_a_tree_and_back(self, node: Node, seed: int) -> None:
        data = Style(Random(seed)).element(node, {"": ns.CLIENT, "stream": ns.STREAMS}).encode()
        stanza = one_stanza(begun(), data)
        element = tree.element(stanza)
        self.assertEqual(form_of_element(element), without_text(form(node)))
        again = tree.stanza(element)
        self.assertEqual((again.kind, again.attrs), (stanza.kind, stanza.attrs))
        self.assertEqual([child[:2] for child in again.children], [child[:2] for child in stanza.children])
        for child in {child[:2] for child in stanza.children}:
            found = next(part for part in element.elements() if (part.uri, part.name) == child)
            one = tree.child(stanza, *child)
            assert one is not None
            self.assertEqual(form_of_element(one), form_of_element(found))

    def test_addresses_are_in_the_tree(self) -> None:
        sender, to = JID.parse("alice@example.org/x'y"), JID.parse("bob@example.org")
        element = tree.element(Stanza("message", {"id": "1"}, to=to, sender=sender))
        self.assertEqual(
            element.attributes, {"id": "1", "to": "bob@example.org", "from": "alice@example.org/x'y"}
        )

    def test_child_that_is_not_there(self) -> None:
        self.assertIsNone(tree.child(Stanza("message", {}), ns.CLIENT, "body"))
