"""The archive against a naive model, delivery, erasing and retention."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tests.storage.base import BlockingStore, examples, message, on_each_database
from xmppd.storage import accounts, archive, marks
from xmppd.storage.archive import TOMBSTONE, ArchiveRow, Expired, Page, Query, Usage
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor

OWN = "juliet@example.org"
PEERS = st.sampled_from([OWN, "romeo@example.net", "nurse@example.org"])
RESOURCES = st.sampled_from(["", "orchard", "balcony"])
FLAG = st.integers(0, 1)
SEQ = st.integers(1, 60)
BOUND = st.none() | st.integers(0, 62)

ROWS = st.dictionaries(
    SEQ,
    st.tuples(PEERS, RESOURCES, RESOURCES, FLAG, st.sampled_from([1, 1, 1, 0]), FLAG, st.integers(0, 7)),
    max_size=40,
)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "groupchat": st.booleans(),
        "start": BOUND,
        "end": BOUND,
        "after_id": BOUND,
        "before_id": BOUND,
        "ids": st.lists(SEQ, max_size=8).map(tuple),
    },
)
WITH = (
    st.just({})
    | st.builds(lambda peer: {"peer": peer}, PEERS)
    | st.builds(lambda peer, resource: {"peer": peer, "resource": resource}, PEERS, RESOURCES)
    | st.builds(lambda own: {"peer": OWN, "own_resource": own}, RESOURCES)
)
QUERIES = st.builds(
    lambda filters, who, after, before, backwards, limit: Query(
        **filters, **who, after=after, before=before, backwards=backwards, limit=limit
    ),
    FILTERS,
    WITH,
    BOUND,
    BOUND,
    st.booleans(),
    st.integers(0, 12),
)


def matches(row: ArchiveRow, query: Query) -> bool:
    """Whether a row is in a query's whole result, said in the plainest way."""
    own = query.own_resource
    if own is not None:
        if row.own_resource != own and (row.peer, row.resource) != (query.peer, own):
            return False
    elif query.peer is not None and (
        row.peer != query.peer or (query.resource is not None and row.resource != query.resource)
    ):
        return False
    return (
        row.history == 1
        and (query.groupchat is None or bool(row.kind & 1) == query.groupchat)
        and (query.start is None or row.seq >= query.start)
        and (query.end is None or row.seq <= query.end)
        and (query.after_id is None or row.seq > query.after_id)
        and (query.before_id is None or row.seq < query.before_id)
        and (query.ids is None or row.seq in query.ids)
    )


def naive_page(rows: Iterable[ArchiveRow], query: Query) -> tuple[list[tuple[int, bytes]], bool, int]:
    """Page, completeness and count by looking at everything."""
    whole = sorted((row.seq, row.stanza) for row in rows if matches(row, query))
    if query.limit == 0:
        return [], not whole, len(whole)
    found = [
        pair
        for pair in whole
        if (query.after is None or pair[0] > query.after) and (query.before is None or pair[0] < query.before)
    ]
    page = found[-query.limit :] if query.backwards else found[: query.limit]
    return page, len(page) == len(found), len(whole)


@on_each_database
class PageTests:
    """Each example of a property has an archive of its own in one database."""

    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()
        self.account = 0

    def fill(self, rows: dict[int, tuple]) -> list[ArchiveRow]:
        self.account += 1
        made = []
        for seq, (peer, resource, own, outgoing, history, deliver, kind) in rows.items():
            stanza = f"<message>{seq} {'é' * (seq % 5)}</message>".encode()
            made.append(
                ArchiveRow(self.account, seq, peer, resource, own, outgoing, history, deliver, kind, stanza)
            )
        with self.store.transaction() as cursor:
            cursor.executemany(archive.APPEND.sql, made)
            cursor.execute(archive.APPEND.sql, message(1_000_000 + self.account, 1))
        return made

    def page(self, query: Query) -> Page:
        with self.store.transaction() as cursor:
            return archive.page(cursor, self.account, query)

    @examples(300)
    @given(ROWS, QUERIES)
    def test_page_is_what_looking_at_everything_finds(self, rows: dict[int, tuple], query: Query) -> None:
        made = self.fill(rows)
        page = self.page(query)
        found, complete, size = naive_page(made, query)
        self.assertEqual((page.rows, page.complete), (found, complete))
        if query.limit == 0 or page.count is not None:
            self.assertEqual(page.count, size)

    @examples(60)
    @given(ROWS, FILTERS, WITH, st.integers(1, 7), st.booleans())
    def test_paging_visits_everything_once(
        self, rows: dict[int, tuple], filters: dict, who: dict, limit: int, backwards: bool
    ) -> None:
        made = self.fill(rows)
        seen: list[tuple[int, bytes]] = []
        after = before = None
        while True:
            page = self.page(
                Query(**filters, **who, after=after, before=before, backwards=backwards, limit=limit)
            )
            seen = page.rows + seen if backwards else seen + page.rows
            if page.complete:
                break
            after, before = (None, page.rows[0][0]) if backwards else (page.rows[-1][0], None)
        self.assertEqual(seen, naive_page(made, Query(**filters, **who, limit=1000))[0])

    @examples(60)
    @given(ROWS, st.lists(SEQ, max_size=10))
    def test_which_ids_are_known(self, rows: dict[int, tuple], asked: list[int]) -> None:
        made = self.fill(rows)
        history = {row.seq for row in made if row.history}
        with self.store.transaction() as cursor:
            self.assertEqual(archive.known(cursor, self.account, asked), history & set(asked))
            for seq in asked[:2]:
                self.assertEqual(archive.exists(cursor, self.account, seq), seq in history)

    @examples(60)
    @given(ROWS)
    def test_bounds(self, rows: dict[int, tuple]) -> None:
        history = [row.seq for row in self.fill(rows) if row.history]
        with self.store.transaction() as cursor:
            found = archive.bounds(cursor, self.account)
        self.assertEqual(found, (min(history), max(history)) if history else None)

    def test_count_of_a_large_result_is_left_out(self) -> None:
        self.fill(dict.fromkeys(range(1, 31), (OWN, "", "", 0, 1, 0, 0)))
        with self.store.transaction() as cursor:
            self.assertEqual(archive.count(cursor, self.account, Query(), most=30), 30)
            self.assertIsNone(archive.count(cursor, self.account, Query(), most=29))

    def test_empty_stanza_and_odd_bytes_come_back(self) -> None:
        stanzas = [b"", b"\x00", b"\xff\xfe 1 2", "é".encode(), b" 7 7 ", b""]
        with self.store.transaction() as cursor:
            cursor.executemany(
                archive.APPEND.sql, [message(9, seq, stanza=stanza) for seq, stanza in enumerate(stanzas)]
            )
            self.assertEqual(archive.page(cursor, 9, Query()).rows, list(enumerate(stanzas)))

    def test_stanzas_at_positions(self) -> None:
        self.fill({seq: (OWN, "", "", 0, seq % 2, 0, 0) for seq in (1, 2, 3)})
        with self.store.transaction() as cursor:
            found = archive.stanzas(cursor, self.account, [3, 2, 99, 2])
            self.assertEqual(sorted(found), [2, 3])
            self.assertEqual(archive.stanzas(cursor, self.account, []), {})


@on_each_database
class DeliveryTests:
    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            self.account = accounts.create(cursor, "example.org", "juliet", [], created=1).id
            self.other = accounts.create(cursor, "example.org", "nurse", [], created=1).id

    def add(self, *seqs: int, **values: object) -> None:
        with self.store.transaction() as cursor:
            cursor.executemany(archive.APPEND.sql, [message(self.account, seq, **values) for seq in seqs])

    def seqs(self) -> list[int]:
        with self.store.transaction() as cursor:
            return [row.seq for row in archive.rows(cursor, self.account)]

    def mark(self, mark: Mark | None = None) -> Mark:
        with self.store.transaction() as cursor:
            if mark is not None:
                marks.save(cursor, self.account, mark)
            return marks.load(cursor, self.account)

    def test_rows_to_deliver_in_order_above_a_position(self) -> None:
        self.add(1, 2, 5)
        self.add(3, deliver=0, outgoing=1)
        self.add(4, history=0, resource="", own_resource="phone")
        with self.store.transaction() as cursor:
            found = archive.deliverable(cursor, self.account, 1, 10)
            self.assertEqual([(row.seq, row.history) for row in found], [(2, True), (4, False), (5, True)])
            self.assertEqual(
                (found[1].peer, found[1].resource, found[1].own_resource), ("romeo@example.net", "", "phone")
            )
            self.assertEqual(found[0].stanza, message(seq=2).stanza)
            self.assertEqual([row.seq for row in archive.deliverable(cursor, self.account, 0, 2)], [1, 2])
            self.patch(archive, "PAGE_BYTES", 1)
            for piece in (1, 2):
                self.patch(archive, "PIECE", piece)
                part = archive.deliverable(cursor, self.account, 1, 10)
                self.assertEqual([row.seq for row in part], [2, 4][:piece])
            self.assertEqual(archive.owed(cursor, self.account, 1, 10), 3)
            self.assertEqual(archive.owed(cursor, self.account, 1, 2), 2)

    def test_confirmed_row_is_forgotten_unless_it_is_history(self) -> None:
        self.add(1)
        self.add(2, 3, history=0)
        with self.store.transaction() as cursor:
            cursor.executemany(archive.DELETE_DELIVERED.sql, [(self.account, 1), (self.account, 2)])
        self.assertEqual(self.seqs(), [1, 3])

    def test_usage(self) -> None:
        self.add(1, 2, stanza=b"12345")
        self.add(3, deliver=0, stanza=b"123")
        self.mark(Mark(1))
        with self.store.transaction() as cursor:
            self.assertEqual(archive.usage(cursor, self.account), Usage(3, 13, 1))
            self.assertEqual(archive.usage(cursor, self.other), Usage(0, 0, 0))

    # Retention

    def expire(self, history_before: int, offline_before: int = 0, limit: int = 100) -> Expired:
        with self.store.transaction() as cursor:
            return archive.expire(
                cursor,
                self.account,
                history_before=history_before,
                offline_before=offline_before,
                limit=limit,
            )

    def test_oldest_rows_expire(self) -> None:
        self.add(1, 2, 3, 4)
        self.mark(Mark(4))
        self.assertEqual(self.expire(3), Expired(2, None, more=False))
        self.assertEqual(self.seqs(), [3, 4])

    def test_rows_expire_in_small_steps(self) -> None:
        self.add(*range(1, 8))
        self.mark(Mark(7))
        steps = [self.expire(8, limit=3) for _ in range(3)]
        self.assertEqual([(step.deleted, step.more) for step in steps], [(3, True), (3, True), (1, False)])
        self.assertEqual(self.seqs(), [])

    def test_row_that_is_not_delivered_outlives_retention_and_leaves_no_hole(self) -> None:
        self.add(*range(1, 6))
        self.mark(Mark(2, frozenset({4})))
        self.assertEqual(self.expire(6).deleted, 2)
        self.assertEqual(self.seqs(), [3, 4, 5])

    def test_confirmed_row_above_the_mark_expires(self) -> None:
        self.add(1, 2)
        self.mark(Mark(0, frozenset({1})))
        self.assertEqual(self.expire(3).deleted, 1)
        self.assertEqual(self.mark(), Mark(1))

    def test_row_that_nobody_fetched_is_given_up_in_the_end_and_moves_the_mark(self) -> None:
        self.add(*range(1, 6))
        self.mark(Mark(1, frozenset({4})))
        step = self.expire(6, offline_before=4)
        self.assertEqual((step.deleted, step.mark), (4, Mark(4)))
        self.assertEqual((self.seqs(), self.mark()), ([5], Mark(4)))

    def test_rows_of_others_do_not_expire(self) -> None:
        with self.store.transaction() as cursor:
            cursor.execute(archive.APPEND.sql, message(self.other, 1))
        self.assertEqual(self.expire(100).deleted, 0)

    def test_nothing_to_expire(self) -> None:
        self.add(5)
        self.assertEqual(self.expire(5, 5), Expired(0, None, more=False))

    def test_rows_beyond_a_quota(self) -> None:
        self.add(*range(1, 11))
        self.add(11, history=0)
        with self.store.transaction() as cursor:
            self.assertEqual(archive.beyond(cursor, self.account, 4), 7)
            self.assertIsNone(archive.beyond(cursor, self.account, 10))
        self.mark(Mark(100))
        self.expire(7)
        self.assertEqual(self.seqs(), [7, 8, 9, 10, 11])

    def test_delivery_is_given_up_but_history_stays(self) -> None:
        self.add(1, 2, 5)
        self.add(3, 6, history=0)
        with self.store.transaction() as cursor:
            self.assertEqual(archive.give_up(cursor, self.account, before=5), Mark(3))
            self.assertIsNone(archive.give_up(cursor, self.account, before=5))
        self.assertEqual((self.seqs(), self.mark()), ([1, 2, 5, 6], Mark(3)))

    # Erasing

    def test_redacted_row_keeps_its_place_and_loses_its_content(self) -> None:
        self.add(1, 2, kind=1)
        with self.store.transaction() as cursor:
            self.assertTrue(archive.redact(cursor, self.account, 1, b"<gone/>"))
            self.assertFalse(archive.redact(cursor, self.account, 1, b"<again/>"))
            self.assertFalse(archive.redact(cursor, self.account, 99, b"<gone/>"))
            first, second = archive.rows(cursor, self.account)
            self.assertEqual([row.seq for row in archive.deliverable(cursor, self.account, 0, 9)], [2])
            self.assertTrue(archive.exists(cursor, self.account, 1))
        self.assertEqual(first, message(self.account, 1, stanza=b"<gone/>", kind=1 | TOMBSTONE, deliver=0))
        self.assertEqual(second.kind, 1)

    def test_whole_rows_of_a_conversation_and_a_period(self) -> None:
        self.add(1, 2, 3, 4)
        with self.store.transaction() as cursor:
            cursor.execute(archive.APPEND.sql, message(self.account, 5, "paris@example.net"))
            found = archive.rows(cursor, self.account, peer="romeo@example.net", start=2, limit=2)
            self.assertEqual(found, [message(self.account, 2), message(self.account, 3)])
            self.assertEqual([row.seq for row in archive.rows(cursor, self.account, start=4, end=4)], [4])

    def test_message_that_another_speaks_of(self) -> None:
        self.add(1, 3, stanza=b"<message id='m1'/>")
        self.add(2, stanza=b"<message id='m2'/>")
        self.add(4, stanza=b"<message id='m1'/>", outgoing=1)
        with self.store.transaction() as cursor:
            for before, limit, expected in ((9, 9, [3, 1]), (9, 2, [3]), (3, 9, [1]), (1, 9, [])):
                self.assertEqual(self.containing(cursor, before=before, limit=limit), expected)
                self.patch(archive, "PIECE", 1)
                self.assertEqual(self.containing(cursor, before=before, limit=limit), expected)
                self.patch(archive, "PIECE", 10)

    def test_large_rows_count_as_several_where_one_is_looked_for(self) -> None:
        """What a client can have read for one message of its own is bounded."""
        self.add(*range(1, 31), stanza=b"<message id='m1'>%b</message>" % (b"x" * 3 * archive.ROW_BYTES))
        with self.store.transaction() as cursor:
            self.assertEqual(self.containing(cursor, before=99, limit=41), [*range(30, 19, -1)])

    def containing(self, cursor: Cursor, *, before: int, limit: int) -> list[int]:
        found = archive.containing(
            cursor, self.account, "romeo@example.net", b"'m1'", outgoing=False, before=before, limit=limit
        )
        return [row.seq for row in found]

    def test_archive_is_erased_in_steps(self) -> None:
        self.add(*range(1, 8))
        erased = []
        with self.store.transaction() as cursor:
            cursor.execute(archive.APPEND.sql, message(self.other, 1))
            while number := archive.erase_some(cursor, self.account, 3):
                erased.append(number)
            self.assertEqual(archive.usage(cursor, self.other).rows, 1)
        self.assertEqual((erased, self.seqs()), ([3, 3, 1], []))

    # Sequences

    def greatest(self) -> int:
        with self.store.transaction() as cursor:
            return archive.greatest(cursor)

    def test_greatest_sequence_of_all_archives(self) -> None:
        self.assertEqual(self.greatest(), 0)
        self.add(7)
        with self.store.transaction() as cursor:
            cursor.executemany(archive.APPEND.sql, [message(self.other, 9), message(77, 8)])
        self.assertEqual(self.greatest(), 9)

    def test_sequence_of_an_erased_row_is_never_used_again(self) -> None:
        """MAM A36, also where the clock is set back and the newest rows are gone."""
        self.add(5)
        with self.store.transaction() as cursor:
            archive.erase(cursor, self.account)
        self.assertEqual(self.greatest(), 5)
        self.add(6)
        self.mark(Mark(6))
        self.expire(7)
        self.assertEqual((self.seqs(), self.greatest()), ([], 6))

    def test_sequence_of_a_row_that_was_only_delivered_is_never_used_again(self) -> None:
        self.add(5, 7, history=0)
        self.mark(Mark(5, frozenset({7})))
        with self.store.transaction() as cursor:
            cursor.executemany(archive.DELETE_DELIVERED.sql, [(self.account, 5), (self.account, 7)])
        self.assertEqual(self.greatest(), 7)

    def test_sequence_of_a_row_that_was_taken_back_is_never_used_again(self) -> None:
        self.add(5, history=0)
        with self.store.transaction() as cursor:
            self.assertTrue(archive.forget(cursor, self.account, 5))
            self.assertFalse(archive.forget(cursor, self.account, 5))
        self.assertEqual((self.seqs(), self.greatest()), ([], 5))
