"""MAM A33: what a client has fetched from the archive is not sent to it as an offline message, too."""

from __future__ import annotations

import re

from tests.modules.test_archive import form, page
from tests.modules.test_offline import PASSING, OfflineCase
from xmppd.core import ns
from xmppd.modules.search import FULLTEXT
from xmppd.testing import Client


class FetchingCase(OfflineCase):
    """Bob is away while Alice writes; then he comes back."""

    def setUp(self) -> None:
        super().setUp()
        self.write("1", "2", "3")

    def fetch(self, client: Client, content: str = "") -> list[str]:
        """A query, and the bodies of what it finds."""
        client.take()
        self.tell(client, f"<iq type='set' id='q'><query xmlns='{ns.MAM}'>{content}</query></iq>")
        answer = client.take()
        self.ids = re.findall("<result [^>]*id='([^']*)'", answer)
        self.asked = f"<r xmlns='{ns.SM}'/>" in answer
        return re.findall("<body>([^<]*)</body>", answer)

    def assert_replayed(self, client: Client, *bodies: str) -> None:
        """What waits for Bob when he becomes available; once that is confirmed nobody gets it any more."""
        self.assertEqual(self.appear(client), list(bodies))
        self.tell(client, " ")
        client.close()
        last = self.bound("last")
        self.assertEqual(self.appear(last), [])
        last.close()


class CatchingUpTests(FetchingCase):
    def test_what_was_fetched_is_not_replayed(self) -> None:
        desk = self.bound("desk")
        self.assertEqual(self.fetch(desk), ["1", "2", "3"])
        self.assert_replayed(desk)

    def test_what_came_since_is(self) -> None:
        desk = self.bound("desk")
        self.fetch(desk)
        self.write("4")
        self.assert_replayed(desk, "4")

    def test_page_behind_page(self) -> None:
        desk = self.bound("desk")
        self.assertEqual(self.fetch(desk, page(max=2)), ["1", "2"])
        self.assertEqual(self.fetch(desk, page(max=2, after=self.ids[-1])), ["3"])
        self.assert_replayed(desk)

    def test_smaller_page_behind_a_larger_one(self) -> None:
        """It made the server forget the larger one, which was on its way"""
        desk = self.bound("desk")
        self.enable(desk)
        for most in (50, 2):
            self.fetch(desk, page(max=most))
        self.acknowledge(desk, 7)
        self.assertEqual(self.appear(desk), [])

    def test_what_is_behind_the_last_page_is_replayed(self) -> None:
        desk = self.bound("desk")
        self.fetch(desk, page(max=2))
        self.assert_replayed(desk, "3")

    def test_from_the_last_message_that_a_client_knows(self) -> None:
        """It may be one that Bob sent, behind all that he got; and there are three ways of saying it"""
        for field in ("after", "after_id", "start"):
            first = self.bound("first")
            self.appear(first)
            self.tell(first, "<message to='alice@localhost'><body>mine</body></message>")
            self.fetch(first)
            known, moment = self.ids[-1], self.world.reactor.now()
            first.close()
            self.write("new", "newer")
            desk = self.bound("desk")
            stamp = f"2026-01-01T00:00:{moment - 1767225600:09.6f}Z"
            content = page(after=known) if field == "after" else form(
                **{field: known if field == "after_id" else stamp}
            )  # fmt: skip
            self.assertEqual(self.fetch(desk, content), ["new", "newer"], field)
            self.assert_replayed(desk)

    def test_groupchat_is_never_replayed(self) -> None:
        """So it does not matter whether the query leaves it out"""
        desk = self.bound("desk")
        self.fetch(desk, form(include_groupchat="false"))
        self.assert_replayed(desk)

    def test_what_is_no_history_is_replayed(self) -> None:
        self.write("passing", content=PASSING)
        self.write("5")
        desk = self.bound("desk")
        self.assertEqual(self.fetch(desk), ["1", "2", "3", "5"])
        self.assert_replayed(desk, "passing")

    def test_what_is_no_history_is_not_passed_over(self) -> None:
        """It waits before the place from which the query goes on"""
        first = self.bound("first")
        self.appear(first)
        self.tell(first, " ")
        first.close()
        self.write("passing", content=PASSING)
        quiet = self.bound("quiet")
        self.tell(quiet, "<message to='alice@localhost'><body>mine</body></message>")
        self.fetch(quiet)
        quiet.close()
        self.write("new")
        desk = self.bound("desk")
        self.assertEqual(self.fetch(desk, page(after=self.ids[-1])), ["new"])
        self.assert_replayed(desk, "passing")

    def test_it_holds_for_this_session_and_once_it_is_available(self) -> None:
        """A program that reads the archive and never becomes available takes nothing from the others"""
        reader, bot = self.bound("reader"), self.bound("bot")
        self.fetch(reader)
        self.fetch(bot)
        self.assertEqual(self.appear(bot, -1), [])
        self.assert_replayed(self.bound("desk"), "1", "2", "3")


class OtherQueriesTests(FetchingCase):
    """Whoever looks something up has not caught up."""

    def test_queries_that_count_nothing(self) -> None:
        everything = ["1", "2", "3"]
        words = form().replace("</x>", f"<field var='{FULLTEXT}'><value>1</value></field></x>")
        desk = self.bound("desk")
        self.fetch(desk)
        ids = self.ids
        desk.cut()
        for number, content in enumerate(
            (
                form(with_="alice@localhost"),
                form(with_="bob@localhost/desk"),
                form(ids=ids),
                page(before=""),
                page(before=ids[2]),
                "<flip-page/>",
                words,
                page(after=ids[0]),
                page(max=0),
            )
        ):
            desk = self.bound(f"desk{number}")
            self.fetch(desk, content)
            self.assertEqual(self.appear(desk), everything, content)
            desk.cut()


class StreamManagementTests(FetchingCase):
    """With stream management the acknowledgement counts; it is asked for."""

    def managed(self) -> Client:
        desk = self.bound("desk")
        self.enable(desk)
        return desk

    def test_acknowledged_results(self) -> None:
        desk = self.managed()
        self.fetch(desk)
        self.assertTrue(self.asked)
        self.acknowledge(desk, 3)
        self.assertEqual(self.appear(desk), [])

    def test_results_that_are_not_acknowledged(self) -> None:
        desk = self.managed()
        self.fetch(desk)
        self.acknowledge(desk, 2)
        self.assertEqual(self.appear(desk), ["1", "2", "3"])

    def test_pages_that_are_asked_for_in_one_go(self) -> None:
        """The second one goes on from the first, which may not be acknowledged yet"""
        desk = self.managed()
        self.fetch(desk, page(max=1))
        self.fetch(desk, page(max=5, after=self.ids[0]))
        self.acknowledge(desk, 4)
        self.assertEqual(self.appear(desk), [])

    def test_results_that_are_sent_again(self) -> None:
        """Fetched before the connection was lost, acknowledged after resumption"""
        desk = self.bound("desk")
        token = self.enable(desk)
        self.fetch(desk)
        desk.cut()
        again, got = self.reconnect("bob", token, 0)
        self.assertEqual(sum("<result " in xml for xml in got), 3)
        self.acknowledge(again, 4)
        self.assertEqual(self.appear(again), [])

    def test_nothing_is_asked_where_nothing_waits(self) -> None:
        desk = self.managed()
        self.appear(desk)
        self.acknowledge(desk, 4)
        self.fetch(desk)
        self.assertFalse(self.asked)
