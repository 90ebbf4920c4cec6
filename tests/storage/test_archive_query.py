"""Queries of the history against a naive model."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tests.storage.base import BlockingStore, examples, message, on_each_database
from xmppd.storage import archive, archive_query
from xmppd.storage.archive import ArchiveRow
from xmppd.storage.archive_query import Page, Query

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
            return archive_query.page(cursor, self.account, query)

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
            self.assertEqual(archive_query.known(cursor, self.account, asked), history & set(asked))
            for seq in asked[:2]:
                self.assertEqual(archive_query.exists(cursor, self.account, seq), seq in history)

    @examples(60)
    @given(ROWS)
    def test_bounds(self, rows: dict[int, tuple]) -> None:
        history = [row.seq for row in self.fill(rows) if row.history]
        with self.store.transaction() as cursor:
            found = archive_query.bounds(cursor, self.account)
        self.assertEqual(found, (min(history), max(history)) if history else None)

    def test_count_of_a_large_result_is_left_out(self) -> None:
        self.fill(dict.fromkeys(range(1, 31), (OWN, "", "", 0, 1, 0, 0)))
        with self.store.transaction() as cursor:
            self.assertEqual(archive_query.count(cursor, self.account, Query(), most=30), 30)
            self.assertIsNone(archive_query.count(cursor, self.account, Query(), most=29))

    def test_empty_stanza_and_odd_bytes_come_back(self) -> None:
        stanzas = [b"", b"\x00", b"\xff\xfe 1 2", "é".encode(), b" 7 7 ", b""]
        with self.store.transaction() as cursor:
            cursor.executemany(
                archive.APPEND.sql, [message(9, seq, stanza=stanza) for seq, stanza in enumerate(stanzas)]
            )
            self.assertEqual(archive_query.page(cursor, 9, Query()).rows, list(enumerate(stanzas)))
