"""The random documents say what they are meant to say: else the tests that use them would prove nothing."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from tests.xml.documents import Node, Style, form, form_of_bytes, trees


class StyleTests(unittest.TestCase):
    @given(trees, st.integers(0, 2**32))
    def test_any_style_says_the_same(self, node: Node, seed: int) -> None:
        written = Style(Random(seed)).element(node, {})
        self.assertEqual(form_of_bytes(written.encode()), form(node))
