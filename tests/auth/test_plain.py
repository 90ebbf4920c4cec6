"""Tests of the parser of PLAIN (RFC 4616)."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.auth.plain import PlainMessage, parse_plain
from xmppd.auth.sasl import SaslFailure


class ParseTests(unittest.TestCase):
    def test_examples_of_the_rfc(self) -> None:
        self.assertEqual(parse_plain(b"\0tim\0tanstaaftanstaaf"), PlainMessage("", "tim", "tanstaaftanstaaf"))
        self.assertEqual(parse_plain(b"Ursel\0Kurt\0xipj3plmq"), PlainMessage("Ursel", "Kurt", "xipj3plmq"))
        self.assertEqual(parse_plain("\0é\0ü".encode()), PlainMessage("", "é", "ü"))

    def test_malformed(self) -> None:
        for message in (
            b"",
            b"\0",
            b"\0\0",
            b"tim\0pw",
            b"\0tim\0",
            b"\0\0pw",
            b"\0a\0b\0",
            b"\0a\0b\0c",
            b"\0a\0\xff",
        ):
            failure = self.assertRaises(SaslFailure, parse_plain, message)
            self.assertEqual(failure.condition, "malformed-request", message)

    def test_password_is_not_in_the_representation(self) -> None:
        self.assertNotIn("hunter2", repr(parse_plain(b"\0tim\0hunter2")))

    @given(st.binary(max_size=30) | st.text("a\0é", max_size=10).map(str.encode))
    def test_any_bytes_parse_or_fail(self, message: bytes) -> None:
        try:
            parsed = parse_plain(message)
        except SaslFailure as failure:
            self.assertEqual(failure.condition, "malformed-request")
        else:
            self.assertEqual("\0".join((parsed.authzid, parsed.authcid, parsed.password)).encode(), message)
