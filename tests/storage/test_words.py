"""What of a message can be searched for, and what is searched for."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from tests.storage.base import examples
from xmppd.core.stanza import escape_text
from xmppd.storage.words import (
    MOST_LENGTH,
    MOST_QUERY,
    MOST_TERMS,
    MOST_TEXT,
    Term,
    _letters,
    matcher,
    terms,
    text_of,
    words,
)


def message(inner: str) -> bytes:
    return f"<message xmlns='jabber:client' type='chat'>{inner}</message>".encode()


def finds(query: str, text: str) -> bool:
    return matcher(terms(query))(words(text))


class WordTests(TestCase):
    def test_case_and_accents_do_not_matter(self) -> None:
        for query in ("café", "CAFE", "Cafe\u0301", "cafe"):
            self.assertTrue(finds(query, "Ein Café, bitte"), query)
        self.assertTrue(finds("strasse", "Hauptstr. oder Straße"))
        self.assertTrue(finds("ΣΊΣΥΦΟΣ", "Σίσυφος"))

    def test_all_words_have_to_be_there_in_any_order(self) -> None:
        self.assertTrue(finds("ophelia fair", "Soft you now, the fair Ophelia."))
        self.assertFalse(finds("ophelia foul", "Soft you now, the fair Ophelia."))

    def test_words_of_three_letters_find_those_that_begin_with_them(self) -> None:
        self.assertTrue(finds("oph", "Ophelia"))
        self.assertFalse(finds("op", "Ophelia"))
        self.assertFalse(finds("phelia", "Ophelia"))
        self.assertTrue(finds("is", "so it is"))

    def test_scripts_without_spaces(self) -> None:
        self.assertTrue(finds("京都", "東京都へ行く"))
        self.assertTrue(finds("く", "東京都へ行く"))
        self.assertTrue(finds("東京都", "東京都へ行くhello"))
        self.assertTrue(finds("hello", "東京都へ行くhello"))
        self.assertFalse(finds("京東", "東京都"))
        self.assertTrue(finds("สวัสดี", "สวัสดีครับ"))

    def test_vowel_signs_stay_in_words(self) -> None:
        self.assertEqual(words("हिन्दी में"), {"हिन्दी", "में"})

    def test_marks_in_any_order_are_the_same(self) -> None:
        self.assertEqual(words("\u05e9\u05c1\u05b8"), words("\u05e9\u05b8\u05c1"))

    def test_of_many_marks_on_a_letter_thirty_count(self) -> None:
        """Parser CPU: putting them in order takes the square of their number, and nothing else runs."""
        for mark in ("\u0316", "\u05b0", "\uff9e", "\u0591\u05b0"):
            longest = max(words(f"a{mark * 16_000}"), key=len)
            self.assertLessEqual(len(longest), 1 + 30, mark)
        self.assertEqual(words("e\u0301" * 20), {"e" * 20})

    def test_letters_are_remembered_up_to_a_bound(self) -> None:
        every = "".join(map(chr, range(0x4E00, 0x9FA0)))
        words(every)
        self.assertLessEqual(len(_letters), 10_000)
        self.assertEqual(words("Çà"), {"ca"})

    def test_hangul_stays_whole(self) -> None:
        self.assertEqual(words("한국어 안녕"), {"한국어", "안녕"})

    def test_a_syllable_of_hangul_is_several_letters(self) -> None:
        self.assertTrue(finds("한국", "한국어를 배워요"))
        self.assertTrue(finds("학교", "학교에 가요"))
        self.assertFalse(finds("국어", "한국어"))

    def test_marks_of_emoji_are_no_words(self) -> None:
        self.assertEqual(words("I \u2764\ufe0f it \U0001f468\u200d\U0001f469"), {"i", "it"})
        self.assertEqual(terms("\u2600\ufe0f"), ())
        self.assertTrue(finds("pizza \u2764\ufe0f", "pizza"))
        self.assertEqual(words("1\ufe0f\u20e3 first"), {"1", "first"})

    def test_long_words_and_texts_are_cut(self) -> None:
        self.assertEqual(words("x" * 100), {"x" * MOST_LENGTH})
        self.assertTrue(finds("x" * 100, "x" * 90))
        self.assertNotIn("end", words("a " * (MOST_TEXT // 2) + "end"))

    def test_what_has_no_word_finds_nothing(self) -> None:
        self.assertEqual(terms("?! \t"), ())
        self.assertFalse(finds("?!", "?!"))

    def test_a_search_is_bounded(self) -> None:
        self.assertEqual(len(terms(" ".join(map(str, range(MOST_TERMS))))), MOST_TERMS)
        self.assertEqual(terms("same " * 100), (Term("same", beginning=True),))
        self.assertRaises(ValueError, terms, " ".join(map(str, range(MOST_TERMS + 1))))
        self.assertRaises(ValueError, terms, "x" * (MOST_QUERY + 1))

    @examples(300)
    @given(st.text(max_size=60))
    def test_every_text_finds_itself(self, text: str) -> None:
        try:
            wanted = terms(text)
        except ValueError:
            return
        self.assertEqual(matcher(wanted)(words(text)), bool(wanted))

    @examples(300)
    @given(st.text(max_size=60))
    def test_words_are_letters_and_digits_alone(self, text: str) -> None:
        """What the index and its query language take as they are."""
        for word in words(text):
            self.assertFalse(set(word) & set(" \"'*()^:-+&|!<>\\\0"), word)
            self.assertEqual(
                word.encode("ascii", "ignore").decode().lower(), "".join(filter(str.isascii, word))
            )


class TextTests(TestCase):
    def test_bodies_and_subjects(self) -> None:
        text = text_of(message("<subject>Hi</subject><body>a &amp; b</body><body xml:lang='de'>c</body>"))
        self.assertEqual(text.split(), ["Hi", "a", "&", "b", "c"])

    def test_bodies_of_other_messages_are_none_of_its_own(self) -> None:
        inner = "<message xmlns='jabber:client'><body>inside</body></message>"
        forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded>"
        html = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='w'>html</body></html>"
        self.assertEqual(text_of(message(f"<body>mine</body>{forwarded}{html}")).strip(), "mine")

    def test_of_encrypted_messages_nothing(self) -> None:
        for payload in (
            "<encryption xmlns='urn:xmpp:eme:0' namespace='x'/>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
            "<encrypted xmlns='urn:xmpp:omemo:2'/>",
            "<openpgp xmlns='urn:xmpp:openpgp:0'/>",
            "<x xmlns='jabber:x:encrypted'/>",
        ):
            self.assertEqual(text_of(message(f"<body>You cannot read this</body>{payload}")), "", payload)
            self.assertEqual(text_of(message(f"{payload}<body>You cannot read this</body>")), "", payload)
        self.assertEqual(text_of(message("<body>?OTR:AAMDJ+MVmSfjFZcf</body>")), "")

    def test_messages_without_text(self) -> None:
        self.assertEqual(text_of(message("<received xmlns='urn:xmpp:receipts' id='1'/>")), "")

    @examples(100)
    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
    def test_any_text_comes_out_as_it_was(self, text: str) -> None:
        self.assertEqual(text_of(message(f"<body>{escape_text('.' + text)}</body>")), f".{text} ")
