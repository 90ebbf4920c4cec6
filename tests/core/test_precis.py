"""Tests of the normal forms of internationalised text."""

import traceback
from collections.abc import Callable

import precis_i18n.context
from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile
from twisted.trial import unittest

from xmppd.core import precis
from xmppd.core.precis import MAX_BYTES, MAX_INPUT, check_size, enforce_opaque, enforce_username

# Characters with rules of context, and what those rules look for.
CONTEXT = "\u200c\u200d\u00b7l\u0375α\u05f3\u05f4א\u30fbカ한漢\u0660\u0661\u06f0\u06f1\u094dकبد\u0300é0a"
TEXT = st.text(max_size=10) | st.text(CONTEXT, max_size=10) | st.text("Aaé\u0301Ａ\u3000ﾊﾟΣ", max_size=10)


def library(profile: str, text: str) -> str | None:
    try:
        return str(get_profile(profile).enforce(text))
    except UnicodeEncodeError:
        return None


def ours(enforce: Callable[[str], str], text: str) -> str | None:
    try:
        return enforce(text)
    except ValueError:
        return None


class VerdictTests(unittest.TestCase):
    @given(TEXT)
    def test_same_as_the_library(self, text: str) -> None:
        self.assertEqual(ours(enforce_username, text), library("UsernameCaseMapped", text))
        self.assertEqual(ours(enforce_opaque, text), library("OpaqueString", text))

    @given(st.text(CONTEXT, max_size=6))
    def test_same_as_the_library_where_characters_come_again(self, text: str) -> None:
        for repeated in (text + text, text[:1] * 3 + text, text + text[-1:] * 3):
            self.assertEqual(ours(enforce_opaque, repeated), library("OpaqueString", repeated))

    def test_rules_of_context(self) -> None:
        for text, allowed in (
            ("\u0660\u0661\u0660", True),
            ("\u0660\u0661\u06f0", False),
            ("\u06f0\u06f1\u0660", False),
            ("カ\u30fb\u30fb", True),
            ("\u30fb\u30fb", False),
            ("l\u00b7l\u00b7l", True),
            ("l\u00b7\u0660", False),
            ("क\u094d\u200d", True),
            ("क\u094d\u0660\u0660\u200d", False),
        ):
            self.assertEqual(ours(enforce_opaque, text) is not None, allowed, ascii(text))

    def test_result_must_be_stable(self) -> None:
        self.patch(precis, "_map", lambda profile, text: text + "x")
        self.assertRaises(ValueError, enforce_opaque, "a")


class CostTests(unittest.TestCase):
    def test_longest(self) -> None:
        self.assertEqual(enforce_opaque("é" * 511), "é" * 511)
        self.assertEqual(enforce_username("Ａ" * MAX_BYTES), "a" * MAX_BYTES)
        shortened = "α\u0313\u0300\u0345" * 341
        self.assertEqual(len(enforce_opaque(shortened).encode()), MAX_BYTES)
        self.assertLess(len(shortened), MAX_INPUT)

    def test_too_long(self) -> None:
        for text in ("a" * 1024, "é" * 512, "a" * 10**6, "\u3000" * 1024):
            self.assertRaises(ValueError, enforce_opaque, text)

    def test_long_texts_are_not_looked_at(self) -> None:
        def look(*arguments: object) -> str:
            raise AssertionError("looked at")

        self.patch(precis, "_map", look)
        self.assertRaises(ValueError, enforce_opaque, "a" * (MAX_INPUT + 1))

    def test_rules_of_the_whole_text_run_once(self) -> None:
        for name, text in (
            ("rule_arabic_indic", "\u0660\u0665" * 250),
            ("rule_extended_arabic_indic", "\u06f0\u06f5" * 250),
            ("rule_katakana_middle_dot", "カ" + "\u30fb" * 300),
        ):
            calls = self.count(name)
            self.assertEqual(enforce_opaque(text), text)
            self.assertEqual(len(calls), 1, name)

    def count(self, name: str) -> list[str]:
        real = getattr(precis_i18n.context, name)
        calls: list[str] = []

        def counting(value: str, *arguments: object) -> bool:
            calls.append(value)
            return bool(real(value, *arguments))

        self.patch(precis_i18n.context, name, counting)
        # The library finds the rule of the middle dot in a table.
        table = precis_i18n.context._RULES
        self.patch(precis_i18n.context, "_RULES", {k: counting if v is real else v for k, v in table.items()})
        return calls


class ErrorTests(unittest.TestCase):
    def test_errors_quote_nothing(self) -> None:
        for text in ("hunter2\0", "hunter2א", "hunter2" * 1000, "hunter2\ud800"):
            error = self.assertRaises(ValueError, enforce_username, text)
            self.assertNotIn("hunter2", "".join(traceback.format_exception(error)))

    def test_no_bytes_for_a_lone_surrogate(self) -> None:
        self.assertRaises(ValueError, check_size, "\ud800")
