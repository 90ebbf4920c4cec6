"""A short run over the fuzz targets: every seed, and seeds that were cut, joined and changed at random."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

import fuzz
from fuzz.targets import TARGETS

FOLDER = Path(fuzz.__file__).parent


def seeds(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((FOLDER / "corpus" / target).iterdir())]


def words() -> list[bytes]:
    lines = (FOLDER / "words.dict").read_text().splitlines()
    quoted = [line[1:-1] for line in lines if line.startswith('"')]
    return [word.encode().decode("unicode_escape").encode("latin-1") for word in quoted]


def mutated(target: str) -> st.SearchStrategy[bytes]:
    """Pieces of seeds, words and noise, one after the other."""
    seed = st.sampled_from(seeds(target))
    piece = st.tuples(seed, st.integers(0, 300), st.integers(0, 300)).map(lambda cut: cut[0][cut[1] : cut[2]])
    parts = st.lists(seed | piece | st.sampled_from(words()) | st.binary(max_size=5), max_size=6)
    return parts.map(b"".join)


class TargetTests(unittest.TestCase):
    def test_every_target_has_seeds(self) -> None:
        for name, target in TARGETS.items():
            for seed in seeds(name):
                target(seed)

    @settings(max_examples=200)
    @given(mutated("xml"))
    def test_xml(self, data: bytes) -> None:
        TARGETS["xml"](data)

    @settings(max_examples=300)
    @given(mutated("sasl"))
    def test_sasl(self, data: bytes) -> None:
        TARGETS["sasl"](data)

    @settings(max_examples=300)
    @given(mutated("jid"))
    def test_jid(self, data: bytes) -> None:
        TARGETS["jid"](data)

    @settings(max_examples=200)
    @given(mutated("pages"))
    def test_pages(self, data: bytes) -> None:
        TARGETS["pages"](data)
