"""Result set management: strict about requests, exact in answers."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from xmppd.core.errors import StanzaError
from xmppd.core.stanza import escape_text
from xmppd.xml import rsm, tree
from xmppd.xml.rsm import PageRequest


def query(content: str) -> tree.Element:
    return tree.parse(f"<query xmlns='urn:xmpp:mam:2'>{content}</query>".encode())


def request(content: str) -> PageRequest:
    return rsm.read(query(f"<set xmlns='http://jabber.org/protocol/rsm'>{content}</set>"))


class ReadTests(TestCase):
    """Requests."""

    def test_no_set(self) -> None:
        self.assertEqual(rsm.read(query("")), PageRequest())

    def test_limit(self) -> None:
        self.assertEqual(request("<max>10</max>"), PageRequest(max=10))

    def test_count_alone(self) -> None:
        self.assertEqual(request("<max> 0 </max>"), PageRequest(max=0))

    def test_next_page(self) -> None:
        self.assertEqual(request("<max>10</max><after>a&amp;b</after>"), PageRequest(max=10, after="a&b"))

    def test_page_before(self) -> None:
        self.assertEqual(request("<before>x</before>"), PageRequest(before="x"))

    def test_last_page(self) -> None:
        self.assertEqual(request("<max>5</max><before/>"), PageRequest(max=5, before=""))

    def test_page_at_a_position(self) -> None:
        self.assertEqual(request("<index>371</index><max>10</max>"), PageRequest(max=10, index=371))

    def test_before_and_after(self) -> None:
        self.assertEqual(request("<before>b</before><after>a</after>"), PageRequest(before="b", after="a"))

    def test_elements_of_others_mean_nothing(self) -> None:
        self.assertEqual(request("<max>1</max><max xmlns='urn:example'>2</max>"), PageRequest(max=1))

    def test_refused(self) -> None:
        for content in (
            "<max/>",
            "<max>-1</max>",
            "<max>+1</max>",
            "<max>1_0</max>",
            "<max>1e3</max>",
            "<max>\u0661</max>",
            "<max>12345678901</max>",
            "<max>1</max><max>1</max>",
            "<max>1<a/></max>",
            "<index>x</index>",
            "<index>1</index><before/>",
            "<index>1</index><after>x</after>",
            "<after/>",
            "<after>x</after><after>x</after>",
            "<first>x</first>",
            "<afterwards>x</afterwards>",
        ):
            problem = self.assertRaises(StanzaError, request, content)
            self.assertEqual(problem.condition, "bad-request", content)

    def test_two_sets(self) -> None:
        element = query("<set xmlns='http://jabber.org/protocol/rsm'/>" * 2)
        self.assertEqual(self.assertRaises(StanzaError, rsm.read, element).condition, "bad-request")

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), min_size=1))
    def test_any_id_comes_through(self, uid: str) -> None:
        self.assertEqual(request(f"<after>{escape_text(uid)}</after>").after, uid)


class WriteTests(TestCase):
    """Answers."""

    def test_page(self) -> None:
        self.assertEqual(
            rsm.write("a", "b", index=0, count=800),
            b"<set xmlns='http://jabber.org/protocol/rsm'>"
            b"<first index='0'>a</first><last>b</last><count>800</count></set>",
        )

    def test_page_without_figures(self) -> None:
        self.assertEqual(
            rsm.write("<", "&"),
            b"<set xmlns='http://jabber.org/protocol/rsm'><first>&lt;</first><last>&amp;</last></set>",
        )

    def test_empty_page_has_no_first_and_last(self) -> None:
        self.assertEqual(
            rsm.write(count=0), b"<set xmlns='http://jabber.org/protocol/rsm'><count>0</count></set>"
        )
