"""What matters to a user who does not look (XEP-0352)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.modules.fakes import stanza
from xmppd.core.classify import Importance, importance

BODY = "<body>Hi</body>"
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
RECEIVED = "<received xmlns='urn:xmpp:receipts' id='1'/>"
DISPLAYED = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
ENCRYPTED = "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"
ROOM = "http://jabber.org/protocol/muc#user"

MESSAGES = {
    Importance.NOW: (
        ("chat", BODY),
        ("normal", BODY),
        ("groupchat", BODY),
        ("groupchat", "<subject>Topic</subject>"),
        ("chat", COMPOSING + BODY),
        ("chat", ENCRYPTED),
        ("chat", "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"),
        ("chat", "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>"),
        ("normal", "<result xmlns='urn:xmpp:mam:2' id='1'/>"),
        ("normal", "<x xmlns='jabber:x:conference' jid='room@example.net'/>"),
        ("normal", f"<x xmlns='{ROOM}'><invite from='a@example.net'/></x>"),
        ("error", "<error type='cancel'/>"),
    ),
    Importance.LATER: (
        ("chat", RECEIVED),
        ("chat", DISPLAYED),
        ("chat", COMPOSING + DISPLAYED),
        ("chat", ""),
        ("headline", BODY),
        ("headline", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>"),
        ("normal", f"<x xmlns='{ROOM}'><status code='104'/></x>"),
    ),
    Importance.NEVER: (
        ("chat", COMPOSING),
        ("groupchat", COMPOSING),
        ("chat", "<thread>t</thread>" + COMPOSING),
        ("chat", COMPOSING + "<no-store xmlns='urn:xmpp:hints'/>"),
    ),
}


class MessageTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        for expected, cases in MESSAGES.items():
            for kind, payload in cases:
                message = stanza(f"<message type='{kind}' from='a@example.net/b'>{payload}</message>")
                self.assertIs(importance(message)[0], expected, payload)

    def test_copies_count_as_what_is_in_them(self) -> None:
        cases = (
            ("received", BODY, Importance.NOW),
            ("sent", BODY, Importance.NOW),
            ("received", ENCRYPTED, Importance.NOW),
            ("received", f"<x xmlns='{ROOM}'><invite from='a@example.net'/></x>", Importance.NOW),
            ("received", COMPOSING, Importance.NEVER),
            ("sent", COMPOSING, Importance.NEVER),
            ("received", COMPOSING + DISPLAYED, Importance.LATER),
            ("received", DISPLAYED, Importance.LATER),
            ("received", RECEIVED, Importance.LATER),
            # The notification on this device is to go.
            ("sent", DISPLAYED, Importance.NOW),
        )
        for direction, payload, expected in cases:
            message = stanza(
                f"<message type='chat' from='a@example.org'><{direction} xmlns='urn:xmpp:carbons:2'>"
                f"<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat'>{payload}"
                f"</message></forwarded></{direction}></message>"
            )
            self.assertIs(importance(message)[0], expected, direction + payload)


class OtherTests(SynchronousTestCase):
    def test_presence(self) -> None:
        cases = (
            ("", "", Importance.LATEST),
            ("", "<show>away</show>", Importance.LATEST),
            ("type='unavailable'", "", Importance.LATEST),
            ("", f"<x xmlns='{ROOM}'><item role='participant'/></x>", Importance.LATEST),
            ("", f"<x xmlns='{ROOM}'><item/><status code='100'/><status code='110'/></x>", Importance.NOW),
            ("type='subscribe'", "", Importance.NOW),
            ("type='unsubscribed'", "", Importance.NOW),
            ("type='error'", "", Importance.NOW),
        )
        for attribute, payload, expected in cases:
            presence = stanza(f"<presence from='a@example.net/b' {attribute}>{payload}</presence>")
            self.assertIs(importance(presence)[0], expected, attribute + payload)

    def test_every_iq_matters(self) -> None:
        for kind in ("get", "set", "result", "error"):
            self.assertIs(importance(stanza(f"<iq type='{kind}' id='1'/>"))[0], Importance.NOW)
