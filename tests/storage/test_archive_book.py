"""Messages as they are read back from the archive."""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from tests.storage.base import examples
from tests.xml.documents import Node, element_of, form_of_bytes, stanzas
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.storage.archive_book import arrived
from xmppd.xml import tree


class ArrivedTests(SynchronousTestCase):
    @examples(200)
    @given(stanzas(ns.CLIENT))
    def test_what_was_stored_is_read_as_it_arrived(self, node: Node) -> None:
        for name in ("to", "from"):
            node.attrs.pop(("", name), None)
        stored = tree.stanza(element_of(node))
        stored.to, stored.sender = JID.parse("juliet@example.org"), JID.parse("romeo@example.net/orchard")
        read = arrived(stored.standing_alone())
        self.assertEqual(form_of_bytes(read.standing_alone()), form_of_bytes(stored.standing_alone()))
        self.assertEqual(
            (read.kind, read.attrs, [child[:2] for child in read.children], read.to, read.sender),
            (stored.kind, stored.attrs, [child[:2] for child in stored.children], stored.to, stored.sender),
        )

    def test_what_is_broken(self) -> None:
        for stored in (b"", b"<message", b"<message xmlns='jabber:client'>", b"<message xmlns='x'></body>"):
            self.assertRaises(ValueError, arrived, stored)
