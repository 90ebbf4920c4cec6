"""Run a group of writes as one transaction; blocking, in the writer's thread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from xmppd.storage.dialect import Dialect
from xmppd.storage.statement import Cursor, Row, Statement, Unit, Write


@dataclass(slots=True)
class Outcome:
    """How a group ended. Positions are those of the units in the group."""

    values: dict[int, object] = field(default_factory=dict)
    """What functions returned."""
    seconds: dict[int, float] = field(default_factory=dict)
    """How long functions took."""
    failures: dict[int, Exception] = field(default_factory=dict)
    """Units that failed alone."""
    fault: Exception | None = None
    """The database failed: nothing of the group took place."""
    reopen: bool = False
    """With a fault: the connection is of no more use."""
    ticket: str | None = None
    """With a fault: the transaction may have taken place after all; its name, to ask for that."""


class Group:
    """One transaction over some units.

    :param connection: the writer's connection of the dialect's DB-API module.
    """

    def __init__(self, dialect: Dialect, connection: Any, units: Sequence[Unit | Write]) -> None:
        self._dialect = dialect
        self._connection = connection
        self._units = units
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """All together; if that fails because of one of them, once more one by one, so that a bad row fails
        alone."""
        outcome = self._transaction(self._together)
        if outcome.fault is not None and not self._dialect.is_fault(outcome.fault):
            outcome = self._transaction(self._one_by_one)
        if outcome.fault is not None:
            outcome.fault = self._dialect.translate(outcome.fault)
        return outcome

    def _transaction(self, run_all: Callable[[Cursor], None]) -> Outcome:
        self._outcome = Outcome()
        ticket = None
        try:
            self._dialect.begin_write(self._connection)
            run_all(self._dialect.cursor(self._connection))
            ticket = self._dialect.ticket(self._connection)
            self._dialect.commit(self._connection)
        except Exception as error:
            self._dialect.rollback(self._connection)
            self._outcome.fault = error
            self._outcome.reopen = self._dialect.must_reopen(self._connection, error)
            self._outcome.ticket = ticket if self._outcome.reopen else None
        return self._outcome

    def _together(self, cursor: Cursor) -> None:
        rows: dict[Statement, list[Row]] = {}
        for position, unit in enumerate(self._units):
            if isinstance(unit, Unit):
                rows.setdefault(unit.statement, []).append(unit.row)
            else:
                self._run_rows(cursor, rows)
                self._run_alone(cursor, position, unit)
        self._run_rows(cursor, rows)

    def _run_rows(self, cursor: Cursor, rows: dict[Statement, list[Row]]) -> None:
        for statement in sorted(rows, key=_rank):
            self._dialect.bulk(cursor, statement, statement.newest(rows[statement]))
        rows.clear()

    def _one_by_one(self, cursor: Cursor) -> None:
        for position, unit in enumerate(self._units):
            self._run_alone(cursor, position, unit)

    def _run_alone(self, cursor: Cursor, position: int, unit: Unit | Write) -> None:
        cursor.execute("SAVEPOINT unit")
        began = time.perf_counter()
        try:
            if isinstance(unit, Unit):
                cursor.execute(unit.statement.sql, unit.row)
            else:
                self._outcome.values[position] = unit.function(cursor, *unit.args)
        except Exception as error:
            if self._dialect.is_fault(error):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT unit")
            self._outcome.failures[position] = self._dialect.translate(error)
        cursor.execute("RELEASE SAVEPOINT unit")
        if isinstance(unit, Write):
            self._outcome.seconds[position] = time.perf_counter() - began


def _rank(statement: Statement) -> int:
    return statement.rank
