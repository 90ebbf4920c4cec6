"""SQLite: one file, one writer, readers beside it (write-ahead log)."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain, count, pairwise
from pathlib import Path
from typing import Any

from xmppd.storage.dialect import Dialect
from xmppd.storage.errors import FaultError, FullError, InUseError
from xmppd.storage.statement import Cursor, Row, Statement, Value

BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that writes (a backup, a command)."""

SCRUB_TIMEOUT = 0.1
"""Seconds to wait for readers before the log is emptied: in that time nobody writes."""

CHECKPOINT_PAGES = 4000
"""Pages in the log (16 MiB) before they are moved into the database; measured 10 % cheaper a row than
1,000."""

LOG_BYTES = 32 * 1024 * 1024
"""Size of the log beyond which it is emptied at the next chance. SQLite begins it anew by itself only in a
moment without a reader: while clients read archives without pause there is none, and the log grew by all that
was written."""

CHECKPOINT_PATIENCE = 0.2
LONGEST_CHECKPOINT_PATIENCE = 5.0
"""Seconds that the writer waits for those who read from the log, for each LOG_BYTES of it, and at most. Who
begins to read meanwhile needs it no more."""

CHUNKS = (256, 64, 16, 4, 1)
"""How many rows one INSERT takes: few sizes, so that each is compiled once. Each step of a statement gives up
and takes back the interpreter's lock; beside a busy reactor 64 rows in one step took 15 % less CPU than 64
steps."""

FAULTS = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
TRANSIENT = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT}
)
"""Faults that say nothing against the connection."""


def primary_code(error: BaseException) -> int | None:
    """SQLite's own number of an error, without its extension."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows into pieces whose sizes are all in CHUNKS."""
    start = 0
    for size in CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def _open(path: Path) -> int:
    """Open a file to read and to write, or make it for its owner alone.

    :raises FaultError: if that may not be.
    """
    try:
        return os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except FileNotFoundError as error:
        raise FaultError(f"{path.parent}: {error.strerror}") from error
    except OSError as error:
        raise FaultError(f"{path}: {error.strerror}") from error


class StanzaCursor(sqlite3.Cursor):
    """A cursor that reads a page of stanzas in one step. sqlite3 releases the interpreter's lock in each step
    and has to get it back from a busy reactor: a page of 50 rows took 330 µs of CPU that way beside the
    reactor, and 155 µs when SQLite itself puts the rows together.
    """

    def stanzas(self, sql: str, parameters: Sequence[Value] = (), /) -> list[tuple[int, bytes]]:
        """See Cursor.stanzas."""
        self.execute(
            "SELECT group_concat(seq || ' ' || length(stanza), ' '), CAST(group_concat(stanza, '') AS BLOB)"
            f" FROM ({sql})",
            parameters,
        )
        index, content = self.fetchone()
        if index is None:
            return []
        numbers = [int(number) for number in index.split()]
        ends = [0]
        for length in numbers[1::2]:
            ends.append(ends[-1] + length)
        pieces = (content[start:end] for start, end in pairwise(ends))
        return list(zip(numbers[::2], pieces, strict=True))


class SQLite(Dialect):
    """A database in one file, made if there is none and readable by its owner only.

    :param path: the file.
    """

    name = "sqlite"
    module = "sqlite3"
    error = sqlite3.Error

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()
        self._identity: tuple[int, int] | None = None
        self._lock: int | None = None
        self._log = self._path.with_name(f"{self._path.name}-wal")
        self._large = LOG_BYTES

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """`mode=rw`: a file that has gone is a fault, never a reason to begin an empty one.

        `check_same_thread`: adbapi closes connections from the reactor's thread.
        """
        options = {"uri": True, "timeout": BUSY_TIMEOUT, "isolation_level": None, "check_same_thread": False}
        return (f"{self._path.as_uri()}?mode=rw",), {**options, "cached_statements": 256}

    def prepare(self) -> None:
        """Make the file, empty, where there is none, for its owner alone: it will hold credentials.

        One that can be read and not written is refused here; otherwise the first row would find out.
        """
        self._take_lock()
        os.close(_open(self._path))
        self._identity = self._found()

    def _take_lock(self) -> None:
        """Lock a file beside it; the lock ends with the process in any case.

        Never the database itself: closing it would drop the locks that SQLite holds.
        """
        self._lock = _open(self._path.with_name(f"{self._path.name}-lock"))
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(f"{self._path} is in use by another process") from None
        except OSError as error:
            raise FaultError(f"{self._path}: cannot be locked ({error.strerror})") from error

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _found(self) -> tuple[int, int]:
        status = os.stat(self._path)
        return status.st_dev, status.st_ino

    def open_writer(self, connection: Any) -> None:
        """A commit is on the disk when it returns; content that is deleted is overwritten."""
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        connection.execute("PRAGMA cache_size = -32768")

    def open_reader(self, connection: Any) -> None:
        """No memory map: an unreadable sector would end the process instead of one query."""
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -8192")

    def cursor(self, connection: Any) -> Cursor:
        """A cursor of sqlite3 itself."""
        cursor: StanzaCursor = connection.cursor(factory=StanzaCursor)
        return cursor

    def begin_write(self, connection: Any) -> None:
        """A file that was deleted or replaced takes writes without a complaint, and loses them: look
        first."""
        try:
            same = self._found() == self._identity
        except OSError as error:
            raise FaultError(f"{self._path}: {error.strerror}") from error
        if not same:
            raise FaultError(f"{self._path} is not the file that was opened")
        connection.execute("BEGIN IMMEDIATE")

    def commit(self, connection: Any) -> None:
        """See Dialect.commit; then see to it that the log does not grow for ever."""
        connection.commit()
        with suppress(OSError, sqlite3.Error):  # what was committed is committed
            self._bound_log(connection)

    def _bound_log(self, connection: Any) -> None:
        size = os.stat(self._log).st_size
        if size > self._large:
            patience = min(CHECKPOINT_PATIENCE * size / LOG_BYTES, LONGEST_CHECKPOINT_PATIENCE)
            emptied = self._empty_log(connection, patience)
            self._large = LOG_BYTES if emptied else size + LOG_BYTES

    def _empty_log(self, connection: Any, patience: float) -> bool:
        """False if a reader has held it fast."""
        connection.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
        try:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT * 1000)}")
        return not busy

    def begin_read(self, connection: Any) -> None:
        """The first SELECT takes the snapshot."""
        connection.execute("BEGIN")

    def is_fault(self, error: BaseException) -> bool:
        """By SQLite's own numbers."""
        return isinstance(error, FaultError) or primary_code(error) in FAULTS

    def fault(self, error: BaseException) -> FaultError:
        """See Dialect.fault."""
        full = primary_code(error) == sqlite3.SQLITE_FULL
        return FullError(self.describe(error)) if full else super().fault(error)

    def must_reopen(self, connection: Any, error: BaseException) -> bool:
        """After what may be the connection's own trouble."""
        return primary_code(error) in FAULTS - TRANSIENT

    def describe(self, error: BaseException) -> str:
        """SQLite's messages name tables and columns, never values."""
        return str(error)

    def bulk(self, cursor: Cursor, statement: Statement, rows: Sequence[Row]) -> None:
        """OR ROLLBACK: without it SQLite keeps a journal of its own for each statement of several rows, which
        costs more than the rows do."""
        if not statement.is_insert:
            cursor.executemany(statement.sql, rows)
            return
        for chunk in chunks(rows):
            cursor.execute(
                statement.many(len(chunk), "INSERT OR ROLLBACK"), tuple(chain.from_iterable(chunk))
            )

    def interrupt(self, connection: Any) -> None:
        """The one thing that another thread may do to a connection."""
        connection.interrupt()

    def has_tables(self, connection: Any) -> bool:
        """An empty file is a new database."""
        return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None

    def run_script(self, connection: Any, script: str) -> None:
        """Statement by statement, since `executescript` would commit what went before."""
        statement = ""
        for line in script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                connection.execute(statement)
                statement = ""
        connection.execute(statement)

    def back_up(self, connection: Any, label: str) -> str:
        """Beside the database; complete or not there at all."""
        final = self._path.with_name(f"{self._path.name}.{label}")
        unfinished = final.with_name(f"{final.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(unfinished)) as copy:
            connection.backup(copy)
        unfinished.replace(final)
        return f"a copy of the database as it was is in {final}"

    def scrub(self, connection: Any) -> bool:
        """Deleted content is overwritten in the database (secure_delete); empty the log too.

        That is not possible while anyone reads what is in it, such as a backup.
        """
        return self._empty_log(connection, SCRUB_TIMEOUT)

    def columns(self, connection: Any, table: str) -> list[str]:
        """From the schema that SQLite keeps."""
        return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]

    def stream(self, connection: Any, sql: str, size: int) -> Iterator[list[Row]]:
        """A cursor of SQLite reads as it goes."""
        cursor = connection.execute(sql)
        while rows := cursor.fetchmany(size):
            yield rows

    def last_account(self, connection: Any) -> int:
        """AUTOINCREMENT keeps it."""
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'account'").fetchone()
        return 0 if row is None else int(row[0])

    def set_last_account(self, connection: Any, number: int) -> None:
        """Where AUTOINCREMENT keeps it."""
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'account'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('account', ?)", (number,))


class MemorySQLite(SQLite):
    """A database that is gone when it is closed: for tests and for trying things out."""

    _numbers = count(1)

    def __init__(self) -> None:
        super().__init__(":memory:")
        self._uri = f"file:xmppd-{os.getpid()}-{next(self._numbers)}?mode=memory&cache=shared"
        self._anchor: sqlite3.Connection | None = None

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """All connections share one memory."""
        _, keywords = super().arguments()
        return (self._uri,), keywords

    def prepare(self) -> None:
        """A connection that keeps the memory while others come and go."""
        self._anchor = sqlite3.connect(self._uri, uri=True, check_same_thread=False)

    def close(self) -> None:
        """Forget everything."""
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None

    def open_writer(self, connection: Any) -> None:
        """There is no log, and nothing to sync."""
        connection.execute("PRAGMA foreign_keys = ON")

    def open_reader(self, connection: Any) -> None:
        """Connections to one memory lock each other's tables, unless they read what is not committed."""
        super().open_reader(connection)
        connection.execute("PRAGMA read_uncommitted = ON")

    def begin_write(self, connection: Any) -> None:
        """No file can go missing."""
        connection.execute("BEGIN IMMEDIATE")

    def commit(self, connection: Any) -> None:
        """There is no log."""
        connection.commit()

    def back_up(self, connection: Any, label: str) -> str:
        """It is always new."""
        return "a database in memory is not copied"

    def scrub(self, connection: Any) -> bool:
        """It has no files."""
        return True
