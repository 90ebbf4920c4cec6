"""Full-text search (XEP-0431) through the whole server, and who fills its index."""

from __future__ import annotations

from typing import Any

from tests.modules.test_archive import ALICE, Answer, ArchiveCase, form, page
from xmppd.admin.commands import FoundRow
from xmppd.core import ns
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID
from xmppd.modules import indexing, search
from xmppd.modules.search import Search
from xmppd.operator import ServerOperator
from xmppd.storage import archive as store
from xmppd.storage import archive_query, search_engines, search_index
from xmppd.storage.errors import FaultError
from xmppd.xml.delay import stamp

ENCRYPTED = "<encryption xmlns='urn:xmpp:eme:0' namespace='x'/>"


class SearchCase(ArchiveCase):
    """Alice, Bob and Carol talk."""

    def find(self, words: str, paging: str = "", **fields: str | list[str]) -> Answer:
        """What Alice finds."""
        words = words.replace("&", "&amp;").replace("<", "&lt;")
        inner = form(**fields).replace(
            "</x>", f"<field var='{search.FULLTEXT}'><value>{words}</value></field></x>"
        )
        query = f"<iq type='set' id='q'><query xmlns='{ns.MAM}'>{inner}{paging}</query></iq>"
        return Answer(self.alice.ask(query))

    def module(self) -> Search:
        module = self.world.server.hosts["localhost"].modules["search"]
        assert isinstance(module, Search)
        return module

    def number(self) -> int:
        """Of Alice's account."""
        number = self.account("alice").id
        assert number is not None
        return number

    def position(self) -> int:
        """Up to where Alice's archive is indexed."""
        return self.world.wait_for(self.world.database.read("position", search_index.position, self.number()))

    def last(self) -> int:
        """The last message of Alice's archive."""
        found = self.world.wait_for(self.world.database.read("bounds", archive_query.bounds, self.number()))
        assert found is not None
        return found[1]

    def index(self) -> None:
        """Let time pass until everything is indexed."""
        for _ in range(int(indexing.GATHER * 5)):
            self.world.advance(0.5)


class QueryTests(SearchCase):
    def setUp(self) -> None:
        super().setUp()
        self.say(self.alice, "bob@localhost", "apple one", "pear two", "apple three")
        self.say(self.carol, ALICE, "Äpple four", "five")

    def both_ways(self, words: str, expected: list[str], paging: str = "", **fields: str | list[str]) -> None:
        """Not indexed, in part, and indexed."""
        self.assertEqual(self.find(words, paging, **fields).bodies, expected)
        self.index()
        self.assertEqual(self.position(), self.last())
        self.assertEqual(self.find(words, paging, **fields).bodies, expected)

    def test_words(self) -> None:
        self.both_ways("apple", ["apple one", "apple three", "Äpple four"])

    def test_all_words(self) -> None:
        self.both_ways("THREE apple", ["apple three"])

    def test_index_and_what_is_not_in_it_together(self) -> None:
        self.index()
        self.say(self.bob, ALICE, "apple six")
        self.assertLess(self.position(), self.last())
        self.assertEqual(self.find("apple").bodies[-2:], ["Äpple four", "apple six"])

    def test_with(self) -> None:
        self.both_ways("apple", ["Äpple four"], with_="carol@localhost")

    def test_dates(self) -> None:
        moment = self.find("pear").stamps[0]
        self.both_ways("apple", ["apple three", "Äpple four"], start=moment)
        self.assertEqual(self.find("apple", end=moment).bodies, ["apple one"])

    def test_ids(self) -> None:
        ids = self.find("apple").ids
        self.both_ways("apple", ["apple three"], ids=[ids[1], self.find("five").ids[0]])
        self.assertEqual(self.find("apple", after_id=ids[1]).bodies, ["Äpple four"])
        self.assertEqual(self.find("apple", before_id=ids[1]).bodies, ["apple one"])
        self.assertEqual(self.find("apple", ids=["0" * 32]).error, "item-not-found")

    def test_an_id_that_has_gone(self) -> None:
        name = self.world.server.archive.id_of(self.account("alice"), 1)
        self.assertEqual(self.find("apple", page(after=name)).error, "item-not-found")

    def test_paging(self) -> None:
        for _ in range(2):
            first = self.find("apple", page(max=2))
            self.assertEqual((first.bodies, first.complete), (["apple one", "apple three"], False))
            rest = self.find("apple", page(max=2, after=first.ids[-1]))
            self.assertEqual((rest.bodies, rest.complete), (["Äpple four"], True))
            last = self.find("apple", page(max=2, before=""))
            self.assertEqual((last.bodies, last.complete), (["apple three", "Äpple four"], False))
            before = self.find("apple", page(max=2, before=last.ids[0]))
            self.assertEqual((before.bodies, before.complete), (["apple one"], True))
            self.index()

    def test_whole_results_are_counted(self) -> None:
        self.assertEqual(self.find("apple").rsm("count"), "3")
        self.assertIsNone(self.find("apple", page(max=1)).rsm("count"))

    def test_an_empty_search_is_none(self) -> None:
        self.assertEqual(len(self.find("").bodies), 5)

    def test_signs_find_nothing(self) -> None:
        self.both_ways("?!", [])

    def test_operators_are_words(self) -> None:
        self.both_ways('apple" OR "pear', [])
        self.both_ways("apple* & (three)", ["apple three"])

    def test_too_much_is_refused(self) -> None:
        self.assertEqual(self.find("x" * 2000).error, "policy-violation")
        self.assertEqual(self.find(" ".join(map(str, range(100)))).error, "policy-violation")

    def test_two_searches_in_one(self) -> None:
        self.assertEqual(self.find("apple</value><value>pear".replace("<", "&lt;")).bodies, [])
        two = form().replace(
            "</x>", f"<field var='{search.FULLTEXT}'><value>a</value><value>b</value></field></x>"
        )
        answer = self.alice.ask(f"<iq type='set' id='q'><query xmlns='{ns.MAM}'>{two}</query></iq>")
        self.assertEqual(Answer(answer).error, "bad-request")

    def test_encrypted_messages_are_not_found(self) -> None:
        self.tell(
            self.carol, f"<message to='{ALICE}' type='chat'><body>fallback apple</body>{ENCRYPTED}</message>"
        )
        self.both_ways("fallback", [])

    def test_what_is_not_archived_is_not_found(self) -> None:
        hint = "<no-store xmlns='urn:xmpp:hints'/>"
        self.tell(self.carol, f"<message to='{ALICE}' type='chat'><body>hidden</body>{hint}</message>")
        self.both_ways("hidden", [])

    def test_it_is_advertised(self) -> None:
        info = f"<iq type='get' id='i' to='{ALICE}'><query xmlns='{ns.DISCO_INFO}'/></iq>"
        self.assertIn(f"var='{ns.FULLTEXT}'", self.alice.ask(info).replace('"', "'"))

    def test_a_stamp_is_that_of_the_message(self) -> None:
        self.assertEqual(self.find("five").stamps, [stamp(self.last())])


class OperatorTests(SearchCase):
    def search(self, words: str, limit: int = 10, name: str = "alice") -> tuple[list[FoundRow], bool]:
        work = ServerOperator(self.world.server).search_archive(JID.parse(f"{name}@localhost"), words, limit)
        rows, complete = self.world.wait_for(work)
        return list(rows), complete

    def test_operators_find_messages(self) -> None:
        self.say(self.alice, "bob@localhost/desk", "apple one", "apple &amp; two")
        (row,), complete = self.search("apple", 1)
        self.assertEqual(
            (row.text, row.sender, row.to), ("apple & two", f"{ALICE}/home", "bob@localhost/desk")
        )
        self.assertEqual((row.id, complete), (self.find("two").ids[0], False))
        self.assertEqual(stamp(round(row.time * 1_000_000)), self.find("two").stamps[0])
        self.assertEqual([len(self.search(words)[0]) for words in ("apple", "pear")], [2, 0])

    def test_there_is_no_such_account(self) -> None:
        error = self.assertRaises(StanzaError, self.search, "apple", name="nobody")
        self.assertEqual(error.condition, "item-not-found")


class SwitchedOffTests(SearchCase):
    settings = ("modules.search.enabled=false",)

    def test_operators_are_told(self) -> None:
        operator = ServerOperator(self.world.server)
        work = operator.search_archive(JID.parse(ALICE), "apple", 1)
        error = self.assertRaises(StanzaError, self.world.wait_for, work)
        self.assertEqual(error.condition, "feature-not-implemented")

    def test_nothing_is_offered(self) -> None:
        self.say(self.alice, "bob@localhost", "apple")
        self.assertNotIn("fulltext", self.alice.ask(f"<iq type='get' id='f'><query xmlns='{ns.MAM}'/></iq>"))
        info = f"<iq type='get' id='i' to='{ALICE}'><query xmlns='{ns.DISCO_INFO}'/></iq>"
        self.assertNotIn("fulltext", self.alice.ask(info))
        self.assertEqual(self.find("apple").error, "feature-not-implemented")

    def test_nothing_is_indexed(self) -> None:
        self.say(self.alice, "bob@localhost", "apple")
        self.index()
        self.assertEqual(self.position(), 0)


class IndexerTests(SearchCase):
    def test_messages_gather_before_they_are_indexed(self) -> None:
        self.index()
        self.say(self.alice, "bob@localhost", "one")
        before = self.position()
        self.world.advance(indexing.GATHER / 3)
        self.world.settle()
        self.assertEqual((before, self.position()), (0, 0))
        self.index()
        self.assertEqual(self.position(), self.last())

    def test_it_waits_while_others_write(self) -> None:
        self.say(self.alice, "bob@localhost", "one")
        self.patch(type(self.world.database), "queued", property(lambda _: 1))
        self.index()
        self.assertEqual(self.position(), 0)

    def test_it_waits_for_a_database_that_fails(self) -> None:
        self.say(self.alice, "bob@localhost", "one")
        write = self.world.database.write

        async def fail(name: str, *rest: Any) -> Any:
            if name == "index":
                raise FaultError("gone")
            return await write(name, *rest)

        self.world.database.write = fail  # type: ignore[method-assign]
        self.index()
        self.assertEqual(self.position(), 0)
        self.world.database.write = write  # type: ignore[method-assign]
        self.index()
        self.assertEqual(self.position(), self.last())

    def test_it_goes_in_small_steps(self) -> None:
        self.patch(indexing, "STEP", 3)
        self.say(self.alice, "bob@localhost", *map(str, range(10)))
        sizes: list[int] = []
        add = search_index.add_batch

        def note(cursor: Any, batch: Any) -> None:
            sizes.append(len(batch.rows))
            add(cursor, batch)

        self.patch(search_index, "add_batch", note)
        self.index()
        self.assertEqual(sizes, [3, 3, 3, 3, 3, 3, 1, 1])

    def test_what_was_not_indexed_is_after_the_next_start(self) -> None:
        self.say(self.alice, "bob@localhost", "apple")
        self.restart()
        self.assertEqual(self.position(), 0)
        self.index()
        self.assertEqual(self.position(), self.last())

    def test_erased_words_are_cleaned_away(self) -> None:
        self.say(self.alice, "bob@localhost", "apple", "pear")
        self.index()
        write = self.world.database.write
        self.world.wait_for(write("redact", store.redact, self.number(), self.last(), b"<message/>"))
        self.assertTrue(self.needs_cleaning())
        self.world.advance(indexing.LOOK)
        self.index()
        self.assertFalse(self.needs_cleaning())
        self.assertEqual((self.find("pear").bodies, self.find("apple").bodies), ([], ["apple"]))

    def needs_cleaning(self) -> bool:
        return self.world.wait_for(self.world.database.read("clean", search_index.needs_cleaning))

    def test_it_stops_with_the_server(self) -> None:
        self.world.stop()
        indexer = self.module()._indexer
        assert indexer is not None
        self.assertIsNone(indexer._timer)

    def test_an_sqlite_without_fts5_is_told_of_and_reads_archives(self) -> None:
        self.patch(search_engines.FTS5, "is_possible", lambda *_: False)
        log = self.watch_log()
        self.restart()
        self.assertEqual(sum("without FTS5" in line for line in log()), 1)
        self.alice = self.login("alice/home")
        self.say(self.alice, "bob@localhost", "apple")
        self.index()
        self.assertEqual((self.position(), self.find("apple").bodies), (0, ["apple"]))
