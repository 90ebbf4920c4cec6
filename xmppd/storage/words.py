"""What of a message can be searched for (XEP-0431): its text, and the words in it.

One way of cutting text into words serves the index of every database, the search of what is not indexed yet,
and the words that are searched for: so all of them agree.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple
from xml.parsers import expat

from xmppd.core.classify import is_encryption
from xmppd.core.ns import CLIENT
from xmppd.core.stanza import SEPARATOR

VERSION: Final = f"3 {unicodedata.unidata_version}"
"""Of the way of cutting: an index that was made in another way is made anew."""

MOST_TEXT: Final = 32 * 1024
"""Characters of a message, and"""
MOST_LENGTH: Final = 40
"""characters of a word that count."""

MOST_QUERY: Final = 1024
"""Characters of what is searched for, and"""
MOST_TERMS: Final = 16
"""words in it."""

_MOST_LETTERS: Final = 10_000
"""Characters that are remembered with what they are in a word."""

_BEGINNING: Final = 3
"""Letters from which on a word finds those that begin with it; a syllable of Hangul is two or three."""

_NO_LETTERS: Final = ((0x300, 0x36F), (0x20D0, 0x20FF), (0xFE00, 0xFE0F))
"""Accents, marks around signs, and what chooses the look of an emoji."""

_plain = re.compile("[a-z0-9]+").findall
#: Scripts that put no space between words: Thai to Khmer, and from the radicals to the end of Han and kana.
_unspaced = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)

#: More marks on one character than Unicode's stream-safe text has (UAX 15, section 13): by then only marks
#: are neither letters nor space.
_marks = re.compile(r"([^\w\s]{30})[^\w\s]+")


class Term(NamedTuple):
    """A word that is searched for.

    :ivar beginning: whether words that begin with it are found, too.
    """

    word: str
    beginning: bool


class _Letters(dict[int, str]):
    """For `str.translate`: each character without upper case and accents; signs part words."""

    def __missing__(self, code: int) -> str:
        if len(self) >= _MOST_LETTERS:
            # Not those that come first for ever: a text that has them all would make all others slow.
            self.clear()
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", chr(code)).casefold())
        found = self[code] = _letter(folded) if len(folded) == 1 else "".join(map(_letter, folded))
        return found


def _letter(char: str) -> str:
    if any(first <= ord(char) <= last for first, last in _NO_LETTERS):
        return ""
    return char if char.isalnum() or unicodedata.category(char).startswith("M") else " "


_letters = _Letters()


def _cut(text: str) -> list[str]:
    """The words of a text in order, without upper case and accents.

    Characters are folded one by one, and marks are bounded before they are put in order: that takes a time
    that grows with the square of their number, and nothing else runs meanwhile. 64 KiB took a second.
    """
    if text.isascii():
        return _plain(text.lower())
    folded = _marks.sub(r"\1", text.translate(_letters))
    return unicodedata.normalize("NFC", folded).split()


def _pieces(run: str) -> list[str]:
    """Of a run without spaces every two neighbours, and the last one: so each begins one piece."""
    return [run[place : place + 2] for place in range(len(run))]


def words(text: str) -> set[str]:
    """The words of a text, each once."""
    found: set[str] = set()
    for word in _cut(text[:MOST_TEXT]):
        if word.isascii() or not _unspaced.search(word):
            found.add(word[:MOST_LENGTH])
            continue
        for run in _unspaced.findall(word):
            found.update(_pieces(run))
        found.update(part[:MOST_LENGTH] for part in _unspaced.split(word) if part)
    return found


def terms(text: str) -> tuple[Term, ...]:
    """The words that are searched for: a message has to have all of them. None where there is no word in it.

    Whatever stands in the text, it has no meaning but its words.

    :raises ValueError: if it is too long.
    """
    if len(text) > MOST_QUERY:
        raise ValueError(f"a search has at most {MOST_QUERY} characters")
    found = [term for word in _cut(text) for term in _terms_of(word)]
    unique = tuple(dict.fromkeys(found))
    if len(unique) > MOST_TERMS:
        raise ValueError(f"a search has at most {MOST_TERMS} words")
    return unique


def _terms_of(word: str) -> list[Term]:
    if word.isascii() or not _unspaced.search(word):
        return [_term(word)]
    found = [_term(part) for part in _unspaced.split(word) if part]
    for run in _unspaced.findall(word):
        # The last character alone begins any piece that starts with it; behind others it says nothing new.
        pieces = _pieces(run)[:-1]
        found += [Term(piece, False) for piece in pieces] or [Term(run, True)]
    return found


def _term(word: str) -> Term:
    return Term(word[:MOST_LENGTH], len(unicodedata.normalize("NFD", word)) >= _BEGINNING)


def matcher(wanted: tuple[Term, ...]) -> Callable[[set[str]], bool]:
    """Whether the words of a message have all of these; nothing has where nothing is searched for."""
    exact = {term.word for term in wanted if not term.beginning}
    beginnings = [term.word for term in wanted if term.beginning]

    def matches(found: set[str]) -> bool:
        return (
            bool(wanted)
            and exact <= found
            and all(word in found or any(other.startswith(word) for other in found) for word in beginnings)
        )

    return matches


# -- the text of a message


class _Reader:
    """Takes body and subject out of a message, and notices that another payload is what it really says."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.encrypted = False
        self._depth = 0
        self._reading = False

    def start(self, name: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth != 2:
            return
        namespace, _, local = name.rpartition(SEPARATOR)
        if namespace == CLIENT:
            self._reading = local in ("body", "subject")
        elif is_encryption(namespace):
            self.encrypted = True

    def end(self, _name: str) -> None:
        self._depth -= 1
        if self._reading and self._depth == 1:
            self._reading = False
            self.texts.append(" ")

    def data(self, text: str) -> None:
        if self._reading and self._depth == 2:
            self.texts.append(text)


def text_of(stanza: bytes) -> str:
    """The text of a stored message: subjects and bodies. Nothing of an encrypted one: what stands beside the
    encrypted payload is for clients that cannot read it.

    :param stanza: a complete `<message xmlns='jabber:client'>`.
    """
    if b"<body" not in stanza and b"<subject" not in stanza:
        return ""
    reader = _Reader()
    parser = expat.ParserCreate("UTF-8", SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.Parse(stanza, True)
    text = "".join(reader.texts)
    return "" if reader.encrypted or text.lstrip().startswith("?OTR") else text


def words_of(stanza: bytes) -> set[str]:
    """The words of a stored message."""
    return words(text_of(stanza))
