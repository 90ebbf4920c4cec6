"""What differs between databases, behind one interface; everything here blocks and runs in a database
thread."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

from xmppd.storage.errors import FaultError, RefusedError
from xmppd.storage.statement import Cursor, Row, Statement


class Dialect(ABC):
    """A database product at one address.

    Connections are those of the DB-API module `module`, in a state in which transactions begin explicitly.
    """

    name: str
    module: str
    error: type[Exception]
    """The base class of the driver's errors."""
    scrubs_beside = False
    """Whether `scrub` runs on a connection of a reader, so that nobody's writes wait for it."""

    @abstractmethod
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the module's `connect` is called with."""

    @abstractmethod
    def prepare(self) -> None:
        """Before the first connection: make the place of a new database, and keep other processes out.

        :raises StorageError: if that is not possible.
        """

    @abstractmethod
    def close(self) -> None:
        """After the last connection: undo what `prepare` holds."""

    @abstractmethod
    def open_writer(self, connection: Any) -> None:
        """Set up a new connection of the one writer.

        :raises StorageError: if the database is in use, or none that can be used.
        """

    @abstractmethod
    def open_reader(self, connection: Any) -> None:
        """Set up a new connection that only reads."""

    @abstractmethod
    def cursor(self, connection: Any) -> Cursor:
        """A cursor that takes `?` for parameters."""

    @abstractmethod
    def begin_write(self, connection: Any) -> None:
        """Begin a transaction that may write, and keep other writers out.

        :raises FaultError: if the database is not the one that was opened.
        """

    @abstractmethod
    def begin_read(self, connection: Any) -> None:
        """Begin a transaction that sees one state of the database throughout."""

    def commit(self, connection: Any) -> None:
        """Make the transaction durable."""
        connection.commit()

    def rollback(self, connection: Any) -> None:
        """Undo the transaction, if there is one; never raises."""
        try:
            connection.rollback()
        except self.error:
            return

    @abstractmethod
    def is_fault(self, error: BaseException) -> bool:
        """Whether the database as a whole failed, rather than one statement or row."""

    @abstractmethod
    def must_reopen(self, connection: Any, error: BaseException) -> bool:
        """Whether a connection is of no more use after an error."""

    @abstractmethod
    def describe(self, error: BaseException) -> str:
        """What happened, without any value of a row."""

    def fault(self, error: BaseException) -> FaultError:
        """What kept the database as a whole from working, as callers see it."""
        return error if isinstance(error, FaultError) else FaultError(self.describe(error))

    def translate(self, error: Exception) -> Exception:
        """An error as callers see it: those of the driver as ours, all others as they are."""
        if self.is_fault(error):
            return self.fault(error)
        return RefusedError(self.describe(error)) if isinstance(error, self.error) else error

    @abstractmethod
    def bulk(self, cursor: Cursor, statement: Statement, rows: Sequence[Row]) -> None:
        """Run one statement for many rows. If it fails, the transaction is lost."""

    def ticket(self, connection: Any) -> str | None:
        """A name of the transaction under way, where its fate can be asked for after the connection was
        lost."""
        return None

    def was_committed(self, connection: Any, ticket: str) -> bool:
        """Whether the transaction that had this ticket took place.

        :raises FaultError: if that cannot be said yet.
        """
        raise FaultError("this database gives no tickets")

    @abstractmethod
    def interrupt(self, connection: Any) -> None:
        """End what another thread does with this connection; that thread gets an error."""

    @abstractmethod
    def has_tables(self, connection: Any) -> bool:
        """Whether there is anything in the database."""

    @abstractmethod
    def run_script(self, connection: Any, script: str) -> None:
        """Run a schema file inside the open transaction."""

    @abstractmethod
    def back_up(self, connection: Any, label: str) -> str:
        """Keep a copy of the database before its schema changes.

        :returns: one sentence for the log that says where the copy is, or that there is none.
        """

    @abstractmethod
    def scrub(self, connection: Any) -> bool:
        """Let no erased content stand in the database's files any longer than it has to.

        :returns: False if that cannot be done now, and is to be tried again.
        """

    # For moving everything elsewhere (transfer.py)

    @abstractmethod
    def columns(self, connection: Any, table: str) -> list[str]:
        """The columns of a table, in order."""

    @abstractmethod
    def stream(self, connection: Any, sql: str, size: int) -> Iterator[list[Row]]:
        """The rows of a query without parameters in pieces of this size, never all of them in memory."""

    def load(self, cursor: Cursor, statement: Statement, rows: Sequence[Row]) -> None:
        """Insert rows of another database, with the numbers that a database gives to its own."""
        self.bulk(cursor, statement, rows)

    @abstractmethod
    def last_account(self, connection: Any) -> int:
        """The greatest number that any account has or had; 0 if there was none."""

    @abstractmethod
    def set_last_account(self, connection: Any, number: int) -> None:
        """The next account gets a greater number."""

    def schema(self) -> list[tuple[int, str]]:
        """The schema files of this database in order: (version, text)."""
        folder = files(__package__) / "schema" / self.name
        found = [
            (int(file.name.split("_")[0]), file) for file in folder.iterdir() if file.name.endswith(".sql")
        ]
        return [
            (version, file.read_text("utf-8")) for version, file in sorted(found, key=lambda pair: pair[0])
        ]
