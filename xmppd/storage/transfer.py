"""Move everything from one database to another, of whatever product, while no server uses them.

The target gets everything or nothing: it is one transaction. The search index stays behind; it is made again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from xmppd.storage import search_index
from xmppd.storage.database import dialect_of
from xmppd.storage.dialect import Dialect
from xmppd.storage.errors import SchemaError, StorageError
from xmppd.storage.migrate import migrate, version
from xmppd.storage.statement import Row, Statement

CHUNK: Final = 1000
"""Rows that are read and written at once."""

DERIVED: Final = frozenset({"search_position"})
"""Tables that speak of the search index, which is made anew."""

_OWN: Final = ("schema_version", search_index.MADE, search_index.REMOVED)
"""What each database says of itself in `meta`."""

Report = Callable[[str, int, int], None]
"""Is told what is moved, how many rows are, and how many there are."""


class TransferError(StorageError):
    """Nothing was moved; the message says why."""


def transfer(source: str, target: str, report: Report) -> dict[str, int]:
    """Copy all rows of all tables; it blocks.

    :param source: URL of the database to read, and
    :param target: of an empty one, which is made if it is a file.
    :returns: how many rows each table has; they were counted again in the target.
    :raises StorageError: if one of the two is in use, is none of this program's, has another schema than this
        program (source), or is not empty (target); the target is as it was then, but for empty tables.
    """
    with ExitStack() as stack:
        reading, writing = _Side(source, stack), _Side(target, stack, new=True)
        try:
            return _copy(reading, writing, report)
        except (reading.dialect.error, writing.dialect.error) as error:
            owner = writing if isinstance(error, writing.dialect.error) else reading
            raise TransferError(owner.dialect.describe(error)) from None


class _Side:
    """One of the two databases, open for this process alone.

    :param new: whether it is made if there is none, and must be empty.
    """

    def __init__(self, url: str, stack: ExitStack, *, new: bool = False) -> None:
        self.dialect = dialect = dialect_of(url)
        path = Path(url.partition(":")[2])
        if not new and dialect.name == "sqlite" and not path.exists():
            raise TransferError(f"there is no database to read: the file {path} does not exist")
        try:
            dialect.prepare()
            stack.callback(dialect.close)
            self.connection = stack.enter_context(closing(_connect(dialect)))
        except dialect.error as error:
            raise TransferError(dialect.describe(error)) from None
        self.tables = _tables(dialect)
        if new:
            self._prepare_target()
        else:
            self._check_source()

    def _check_source(self) -> None:
        found, newest = version(self.dialect, self.connection), self.dialect.schema()[-1][0]
        if not found:
            raise TransferError("there is nothing in the database to read")
        if found != newest:
            raise SchemaError(
                f"the database to read has schema version {found}, and this program moves version {newest}:"
                " start the server of this version on it once"
            )

    def _prepare_target(self) -> None:
        migrate(self.dialect, self.connection)
        for table in self.tables:
            if self.count(table):
                raise TransferError("the database to write to is not empty")

    # -- tables

    def columns(self, table: str) -> list[str]:
        """Its columns, in order."""
        return self.dialect.columns(self.connection, table)

    def count(self, table: str) -> int:
        """How many rows are to be moved, or were."""
        cursor = self.dialect.cursor(self.connection)
        cursor.execute(f"SELECT count(*) FROM {table}{_those(table)}")
        return int(cursor.fetchone()[0])

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[list[Row]]:
        """All rows that are to be moved, chunk by chunk."""
        return self.dialect.stream(
            self.connection, f"SELECT {', '.join(columns)} FROM {table}{_those(table)}", CHUNK
        )


def _connect(dialect: Dialect) -> Any:
    args, keywords = dialect.arguments()
    connection = import_module(dialect.module).connect(*args, **keywords)
    dialect.open_writer(connection)
    return connection


def _tables(dialect: Dialect) -> list[str]:
    """The tables of the schema in the order in which they refer to each other."""
    script = "\n".join(text for _, text in dialect.schema())
    names = re.findall(r"^CREATE TABLE (\w+)", script, re.MULTILINE)
    return [name for name in names if name not in DERIVED]


def _those(table: str) -> str:
    return f" WHERE name NOT IN ({', '.join(map(repr, _OWN))})" if table == "meta" else ""


def _copy(reading: _Side, writing: _Side, report: Report) -> dict[str, int]:
    reading.dialect.begin_read(reading.connection)
    writing.dialect.begin_write(writing.connection)
    try:
        counts = {table: _copy_table(table, reading, writing, report) for table in reading.tables}
        writing.dialect.set_last_account(writing.connection, reading.dialect.last_account(reading.connection))
        _check(counts, writing)
        writing.dialect.commit(writing.connection)
    except BaseException:
        writing.dialect.rollback(writing.connection)
        raise
    finally:
        reading.dialect.rollback(reading.connection)
    writing.dialect.scrub(writing.connection)
    return counts


def _check(counts: dict[str, int], writing: _Side) -> None:
    for table, number in counts.items():
        found = writing.count(table)
        if found != number:
            raise TransferError(f"{number} rows of {table} were read, and {found} are in the target")


def _copy_table(table: str, reading: _Side, writing: _Side, report: Report) -> int:
    total, done = reading.count(table), 0
    columns = reading.columns(table)
    statement = Statement.insert(table, columns)
    cursor = writing.dialect.cursor(writing.connection)
    for rows in reading.rows(table, columns):
        writing.dialect.load(cursor, statement, rows)
        done += len(rows)
        report(table, done, total)
    if done != total:
        raise TransferError(f"{table} has {total} rows, and {done} of them could be read")
    return total
