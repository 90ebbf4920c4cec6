"""Tests of what all mechanisms share."""

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.auth.sasl import (
    SASL_CONDITIONS,
    SaslFailure,
    decode_base64,
    encode_base64,
    initial_response,
    prepare_identity,
)


class SaslFailureTests(unittest.TestCase):
    def test_conditions(self) -> None:
        self.assertEqual(len(SASL_CONDITIONS), 11)
        self.assertRaises(ValueError, SaslFailure, "forbidden")
        self.assertEqual(str(SaslFailure("aborted")), "aborted")
        self.assertEqual(str(SaslFailure("malformed-request", "bad nonce")), "malformed-request: bad nonce")

    def test_only_wrong_passwords_are_guesses(self) -> None:
        guesses = [name for name in SASL_CONDITIONS if SaslFailure(name).is_wrong_password]
        self.assertEqual(guesses, ["not-authorized"])


class Base64Tests(unittest.TestCase):
    def test_no_data(self) -> None:
        self.assertEqual(decode_base64(""), b"")
        self.assertEqual(decode_base64("="), b"")
        self.assertIsNone(initial_response(""))
        self.assertEqual(initial_response("="), b"")
        self.assertEqual(initial_response("AA=="), b"\0")
        self.assertEqual(encode_base64(b""), "=")

    def test_not_canonical(self) -> None:
        for text in (
            "AGFs!!*aWNl",
            "AA",
            "AA=",
            "AA===",
            "AA==AA==",
            "AB==",
            "A",
            "==",
            " ",
            "AA==\n",
            "AAA A",
            "__--",
            "ＡＡ==",
            "é",
        ):
            failure = self.assertRaises(SaslFailure, decode_base64, text)
            self.assertEqual(failure.condition, "incorrect-encoding", text)

    @given(st.binary(max_size=64))
    def test_round_trip(self, data: bytes) -> None:
        self.assertEqual(decode_base64(encode_base64(data)), data)

    @given(st.text(max_size=16) | st.text("AQgw=/+ \n", max_size=12))
    def test_any_text_decodes_or_fails(self, text: str) -> None:
        try:
            data = decode_base64(text)
        except SaslFailure as failure:
            self.assertEqual(failure.condition, "incorrect-encoding")
        else:
            self.assertEqual(base64.b64encode(data).decode() or "=", text or "=")


class IdentityTests(unittest.TestCase):
    def test_names_are_normalised(self) -> None:
        self.assertEqual(prepare_identity("Alice", "", "example.org"), "alice")
        self.assertEqual(prepare_identity("ＡＬＩＣＥ", "", "example.org"), "alice")

    def test_own_bare_jid_as_authzid(self) -> None:
        for authzid in ("alice@example.org", "Alice@EXAMPLE.org", "alice@example.org."):
            self.assertEqual(prepare_identity("alice", authzid, "example.org"), "alice")

    def test_other_authzid(self) -> None:
        for authzid in (
            "bob@example.org",
            "alice@example.net",
            "alice@example.org/phone",
            "alice",
            "example.org",
            "@",
            " ",
            "alice@example.org\n",
        ):
            failure = self.assertRaises(SaslFailure, prepare_identity, "alice", authzid, "example.org")
            self.assertEqual(failure.condition, "invalid-authzid", authzid)

    def test_impossible_names(self) -> None:
        for authcid in ("", "a b", "alice@example.org", "a\u00adb", "\ud800", "a" * 1024):
            failure = self.assertRaises(SaslFailure, prepare_identity, authcid, "", "example.org")
            self.assertEqual(failure.condition, "not-authorized", ascii(authcid))
