"""What `dont_archive_namespaces` leaves out of the archives."""

from __future__ import annotations

from tests.modules.archives import ArchiveConversation

STATES = "http://jabber.org/protocol/chatstates"
RECEIPTS = "urn:xmpp:receipts"
HINTS = "urn:xmpp:hints"


class LeftOutTests(ArchiveConversation):
    def stored(self, name: str) -> list[str]:
        return [row.stanza.decode() for row in self.rows(name) if row.history]

    def test_chat_states_are_delivered_and_not_archived(self) -> None:
        romeo, juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        juliet.take()
        self.chat(romeo, "juliet", "hello", f"<active xmlns='{STATES}'/><thread>t</thread>")
        (message,) = juliet.take()
        self.assertIn(f"<active xmlns='{STATES}'/>", message)
        for name in ("romeo", "juliet"):
            (stored,) = self.stored(name)
            self.assertIn("<body>hello</body><thread>t</thread></message>", stored)
            self.assertNotIn(STATES, stored)

    def test_a_message_with_nothing_left_is_not_archived(self) -> None:
        romeo = self.user("romeo/orchard")
        self.account("juliet")
        for more in ("", "<thread>t</thread>", f"<store xmlns='{HINTS}'/>", "<x-id xmlns='urn:xmpp:sid:0'/>"):
            romeo.send(
                f"<message to='juliet@example.org' type='chat'><active xmlns='{STATES}'/>{more}</message>"
            )
        self.assertEqual((self.stored("romeo"), self.stored("juliet")), ([], []))

    def test_a_message_that_has_nothing_to_leave_out_is_archived_for_its_hint(self) -> None:
        """MAM A41."""
        romeo = self.user("romeo/orchard")
        romeo.send(f"<message to='juliet@example.org'><store xmlns='{HINTS}'/><x xmlns='urn:x'/></message>")
        romeo.send(f"<message to='juliet@example.org'><store xmlns='{HINTS}'/></message>")
        self.assertEqual(len(self.stored("romeo")), 2)

    def test_another_list(self) -> None:
        self.settings = (f"modules.archiving.dont_archive_namespaces=['{RECEIPTS}']",)
        self.restart()
        romeo = self.user("romeo/orchard")
        self.account("juliet")
        self.chat(romeo, "juliet", "hello", f"<active xmlns='{STATES}'/><request xmlns='{RECEIPTS}'/>")
        (stored,) = self.stored("romeo")
        self.assertIn(f"<active xmlns='{STATES}'/></message>", stored)
        romeo.send(f"<message to='juliet@example.org'><received xmlns='{RECEIPTS}' id='x'/></message>")
        self.assertEqual(len(self.stored("romeo")), 1)
        # It is no history, but it waits for its addressee.
        self.assertEqual(len([row for row in self.rows("juliet") if row.deliver and not row.history]), 1)

    def test_an_empty_list_leaves_nothing_out(self) -> None:
        self.settings = ("modules.archiving.dont_archive_namespaces=[]",)
        self.restart()
        romeo = self.user("romeo/orchard")
        self.chat(romeo, "juliet@example.org", "hello", f"<active xmlns='{STATES}'/>")
        self.assertIn(STATES, self.stored("romeo")[0])
