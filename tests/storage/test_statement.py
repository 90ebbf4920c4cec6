"""Statements for many rows, and what is told of rows."""

from twisted.trial.unittest import SynchronousTestCase

from xmppd.storage.statement import State, Statement, Unit, Write


class StatementTests(SynchronousTestCase):
    def test_insert_is_written_for_one_row_and_for_several(self) -> None:
        statement = Statement.insert("pet", ("owner", "name"), tail="ON CONFLICT DO NOTHING")
        self.assertEqual(statement.sql, "INSERT INTO pet (owner, name) VALUES (?, ?) ON CONFLICT DO NOTHING")
        self.assertEqual(
            statement.many(3, "INSERT OR ROLLBACK"),
            "INSERT OR ROLLBACK INTO pet (owner, name) VALUES (?, ?), (?, ?), (?, ?) ON CONFLICT DO NOTHING",
        )

    def test_only_inserts_are_run_for_several_rows_at_once(self) -> None:
        self.assertTrue(Statement.insert("pet", ("name",)).is_insert)
        self.assertFalse(Statement("DELETE FROM pet WHERE name = ?").is_insert)

    def test_newest_row_about_the_same_remains(self) -> None:
        statement = Statement("UPDATE pet SET age = ? WHERE name = ?", newest_by=(1,))
        rows = [(1, "rex"), (7, "kitty"), (2, "rex")]
        self.assertEqual(statement.newest(rows), [(2, "rex"), (7, "kitty")])

    def test_all_rows_remain_where_none_is_about_the_same(self) -> None:
        rows = [(1, "rex"), (1, "rex")]
        self.assertEqual(Statement("INSERT INTO pet VALUES (?, ?)").newest(rows), rows)


class UnitTests(SynchronousTestCase):
    def test_size_is_that_of_the_weighty_value(self) -> None:
        statement = Statement.insert("pet", ("name", "picture"), weight="picture")
        self.assertEqual(Unit(statement, ("rex", b"12345"), None).size, 5)
        self.assertEqual(Unit(statement, ("rex", None), None).size, 0)
        self.assertEqual(Unit(Statement.insert("pet", ("name",)), ("rex",), None).size, 0)

    def test_withdrawn_while_queued_and_only_once(self) -> None:
        unit = Unit(Statement("SELECT ?"), (1,), None)
        self.assertTrue(unit.withdraw())
        self.assertFalse(unit.withdraw())

    def test_not_withdrawn_while_running(self) -> None:
        unit = Unit(Statement("SELECT ?"), (1,), None)
        unit.state = State.RUNNING
        self.assertFalse(unit.withdraw())
        self.assertIs(unit.state, State.RUNNING)

    def test_cancelled_function_that_is_queued_is_not_run(self) -> None:
        write = Write("name", lambda cursor: None, (), 0.0)
        write.deferred.addErrback(lambda failure: None)
        write.deferred.cancel()
        self.assertIs(write.state, State.ENDED)
