"""Everything goes from one database to another, and back."""

from pathlib import Path
from typing import Any

from tests.storage.base import BlockingStore, OnPostgreSQL, OnSQLite, StorageTestCase, message
from xmppd.storage import (
    accounts,
    archive,
    archive_ids,
    blocking,
    marks,
    meta,
    postgresql,
    preferences,
    private,
    roster,
    search_index,
    sessions,
    tokens,
    transfer,
)
from xmppd.storage.database import Database, dialect_of
from xmppd.storage.errors import InUseError, SchemaError, StorageError
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor
from xmppd.storage.transfer import TransferError
from xmppd.storage.transfer import transfer as move

HASH = accounts.Credential("SHA-1", b"salt\x00\xff", 10_000, b"stored\\x00", b"server")


def fill(cursor: Cursor) -> None:
    """Something in every table, with what is hard to carry over."""
    meta.put(cursor, "archive_id_key", "0123456789abcdef0123456789abcdef")
    meta.put(cursor, "odd", "tab\t back\\slash \\N 'quote' \n ünïcode 🍏")
    for number, name in enumerate(("juliet", "romeo", "gone", "nurse"), 1):
        account = accounts.create(cursor, "example.org", name, [HASH], created=1).id
        assert account == number
        roster.upsert(cursor, account, roster.RosterItem("a@b.example", name="A\tB\\", groups=("x", "ÿ")))
        roster.put_request(cursor, account, roster.Request("nurse@example.net", b"<presence/>"))
        blocking.add(cursor, account, ["paris@example.net"])
        preferences.save(cursor, account, preferences.ArchivePreferences("never", ("a@b",), ()))
        private.put(cursor, account, "{urn:example}notes", bytes(range(256)))
        tokens.add(cursor, account, "c", tokens.Token("HT-SHA-256-NONE", b"\x00key", 1, 9), most=1)
        cursor.executemany(archive.APPEND.sql, [message(account, seq) for seq in range(1, 40 * number)])
    sessions.save_all(cursor, [sessions.SavedSession(1, "t", 1, 9, b"payload\x00")])
    cursor.execute("INSERT INTO session (account, token, handled, expires) VALUES (2, 'ended', 7, 9)")
    marks.save(cursor, 2, Mark(5, frozenset((7, 9))))
    accounts.remove(cursor, 3)
    accounts.remove(cursor, 4)
    accounts.release(cursor, "example.org", "nurse")
    search_index.open_index(cursor)
    batch = search_index.next_batch(cursor, 1, 10)
    assert batch is not None
    search_index.add_batch(cursor, batch)


def content(store: BlockingStore) -> dict[str, list[Any]]:
    """All rows of all tables."""
    found = {}
    with store.transaction() as cursor:
        for table in (*accounts.OWNED, "archive", "search_position", "account", "meta"):
            cursor.execute(f"SELECT * FROM {table}")
            rows = [
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor.fetchall()
            ]
            found[table] = sorted(rows, key=repr)
    return found


def tables(store: BlockingStore) -> set[str]:
    """Those that the database has, whatever made them, but for its own."""
    if store.dialect.name == "sqlite":
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    else:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    with store.transaction() as cursor:
        cursor.execute(sql)
        return {row[0] for row in cursor.fetchall()}


class TransferTests(StorageTestCase):
    make_sqlite = OnSQLite.make_url
    make_postgresql = OnPostgreSQL.make_url

    def make_full(self, url: str) -> dict[str, list[Any]]:
        store = BlockingStore(dialect_of(url))
        with store.transaction() as cursor:
            fill(cursor)
        found = content(store)
        store.close()
        return found

    def look(self, url: str) -> dict[str, list[Any]]:
        store = BlockingStore(dialect_of(url))
        found = content(store)
        store.close()
        return found

    def test_no_table_is_left_out(self) -> None:
        """A new one has to be filled above, too; only what is made again stays behind."""
        for make in (self.make_sqlite, self.make_postgresql):
            url = make()
            before = self.make_full(url)
            self.assertEqual([table for table, rows in before.items() if not rows], [])
            store = BlockingStore(dialect_of(url))
            there = {name for name in tables(store) if not name.startswith("search")}
            store.close()
            moved = set(move(url, self.make_sqlite(), lambda *_: None))
            self.assertEqual(moved, there)
            self.assertEqual(moved | {"search_position"}, set(before))

    def comparable(self, found: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Without what the search index says of itself."""
        rest = [row for row in found["meta"] if not row[0].startswith("search_")]
        return {**found, "meta": rest, "search_position": []}

    def test_everything_goes_to_postgresql_and_back(self) -> None:
        self.patch(transfer, "CHUNK", 7)
        first, second, third = self.make_sqlite(), self.make_postgresql(), self.make_sqlite()
        before = self.make_full(first)
        told: list[tuple[str, int, int]] = []
        counts = move(first, second, lambda *report: told.append(report))
        self.assertEqual(self.comparable(self.look(second)), self.comparable(before))
        self.assertEqual(counts, move(second, third, lambda *_: None))
        self.assertEqual(self.comparable(self.look(third)), self.comparable(before))
        self.assertEqual(self.look(first), before)
        self.assertEqual(counts["archive"], len(before["archive"]))
        self.assertEqual([each for each in told if each[0] == "archive"][:2],
                         [("archive", 7, counts["archive"]), ("archive", 14, counts["archive"])])  # fmt: skip
        self.assertEqual(set(counts) | {"search_position"}, set(before))

    def test_rows_that_go_alone(self) -> None:
        """A database of one account, and the last one of many."""
        self.patch(transfer, "CHUNK", 1)
        for make in (self.make_sqlite, self.make_postgresql):
            first, second = self.make_sqlite(), make()
            before = self.make_full(first)
            move(first, second, lambda *_: None)
            self.assertEqual(self.comparable(self.look(second)), self.comparable(before))

    def test_from_and_to_the_same_product(self) -> None:
        for make in (self.make_sqlite, self.make_postgresql):
            first, second = make(), make()
            before = self.make_full(first)
            move(first, second, lambda *_: None)
            self.assertEqual(self.comparable(self.look(second)), self.comparable(before))

    def test_numbers_of_accounts_are_not_given_out_again(self) -> None:
        """Archive ids are made of them. The last account here was removed and its name released."""
        first, second, third = self.make_sqlite(), self.make_postgresql(), self.make_sqlite()
        self.make_full(first)
        move(first, second, lambda *_: None)
        move(second, third, lambda *_: None)
        for url in (second, third):
            store = BlockingStore(dialect_of(url))
            with store.transaction() as cursor:
                self.assertEqual(accounts.create(cursor, "example.org", "new", [], created=1).id, 5)
            store.close()

    def test_archive_ids_stay_valid(self) -> None:
        first, second = self.make_sqlite(), self.make_postgresql()
        self.make_full(first)
        move(first, second, lambda *_: None)
        names = []
        for url in (first, second):
            store = BlockingStore(dialect_of(url))
            with store.transaction() as cursor:
                names.append(archive_ids.ArchiveIds(archive_ids.load_key(cursor)).encode(1, 7))
            store.close()
        self.assertEqual(names[0], names[1])

    def test_an_empty_database(self) -> None:
        for first, second in (
            (self.make_sqlite(), self.make_postgresql()),
            (self.make_postgresql(), self.make_sqlite()),
        ):
            BlockingStore(dialect_of(first)).close()
            self.assertEqual(set(move(first, second, lambda *_: None).values()), {0})
            store = BlockingStore(dialect_of(second))
            with store.transaction() as cursor:
                self.assertEqual(accounts.create(cursor, "example.org", "new", [], created=1).id, 1)
            store.close()

    # -- what is refused

    def refused(self, source: str, target: str, kind: type[StorageError], why: str) -> None:
        with self.assertRaisesRegex(kind, why):
            move(source, target, lambda *_: None)

    def test_a_target_that_is_not_empty(self) -> None:
        for make in (self.make_sqlite, self.make_postgresql):
            first, second = self.make_sqlite(), make()
            self.make_full(first)
            before = self.make_full(second)
            self.refused(first, second, TransferError, "is not empty")
            self.assertEqual(self.look(second), before)

    def test_a_source_that_is_not_there(self) -> None:
        path = Path(self.mktemp()).absolute()
        self.refused(f"sqlite:{path}", self.make_postgresql(), TransferError, "does not exist")
        self.assertFalse(path.exists())
        self.refused(self.make_postgresql(), self.make_sqlite(), TransferError, "nothing in the database")
        self.refused("postgresql://127.0.0.1:1/x", self.make_sqlite(), TransferError, "refused")

    def test_a_source_of_another_version(self) -> None:
        first = self.make_sqlite()
        store = BlockingStore(dialect_of(first))
        with store.transaction() as cursor:
            meta.put(cursor, "schema_version", "1")
        store.close()
        self.refused(first, self.make_postgresql(), SchemaError, "has schema version 1")

    async def test_a_database_that_a_server_uses(self) -> None:
        self.patch(postgresql, "PATIENCE", "100ms")
        for make in (self.make_sqlite, self.make_postgresql):
            used, other = make(), self.make_sqlite()
            database: Database = await self.make_database(used)
            await database.write("fill", fill)
            self.refused(used, self.make_sqlite(), InUseError, "use")
            BlockingStore(dialect_of(other)).close()
            self.refused(other, used, InUseError, "use")
            await database.close()

    def test_the_same_database_twice(self) -> None:
        self.patch(postgresql, "PATIENCE", "100ms")
        for make in (self.make_sqlite, self.make_postgresql):
            first = make()
            self.make_full(first)
            self.refused(first, first, InUseError, "in use")

    def test_what_fails_in_the_middle_leaves_an_empty_target(self) -> None:
        for make in (self.make_sqlite, self.make_postgresql):
            first, second = self.make_sqlite(), make()
            self.make_full(first)

            def fail(table: str, *_: int) -> None:
                if table == "archive":
                    raise KeyboardInterrupt

            self.assertRaises(KeyboardInterrupt, move, first, second, fail)
            self.assertEqual(sum(move(first, second, lambda *_: None).values()) > 100, True)

    def test_rows_that_are_lost_on_the_way_are_noticed(self) -> None:
        for make in (self.make_sqlite, self.make_postgresql):
            first, second = self.make_sqlite(), make()
            self.make_full(first)
            dialect = type(dialect_of(second))
            load = dialect.load

            def lose(side: Any, cursor: Any, statement: Any, rows: Any, load: Any = load) -> None:
                load(side, cursor, statement, rows[1:] if "archive (" in statement.target else rows)

            self.patch(dialect, "load", lose)
            self.refused(first, second, TransferError, "rows of archive were read")
            self.patch(dialect, "load", load)
            self.assertEqual(self.look(second)["archive"], [])
