"""What tests of the storage share: each of them runs on every database that the server knows."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.postgres import server
from xmppd.storage.archive import ArchiveRow
from xmppd.storage.database import Database, dialect_of
from xmppd.storage.dialect import Dialect
from xmppd.storage.migrate import migrate
from xmppd.storage.statement import Cursor, Row


class OnSQLite:
    """Makes databases in files."""

    label = "OnSQLite"

    def make_url(self) -> str:
        """The address of a new database."""
        return f"sqlite:{Path(self.mktemp()).absolute()}"


class OnPostgreSQL:
    """Makes databases in the server that the tests share."""

    label = "OnPostgreSQL"

    def make_url(self) -> str:
        """The address of a new database."""
        return server().make_url()


PLACES = (OnSQLite, OnPostgreSQL)


def examples(number: int) -> settings:
    """So many examples of a property, on each database (which hypothesis takes for a mistake)."""
    return settings(
        max_examples=number, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )


def on_each_database(case: type) -> type:
    """Make of a class with tests one test case for each database, and put them beside it."""
    module = sys.modules[case.__module__]
    for place in PLACES:
        name = case.__name__ + place.label
        setattr(module, name, type(name, (place, case, StorageTestCase), {"__module__": case.__module__}))
    return case


class BlockingStore:
    """One migrated database, used in the test's own thread."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        dialect.prepare()
        self.connection = connect(dialect)
        migrate(dialect, self.connection)

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()
        self.dialect.close()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor inside a transaction that is kept, unless an error ends it."""
        self.dialect.begin_write(self.connection)
        try:
            yield self.dialect.cursor(self.connection)
        except BaseException:
            self.dialect.rollback(self.connection)
            raise
        self.dialect.commit(self.connection)


def connect(dialect: Dialect) -> Any:
    """A connection like the one of the writer."""
    args, keywords = dialect.arguments()
    connection = __import__(dialect.module).connect(*args, **keywords)
    dialect.open_writer(connection)
    return connection


class StorageTestCase(TestCase):
    """A test case with databases; see `on_each_database`."""

    timeout = 60

    def make_store(self) -> BlockingStore:
        """A new database to use without a reactor."""
        store = BlockingStore(dialect_of(self.make_url()))
        self.addCleanup(store.close)
        return store

    async def make_database(self, url: str | None = None, **options: Any) -> Database:
        """An open database, closed after the test."""
        database = Database(reactor, self.make_url() if url is None else url, **options)
        await database.open()
        self.addCleanup(database.close)
        return database


class Noted:
    """A completion that notes what it hears, in a list that several can share."""

    def __init__(self, name: object, heard: list[Any]) -> None:
        self.name = name
        self.heard = heard

    def committed(self) -> None:
        self.heard.append(self.name)

    def failed(self, error: BaseException) -> None:
        self.heard.append((self.name, type(error).__name__))


def message(account: int = 1, seq: int = 1, peer: str = "romeo@example.net", **others: Any) -> ArchiveRow:
    """A row of the archive, received by the owner."""
    values = {
        "resource": "orchard",
        "own_resource": "",
        "outgoing": 0,
        "history": 1,
        "deliver": 1,
        "kind": 0,
        "stanza": b"<message xmlns='jabber:client'><body>%d</body></message>" % seq,
    }
    return ArchiveRow(account, seq, peer, **{**values, **others})


def bad(row: ArchiveRow) -> Row:
    """The row with something that no database takes."""
    return row._replace(peer=None)
