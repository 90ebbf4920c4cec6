"""No statement reads or sorts a whole table, but for those that are named here, with the reason."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.storage.base import BlockingStore, StorageTestCase, message, on_each_database
from xmppd.storage import (
    accounts,
    archive,
    archive_delivery,
    archive_ids,
    archive_query,
    archive_retention,
    blocking,
    last_activity,
    marks,
    meta,
    preferences,
    private,
    roster,
    roster_eras,
    search,
    search_engines,
    search_index,
    sessions,
    tokens,
    writer,
)
from xmppd.storage.archive_query import Query
from xmppd.storage.marks import Mark
from xmppd.storage.postgresql import PostgreSQLCursor, placeholders
from xmppd.storage.sqlite import StanzaCursor
from xmppd.storage.statement import Cursor, Statement
from xmppd.storage.words import terms

STORES = (
    accounts,
    archive,
    archive_delivery,
    archive_ids,
    archive_query,
    archive_retention,
    blocking,
    last_activity,
    marks,
    meta,
    preferences,
    private,
    roster,
    roster_eras,
    search,
    search_engines,
    search_index,
    sessions,
    tokens,
    writer,
)

AT_THE_START = {
    "accounts.load_directory": {"account"},
    "accounts.with_remains": {"account"},
    "archive.greatest": {"account"},
    "archive_delivery.passing": {"account"},
    "blocking.load_domain": {"account", "block"},
    "preferences.load_all": {"archive_preference"},
    "sessions.take_all": {"session"},
    "search_index.drop_index": {"search_position"},
}
"""Statements that read all of a table: once, when the server starts. None of these tables is an archive."""

LOOKED_UP = re.compile(r"VIRTUAL TABLE INDEX \d+:\S*M")
"""What SQLite says of words that are looked up in the index."""

Plan = list[tuple[str, str]]
"""What a statement does: ("scan", table), ("sort", "")."""

ROW = message(1, 10)
TOKEN = tokens.Token("HT", b"key", 1, 9)
CREDENTIAL = accounts.Credential("SHA-1", b"s", 1, b"k", b"k")
PEER, OTHER = "romeo@example.net", "nobody@example.net"
PEERS = (PEER, "a@b.example", "c@d.example")
WORD = terms("word")

# Each public function of the stores, and what it is called with.
CALLS: dict[str, Callable[[Cursor], object]] = {
    "accounts.load_directory": accounts.load_directory,
    "accounts.find": lambda c: accounts.find(c, "example.org", "user1"),
    "accounts.create": lambda c: accounts.create(c, "example.org", "new", [CREDENTIAL], created=1),
    "accounts.set_credentials": lambda c: accounts.set_credentials(c, 1, [CREDENTIAL]),
    "accounts.credential": lambda c: accounts.credential(c, "example.org", "user1", "SHA-1"),
    "accounts.set_state": lambda c: accounts.set_state(c, 1, accounts.AccountState.DISABLED),
    "accounts.remove": lambda c: accounts.remove(c, 2),
    "accounts.with_remains": accounts.with_remains,
    "accounts.release": lambda c: accounts.release(c, "example.org", "user2"),
    "archive_query.page": lambda c: [archive_query.page(c, 1, query) for query in QUERIES],
    "archive_query.count": lambda c: [archive_query.count(c, 1, query) for query in QUERIES],
    "archive_query.known": lambda c: archive_query.known(c, 1, (1, 2, 3)),
    "archive_query.exists": lambda c: archive_query.exists(c, 1, 2),
    "archive_query.bounds": lambda c: archive_query.bounds(c, 1),
    "archive_delivery.deliverable": lambda c: archive_delivery.deliverable(c, 1, 5, 10),
    "archive_delivery.passing": archive_delivery.passing,
    "archive_delivery.owed": lambda c: archive_delivery.owed(c, 1, 5, 10),
    "archive_retention.owed_before": lambda c: archive_retention.owed_before(c, 1, 5, 10),
    "archive_delivery.waits_between": lambda c: archive_delivery.waits_between(c, 1, 5, 10),
    "archive_delivery.stanzas": lambda c: archive_delivery.stanzas(c, 1, [1, 2]),
    "archive.rows": lambda c: [archive.rows(c, 1), archive.rows(c, 1, peer=PEER, start=3, end=9)],
    "archive.restore": lambda c: archive.restore(c, [ROW, ROW._replace(seq=5000)]),
    "archive.containing": lambda c: [
        *archive.containing(c, 1, PEER, b"7", outgoing=False, before=150, limit=100)
    ],
    "archive.redact": lambda c: archive.redact(c, 1, 7, b"<message/>"),
    "archive.forget": lambda c: archive.forget(c, 1, 8),
    "archive.delete_up_to": lambda c: archive.delete_up_to(c, 3, 10),
    "archive.erase": lambda c: archive.erase(c, 3),
    "archive.erase_some": lambda c: archive.erase_some(c, 2, 10),
    "archive_retention.expire": lambda c: archive_retention.expire(
        c, 1, history_before=9, offline_before=5, limit=5
    ),
    "archive_retention.give_up": lambda c: archive_retention.give_up(c, 1, before=50),
    "archive_retention.beyond": lambda c: archive_retention.beyond(c, 1, 5),
    "archive_retention.expirable": lambda c: archive_retention.expirable(
        c, (1, 2), history_before=0, offline_before=9_000, keep=10
    ),
    "archive_retention.is_full": lambda c: archive_retention.is_full(c, 1, 5, Mark(0)),
    "archive_retention.usage": lambda c: archive_retention.usage(c, 1),
    "archive.greatest": archive.greatest,
    "archive_ids.load_key": archive_ids.load_key,
    "blocking.load": lambda c: blocking.load(c, 1),
    "blocking.load_domain": lambda c: blocking.load_domain(c, "example.org"),
    "blocking.add": lambda c: blocking.add(c, 1, [OTHER]),
    "blocking.remove": lambda c: blocking.remove(c, 1, [OTHER]),
    "blocking.clear": lambda c: blocking.clear(c, 1),
    "last_activity.load": lambda c: last_activity.load(c, 1),
    "marks.load": lambda c: marks.load(c, 1),
    "marks.save": lambda c: marks.save(c, 1, Mark(3)),
    "meta.get": lambda c: meta.get(c, "a"),
    "meta.put": lambda c: meta.put(c, "a", "b"),
    "meta.secret": lambda c: meta.secret(c, "s"),
    "preferences.load_all": preferences.load_all,
    "preferences.save": lambda c: preferences.save(c, 1, preferences.ArchivePreferences("never")),
    "private.get": lambda c: private.get(c, 1, "a"),
    "private.put": lambda c: private.put(c, 1, "a", b"b"),
    "private.delete": lambda c: private.delete(c, 1, "a"),
    "private.usage": lambda c: private.usage(c, 1),
    "roster.load": lambda c: roster.load(c, 1),
    "roster.contacts": lambda c: roster.contacts(c, (1, 2)),
    "roster.upsert": lambda c: roster.upsert(c, 1, roster.RosterItem(OTHER)),
    "roster.delete": lambda c: roster.delete(c, 1, PEER),
    "roster.changes_since": lambda c: roster.changes_since(c, 1, 1),
    "roster.prune": lambda c: roster.prune(c, 1, 0),
    "roster.requests": lambda c: roster.requests(c, 1),
    "roster.put_request": lambda c: roster.put_request(c, 1, roster.Request(OTHER, b"<presence/>")),
    "roster.delete_request": lambda c: roster.delete_request(c, 1, OTHER),
    "roster_eras.SAVE": lambda c: c.execute(roster_eras.SAVE.sql, roster_eras.row("a", "", ended=True)),
    "roster_eras.take_up": lambda c: roster_eras.take_up(c, "example.org"),
    "search.look_up": lambda c: [search.look_up(c, 1, query, WORD) for query in QUERIES],
    "search.scan": lambda c: search.scan(c, 1, Query(), WORD),
    "search_engines.index_of": search_engines.index_of,
    "search_index.open_index": search_index.open_index,
    "search_index.position": lambda c: search_index.position(c, 1),
    "search_index.include": lambda c: search_index.include(c, 1, 9, ROW.stanza),
    "search_index.behind": lambda c: search_index.behind(c, (1, 2)),
    "search_index.next_batch": lambda c: search_index.next_batch(c, 2, 10),
    "search_index.add_batch": lambda c: search_index.add_batch(c, search_index.next_batch(c, 1, 10)),
    "search_index.forget": lambda c: search_index.forget(c, 1),
    "search_index.remove": lambda c: search_index.remove(c, 1, 1, 9),
    "search_index.tidy": search_index.tidy,
    "search_index.needs_cleaning": search_index.needs_cleaning,
    "search_index.clean": lambda c: search_index.clean(c, begin=True),
    "search_index.drop_index": search_index.drop_index,
    "sessions.save_all": lambda c: sessions.save_all(c, [sessions.SavedSession(1, "t", 1, 9, b"")]),
    "sessions.take_all": lambda c: sessions.take_all(c, 0),
    "sessions.handled": lambda c: sessions.handled(c, 1, "t"),
    "sessions.prune": lambda c: sessions.prune(c, 1),
    "sessions.FORGET": lambda c: c.execute(sessions.FORGET.sql, (1, "token")),
    "roster.is_subscriber": lambda c: roster.is_subscriber(c, "example.org", "user1", PEER),
    "tokens.find": lambda c: tokens.find(c, "example.org", "user1", "phone"),
    "tokens.add": lambda c: tokens.add(c, 1, "phone", TOKEN, most=1),
    "tokens.use": lambda c: tokens.use(c, 1, "phone", TOKEN),
    "tokens.revoke": lambda c: tokens.revoke(c, 1, "phone"),
    "tokens.revoke_all": lambda c: tokens.revoke_all(c, 1),
    "writer.probe": writer.probe,
    # What is run for rows of `append`:
    "archive.TO_NOBODY": lambda c: c.execute(archive.TO_NOBODY.sql, ("nobody", "")),
    "archive.APPEND": lambda c: c.execute(archive.APPEND.sql, message(1, 9_000)),
    "archive.DELETE_DELIVERED": lambda c: c.execute(archive.DELETE_DELIVERED.sql, (1, 3)),
    "marks.SAVE": lambda c: c.execute(marks.SAVE.sql, Mark(3).row(1)),
    "sessions.REMEMBER_HANDLED": lambda c: c.execute(sessions.REMEMBER_HANDLED.sql, (1, "t", 1, 9)),
    "last_activity.SAVE": lambda c: c.execute(
        last_activity.SAVE.sql, last_activity.LastActivity(1, "").row(1)
    ),
}

QUERIES = [
    Query(),
    Query(backwards=True),
    Query(after=5),
    Query(before=50, backwards=True),
    Query(peer=PEER),
    Query(peer=PEER, resource="orchard", backwards=True),
    Query(peer="user1@example.org", own_resource="desk"),
    Query(start=3, end=90, groupchat=False),
    Query(after_id=3, before_id=90),
    Query(ids=(3, 4, 5)),
    Query(limit=0),
]


def public_functions() -> Iterator[str]:
    """All functions of the stores that take a cursor, and all statements for rows."""
    for module in STORES:
        short = module.__name__.rpartition(".")[2]
        for name, value in vars(module).items():
            if isinstance(value, Statement) or _is_public(value, module.__name__):
                yield f"{short}.{name}"


def _is_public(value: object, module: str) -> bool:
    if not inspect.isfunction(value) or value.__module__ != module or value.__name__.startswith("_"):
        return False
    return next(iter(inspect.signature(value).parameters), None) == "cursor"


class Explaining:
    """A cursor that first asks how each statement will be run."""

    plans: list[tuple[str, Plan]]

    def note(self, sql: str, parameters: Any) -> None:
        if re.match("SELECT|WITH|INSERT|UPDATE|DELETE", sql):
            self.plans.append((sql, self.explain(sql, parameters)))

    def explain(self, sql: str, parameters: Any) -> Plan:
        raise NotImplementedError


class ExplainingSQLite(Explaining, StanzaCursor):
    """See above."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self.note(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, rows: Any, /) -> Any:
        self.note(sql, rows[0])
        return super().executemany(sql, rows)

    def explain(self, sql: str, parameters: Any) -> Plan:
        found: Plan = []
        for *_, detail in self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters):
            if "B-TREE FOR ORDER BY" in detail:
                found.append(("sort", ""))
            elif (words := detail.split())[0] == "SCAN" and not LOOKED_UP.search(detail):
                found.append(("scan", words[1]))
        return found


class ExplainingPostgreSQL(Explaining, PostgreSQLCursor):
    """With seq scans forbidden PostgreSQL takes one only where there is no index; a plan without conditions
    for an index reads all of it."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.connection = connection

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self.note(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, rows: Any, /) -> Any:
        self.note(sql, rows[0])
        return super().executemany(sql, rows)

    def explain(self, sql: str, parameters: Any) -> Plan:
        query = f"EXPLAIN (FORMAT JSON) {placeholders(sql)}".encode()
        (plan,) = self.connection.execute(query, parameters).fetchone()
        return list(self._nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))

    def _nodes(self, node: dict[str, Any]) -> Iterator[tuple[str, str]]:
        kind = node["Node Type"]
        if kind == "Seq Scan" or (kind.endswith(("Index Scan", "Only Scan")) and "Index Cond" not in node):
            yield "scan", node.get("Relation Name", node.get("Index Name", "?"))
        if kind == "Sort":
            yield "sort", ""
        for below in node.get("Plans", ()):
            yield from self._nodes(below)


@on_each_database
class PlanTests:
    store: BlockingStore

    def setUp(self) -> None:
        assert isinstance(self, StorageTestCase)
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            for account in (1, 2, 3):
                accounts.create(cursor, "example.org", f"user{account}", [CREDENTIAL], created=1)
                for peer in PEERS:
                    roster.upsert(cursor, account, roster.RosterItem(peer))
            for account in range(1, 21):
                rows = [message(account, seq, PEERS[seq % 3], outgoing=seq % 2) for seq in range(1, 201)]
                cursor.executemany(archive.APPEND.sql, rows)
            search_index.open_index(cursor)
            for account in (1, 2):
                batch = search_index.next_batch(cursor, account, 150)
                assert batch is not None
                search_index.add_batch(cursor, batch)
        self.tables = self.names()

    def names(self) -> set[str]:
        script = "\n".join(text for _, text in self.store.dialect.schema())
        return {*re.findall(r"^CREATE TABLE (\w+)", script, re.MULTILINE), "search"}

    def explaining(self, avoiding: bool) -> Any:
        connection = self.store.connection
        if self.store.dialect.name == "sqlite":
            return connection.cursor(factory=ExplainingSQLite)
        if avoiding:
            connection.execute("ANALYZE")
            connection.execute("SET enable_seqscan = off")
        return ExplainingPostgreSQL(connection)

    def plans_of(self, call: Callable[[Cursor], object], *, avoiding: bool = True) -> list[tuple[str, Plan]]:
        """What is planned for the statements of a call.

        :param avoiding: whether PostgreSQL, which knows its tables, reads all of one only where it must;
            otherwise it knows nothing of them, and chooses.
        """
        self.store.dialect.begin_write(self.store.connection)
        try:
            cursor = self.explaining(avoiding)
            cursor.plans = []
            call(cursor)
            return list(cursor.plans)
        finally:
            self.store.dialect.rollback(self.store.connection)

    def test_every_function_is_looked_at(self) -> None:
        self.assertEqual(sorted(CALLS), sorted(public_functions()))

    def test_no_statement_reads_a_whole_table(self) -> None:
        for name, call in CALLS.items():
            allowed = AT_THE_START.get(name, set())
            for sql, plan in self.plans_of(call):
                read = {table for kind, table in plan if kind == "scan"} & self.tables
                self.assertLessEqual(read, allowed, f"{name}: {sql}")

    def test_pages_come_in_order_from_an_index(self) -> None:
        """So they cost the same wherever they lie; also in a new table, of which a planner knows nothing."""
        for name in (
            "archive_query.page",
            "archive_query.bounds",
            "archive_delivery.deliverable",
            "archive_delivery.owed",
            "archive.rows",
            "archive_retention.beyond",
            "archive_retention.expire",
            "archive.erase_some",
            "search.scan",
        ):
            for sql, plan in self.plans_of(CALLS[name], avoiding=False):
                if "seq IN" not in sql:  # as many rows as were asked for
                    self.assertEqual(
                        [step for step in plan if step[1] in ("", "archive")], [], f"{name}: {sql}"
                    )

    def test_that_a_whole_table_would_be_noticed(self) -> None:
        def careless(cursor: Cursor) -> None:
            cursor.execute("SELECT count(*) FROM archive WHERE stanza = ?", (b"",))
            cursor.execute("SELECT seq FROM archive WHERE account = ? ORDER BY stanza LIMIT 1", (1,))

        (_, scanned), (_, sorted_) = self.plans_of(careless)
        self.assertIn(("scan", "archive"), scanned)
        self.assertIn(("sort", ""), sorted_)
