"""Tests of passwords and the keys that are kept of them."""

import base64
import traceback

import scramp
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.auth.passwords import (
    DIGEST_SIZES,
    ITERATIONS,
    SALT_BYTES,
    Credential,
    derive,
    derive_all,
    fake_credential,
    prepare_password,
    verify,
)


class PrepareTests(unittest.TestCase):
    def test_normal_forms(self) -> None:
        self.assertEqual(prepare_password("correct Horse"), "correct Horse")
        self.assertEqual(prepare_password("a\u00a0b"), "a b")
        self.assertEqual(prepare_password("e\u0301"), "é")
        self.assertEqual(prepare_password("😀"), "😀")

    def test_refused(self) -> None:
        for text in (
            "",
            "a\0b",
            "a\tb",
            "a\nb",
            "\x7f",
            "\u00ad",
            "\ud800",
            "a" * 1024,
            "é" * 512,
            "a" * 10**6,
        ):
            self.assertRaises(ValueError, prepare_password, text)

    def test_longest(self) -> None:
        self.assertEqual(prepare_password("a" * 1023), "a" * 1023)
        self.assertEqual(len(prepare_password("é" * 511)), 511)

    def test_errors_do_not_quote_the_password(self) -> None:
        error = self.assertRaises(ValueError, prepare_password, "hunter2\0")
        self.assertNotIn("hunter2", "".join(traceback.format_exception(error)))

    @given(st.text(max_size=20))
    def test_any_text_is_stable_or_refused(self, text: str) -> None:
        try:
            prepared = prepare_password(text)
        except ValueError:
            return
        self.assertEqual(prepare_password(prepared), prepared)

    @given(st.text(st.characters(max_codepoint=0x7F), min_size=1, max_size=20))
    def test_ascii_is_printable_or_refused(self, text: str) -> None:
        if all(" " <= char <= "~" for char in text):
            self.assertEqual(prepare_password(text), text)
        else:
            self.assertRaises(ValueError, prepare_password, text)


class KeysTests(unittest.TestCase):
    def test_keys_are_those_of_another_implementation(self) -> None:
        salt = base64.b64decode("QSXCR+Q6sek8bf92")
        for name in DIGEST_SIZES:
            mechanism = scramp.ScramMechanism(f"SCRAM-{name.upper()}")
            info = mechanism.make_auth_info("pencil", iteration_count=4096, salt=salt)
            ours = derive("pencil", name, salt, 4096)
            self.assertEqual((ours.salt, ours.stored_key, ours.server_key, ours.iterations), info)

    def test_defaults(self) -> None:
        first, second = derive("pencil", "sha-1"), derive("pencil", "sha-1")
        self.assertEqual((len(first.salt), first.iterations), (SALT_BYTES, ITERATIONS))
        self.assertNotEqual(first.salt, second.salt)
        self.assertNotEqual(first.stored_key, second.stored_key)

    def test_derive_all(self) -> None:
        credentials = derive_all("e\u0301")
        self.assertEqual(
            {name: keys.hash_name for name, keys in credentials.items()}, {n: n for n in DIGEST_SIZES}
        )
        self.assertEqual(len({keys.salt for keys in credentials.values()}), 3)
        self.assertTrue(all(verify("é", keys) for keys in credentials.values()))

    def test_verify(self) -> None:
        keys = derive("pencil", "sha-256", b"saltsalt", 4096)
        self.assertTrue(verify("pencil", keys))
        for password in ("Pencil", "pencil ", "", "-", "pencil\0", "p" * 5000, "é"):
            self.assertFalse(verify(password, keys), password)

    def test_impossible_password_is_wrong_even_if_it_stands_for_the_right_one(self) -> None:
        self.assertFalse(verify("\0", derive("-", "sha-1", b"saltsalt", 4096)))

    def test_refused(self) -> None:
        for arguments in (
            ("", "sha-1"),
            ("pencil", "md5"),
            ("pencil", "sha-1", b"short"),
            ("pencil", "sha-1", b"s" * 65),
            ("pencil", "sha-1", b"saltsalt", 4095),
            ("pencil", "sha-1", b"saltsalt", 1_000_001),
        ):
            self.assertRaises(ValueError, derive, *arguments)

    def test_credential_checks_itself(self) -> None:
        good = ("sha-1", b"saltsalt", 4096, b"s" * 20, b"k" * 20)
        self.assertEqual(Credential(*good).iterations, 4096)
        for index, value in ((0, "md5"), (1, b""), (2, 1), (2, 10**9), (3, b"s" * 19), (4, b"k" * 32)):
            bad = [value if at == index else part for at, part in enumerate(good)]
            self.assertRaises(ValueError, Credential, *bad)

    def test_keys_are_not_in_the_representation(self) -> None:
        text = repr(Credential("sha-1", b"saltsalt", 4096, b"s" * 20, b"k" * 20))
        self.assertNotIn("ssss", text)
        self.assertNotIn("kkkk", text)


class FakeTests(unittest.TestCase):
    def test_looks_like_a_real_one(self) -> None:
        for name in DIGEST_SIZES:
            fake, real = fake_credential(b"secret", "example.org", "alice", name), derive("pencil", name)
            self.assertEqual((fake.hash_name, fake.iterations), (real.hash_name, real.iterations))
            self.assertEqual(len(fake.salt), len(real.salt))

    def test_stays_the_same(self) -> None:
        self.assertEqual(
            fake_credential(b"secret", "example.org", "alice", "sha-1"),
            fake_credential(b"secret", "example.org", "alice", "sha-1"),
        )

    def test_depends_on_everything(self) -> None:
        fakes = [
            fake_credential(*arguments)
            for arguments in (
                (b"secret", "example.org", "alice", "sha-1"),
                (b"Secret", "example.org", "alice", "sha-1"),
                (b"secret", "example.net", "alice", "sha-1"),
                (b"secret", "example.org", "bob", "sha-1"),
                (b"secret", "example.org", "alice", "sha-256"),
            )
        ]
        for values in ([fake.salt for fake in fakes], [fake.stored_key[:20] for fake in fakes]):
            self.assertEqual(len(set(values)), 5)
        self.assertNotEqual(fakes[0].stored_key, fakes[0].server_key)
