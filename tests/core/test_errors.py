"""Tests of the errors that peers see."""

from twisted.trial import unittest

from xmppd.core.errors import (
    STANZA_CONDITIONS,
    STANZA_ERROR_TYPES,
    STREAM_CONDITIONS,
    StanzaError,
    StreamError,
)


class StanzaErrorTests(unittest.TestCase):
    def test_type_goes_with_the_condition(self) -> None:
        self.assertEqual(StanzaError("item-not-found").type, "cancel")
        self.assertEqual(StanzaError("forbidden").type, "auth")
        self.assertEqual(StanzaError("recipient-unavailable").type, "wait")
        self.assertEqual(StanzaError("bad-request").type, "modify")

    def test_type_can_be_another(self) -> None:
        self.assertEqual(StanzaError("policy-violation", type="wait").type, "wait")

    def test_every_condition_has_a_valid_type(self) -> None:
        self.assertEqual(len(STANZA_CONDITIONS), 22)
        for condition in STANZA_CONDITIONS:
            self.assertIn(StanzaError(condition).type, STANZA_ERROR_TYPES)

    def test_unknown_condition_and_type(self) -> None:
        self.assertRaises(ValueError, StanzaError, "no-such-thing")
        self.assertRaises(ValueError, StanzaError, "conflict", type="fatal")

    def test_fields(self) -> None:
        error = StanzaError("not-acceptable", "too many", app=("urn:example", "too-many"))
        self.assertEqual((error.condition, error.text), ("not-acceptable", "too many"))
        self.assertEqual(error.app, ("urn:example", "too-many"))
        self.assertEqual(str(error), "not-acceptable: too many")
        self.assertEqual(str(StanzaError("gone")), "gone")


class StreamErrorTests(unittest.TestCase):
    def test_every_condition(self) -> None:
        self.assertEqual(len(STREAM_CONDITIONS), 25)
        for condition in STREAM_CONDITIONS:
            self.assertEqual(str(StreamError(condition)), condition)

    def test_unknown_condition(self) -> None:
        self.assertRaises(ValueError, StreamError, "item-not-found")

    def test_fields(self) -> None:
        error = StreamError("policy-violation", "stanza too big", app=b"<big xmlns='urn:example'/>")
        self.assertEqual((error.text, error.app), ("stanza too big", b"<big xmlns='urn:example'/>"))
        self.assertEqual(str(error), "policy-violation: stanza too big")
