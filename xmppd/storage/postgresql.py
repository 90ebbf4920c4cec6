"""PostgreSQL, by psycopg 3."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper

from xmppd.storage.dialect import Dialect
from xmppd.storage.errors import FaultError
from xmppd.storage.statement import Cursor, Row, Statement, Value

FAULT_CLASSES = frozenset({"08", "25", "40", "53", "55", "57", "58", "F0", "XX"})
"""Classes of SQLSTATE (PostgreSQL, appendix A) that are no fault of a statement: connection, read-only
server, deadlock, resources, locks, intervention of the operator, system, configuration, damage."""

CONNECT_TIMEOUT = 10
TCP_TIMEOUT = 30
"""Seconds: to connect, and until a server that does not answer counts as lost."""

PATIENCE = 20
"""Tenths of a second that other connections have to go."""


@lru_cache(maxsize=512)
def placeholders(sql: str) -> str:
    """Our SQL in psycopg's spelling."""
    return sql.replace("%", "%%").replace("?", "%s")


class PostgreSQLCursor:
    """A cursor that takes `?` for parameters and gets bytes as bytes."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._cursor = connection.cursor(binary=True)
        self.fetchone = self._cursor.fetchone
        self.fetchall = self._cursor.fetchall

    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed or found."""
        return self._cursor.rowcount

    def execute(self, sql: str, parameters: Sequence[Value] = (), /) -> object:
        """Run one statement."""
        return self._cursor.execute(placeholders(sql).encode(), parameters)

    def executemany(self, sql: str, rows: Sequence[Row], /) -> None:
        """Run one statement for many rows, in one go."""
        self._cursor.executemany(placeholders(sql).encode(), rows)

    def copy(self, target: str, rows: Sequence[Row]) -> None:
        """Insert rows the way that costs the driver least: 4 µs of CPU a row against 10 for INSERT."""
        with self._cursor.copy(f"COPY {target} FROM STDIN".encode()) as stream:
            for row in rows:
                stream.write_row(row)

    def stanzas(self, sql: str, parameters: Sequence[Value] = (), /) -> list[tuple[int, bytes]]:
        """See Cursor.stanzas; the driver fetches all rows at once anyway."""
        self.execute(sql, parameters)
        return self.fetchall()


class PostgreSQL(Dialect):
    """A database of a PostgreSQL server, version 13 or later.

    :param url: as libpq understands it.
    """

    name = "postgresql"
    module = "psycopg"
    error = psycopg.Error

    def __init__(self, url: str) -> None:
        self._url = url

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A server that is not there, or goes silent, is noticed within seconds."""
        return (self._url,), {
            "autocommit": True,
            "application_name": "xmppd",
            "connect_timeout": CONNECT_TIMEOUT,
            "keepalives_idle": CONNECT_TIMEOUT,
            "keepalives_interval": CONNECT_TIMEOUT,
            "keepalives_count": 2,
            "tcp_user_timeout": TCP_TIMEOUT * 1000,
        }

    def prepare(self) -> None:
        """The operator makes the database. What the driver says of a wrong address may quote a password."""
        try:
            conninfo_to_dict(self._url)
        except psycopg.ProgrammingError:
            raise FaultError("the address of the database is no postgresql://USER@HOST/NAME") from None

    def close(self) -> None:
        """Nothing is held but connections."""

    def open_writer(self, connection: Any) -> None:
        """A commit is on the disk when it returns, whatever the server's default is."""
        self._open(connection)
        connection.execute("SET synchronous_commit = on")
        connection.execute("SET lock_timeout = '30s'")

    def open_reader(self, connection: Any) -> None:
        """No query of a reader takes for ever."""
        self._open(connection)
        connection.execute("SET statement_timeout = '60s'")

    def _open(self, connection: Any) -> None:
        """Choose integer types and plans the same way each time.

        All integers are bigint: by default the driver chooses by value, and each choice is another
        statement to prepare. Archives are read along an index, with statistics or without: a planner that
        knows nothing of a new table yet prefers to sort all of an archive for each page (20 ms instead of 1).
        """
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.execute("SET client_encoding = 'UTF8'")
        connection.execute("SET jit = off")
        connection.execute("SET enable_bitmapscan = off")
        connection.execute("SET random_page_cost = 1.1")

    def cursor(self, connection: Any) -> Cursor:
        """A cursor with our spelling of parameters."""
        return PostgreSQLCursor(connection)

    def begin_write(self, connection: Any) -> None:
        """There is one writer; rows are not locked against it."""
        connection.execute("BEGIN")

    def begin_read(self, connection: Any) -> None:
        """One snapshot for all queries."""
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def is_fault(self, error: BaseException) -> bool:
        """By the class of SQLSTATE; errors of the driver itself by their kind."""
        if isinstance(error, FaultError):
            return True
        if not isinstance(error, psycopg.Error):
            return False
        if error.sqlstate is None:
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return error.sqlstate[:2] in FAULT_CLASSES

    def must_reopen(self, connection: Any, error: BaseException) -> bool:
        """The driver knows."""
        return bool(connection.closed)

    def describe(self, error: BaseException) -> str:
        """PostgreSQL's details, and some of its messages, quote what was to be stored: only names are
        taken."""
        if not isinstance(error, psycopg.Error) or self.is_fault(error):
            return " ".join(str(error).split())
        diagnosis = error.diag
        names = (diagnosis.table_name, diagnosis.column_name, diagnosis.constraint_name)
        words = (type(error).__name__, error.sqlstate, *names)
        return " ".join(word for word in words if word)

    def bulk(self, cursor: Cursor, statement: Statement, rows: Sequence[Row]) -> None:
        """COPY where the statement inserts and nothing else."""
        if statement.target and len(rows) > 1:
            assert isinstance(cursor, PostgreSQLCursor)
            cursor.copy(statement.target, rows)
        elif len(rows) > 1:
            cursor.executemany(statement.sql, rows)
        else:
            cursor.execute(statement.sql, rows[0])

    def ticket(self, connection: Any) -> str | None:
        """The number of the transaction; None if it has written nothing."""
        row = connection.execute("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
        return None if row is None or row[0] is None else str(row[0])

    def was_committed(self, connection: Any, ticket: str) -> bool:
        """The server remembers what became of recent transactions."""
        row = connection.execute("SELECT pg_xact_status(%s::xid8)", (ticket,)).fetchone()
        if row[0] not in ("committed", "aborted"):
            raise FaultError(f"PostgreSQL cannot tell yet what became of transaction {ticket}")
        return bool(row[0] == "committed")

    def interrupt(self, connection: Any) -> None:
        """Ask the server to cancel."""
        try:
            connection.cancel_safe(timeout=2.0)
        except psycopg.Error:
            connection.close()

    def has_tables(self, connection: Any) -> bool:
        """In the schema that new tables would go into."""
        found = "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() LIMIT 1"
        return connection.execute(found).fetchone() is not None

    def run_script(self, connection: Any, script: str) -> None:
        """All statements of the file in one message."""
        connection.execute(script.encode())

    def back_up(self, connection: Any, label: str) -> str:
        """The server's own tools do that."""
        return "PostgreSQL keeps no copy of the database by itself; pg_dump makes one"

    def scrub(self, connection: Any) -> bool:
        """Erased rows stand in their pages until these are cleaned up.

        How long the server's own log has them is a matter of its configuration.
        """
        connection.execute("VACUUM archive")
        if connection.execute("SELECT to_regclass('search')").fetchone()[0] is not None:
            connection.execute("VACUUM search")
        return True

    def is_used(self, connection: Any) -> bool:
        """Whether other connections call themselves as the server's do. One that has just been closed may
        need a moment to go."""
        connection.execute("SET application_name = 'xmppctl'")
        for _ in range(PATIENCE):
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'xmppd'"
            ).fetchone()
            if not found[0]:
                return False
            connection.execute("SELECT pg_sleep(0.1)")
        return True

    def columns(self, connection: Any, table: str) -> list[str]:
        """From the schema that the server keeps."""
        found = connection.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
            (table,),
        )
        return [row[0] for row in found]

    def stream(self, connection: Any, sql: str, size: int) -> Iterator[list[Row]]:
        """A cursor in the server."""
        with connection.cursor(name="stream", binary=True) as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(size):
                yield rows

    def last_account(self, connection: Any) -> int:
        """The identity column's sequence keeps it."""
        found = connection.execute(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM account_id_seq"
        )
        return int(found.fetchone()[0])

    def load(self, cursor: Cursor, statement: Statement, rows: Sequence[Row]) -> None:
        """COPY, also for one row: an INSERT may not set an identity column."""
        assert isinstance(cursor, PostgreSQLCursor)
        cursor.copy(statement.target, rows)

    def set_last_account(self, connection: Any, number: int) -> None:
        """Where the identity column's sequence keeps it."""
        if number:
            connection.execute("SELECT setval('account_id_seq', %s)", (number,))
