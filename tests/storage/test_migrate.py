"""New databases, upgrades, and databases that are none of ours."""

from unittest.mock import patch

from tests.storage.base import connect, on_each_database
from xmppd.storage import accounts, meta
from xmppd.storage.database import dialect_of
from xmppd.storage.dialect import Dialect
from xmppd.storage.errors import SchemaError
from xmppd.storage.migrate import migrate

SECOND = """
CREATE TABLE second (id BIGINT PRIMARY KEY);
-- a comment; with a semicolon
INSERT INTO second VALUES (1);
"""


@on_each_database
class MigrateTests:
    def setUp(self) -> None:
        self.dialect = dialect_of(self.make_url())
        self.dialect.prepare()
        self.addCleanup(self.dialect.close)
        self.connection = connect(self.dialect)
        self.addCleanup(self.connection.close)
        self.files = self.dialect.schema()
        self.newest = len(self.files)

    def migrate(self, *more: str) -> list[str]:
        """With further steps behind those that there are."""
        files = [*self.files, *((self.newest + number, text) for number, text in enumerate(more, 1))]
        with patch.object(type(self.dialect), "schema", lambda _: files):
            return migrate(self.dialect, self.connection)

    def version(self) -> str | None:
        self.dialect.begin_read(self.connection)
        try:
            return meta.get(self.dialect.cursor(self.connection), "schema_version")
        finally:
            self.dialect.rollback(self.connection)

    def add_account(self) -> None:
        self.dialect.begin_write(self.connection)
        accounts.create(self.dialect.cursor(self.connection), "example.org", "juliet", [], created=1)
        self.dialect.commit(self.connection)

    def names(self) -> list[str]:
        self.dialect.begin_read(self.connection)
        try:
            return [row.name for row in accounts.load_directory(self.dialect.cursor(self.connection))]
        finally:
            self.dialect.rollback(self.connection)

    def test_schema_files_are_numbered_without_a_gap(self) -> None:
        self.assertEqual([version for version, _ in self.files], list(range(1, len(self.files) + 1)))

    def test_new_database_gets_the_newest_schema_silently(self) -> None:
        self.assertEqual(migrate(self.dialect, self.connection), [])
        self.assertEqual(self.version(), str(self.files[-1][0]))

    def test_current_database_is_left_as_it_is(self) -> None:
        migrate(self.dialect, self.connection)
        self.add_account()
        self.assertEqual(migrate(self.dialect, self.connection), [])
        self.assertEqual(self.names(), ["juliet"])

    def test_older_database_is_upgraded_with_what_is_in_it(self) -> None:
        migrate(self.dialect, self.connection)
        self.add_account()
        lines = self.migrate(SECOND)
        self.assertEqual(self.version(), str(self.newest + 1))
        self.assertEqual(self.names(), ["juliet"])
        self.assertIn(f"from schema version {self.newest} to {self.newest + 1}", lines[0])
        self.assertEqual(len(lines), 2)
        self.assertEqual(self.migrate(SECOND), [])

    def test_new_database_runs_all_steps(self) -> None:
        self.migrate(SECOND, "INSERT INTO second VALUES (2)")
        self.assertEqual(self.version(), str(self.newest + 2))

    def test_newer_database_is_refused_and_left_as_it_is(self) -> None:
        self.migrate(SECOND)
        told = f"version {self.newest + 1}, and this program knows versions up to {self.newest}:"
        with self.assertRaisesRegex(SchemaError, told):
            migrate(self.dialect, self.connection)
        self.assertEqual(self.version(), str(self.newest + 1))

    def test_step_that_fails_changes_nothing(self) -> None:
        migrate(self.dialect, self.connection)
        self.assertRaises(self.dialect.error, self.migrate, SECOND, "INSERT INTO nowhere VALUES (1)")
        self.assertEqual(self.version(), str(self.newest))
        self.migrate(SECOND)

    def test_new_database_is_complete_or_empty(self) -> None:
        self.assertRaises(self.dialect.error, self.migrate, "nonsense")
        self.assertFalse(self.dialect.has_tables(self.connection))
        self.migrate(SECOND)
        self.assertEqual(self.version(), str(self.newest + 1))

    def test_database_of_another_program_is_refused(self) -> None:
        self.dialect.begin_write(self.connection)
        self.dialect.run_script(self.connection, "CREATE TABLE theirs (id BIGINT);")
        self.dialect.commit(self.connection)
        with self.assertRaisesRegex(SchemaError, "not those of this program"):
            migrate(self.dialect, self.connection)

    def test_both_databases_have_the_same_tables_and_columns(self) -> None:
        """The one schema is written twice; nothing may be in one of them only."""
        shapes = [shape(dialect) for dialect in (dialect_of("sqlite:x"), self.dialect)]
        self.assertEqual(shapes[0], shapes[1])


def shape(dialect: Dialect) -> list[str]:
    """The schema without comments, types and what else may differ: the first word of each line."""
    lines = [line.split("--")[0].split() for _, text in dialect.schema() for line in text.splitlines()]
    return [
        words[0] if words[0] not in ("CREATE", ")") else " ".join(words[:3]).rstrip(";")
        for words in lines
        if words and words[:2] != [")", "WITHOUT"] and words != [");"]
    ]
