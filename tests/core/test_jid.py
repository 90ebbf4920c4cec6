"""Tests of JIDs (RFC 7622)."""

import copy
import operator
import pickle
import string
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile
from twisted.trial import unittest

from xmppd.core import jid as jid_module
from xmppd.core.jid import JID, InvalidJID, prepare_domain, prepare_local, prepare_resource

VALID = [
    # text, local, domain, resource: the examples of RFC 7622 section 3.5 first
    ("juliet@example.com", "juliet", "example.com", ""),
    ("juliet@example.com/foo", "juliet", "example.com", "foo"),
    ("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
    ("juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
    ("foo\\20bar@example.com", "foo\\20bar", "example.com", ""),
    ("fussball@example.com", "fussball", "example.com", ""),
    ("fußball@example.com", "fußball", "example.com", ""),
    ("π@example.com", "π", "example.com", ""),
    ("Σ@example.com/foo", "σ", "example.com", "foo"),
    ("king@example.com/♚", "king", "example.com", "♚"),
    ("example.com", "", "example.com", ""),
    ("example.com/foobar", "", "example.com", "foobar"),
    ("a.example.com/b@example.net", "", "a.example.com", "b@example.net"),
    # normalisation
    ("Juliet@EXAMPLE.com./Balcony", "juliet", "example.com", "Balcony"),
    ("Ｊuliet@example.com", "juliet", "example.com", ""),
    ("e\u0301@example.com/e\u0301", "é", "example.com", "é"),
    ("a@example.com/foo\u00a0bar", "a", "example.com", "foo bar"),
    ("a@example.com/a/b//", "a", "example.com", "a/b//"),
    ("a@example.com/😀", "a", "example.com", "😀"),
    # domains
    ("a@MÜNCHEN.example", "a", "münchen.example", ""),
    ("a@xn--mnchen-3ya.example", "a", "münchen.example", ""),
    ("a@XN--Mnchen-3ya.example", "a", "münchen.example", ""),
    ("a@ｅｘａｍｐｌｅ．com", "a", "example.com", ""),
    ("a@faß.example", "a", "faß.example", ""),
    ("a@192.0.2.1", "a", "192.0.2.1", ""),
    ("a@[2001:DB8::0:1]/r", "a", "[2001:db8::1]", "r"),
    ("localhost", "", "localhost", ""),
    ("a@r3---sn-x.example", "a", "r3---sn-x.example", ""),
]

INVALID = [
    "",
    "/",
    "@",
    "/resource",
    "@/",
    "@example.com",
    "@example.com/r",
    "a@",
    "a@/r",
    "example.com/",
    "a@example.com/",
    "a@b@example.com",
    '"juliet"@example.com',
    "foo bar@example.com",
    "a&b@example.com",
    "a'b@example.com",
    "a:b@example.com",
    "a<b@example.com",
    "a>b@example.com",
    "a\u2028b@example.com",
    "henryⅣ@example.com",
    "♚@example.com",
    # only after the profile there is an excluded character
    "a＠b@example.com",
    "a／b@example.com",
    "a＆b@example.com",
    "a＜b@example.com",
    # white space, control characters, what XML forbids, lone surrogates
    " a@example.com",
    "a@example.com ",
    "a@example.com\n",
    "a@example.com/r\n",
    "a@example.com/\x00",
    "a@example.com/\ufffe",
    "a@example.com/\ud800",
    "\ud800@example.com",
    "a@\ud800.example",
    "a\u00adb@example.com",
    # domains
    ".",
    "a@.",
    "a@example..com",
    "a@.example.com",
    "a@example.com..",
    "a@-example.com",
    "a@example-.com",
    "a@exam_ple.com",
    "a@exa mple.com",
    "a@☃.example",
    "a@xn--.example",
    "a@xn--a.example",
    "a@xn--abc-.example",
    "a@ab--cdé.example",
    "a@a。example",
    "a@[::1",
    "a@::1",
    "a@[::1]x",
    "a@[fe80::1%eth0]",
    "a@[192.0.2.1]",
    "a@[]",
    "a@" + "a" * 64 + ".example",
    "a@" + "ü" * 60 + ".example",
]


class ParseTests(unittest.TestCase):
    def test_valid(self) -> None:
        for text, local, domain, resource in VALID:
            jid = JID.parse(text)
            self.assertEqual((jid.local, jid.domain, jid.resource), (local, domain, resource), text)
            self.assertEqual(JID.parse(jid.text), jid)

    def test_invalid(self) -> None:
        for text in INVALID:
            with self.assertRaises(InvalidJID, msg=ascii(text)):
                JID.parse(text)

    def test_message_does_not_quote_the_jid(self) -> None:
        error = self.assertRaises(InvalidJID, JID.parse, "sec ret@example.com")
        self.assertIn("local part", str(error))
        self.assertNotIn("sec", str(error))

    def test_each_part_has_its_limit(self) -> None:
        domain = ".".join(["d" * 63] * 15 + ["d" * 62, "d"])
        self.assertEqual(len(domain), 1024)
        longest = JID.parse(f"{'l' * 1023}@{domain[1:]}/{'r' * 1023}")
        self.assertEqual(len(longest.text), 3 * 1023 + 2)
        for text in (
            f"{'l' * 1024}@example.com",
            f"a@{domain}",
            f"a@example.com/{'r' * 1024}",
            f"a@example.com/{'é' * 512}",
            f"{'é' * 512}@example.com",
            f"a@example.com/{'r' * 100_000}",
        ):
            self.assertRaises(InvalidJID, JID.parse, text)

    def test_limit_counts_after_normalisation(self) -> None:
        self.assertEqual(JID.parse(f"{'Ａ' * 1023}@example.com").local, "a" * 1023)
        self.assertEqual(
            JID.parse(f"a@example.com/{'e' + chr(0x301)}" + "r" * 1021).resource, "é" + "r" * 1021
        )

    def test_hot_jids_are_parsed_once(self) -> None:
        self.assertIs(JID.parse("hot@example.com/x"), JID.parse("hot@example.com/x"))
        self.assertIs(JID.parse("hot@example.com/x").bare, JID.parse("hot@example.com"))

    def test_cache_is_bounded_and_holds_no_large_texts(self) -> None:
        self.assertIsNotNone(jid_module._parse_cached.cache_info().maxsize)
        before = jid_module._parse_cached.cache_info().currsize
        JID.parse(f"{'l' * 1000}@example.com")
        JID.parse(f"example.com/{'r' * 1000}")
        self.assertLessEqual(jid_module._parse_cached.cache_info().currsize, before + 1)


class ValueTests(unittest.TestCase):
    def test_attributes(self) -> None:
        jid = JID.parse("romeo@example.net/or'ch<&>rd")
        self.assertEqual(jid.text, "romeo@example.net/or'ch<&>rd")
        self.assertEqual(str(jid), jid.text)
        self.assertEqual(jid.xml, "romeo@example.net/or&apos;ch&lt;&amp;&gt;rd")
        self.assertFalse(jid.is_bare)
        self.assertEqual(jid.bare.text, "romeo@example.net")
        self.assertTrue(jid.bare.is_bare)
        self.assertIs(jid.bare.bare, jid.bare)
        self.assertEqual(repr(jid.bare), "JID('romeo@example.net')")

    def test_with_resource(self) -> None:
        jid = JID.parse("romeo@example.net/orchard")
        self.assertEqual(jid.with_resource("a/b"), JID.parse("romeo@example.net/a/b"))
        self.assertIs(jid.with_resource(""), jid.bare)
        self.assertEqual(JID.parse("example.net").with_resource("x").text, "example.net/x")
        self.assertRaises(InvalidJID, jid.with_resource, "\x00")

    def test_known(self) -> None:
        """What was kept of a JID is that JID, without the work of parsing it"""
        for text in ("a@b", "b", "a@b/c", "b/c", "b/c@d/e", "\u0628@\u0628.b/\u0628", "a@[::1]/x"):
            jid, known = JID.parse(text), JID.known(JID.parse(text).text)
            self.assertEqual((known, known.bare, known.xml), (jid, jid.bare, jid.xml))
            self.assertEqual(
                (known.local, known.domain, known.resource), (jid.local, jid.domain, jid.resource)
            )
            self.assertEqual(known.is_bare, jid.is_bare)

    def test_immutable(self) -> None:
        jid = JID.parse("romeo@example.net")
        for name in ("text", "other"):
            self.assertRaises(AttributeError, setattr, jid, name, "x")
        self.assertRaises(AttributeError, delattr, jid, "text")

    def test_equality_hash_and_order(self) -> None:
        jid, same = JID.parse("A@example.net"), JID.parse("a@example.net.")
        self.assertIsNot(jid, same)
        self.assertEqual(jid, same)
        self.assertEqual(hash(jid), hash(same))
        self.assertNotEqual(jid, JID.parse("b@example.net"))
        self.assertFalse(jid == jid.text)
        self.assertTrue(jid != jid.text)
        jids = [JID.parse(text) for text in ("c", "a@c", "b/z", "b")]
        self.assertEqual([str(jid) for jid in sorted(jids)], ["a@c", "b", "b/z", "c"])
        self.assertTrue(jids[0] >= jids[1])
        self.assertRaises(TypeError, operator.lt, jids[0], "c")

    def test_copies(self) -> None:
        jid = JID.parse("romeo@example.net/orchard")
        self.assertEqual(copy.deepcopy(jid), jid)
        self.assertEqual(pickle.loads(pickle.dumps(jid)), jid)

    def test_make(self) -> None:
        self.assertEqual(JID.make("Romeo", "EXAMPLE.net", "Orchard").text, "romeo@example.net/Orchard")
        self.assertEqual(JID.make("", "example.net").text, "example.net")
        self.assertEqual(JID.make("", "example.net", "a/b@c").text, "example.net/a/b@c")

    def test_make_refuses_what_would_split_elsewhere(self) -> None:
        for parts in (("a/b", "c"), ("a@b", "c"), ("", "a@b"), ("", "a/b"), ("a", "b/c", "d"), ("a", "")):
            self.assertRaises(InvalidJID, JID.make, *parts)


def slowly(profile: str, text: str) -> str | None:
    """What PRECIS alone says of a local part or resource."""
    try:
        enforced = str(get_profile(profile).enforce(text))
    except UnicodeEncodeError:
        return None
    if profile == "UsernameCaseMapped" and set(enforced) & set("\"&'/:<>@"):
        return None
    return enforced if len(enforced.encode()) <= 1023 else None


def quickly(prepare: Callable[[str], str], text: str) -> str | None:
    try:
        return prepare(text)
    except InvalidJID:
        return None


ASCII_TEXT = st.text(st.characters(max_codepoint=0x7F), max_size=20)
SHORT_TEXT = st.text(max_size=12)
LABEL = st.text(string.ascii_letters + string.digits + "-_üßσς١אxn", max_size=12)
JID_TEXT = st.one_of(
    SHORT_TEXT,
    st.text("aA@/.:[]é＠．\u0301\u200d٣א-", max_size=16),
    st.builds(lambda *parts: "".join(parts), SHORT_TEXT, st.just("@"), LABEL, st.just("/"), SHORT_TEXT),
)


class PropertyTests(unittest.TestCase):
    @given(ASCII_TEXT)
    def test_fast_path_of_local_parts(self, text: str) -> None:
        self.assertEqual(quickly(prepare_local, text), slowly("UsernameCaseMapped", text))

    @given(ASCII_TEXT)
    def test_fast_path_of_resources(self, text: str) -> None:
        self.assertEqual(quickly(prepare_resource, text), slowly("OpaqueString", text))

    def test_fast_path_of_single_characters(self) -> None:
        for char in map(chr, range(0x180)):
            self.assertEqual(quickly(prepare_local, char), slowly("UsernameCaseMapped", char), ascii(char))
            self.assertEqual(quickly(prepare_resource, char), slowly("OpaqueString", char), ascii(char))

    @given(st.lists(LABEL, min_size=1, max_size=4).map(".".join))
    def test_fast_path_of_domains(self, text: str) -> None:
        try:
            slow: str | None = jid_module._prepare(jid_module._enforce_domain, text, "domain")
        except InvalidJID:
            slow = None
        self.assertEqual(quickly(prepare_domain, text), slow)

    @given(JID_TEXT)
    def test_any_text_is_a_stable_jid_or_invalid(self, text: str) -> None:
        try:
            jid = JID.parse(text)
        except InvalidJID:
            return
        self.assertEqual(JID.parse(jid.text), jid)
        self.assertEqual(JID.make(jid.local, jid.domain, jid.resource), jid)
        self.assertTrue(all(len(part.encode()) <= 1023 for part in (jid.local, jid.domain, jid.resource)))
        self.assertEqual(ElementTree.fromstring(f"<x a='{jid.xml}'/>").get("a"), jid.text)

    @given(JID_TEXT, SHORT_TEXT, SHORT_TEXT)
    def test_parts_never_leak_into_each_other(self, domain: str, local: str, resource: str) -> None:
        try:
            jid = JID.make(local, domain, resource)
        except InvalidJID:
            return
        self.assertEqual(bool(jid.local), bool(local))
        self.assertEqual(bool(jid.resource), bool(resource))
        self.assertNotRegex(jid.local, "[/@]")
        self.assertNotRegex(jid.domain, "[/@]")
