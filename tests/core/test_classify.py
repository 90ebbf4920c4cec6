"""What messages are to carbons, with the reasons (XEP-0280, section 6.1)."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.modules.fakes import stanza
from xmppd.core.classify import is_carbon_eligible, is_room_private
from xmppd.core.jid import JID

MUC_USER = "http://jabber.org/protocol/muc#user"


def reason(content: str, kind: str = "chat", to: str = "a@example.org/x", **known: bool) -> tuple[bool, str]:
    message = stanza(f"<message to='{to}' type='{kind}'>{content}</message>")
    facts = {"room_private": False, "sent": False, "answers_eligible": False, **known}
    return tuple(is_carbon_eligible(message, **facts))  # type: ignore[return-value]


class CarbonReasons(TestCase):
    def test_copied(self) -> None:
        for found, why in (
            (reason(""), "type chat"),
            (reason("<body>a</body>", "normal"), "body"),
            (
                reason("<x xmlns='urn:example'/><gone xmlns='urn:xmpp:receipts'/>", "normal"),
                "payload of chats",
            ),
            (reason("<x xmlns='jabber:x:conference' jid='r@example.org'/>", "normal"), "invitation"),
            (reason(f"<x xmlns='{MUC_USER}'><invite to='a@b'/></x>", "normal"), "invitation"),
            (reason("", "error", answers_eligible=True), "error that answers"),
            (reason("", "normal", room_private=True, sent=True), "private message in a room"),
            (reason("<no-copy xmlns='urn:xmpp:hints'/>", to="a@example.org"), "type chat"),
        ):
            self.assertEqual(found, (True, why))

    def test_not_copied(self) -> None:
        body = "<body>a</body>"
        for found, why in (
            (reason(body, "groupchat"), "type groupchat"),
            (reason(body + "<private xmlns='urn:xmpp:carbons:2'/>"), "private"),
            (reason(body + "<sent xmlns='urn:xmpp:carbons:2'/>"), "a copy itself"),
            (reason(body + "<no-copy xmlns='urn:xmpp:hints'/>"), "hint no-copy"),
            (reason(body, "error"), "error"),
            (reason(body, room_private=True), "private message in a room"),
            (reason("<subject>a</subject>", "normal"), "no content of chats"),
            (reason(body, "headline"), "no content of chats"),
            (reason(f"<x xmlns='{MUC_USER}'><status code='101'/></x>", "normal"), "no content of chats"),
        ):
            self.assertEqual(found, (False, why))

    def test_private_in_a_room(self) -> None:
        occupant, room = JID.parse("room@example.org/nick"), JID.parse("room@example.org")
        for content, peer, kind, expected in (
            ("<x xmlns='{}'/>", occupant, "chat", True),
            ("<x xmlns='{}'/>", occupant, "groupchat", False),
            ("<x xmlns='{}'/>", room, "chat", False),
            ("<x xmlns='{}'><invite to='a@b'/></x>", occupant, "normal", False),
            ("<x xmlns='{}'><invited/></x>", occupant, "normal", True),
            ("<body>a</body>", occupant, "chat", False),
        ):
            message = stanza(f"<message type='{kind}'>{content.format(MUC_USER)}</message>")
            self.assertEqual(is_room_private(message, peer), expected, content)
