"""PostgreSQL, by psycopg 3."""

import secrets
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper

from xmppd.storage import postgresql_problems as problems
from xmppd.storage.dialect import Dialect
from xmppd.storage.errors import FaultError, FullError, InUseError, StorageError, UnreachableError
from xmppd.storage.statement import Cursor, Row, Statement, Value

CONNECT_TIMEOUT = 10
TCP_TIMEOUT = 30
"""Seconds: to connect, and until a server that does not answer counts as lost."""

OLDEST = 130000
"""The server's version from which it can tell what became of a transaction."""

LOCK = 0x786D7070
"""Of the two numbers of the lock that the one writer holds, the one that is ours ("xmpp")."""

LONGEST_READ = "60s"
"""That a query of a reader may take."""

PATIENCE = "2s"
"""That the writer before has to go: one that was killed is noticed by the server a moment later."""


@lru_cache(maxsize=512)
def placeholders(sql: str) -> str:
    """Our SQL in psycopg's spelling."""
    return sql.replace("%", "%%").replace("?", "%s")


_WRITE_MARK: Final = (
    "WITH mark AS (INSERT INTO meta (name, value)"
    " SELECT 'group', %s WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value)"
    " SELECT pg_current_xact_id_if_assigned()::text"
)
"""Each group that writes leaves a mark, in one statement with the question for its number."""


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
    scrubs_beside = True

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
        """A commit is on the disk when it returns, whatever the server's default is. There is no writer
        beside it, in whatever process."""
        try:
            self._check(connection)
            self._open(connection)
            connection.execute("SET synchronous_commit = on")
            self._take_lock(connection)
            connection.execute("SET lock_timeout = '30s'")
        except Exception:
            connection.close()
            raise

    def _check(self, connection: Any) -> None:
        found = connection.info.server_version
        if found < OLDEST:
            raise StorageError(
                f"PostgreSQL {found // 10000} is too old; it has to be {OLDEST // 10000} or later"
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StorageError(
                f"the database has the encoding {encoding}, in which not all text can be stored (createdb"
                " --encoding=UTF8 --template=template0 makes one that can)"
            )

    def _take_lock(self, connection: Any) -> None:
        """It ends with the connection, whatever ends that: the server looks after one that is silent as the
        driver does on this side.

        :raises InUseError: if another process has it, for this schema of this database.
        """
        connection.execute(f"SET tcp_keepalives_idle = {CONNECT_TIMEOUT}")
        connection.execute(f"SET tcp_keepalives_interval = {CONNECT_TIMEOUT}")
        connection.execute("SET tcp_keepalives_count = 2")
        connection.execute(f"SET lock_timeout = '{PATIENCE}'")
        try:
            connection.execute(
                f"SELECT pg_advisory_lock({LOCK}, oid::int4) FROM pg_namespace"
                " WHERE nspname = current_schema()"
            )
        except psycopg.errors.LockNotAvailable:
            raise InUseError("the database is in use by another process") from None

    def open_reader(self, connection: Any) -> None:
        """No query of a reader takes for ever."""
        self._open(connection)
        connection.execute(f"SET statement_timeout = '{LONGEST_READ}'")

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
        """See postgresql_problems."""
        return isinstance(error, FaultError) or (
            isinstance(error, psycopg.Error) and problems.is_fault(error)
        )

    def fault(self, error: BaseException) -> FaultError:
        """See Dialect.fault."""
        if isinstance(error, psycopg.Error):
            if problems.is_not_there_yet(error):
                return UnreachableError(self.describe(error))
            if error.sqlstate == problems.DISK_FULL:
                return FullError(self.describe(error))
        return super().fault(error)

    def must_reopen(self, connection: Any, error: BaseException) -> bool:
        """The driver knows."""
        return bool(connection.closed)

    def describe(self, error: BaseException) -> str:
        """See postgresql_problems."""
        return problems.describe(error) if isinstance(error, psycopg.Error) else str(error).strip()

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
        """The number of the transaction, and what it has just written down about itself; None if it has
        written nothing."""
        mark = secrets.token_hex(8)
        row = connection.execute(_WRITE_MARK, (mark,)).fetchone()
        return None if row is None or row[0] is None else f"{row[0]} {mark}"

    def was_committed(self, connection: Any, ticket: str) -> bool:
        """The mark of a transaction is there if it took place, and nobody else has written since.

        Its number alone says nothing after a crash of the server, which gives the same one out again: another
        transaction of that number was committed, and with it messages that were nowhere.
        """
        number, mark = ticket.split()
        try:
            (status,) = connection.execute("SELECT pg_xact_status(%s::xid8)", (number,)).fetchone()
        except psycopg.errors.InvalidParameterValue:
            status = "not given out again yet"
        if status == "in progress":
            raise FaultError(f"PostgreSQL cannot tell yet what became of transaction {number}")
        row = connection.execute("SELECT value FROM meta WHERE name = 'group'").fetchone()
        return row is not None and row[0] == mark

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
        """Erased rows stand in their pages until these are cleaned up, which takes seconds where there are
        millions of rows. How long the server's own log has them is a matter of its configuration.
        """
        connection.execute("SET statement_timeout = 0")
        try:
            connection.execute("VACUUM archive")
            if connection.execute("SELECT to_regclass('search')").fetchone()[0] is not None:
                connection.execute("VACUUM search")
        finally:
            connection.execute(f"SET statement_timeout = '{LONGEST_READ}'")
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
