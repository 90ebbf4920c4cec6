"""What messages are to the archive, to those who are away, and to carbons, with the reasons."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.modules.fakes import stanza
from xmppd.core.classify import (
    is_carbon_eligible,
    is_room_private,
    may_be_kept_for_later,
    should_archive,
)
from xmppd.core.jid import JID

MUC_USER = "http://jabber.org/protocol/muc#user"


def reason(content: str, kind: str = "chat", to: str = "a@example.org/x", **known: bool) -> tuple[bool, str]:
    message = stanza(f"<message to='{to}' type='{kind}'>{content}</message>")
    facts = {"room_private": False, "sent": False, "answers_eligible": False, **known}
    return tuple(is_carbon_eligible(message, **facts))  # type: ignore[return-value]


def hint(name: str) -> str:
    return f"<{name} xmlns='urn:xmpp:hints'/>"


BODY = "<body>a</body>"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"


class ArchiveReasons(TestCase):
    """MAM A30, A41, A42: what goes into the history, and why (XEP-0313, section 6.1.1; XEP-0334)."""

    def assert_verdict(self, content: str, kind: str, expected: tuple[bool, str]) -> None:
        message = stanza(f"<message to='a@example.org' type='{kind}'>{content}</message>")
        self.assertEqual(tuple(should_archive(message)), expected, (kind, content))

    def test_content(self) -> None:
        for content in (
            BODY,
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
            "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
            "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>",
            "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
            "<invite xmlns='urn:xmpp:call-invites:0'/>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
            "<encrypted xmlns='urn:xmpp:omemo:2'/>",
            "<openpgp xmlns='urn:xmpp:openpgp:0'/>",
            "<x xmlns='jabber:x:encrypted'/>",
            "<x xmlns='jabber:x:conference' jid='r@example.org'/>",
            STATE + BODY,
        ):
            for kind in ("chat", "normal"):
                self.assert_verdict(content, kind, (True, "content"))
                for other in ("error", "groupchat", "headline"):
                    self.assert_verdict(content, other, (False, f"type {other}"))
        self.assert_verdict("<subject>a</subject>", "normal", (True, "content"))

    def test_no_content(self) -> None:
        for content in (
            "",
            STATE,
            "<thread>t</thread>",
            "<subject>a</subject>",
            "<request xmlns='urn:xmpp:receipts'/>",
            "<markable xmlns='urn:xmpp:chat-markers:0'/>",
            "<x xmlns='urn:x'><body xmlns='jabber:client'>a</body></x>",
            "<body xmlns='urn:x'>a</body>",
        ):
            self.assert_verdict(content, "chat", (False, "no content"))

    def test_hints(self) -> None:
        for kind in ("chat", "normal", "headline"):
            self.assert_verdict(hint("store") + STATE, kind, (True, "hint store"))
            for name in ("no-store", "no-permanent-store"):
                self.assert_verdict(BODY + hint(name), kind, (False, "hint no-store"))
                self.assert_verdict(BODY + hint("store") + hint(name), kind, (False, "hint no-store"))
        self.assert_verdict(BODY + hint("no-copy"), "chat", (True, "content"))
        for name in ("store", "no-store"):
            self.assert_verdict(BODY + hint(name), "error", (False, "type error"))


class WaitingReasons(TestCase):
    """What waits for an addressee who is away, and why (XEP-0160; XEP-0334)."""

    def assert_verdict(self, content: str, kind: str, expected: tuple[bool, str]) -> None:
        message = stanza(f"<message to='a@example.org' type='{kind}'>{content}</message>")
        self.assertEqual(tuple(may_be_kept_for_later(message)), expected, (kind, content))

    def test_verdicts(self) -> None:
        for content, expected in (
            (BODY, (True, "content")),
            ("<x xmlns='urn:x'/>", (True, "content")),
            (STATE + BODY, (True, "content")),
            ("", (False, "chat state only")),
            (STATE, (False, "chat state only")),
            (STATE + "<thread>t</thread>", (False, "chat state only")),
            (STATE + hint("no-permanent-store") + hint("no-copy"), (False, "chat state only")),
            (STATE + "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>", (False, "chat state only")),
            (STATE + hint("store"), (True, "hint store")),
            (BODY + hint("no-store"), (False, "hint no-store")),
            (BODY + hint("store") + hint("no-store"), (False, "hint no-store")),
            (BODY + hint("no-permanent-store"), (True, "content")),
        ):
            for kind in ("chat", "normal"):
                self.assert_verdict(content, kind, expected)
            for other in ("error", "groupchat", "headline"):
                self.assert_verdict(content, other, (False, f"type {other}"))


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
