"""The pieces of work that a group of writes is made of, and what a database cursor can do."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache
from operator import itemgetter
from typing import Any, Protocol

from twisted.internet.defer import Deferred

Value = int | str | bytes | None
Row = Sequence[Value]


class Cursor(Protocol):
    """What functions of `read` and `write` get: a DB-API cursor. SQL has `?` for its parameters on every
    database."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, parameters: Sequence[Value] = (), /) -> object: ...

    def executemany(self, sql: str, rows: Sequence[Row], /) -> object: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def stanzas(self, sql: str, parameters: Sequence[Value] = (), /) -> list[tuple[int, bytes]]:
        """All rows of a query for two columns, `seq` and `stanza`, at the least cost that the database
        allows."""
        ...


def one_of(column: str, values: Sequence[Value]) -> str:
    """The condition that a column has one of some values; each different one is a parameter."""
    marks = ", ".join("?" for _ in set(values))
    return f"{column} IN ({marks})" if marks else "1 = 0"


class Completion(Protocol):
    """Who wants to know how a row fared; called in the reactor's thread, in the order in which rows were
    appended."""

    def committed(self) -> None:
        """The row is on disk."""

    def failed(self, error: BaseException) -> None:
        """The row alone was refused (RefusedError), or the database was closed without it (ClosedError)."""


class Statement:
    """One SQL statement that is run for many rows.

    :param sql: the statement for one row, with a `?` for each value.
    :param values: of an INSERT, the part of `sql` in parentheses that is repeated to insert several rows at
        once.
    :param target: of an INSERT and nothing else, the table with the columns in parentheses.
    :param rank: in a group the rows of a lower rank are run first (between two units of `write`); rows of one
        statement keep their order. Deletes rank above inserts.
    :param newest_by: the positions in a row that say what it is about: only the newest row about the same is
        run.
    :param weight: the position of the value whose length counts as the size of a row.
    """

    def __init__(
        self,
        sql: str,
        *,
        values: str = "",
        target: str = "",
        rank: int = 0,
        newest_by: tuple[int, ...] = (),
        weight: int | None = None,
    ) -> None:
        self.sql = sql
        self.target = target
        self.rank = rank
        self.weight = weight
        self._values = values
        self._key = itemgetter(*newest_by) if newest_by else None
        self.many = lru_cache(maxsize=16)(self._many)

    @classmethod
    def insert(
        cls,
        table: str,
        columns: Sequence[str],
        *,
        tail: str = "",
        rank: int = 0,
        newest_by: tuple[int, ...] = (),
        weight: str | None = None,
    ) -> "Statement":
        """An INSERT; `tail` is what follows the values (ON CONFLICT), `weight` the column that counts as
        size."""
        values = f"({', '.join('?' for _ in columns)})"
        target = f"{table} ({', '.join(columns)})"
        return cls(
            f"INSERT INTO {target} VALUES {values} {tail}".strip(),
            values=values,
            target="" if tail else target,
            rank=rank,
            newest_by=newest_by,
            weight=None if weight is None else columns.index(weight),
        )

    @property
    def is_insert(self) -> bool:
        """Whether several rows can be run as one statement."""
        return bool(self._values)

    def _many(self, count: int, verb: str = "INSERT") -> str:
        """The statement that inserts `count` rows; `verb` may say what an error does to the transaction."""
        return self.sql.replace(self._values, ", ".join([self._values] * count), 1).replace("INSERT", verb, 1)

    def newest(self, rows: list[Row]) -> list[Row]:
        """The rows that have to be run: of those about the same, the last."""
        key = self._key
        return rows if key is None or len(rows) == 1 else list({key(row): row for row in rows}.values())


class State(IntEnum):
    """Where a unit is."""

    QUEUED = 0
    RUNNING = 1
    ENDED = 2


QUEUED = State.QUEUED


class Unit:
    """One row on its way to the disk; the handle that `append` returns."""

    __slots__ = ("done", "row", "state", "statement")

    def __init__(self, statement: Statement, row: Row, done: Completion | None) -> None:
        self.statement = statement
        self.row = row
        self.done = done
        self.state = QUEUED

    @property
    def size(self) -> int:
        """Bytes that the row is counted with."""
        weight = self.statement.weight
        value = None if weight is None else self.row[weight]
        return len(value) if isinstance(value, bytes) else 0

    def withdraw(self) -> bool:
        """Take the row back; its completion is not called then.

        :returns: False if that is not possible (any more): it is stored, or just being stored.
        """
        if self.state is not State.QUEUED:
            return False
        self.state = State.ENDED
        return True


class Write:
    """A function that runs in a group, with what it returns or raises."""

    __slots__ = ("args", "born", "deferred", "function", "name", "state")
    size = 0

    def __init__(
        self, name: str, function: Callable[..., Any], args: tuple[object, ...], born: float
    ) -> None:
        self.name = name
        self.function = function
        self.args = args
        self.born = born
        self.state = State.QUEUED
        self.deferred: Deferred[Any] = Deferred(self._cancelled)

    def _cancelled(self, _: object) -> None:
        """Nobody waits any longer: not run if it still waits, run without a listener if it is under way."""
        if self.state is State.QUEUED:
            self.state = State.ENDED
