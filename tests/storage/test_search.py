"""Search against a naive model; what goes from the archive goes from the index."""

import sqlite3
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.storage.base import BlockingStore, StorageTestCase, examples, message, on_each_database
from tests.storage.test_archive_query import QUERIES, matches
from xmppd.storage import accounts, archive, archive_retention, meta, search, search_engines, search_index
from xmppd.storage.archive import APPEND, ArchiveRow
from xmppd.storage.archive_query import Page, Query
from xmppd.storage.search_index import VERSION, Batch
from xmppd.storage.statement import Cursor
from xmppd.storage.words import matcher, terms, words_of

BODIES = st.sampled_from(
    ["apple", "Apple pie", "pie in the sky", "Äpfel und Birnen", "applesauce", "", "天国のパイ", "ap pi"]
)
SEARCHES = st.sampled_from(
    ["apple", "app", "ap", "pie", "PIE apple", "apfel", "パイ", "sky in", "nothing", "!"]
)
ENCRYPTED = "<encrypted xmlns='urn:xmpp:omemo:2'/>"
HOSTILE = (
    '"', "'", "apple' OR '1'='1", 'apple" OR "pie', "apple*", "NEAR(apple pie)", "words:apple", "^apple",
    "-apple", "apple AND", "NOT apple", "apple:*", "apple & !pie", "(apple", "\\", "%", "_", "?", "{apple}",
    "apple\0", "🍏", "\ud800", "apple | pie", "<->", "+", "apple NOT pie", "1xapple", "2xsecret",
)  # fmt: skip


def stanza(body: str, more: str = "") -> bytes:
    return f"<message xmlns='jabber:client'><body>{body}</body>{more}</message>".encode()


class Direct:
    """A database whose transactions run at once, in the caller's thread."""

    def __init__(self, store: BlockingStore) -> None:
        self.store = store
        self.steps = 0

    async def read(self, name: str, function: Any, /, *args: Any) -> Any:
        self.steps += 1
        dialect, connection = self.store.dialect, self.store.connection
        dialect.begin_read(connection)
        try:
            return function(dialect.cursor(connection), *args)
        finally:
            dialect.rollback(connection)


@on_each_database
class SearchTests:
    store: BlockingStore

    def setUp(self) -> None:
        assert isinstance(self, StorageTestCase)
        self.store = self.make_store()
        self.reader = Direct(self.store)
        with self.store.transaction() as cursor:
            for name in ("juliet", "romeo"):
                accounts.create(cursor, "example.org", name, [], created=1)
            self.assertTrue(search_index.open_index(cursor))

    # -- what tests do

    def add(self, *rows: ArchiveRow) -> None:
        with self.store.transaction() as cursor:
            cursor.executemany(APPEND.sql, rows)

    def say(self, *bodies: str, account: int = 1, first: int = 1) -> None:
        """Messages with these bodies, numbered from `first`."""
        self.add(*(message(account, seq, stanza=stanza(body)) for seq, body in enumerate(bodies, first)))

    def fill(self, *numbers: int, most: int = 1000, limit: int = 2) -> None:
        """Index up to so many batches of each account."""
        for account in numbers or (1, 2):
            for _ in range(most):
                with self.store.transaction() as cursor:
                    batch = search_index.next_batch(cursor, account, limit)
                    if batch is None:
                        break
                    search_index.add_batch(cursor, batch)

    def search(self, text: str, query: Query = Query(), account: int = 1) -> Page:  # noqa: B008 (it is frozen)
        outcome: list[Any] = []
        work = search.search(self.reader, account, query, terms(text))
        Deferred.fromCoroutine(work).addBoth(outcome.append)
        if not isinstance(outcome[0], Page):
            outcome[0].raiseException()
        page: Page = outcome[0]
        return page

    def found(self, text: str, account: int = 1) -> list[int]:
        return [seq for seq, _ in self.search(text, account=account).rows]

    def in_index(self, text: str, account: int = 1) -> list[int]:
        """What the index alone says."""
        with self.store.transaction() as cursor:
            index = search_engines.index_of(cursor)
            return index.find(cursor, account, terms(text), 0, 1 << 60, "ASC", 1000).rows

    def clear(self) -> None:
        with self.store.transaction() as cursor:
            for account in (1, 2):
                archive.erase(cursor, account)
            cursor.execute("DELETE FROM search_position")

    # -- what is found

    @examples(80)
    @given(st.data())
    def test_pages_are_those_of_a_naive_search(self, data: st.DataObject) -> None:
        """Wherever the index is; rows of everyone and everything, both ways, all conditions at once."""
        self.clear()
        rows = [
            message(
                account,
                seq,
                peer,
                resource=data.draw(st.sampled_from(["", "orchard"])),
                own_resource=data.draw(st.sampled_from(["", "orchard"])),
                history=data.draw(st.sampled_from([1, 1, 1, 0])),
                kind=data.draw(st.integers(0, 1)),
                stanza=stanza(body, more),
            )
            for account, seq, peer, body, more in data.draw(
                st.lists(
                    st.tuples(
                        st.sampled_from([1, 1, 1, 2]),
                        st.integers(1, 60),
                        st.sampled_from(["juliet@example.org", "romeo@example.net"]),
                        BODIES,
                        st.sampled_from(["", "", "", ENCRYPTED]),
                    ),
                    max_size=30,
                    unique_by=lambda row: row[:2],
                )
            )
        ]
        self.add(*sorted(rows))
        self.fill(most=data.draw(st.integers(0, 8)), limit=data.draw(st.integers(1, 8)))
        self.patch(search_engines, "CANDIDATES", data.draw(st.integers(1, 5)))
        self.patch(search_engines.TextSearch, "NEAR", data.draw(st.integers(1, 20)))
        self.patch(search, "SCAN", data.draw(st.integers(1, 5)))
        text, query = data.draw(SEARCHES), data.draw(QUERIES)
        match = matcher(terms(text))
        whole = sorted(
            (row.seq, row.stanza)
            for row in rows
            if row.account == 1 and matches(row, query) and match(words_of(row.stanza))
        )
        rest = [
            row
            for row in whole
            if (query.after is None or row[0] > query.after)
            and (query.before is None or row[0] < query.before)
        ]
        expected = rest[-query.limit :] if query.backwards else rest[: query.limit]
        page = self.search(text, query)
        self.assertEqual(page.rows, expected if query.limit else [])
        self.assertEqual(page.complete, len(rest) <= query.limit)
        if page.count is not None:
            self.assertEqual(page.count, len(whole))

    def test_paging_shows_everything_once(self) -> None:
        self.say(*(f"word {seq}" if seq % 3 else "other" for seq in range(1, 50)))
        self.fill(most=10)
        expected = [seq for seq in range(1, 50) if seq % 3]
        for backwards, size in ((False, 1 << 20), (True, 1 << 20), (False, 250), (True, 250), (False, 1)):
            self.patch(archive, "PAGE_BYTES", size)
            seen: list[int] = []
            edge: dict[str, int] = {}
            complete = False
            while not complete:
                page = self.search("word", Query(limit=7, backwards=backwards, **edge))
                seqs = [seq for seq, _ in page.rows]
                seen = [*seqs, *seen] if backwards else [*seen, *seqs]
                edge = {"before": seen[0]} if backwards else {"after": seen[-1]}
                complete = page.complete
            self.assertEqual(seen, expected)

    def test_of_others_nothing_is_found(self) -> None:
        self.say("secret", account=2)
        self.say("public", account=1)
        self.assertEqual(self.found("secret"), [])
        self.fill()
        self.assertEqual((self.found("secret"), self.found("secret", account=2)), ([], [1]))

    def test_same_sequence_in_two_archives(self) -> None:
        self.say("mine", account=1)
        self.say("yours", account=2)
        self.fill()
        self.assertEqual([self.found("mine"), self.found("yours", 2), self.found("yours")], [[1], [1], []])
        with self.store.transaction() as cursor:
            archive.erase(cursor, 1)
        self.assertEqual(self.found("yours", 2), [1])

    def test_hostile_searches_are_words_and_nothing_else(self) -> None:
        self.say("apple pie", "nothing here")
        self.say("secret", account=2)
        for indexed in (False, True):
            if indexed:
                self.fill()
            for text in HOSTILE:
                self.assertLessEqual(set(self.found(text)), {1}, text)
            self.assertEqual(self.found('apple" OR "pie'), [])
            self.assertEqual(self.found("apple*"), [1])

    @examples(150)
    @given(st.text(max_size=50).filter(lambda text: not text.lstrip().startswith("?OTR")))
    def test_no_search_raises_an_error(self, text: str) -> None:
        self.clear()
        self.say(escape(text) if text.isprintable() else "apple")
        self.fill()
        try:
            wanted = terms(text)
        except ValueError:
            return
        self.search(text)
        self.assertEqual(self.found(text) == [1] and bool(wanted), text.isprintable() and bool(wanted))

    # -- what is indexed

    def test_history_alone_is_indexed(self) -> None:
        self.add(message(1, 1, history=0, stanza=stanza("word")), message(1, 2, stanza=stanza("word")))
        self.fill()
        self.assertEqual(self.in_index("word"), [2])

    def test_encrypted_messages_are_not_indexed(self) -> None:
        self.add(message(1, 1, stanza=stanza("You cannot read this", ENCRYPTED)))
        self.assertEqual(self.found("read"), [])
        self.fill()
        self.assertEqual((self.found("read"), self.in_index("read")), ([], []))

    def test_the_position_moves_with_the_index(self) -> None:
        self.say("a", "b", "c")
        self.fill(1, most=1)
        with self.store.transaction() as cursor:
            self.assertEqual(search_index.position(cursor, 1), 2)
            self.assertEqual(search_index.behind(cursor, [1, 2]), [1])
        self.fill()
        with self.store.transaction() as cursor:
            self.assertEqual(search_index.position(cursor, 1), 3)
            self.assertEqual(search_index.behind(cursor, [1, 2]), [])

    def batch(self) -> Batch:
        with self.store.transaction() as cursor:
            batch = search_index.next_batch(cursor, 1, 10)
        assert batch is not None
        return batch

    def put(self, batch: Batch) -> None:
        with self.store.transaction() as cursor:
            search_index.add_batch(cursor, batch)

    def test_what_is_erased_meanwhile_is_not_indexed(self) -> None:
        self.say("word", "word", "word")
        batch = self.batch()
        with self.store.transaction() as cursor:
            archive.redact(cursor, 1, 2, stanza("gone"))
        self.put(batch)
        self.assertEqual(self.in_index("word"), [1, 3])

    def test_what_is_restored_meanwhile_is_found(self) -> None:
        """The position moved past it"""
        self.say("word", first=10)
        batch = self.batch()
        with self.store.transaction() as cursor:
            archive.restore(cursor, [message(1, 5, stanza=stanza("word"))])
        self.put(batch)
        self.fill()
        self.assertEqual((self.in_index("word"), self.found("word")), ([5, 10], [5, 10]))

    def test_an_archive_erased_meanwhile_leaves_nothing(self) -> None:
        self.say("word")
        batch = self.batch()
        with self.store.transaction() as cursor:
            archive.erase(cursor, 1)
        self.put(batch)
        self.assertEqual(self.in_index("word"), [])
        with self.store.transaction() as cursor:
            self.assertEqual(search_index.position(cursor, 1), 0)

    def test_no_batch_is_put_in_twice(self) -> None:
        self.say("word")
        batch = self.batch()
        self.put(batch)
        with self.store.transaction() as cursor:
            archive.redact(cursor, 1, 1, stanza("gone"))
        self.put(batch)
        self.assertEqual(self.in_index("word"), [])

    # -- what goes

    def test_tombstones_are_not_found(self) -> None:
        self.say("word", "word")
        self.fill(1, most=1, limit=1)
        with self.store.transaction() as cursor:
            for seq in (1, 2):
                archive.redact(cursor, 1, seq, stanza("word"))
        self.assertEqual(self.in_index("word"), [])
        self.fill()
        self.assertEqual(self.in_index("word"), [])

    def test_what_expires_goes_from_the_index(self) -> None:
        self.say(*["word"] * 6)
        self.fill(1, most=2)
        with self.store.transaction() as cursor:
            archive_retention.expire(cursor, 1, history_before=4, offline_before=100, limit=10)
        self.assertEqual((self.in_index("word"), self.found("word")), ([4], [4, 5, 6]))

    def test_a_removed_account_leaves_nothing(self) -> None:
        self.say("word")
        self.fill()
        with self.store.transaction() as cursor:
            accounts.remove(cursor, 1)
            while archive.erase_some(cursor, 1):
                pass
        self.assertEqual(self.in_index("word"), [])

    def test_rows_that_are_restored_among_others_are_found(self) -> None:
        self.say("word", first=10)
        self.fill()
        with self.store.transaction() as cursor:
            archive.restore(cursor, [message(1, seq, stanza=stanza(f"word {seq}")) for seq in (5, 10, 20)])
        self.assertEqual((self.in_index("word"), self.found("word")), ([5, 10], [5, 10, 11, 20]))

    # -- the index as a whole

    def test_an_index_of_another_way_of_cutting_is_made_anew(self) -> None:
        self.say("word")
        self.fill()
        with self.store.transaction() as cursor:
            meta.put(cursor, search_index.MADE, "0 of old")
            self.assertTrue(search_index.open_index(cursor))
        self.assertEqual((self.in_index("word"), self.found("word")), ([], [1]))
        self.fill()
        with self.store.transaction() as cursor:
            self.assertTrue(search_index.open_index(cursor))
            self.assertEqual(meta.get(cursor, search_index.MADE), VERSION)
        self.assertEqual(self.in_index("word"), [1])

    def test_without_an_index_everything_is_read(self) -> None:
        self.say("word", "other")
        self.fill()
        self.patch(search_engines.FTS5, "is_possible", lambda *_: False)
        self.patch(search_engines.TextSearch, "is_possible", lambda *_: False)
        with self.store.transaction() as cursor:
            self.assertFalse(search_index.open_index(cursor))
        self.assertEqual(self.found("word"), [1])
        with self.store.transaction() as cursor:
            archive.redact(cursor, 1, 1, stanza("gone"))
            archive.erase(cursor, 1)

    def test_a_batch_for_an_index_that_is_gone_is_dropped(self) -> None:
        self.say("word")
        batch = self.batch()
        with self.store.transaction() as cursor:
            search_index.drop_index(cursor)
        self.put(batch)
        self.assertEqual(self.found("word"), [1])


class ErasedFromFilesTests(StorageTestCase):
    """SQLite keeps what is taken out of an index until it is merged."""

    def test_erased_words_stand_in_no_file(self) -> None:
        path = Path(self.mktemp()).absolute()
        self.make_url = lambda: f"sqlite:{path}"  # type: ignore[method-assign]
        store = self.make_store()
        with store.transaction() as cursor:
            accounts.create(cursor, "example.org", "juliet", [], created=1)
            search_index.open_index(cursor)
        for seq in range(1, 400):
            body = "abracadabra" if seq == 7 else f"some words {seq}"
            with store.transaction() as cursor:
                cursor.execute(APPEND.sql, message(1, seq, stanza=stanza(body)))
                batch = search_index.next_batch(cursor, 1, 10)
                assert batch is not None
                search_index.add_batch(cursor, batch)
        self.assertTrue(self.clean_up(store, path))
        with store.transaction() as cursor:
            self.assertFalse(search_index.needs_cleaning(cursor))
            archive.redact(cursor, 1, 7, stanza("gone"))
            self.assertTrue(search_index.needs_cleaning(cursor))
        self.assertFalse(self.clean_up(store, path))
        with store.transaction() as cursor:
            self.assertFalse(search_index.needs_cleaning(cursor))
            cursor.execute("SELECT count(*) FROM search WHERE search MATCH '\"1xwords\"'")
            self.assertEqual(cursor.fetchone()[0], 398)
            cursor.execute("INSERT INTO search (search) VALUES ('integrity-check')")

    def clean_up(self, store: BlockingStore, path: Path) -> bool:
        """Clean, and say whether the word is still in the files."""
        begin = True
        while True:
            with store.transaction() as cursor:
                if not search_index.clean(cursor, begin=begin):
                    break
            begin = False
        store.dialect.scrub(store.connection)
        return b"abracadabra" in path.read_bytes()

    def test_a_damaged_index_is_made_anew(self) -> None:
        """Nothing else fails by it: here rows are taken out that were never put in."""
        store = self.make_store_on_sqlite()
        with store.transaction() as cursor:
            cursor.executemany(APPEND.sql, [message(1, seq, stanza=stanza("word")) for seq in range(4, 20)])
            cursor.execute("UPDATE search_position SET seq = 30")
            archive.erase(cursor, 1)
            self.assertEqual(search_index.position(cursor, 1), 0)
            cursor.execute(APPEND.sql, message(1, 40, stanza=stanza("word")))
            batch = search_index.next_batch(cursor, 1, 10)
            assert batch is not None
            search_index.add_batch(cursor, batch)
            cursor.execute("SELECT rowid FROM search WHERE search MATCH '\"1xword\"'")
            self.assertEqual(cursor.fetchall(), [(40,)])

    def test_the_index_stays_in_shape_while_rows_go_in_steps(self) -> None:
        """SQLite would merge all that the steps left behind at once, when there are 64 pieces of it."""
        store = self.make_store_on_sqlite()
        words = " ".join(f"word{number}" for number in range(50))
        with store.transaction() as cursor:
            cursor.executemany(APPEND.sql, [message(1, seq, stanza=stanza(words)) for seq in range(4, 1000)])
            batch = search_index.next_batch(cursor, 1, 1000)
            assert batch is not None
            search_index.add_batch(cursor, batch)
        pieces = []
        while True:
            with store.transaction() as cursor:
                step = archive_retention.expire(cursor, 1, history_before=2000, offline_before=2000, limit=10)
                cursor.execute("SELECT count(DISTINCT segid) FROM search_idx")
                pieces.append(cursor.fetchone()[0])
            if not step.more:
                break
        self.assertEqual(len(pieces), 100)
        self.assertLess(max(pieces), 20)

    def test_cleaning_is_due_again_for_what_is_erased_meanwhile(self) -> None:
        store = self.make_store_on_sqlite()

        def erase(cursor: Cursor, seq: int) -> None:
            archive.redact(cursor, 1, seq, stanza("gone"))

        with store.transaction() as cursor:
            erase(cursor, 1)
            search_index.clean(cursor, begin=True)
            erase(cursor, 2)
            while search_index.clean(cursor, begin=False):
                pass
            self.assertTrue(search_index.needs_cleaning(cursor))

    def make_store_on_sqlite(self) -> BlockingStore:
        path = Path(self.mktemp()).absolute()
        self.make_url = lambda: f"sqlite:{path}"  # type: ignore[method-assign]
        store = self.make_store()
        with store.transaction() as cursor:
            accounts.create(cursor, "example.org", "juliet", [], created=1)
            search_index.open_index(cursor)
            cursor.executemany(APPEND.sql, [message(1, seq, stanza=stanza("word")) for seq in (1, 2, 3)])
            batch = search_index.next_batch(cursor, 1, 10)
            assert batch is not None
            search_index.add_batch(cursor, batch)
        return store

    def test_this_sqlite_has_fts5(self) -> None:
        """Those of Debian and of python.org have; the tests above would prove little without."""
        with sqlite3.connect(":memory:") as connection:
            self.assertTrue(search_engines.FTS5().is_possible(connection.cursor()))  # type: ignore[arg-type]
        connection.close()
