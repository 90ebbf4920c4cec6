"""Answers to stanzas."""

from __future__ import annotations

from twisted.trial import unittest

from tests.xml.documents import form_of_bytes
from xmppd.core import ns, replies
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza

ALICE = JID.parse("alice@example.org/x")
BOB = JID.parse("bob@example.org")


def request(kind: str = "iq", **attrs: str) -> Stanza:
    return Stanza(kind, attrs, to=BOB, sender=ALICE)


class ResultTests(unittest.TestCase):
    def test_empty(self) -> None:
        answer = replies.result(request(id="7", type="get", **{"xml:lang": "de"}))
        self.assertEqual(
            answer.wire, b"<iq from='bob@example.org' to='alice@example.org/x' type='result' id='7'/>"
        )

    def test_with_payload(self) -> None:
        answer = replies.result(request(id="7"), "urn:a", "a", b"<a xmlns='urn:a'/>")
        child = answer.find("urn:a", "a")
        assert child is not None
        self.assertEqual(answer.xml(child), b"<a xmlns='urn:a'/>")
        self.assertTrue(answer.wire.endswith(b" id='7'><a xmlns='urn:a'/></iq>"))

    def test_without_addresses(self) -> None:
        self.assertEqual(replies.result(Stanza("iq", {"id": "7"})).wire, b"<iq type='result' id='7'/>")


class ErrorTests(unittest.TestCase):
    def shape(self, problem: StanzaError, kind: str = "iq") -> tuple:
        answer = replies.error(request(kind, id="7", type="set"), problem)
        self.assertEqual((answer.kind, answer.id, answer.type), (kind, "7", "error"))
        self.assertEqual((answer.to, answer.sender), (ALICE, BOB))
        self.assertTrue(answer.has(ns.CLIENT, "error"))
        (error,) = form_of_bytes(answer.standing_alone())[3]
        return error

    def test_condition(self) -> None:
        for kind in ("iq", "message", "presence"):
            self.assertEqual(
                self.shape(StanzaError("item-not-found"), kind),
                (
                    ns.CLIENT,
                    "error",
                    {("", "type"): "cancel"},
                    ((ns.STANZA_ERRORS, "item-not-found", {}, ()),),
                ),
            )

    def test_text_and_application_condition(self) -> None:
        """In the order of RFC 6120, section 8.3.2."""
        problem = StanzaError("bad-request", "a <b> & 'c'", type="wait", app=("urn:app", "too-much"))
        self.assertEqual(
            self.shape(problem),
            (
                ns.CLIENT,
                "error",
                {("", "type"): "wait"},
                (
                    (ns.STANZA_ERRORS, "bad-request", {}, ()),
                    (ns.STANZA_ERRORS, "text", {(ns.XML, "lang"): "en"}, ("a <b> & 'c'",)),
                    ("urn:app", "too-much", {}, ()),
                ),
            ),
        )

    def test_without_id(self) -> None:
        answer = replies.error(request("message"), StanzaError("gone"))
        self.assertNotIn("id", answer.attrs)

    def test_what_may_be_answered_with_an_error(self) -> None:
        for kind in ("iq", "message", "presence"):
            self.assertFalse(replies.may_answer_with_error(request(kind, type="error")))
        self.assertFalse(replies.may_answer_with_error(request("iq", type="result")))
        for kind, type_ in (
            ("iq", "get"),
            ("iq", "set"),
            ("message", "chat"),
            ("message", "result"),
            ("presence", "probe"),
        ):
            self.assertTrue(replies.may_answer_with_error(request(kind, type=type_)))
        self.assertTrue(replies.may_answer_with_error(request("message")))
