"""Make a database, or bring it to the schema of this program."""

from typing import Any

from xmppd.storage.dialect import Dialect
from xmppd.storage.errors import SchemaError


def migrate(dialect: Dialect, connection: Any) -> list[str]:
    """Run all schema files that the database has not seen yet, in one transaction. A new database is complete
    or still empty, whatever happens in between. Before an existing one is changed, a copy of it is made where
    the database can do that.

    :returns: lines for the log.
    :raises SchemaError: if the database is newer than this program, or not one of this program; it is
        left as it is.
    """
    files = dialect.schema()
    newest = files[-1][0]
    found = version(dialect, connection)
    if found == newest:
        return []
    if found > newest:
        raise SchemaError(
            f"the database has schema version {found}, and this program knows versions up to {newest}:"
            " run the newer program, or restore the copy that was made before the upgrade"
        )
    lines = []
    if found:
        lines.append(f"the database is upgraded from schema version {found} to {newest}")
        lines.append(dialect.back_up(connection, f"before-version-{newest}"))
    _run(dialect, connection, [text for version, text in files if version > found], newest)
    return lines


def version(dialect: Dialect, connection: Any) -> int:
    """The schema version of a database; 0 for an empty one.

    :raises SchemaError: if it is not one of this program.
    """
    if not dialect.has_tables(connection):
        return 0
    cursor = dialect.cursor(connection)
    try:
        dialect.begin_read(connection)
        cursor.execute("SELECT value FROM meta WHERE name = 'schema_version'")
        row = cursor.fetchone()
    except dialect.error as error:
        if dialect.is_fault(error):
            raise
        row = None
    finally:
        dialect.rollback(connection)
    if row is None:
        raise SchemaError("there are tables in the database, but not those of this program")
    return int(row[0])


def _run(dialect: Dialect, connection: Any, scripts: list[str], version: int) -> None:
    dialect.begin_write(connection)
    try:
        for script in scripts:
            dialect.run_script(connection, script)
        cursor = dialect.cursor(connection)
        cursor.execute("DELETE FROM meta WHERE name = 'schema_version'")
        cursor.execute("INSERT INTO meta (name, value) VALUES ('schema_version', ?)", (str(version),))
        dialect.commit(connection)
    except Exception:
        dialect.rollback(connection)
        raise
