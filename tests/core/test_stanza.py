"""Stanzas as spans of bytes."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from tests.xml.documents import Node, Style, form, form_of_bytes, stanzas, texts, without_text
from tests.xml.streams import begun, one_stanza
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza, escape_attribute, escape_text

ALICE = JID.parse("alice@example.org/a'b&c")
BOB = JID.parse("bob@example.org")
RECEIPT = ("urn:xmpp:receipts", "request", b"<request xmlns='urn:xmpp:receipts'/>")
BODY = (ns.CLIENT, "body", b"<body>Hi</body>")


def made(*parts: tuple[str, str, bytes], **attrs: str) -> Stanza:
    """A message from Alice to Bob."""
    return Stanza("message", attrs, to=BOB, sender=ALICE).with_children(parts)


def names(stanza: Stanza) -> list[str]:
    return [name for _, name, _, _ in stanza.children]


class ChildrenTests(unittest.TestCase):
    def test_found_by_namespace_and_name(self) -> None:
        stanza = made(BODY, RECEIPT, (ns.CLIENT, "body", b"<body>2</body>"))
        body = stanza.find(ns.CLIENT, "body")
        assert body is not None
        self.assertEqual(stanza.xml(body), b"<body>Hi</body>")
        self.assertTrue(stanza.has("urn:xmpp:receipts", "request"))
        self.assertFalse(stanza.has("urn:xmpp:receipts", "body"))
        self.assertIsNone(stanza.find(ns.CLIENT, "request"))
        self.assertTrue(stanza.has_namespace(ns.CLIENT))
        self.assertFalse(stanza.has_namespace("urn:xmpp:receipt"))

    def test_keep(self) -> None:
        stanza = made(BODY, RECEIPT, BODY, id="1")
        kept = stanza.keep(lambda child: child[1] == "body")
        self.assertEqual(kept.inner, BODY[2] * 2)
        self.assertEqual([kept.xml(child) for child in kept.children], [BODY[2]] * 2)
        self.assertEqual((kept.to, kept.sender, kept.attrs), (BOB, ALICE, {"id": "1"}))
        self.assertIs(stanza.keep(lambda _: True), stanza)
        self.assertEqual(stanza.keep(lambda _: False).children, ())
        self.assertEqual(names(stanza), ["body", "request", "body"])

    def test_adding(self) -> None:
        stanza = made(BODY).adding(*RECEIPT)
        self.assertEqual(stanza.inner, BODY[2] + RECEIPT[2])
        self.assertEqual([stanza.xml(child) for child in stanza.children], [BODY[2], RECEIPT[2]])
        self.assertEqual((stanza.to, stanza.sender), (BOB, ALICE))

    def test_readdressed(self) -> None:
        stanza = made(BODY, id="1")
        other = stanza.readdressed(to=ALICE)
        self.assertEqual(
            (other.to, other.sender, other.inner, other.attrs), (ALICE, ALICE, BODY[2], {"id": "1"})
        )
        self.assertEqual(stanza.to, BOB)
        self.assertIsNone(stanza.readdressed(to=None).to)

    def test_changes_do_not_keep_the_bytes_of_before(self) -> None:
        stanza = made(BODY)
        self.assertIn(b"Hi", stanza.wire)
        for changed in (stanza.keep(lambda _: False), stanza.adding(*RECEIPT), stanza.readdressed(to=ALICE)):
            self.assertEqual(changed.wire, changed.render(to=changed.to))
            self.assertNotEqual(changed.wire, stanza.wire)


class AttributeTests(unittest.TestCase):
    def test_type_of_a_message(self) -> None:
        for kind in ("chat", "error", "groupchat", "headline", "normal"):
            self.assertEqual(made(type=kind).message_type, kind)
        for other in ("", "Chat", "invented"):
            self.assertEqual(made(type=other).message_type, "normal")
        self.assertEqual(made().message_type, "normal")
        self.assertEqual((made().type, made().id), (None, None))
        self.assertEqual((made(type="x", id="7").type, made(id="7").id), ("x", "7"))

    def test_repr_is_short(self) -> None:
        """The log cannot be flooded: attributes and names may be as long as stanzas."""
        long = "x" * 10_000
        shown = repr(made((ns.CLIENT, long, b"<body/>"), id=long, type=long))
        self.assertLess(len(shown), 300)

    def test_repr_shows_no_content(self) -> None:
        shown = repr(made((ns.CLIENT, "body", b"<body>secret</body>"), id="1"))
        self.assertNotIn("secret", shown)
        for part in ("message", "id=1", "bob@example.org", "[body]"):
            self.assertIn(part, shown)


class BytesTests(unittest.TestCase):
    def test_as_it_looks(self) -> None:
        stanza = made(BODY, id="1'\"&<>\t\n\r", type="chat")
        start = b" id='1&apos;&quot;&amp;&lt;&gt;&#9;&#10;&#13;' type='chat'"
        sender = b" from='alice@example.org/a&apos;b&amp;c'"
        rest = start + b"><body>Hi</body></message>"
        self.assertEqual(stanza.wire, b"<message" + sender + b" to='bob@example.org'" + rest)
        self.assertEqual(stanza.render(to=None), b"<message" + sender + rest)
        self.assertEqual(stanza.standing_alone("urn:x")[:24], b"<message xmlns='urn:x' f")
        self.assertIs(stanza.wire, stanza.wire)

    def test_without_children(self) -> None:
        self.assertEqual(Stanza("presence", {}).wire, b"<presence/>")
        self.assertEqual(Stanza("presence", {}).standing_alone(), b"<presence xmlns='jabber:client'/>")

    def test_attributes_with_namespaces(self) -> None:
        attrs = {"xml:lang": "de", "urn:a\x01x": "1", "urn:'b\x01x": "2", "http://www.w3.org/x\x01y": "3"}
        stanza = Stanza("iq", attrs)
        self.assertEqual(
            form_of_bytes(stanza.wire)[2],
            {
                (ns.XML, "lang"): "de",
                ("urn:a", "x"): "1",
                ("urn:'b", "x"): "2",
                ("http://www.w3.org/x", "y"): "3",
            },
        )

    @given(stanzas(ns.CLIENT), st.integers(0, 2**32), st.data())
    def test_every_change_parses_again(self, node: Node, seed: int, data: st.DataObject) -> None:
        written = Style(Random(seed)).element(node, {"": ns.CLIENT, "stream": ns.STREAMS}).encode()
        stanza = one_stanza(begun(), written)
        shape = without_text(form(node))
        for _ in range(data.draw(st.integers(1, 4))):
            stanza, shape = self._changed(stanza, shape, data)
            for content in (ns.CLIENT, ns.SERVER):
                self.assertEqual(self._inside(content, stanza.wire)[1:3], shape[1:3])
            self.assertEqual(form_of_bytes(stanza.standing_alone()), shape)
            again = one_stanza(begun(), stanza.wire)
            self.assertEqual((again.kind, again.attrs), (stanza.kind, stanza.attrs))
            self.assertEqual(
                [child[:2] for child in again.children], [child[:2] for child in stanza.children]
            )
            self.assertEqual(form_of_bytes(again.standing_alone()), shape)

    def _changed(self, stanza: Stanza, shape: Any, data: st.DataObject) -> tuple[Stanza, Any]:
        namespace, name, attrs, children = shape
        if data.draw(st.booleans()):
            text = data.draw(texts)
            xml = f"<a xmlns='urn:added' b='{escape_attribute(text)}'>{escape_text(text)}</a>".encode()
            added = ("urn:added", "a", {("", "b"): text}, (text,) if text else ())
            return stanza.adding("urn:added", "a", xml), (namespace, name, attrs, (*children, added))
        wanted = [data.draw(st.booleans()) for _ in children]
        stay = {child[2] for child, yes in zip(stanza.children, wanted, strict=True) if yes}
        kept = tuple(child for child, yes in zip(children, wanted, strict=True) if yes)
        return stanza.keep(lambda child: child[2] in stay), (namespace, name, attrs, kept)

    def _inside(self, content: str, wire: bytes) -> Any:
        (element,) = form_of_bytes(f"<w xmlns='{content}'>".encode() + wire + b"</w>")[3]
        return element


class EscapeTests(unittest.TestCase):
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Also what XML forbids: it must not leave as it is, for the receiver would end the stream."""
        element = form_of_bytes(
            f"<a b='{escape_attribute(text)}' c=\"{escape_attribute(text)}\">{escape_text(text)}</a>".encode()
        )
        legal = "".join(
            char if char in "\t\n\r" or (char >= " " and char not in "\ufffe\uffff") else "\ufffd"
            for char in text
        )
        self.assertEqual(element[2], {("", "b"): legal, ("", "c"): legal})
        self.assertEqual(element[3], (legal,) if legal else ())

    def test_plain_text_is_not_copied(self) -> None:
        for text in ("plain é\U0001f600", ""):
            self.assertIs(escape_attribute(text), text)
            self.assertIs(escape_text(text), text)
        self.assertEqual(escape_text("'\"\t\n"), "'\"\t\n")
