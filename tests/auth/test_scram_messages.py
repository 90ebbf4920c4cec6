"""Tests of the parsers of SCRAM's messages."""

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.auth.sasl import SaslFailure
from xmppd.auth.scram_messages import parse_client_final, parse_client_first

BAD_FIRST = [
    b"",
    b"n",
    b"n,",
    b"n,,",
    b",,n=user,r=abc",
    b"x,,n=user,r=abc",
    b"N,,n=user,r=abc",
    b"p,,n=user,r=abc",
    b"p=,,n=user,r=abc",
    b"p=tls exporter,,n=user,r=abc",
    b"n,n=user,r=abc",
    b"n,b=x,n=user,r=abc",
    b"n,,n=user",
    b"n,,n=user,",
    b"n,,n=user,r=",
    b"n,,r=abc,n=user",
    b"n,,u=user,r=abc",
    b"n,,m=x,n=user,r=abc",
    b"n,,n=user,r=abc,m=x",
    b"n,,n=user,r=abc,n=root",
    b"n,,n=user,r=abc,r=def",
    b"n,,n=user,r=abc,x",
    b"n,,n=user,r=abc,x=",
    b"n,,n=user,r=abc,",
    b"n,,n=user,r=a c",
    b"n,,n=user,r=a\xc3\xa9c",
    b"n,,n=us=er,r=abc",
    b"n,,n=us=2Der,r=abc",
    b"n,a=us=er,n=user,r=abc",
    b"n,,n=us\0er,r=abc",
    b"n,,n=us\xffer,r=abc",
    b"n,,n=user,r=abc\n",
    b"n,,n=user,r=" + b"a" * 513,
    b"n,,n=user,r=abc,x=" + b"a" * 8192,
]

BAD_FINAL = [
    b"",
    b"c=biws",
    b"c=biws,r=abc",
    b"c=biws,r=abc,p",
    b"c=biws,p=AAAA",
    b"r=abc,c=biws,p=AAAA",
    b"biws,r=abc,p=AAAA",
    b"m=x,c=biws,r=abc,p=AAAA",
    b"c=biws,r=abc,m=x,p=AAAA",
    b"c=biws,r=abc,r=def,p=AAAA",
    b"c=biws,r=abc,c=biws,p=AAAA",
    b"c=biws,r=abc,p=AAAA,p=AAAA",
    b"c=biws,r=abc,p=AAAA,x=y",
    b"c=biws,r=abc,p=AA A",
    b"c=biws,r=abc,p=AAA",
    b"c=biws,r=abc,p=AB==",
    b"c=biws,r=a\0c,p=AAAA",
    b"c=biws,r=abc,x=\xff,p=AAAA",
    b"c=biws,r=abc,p=AAAA\n",
]


class ClientFirstTests(unittest.TestCase):
    def test_plain(self) -> None:
        first = parse_client_first(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL")
        self.assertEqual((first.gs2_header, first.flag, first.binding), ("n,,", "n", ""))
        self.assertEqual(
            (first.username, first.authzid, first.nonce), ("user", "", "fyko+d2lbbFgONRv9qkxdawL")
        )
        self.assertEqual(first.bare, "n=user,r=fyko+d2lbbFgONRv9qkxdawL")

    def test_binding_and_authzid(self) -> None:
        first = parse_client_first(b"p=tls-exporter,a=user@example.org,n=user,r=abc")
        self.assertEqual((first.flag, first.binding), ("p", "tls-exporter"))
        self.assertEqual(first.authzid, "user@example.org")
        self.assertEqual(first.gs2_header, "p=tls-exporter,a=user@example.org,")

    def test_escapes(self) -> None:
        first = parse_client_first("y,a==2C=3d,n=a=2Cb=3Dc=3D2Cé,r=abc".encode())
        self.assertEqual((first.flag, first.authzid, first.username), ("y", ",=", "a,b=c=2Cé"))

    def test_extensions_are_ignored(self) -> None:
        self.assertEqual(parse_client_first(b"n,,n=user,r=abc,x=y=z,Z=1").username, "user")

    def test_malformed(self) -> None:
        for message in BAD_FIRST:
            failure = self.assertRaises(SaslFailure, parse_client_first, message)
            self.assertEqual(failure.condition, "malformed-request", message)

    @given(st.binary(max_size=40) | st.text("nypacmrx=,2CD\0é", max_size=30).map(str.encode))
    def test_any_bytes_parse_or_fail(self, message: bytes) -> None:
        for prefix in (b"", b"n,,", b"n,,n=u,r=abc,"):
            try:
                first = parse_client_first(prefix + message)
            except SaslFailure as failure:
                self.assertEqual(failure.condition, "malformed-request")
            else:
                self.assertEqual((first.gs2_header + first.bare).encode(), prefix + message)

    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
    def test_every_name_survives_escaping(self, name: str) -> None:
        escaped = name.replace("=", "=3D").replace(",", "=2C")
        first = parse_client_first(f"n,a={escaped},n={escaped},r=abc".encode())
        self.assertEqual((first.username, first.authzid), (name, name))


class ClientFinalTests(unittest.TestCase):
    def test_plain(self) -> None:
        final = parse_client_final(b"c=biws,r=abc,p=AAEC")
        self.assertEqual((final.channel_binding, final.nonce, final.proof), ("biws", "abc", b"\0\1\2"))
        self.assertEqual(final.without_proof, "c=biws,r=abc")

    def test_extensions_are_part_of_what_is_signed(self) -> None:
        self.assertEqual(parse_client_final(b"c=biws,r=abc,x=y,p=AAEC").without_proof, "c=biws,r=abc,x=y")

    def test_malformed(self) -> None:
        for message in BAD_FINAL:
            failure = self.assertRaises(SaslFailure, parse_client_final, message)
            self.assertEqual(failure.condition, "malformed-request", message)

    @given(st.binary(max_size=40) | st.text("cprmxA=,\0é", max_size=30).map(str.encode))
    def test_any_bytes_parse_or_fail(self, message: bytes) -> None:
        for prefix in (b"", b"c=biws,r=abc,"):
            try:
                final = parse_client_final(prefix + message)
            except SaslFailure as failure:
                self.assertEqual(failure.condition, "malformed-request")
            else:
                proof = base64.b64encode(final.proof).decode()
                self.assertIn(
                    prefix + message, [f"{final.without_proof},p={p}".encode() for p in (proof, "=")]
                )
