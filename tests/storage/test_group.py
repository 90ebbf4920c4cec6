"""Groups of writes on real databases: order, and what fails alone."""

from typing import Any

from tests.storage.base import BlockingStore, bad, message, on_each_database
from xmppd.storage import archive, marks
from xmppd.storage.accounts import create
from xmppd.storage.errors import RefusedError
from xmppd.storage.group import Group, Outcome
from xmppd.storage.statement import Cursor, Row, Statement, Unit, Write

PUT = Statement.insert("meta", ("name", "value"))
SET = Statement("UPDATE meta SET value = ? WHERE name = ?", rank=1, newest_by=(1,))
DELETE = Statement("DELETE FROM meta WHERE name = ?", rank=2)


def count(cursor: Cursor) -> int:
    cursor.execute("SELECT count(*) FROM archive")
    return int(cursor.fetchone()[0])


@on_each_database
class GroupTests:
    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()

    def run_group(self, *units: Unit | Write) -> Outcome:
        return Group(self.store.dialect, self.store.connection, units).run()

    def rows(self, statement: Statement, *rows: Row) -> list[Unit]:
        return [Unit(statement, row, None) for row in rows]

    def write(self, function: Any, *args: object) -> Write:
        return Write("test", function, args, 0.0)

    def meta(self) -> dict[str, str]:
        with self.store.transaction() as cursor:
            cursor.execute("SELECT name, value FROM meta WHERE name NOT IN ('schema_version', 'group')")
            return dict(cursor.fetchall())

    def archived(self) -> list[int]:
        with self.store.transaction() as cursor:
            cursor.execute("SELECT seq FROM archive ORDER BY seq")
            return [row[0] for row in cursor.fetchall()]

    def test_rows_of_any_number_are_stored(self) -> None:
        for number in (1, 2, 5, 63, 64, 341, 700):
            first = (self.archived() or [0])[-1] + 1
            wanted = list(range(first, first + number))
            outcome = self.run_group(*self.rows(archive.APPEND, *(message(seq=seq) for seq in wanted)))
            self.assertEqual((outcome.fault, outcome.failures), (None, {}))
            self.assertEqual(self.archived()[-number:], wanted)

    def test_values_come_back_as_they_were(self) -> None:
        row = message(
            7, 1 << 61, "née@example.org", stanza=b"<message>\x00\xff\xc3\xa9 ' \" % ?</message>", kind=3
        )
        self.run_group(*self.rows(archive.APPEND, row))
        with self.store.transaction() as cursor:
            self.assertEqual(archive.rows(cursor, 7), [row])

    def test_bad_row_fails_alone(self) -> None:
        rows = [message(seq=1), bad(message(seq=2)), message(seq=3)]
        outcome = self.run_group(*self.rows(archive.APPEND, *rows))
        self.assertIsNone(outcome.fault)
        self.assertEqual({key: type(value) for key, value in outcome.failures.items()}, {1: RefusedError})
        self.assertEqual(self.archived(), [1, 3])

    def test_row_that_is_there_already_fails_alone(self) -> None:
        self.run_group(*self.rows(archive.APPEND, message(seq=2)))
        rows = [message(seq=1), message(seq=2, stanza=b"<another/>"), message(seq=3)]
        outcome = self.run_group(*self.rows(archive.APPEND, *rows))
        self.assertEqual(list(outcome.failures), [1])
        self.assertEqual(self.archived(), [1, 2, 3])

    def test_all_bad_rows_of_many_fail_alone(self) -> None:
        rows = [bad(message(seq=seq)) if seq % 7 == 0 else message(seq=seq) for seq in range(200)]
        outcome = self.run_group(*self.rows(archive.APPEND, *rows))
        self.assertEqual(sorted(outcome.failures), [seq for seq in range(200) if seq % 7 == 0])
        self.assertEqual(self.archived(), [seq for seq in range(200) if seq % 7])

    def test_error_says_nothing_of_the_row(self) -> None:
        secret = message(seq=1, stanza=b"<message>secret</message>", resource="secret")
        outcome = self.run_group(*self.rows(archive.APPEND, bad(secret)))
        error = outcome.failures[0]
        self.assertNotIn("secret", f"{error} {error!r} {error.__cause__}")

    def test_value_too_large_for_a_column_fails_alone(self) -> None:
        outcome = self.run_group(*self.rows(archive.APPEND, message(seq=1), message(seq=1 << 70)))
        self.assertEqual((outcome.fault, list(outcome.failures)), (None, [1]))
        self.assertEqual(self.archived(), [1])

    def test_function_gives_its_value(self) -> None:
        outcome = self.run_group(self.write(lambda cursor, a, b: (a, b), 1, 2))
        self.assertEqual(outcome.values, {0: (1, 2)})

    def test_function_sees_the_rows_before_it_and_not_those_behind(self) -> None:
        before = self.rows(archive.APPEND, message(seq=1), message(seq=2))
        behind = self.rows(archive.APPEND, message(seq=3))
        outcome = self.run_group(*before, self.write(count), *behind, self.write(count))
        self.assertEqual(outcome.values, {2: 2, 4: 3})

    def test_function_that_raises_undoes_its_own_writes_only(self) -> None:
        def fail(cursor: Cursor) -> None:
            cursor.execute(archive.APPEND.sql, message(seq=2))
            raise LookupError("its own")

        runs = []
        units = [
            *self.rows(archive.APPEND, message(seq=1)),
            self.write(fail),
            self.write(runs.append),
            *self.rows(archive.APPEND, message(seq=3)),
        ]
        outcome = self.run_group(*units)
        self.assertEqual([type(error) for error in outcome.failures.values()], [LookupError])
        self.assertEqual(self.archived(), [1, 3])
        self.assertEqual(len(runs), 1)

    def test_function_whose_statement_is_refused_fails_alone(self) -> None:
        def fail(cursor: Cursor) -> None:
            cursor.execute("SELECT nonsense FROM nowhere")

        outcome = self.run_group(self.write(fail), *self.rows(archive.APPEND, message(seq=3)))
        self.assertEqual([type(error) for error in outcome.failures.values()], [RefusedError])
        self.assertEqual(self.archived(), [3])

    def test_bad_row_beside_functions(self) -> None:
        units = [
            *self.rows(archive.APPEND, bad(message(seq=1)), message(seq=2)),
            self.write(count),
            *self.rows(archive.APPEND, bad(message(seq=3)), message(seq=4)),
        ]
        outcome = self.run_group(*units)
        self.assertEqual(sorted(outcome.failures), [0, 3])
        self.assertEqual(outcome.values, {2: 1})
        self.assertEqual(self.archived(), [2, 4])

    def test_statements_run_by_rank(self) -> None:
        units = [
            *self.rows(DELETE, ("a",)),
            *self.rows(SET, ("2", "b")),
            *self.rows(PUT, ("a", "1"), ("b", "1")),
        ]
        self.assertEqual(self.run_group(*units).failures, {})
        self.assertEqual(self.meta(), {"b": "2"})

    def test_rank_does_not_reach_across_a_function(self) -> None:
        units = [*self.rows(DELETE, ("a",)), self.write(lambda cursor: None), *self.rows(PUT, ("a", "1"))]
        self.run_group(*self.rows(PUT, ("a", "0")))
        self.assertEqual(self.run_group(*units).failures, {})
        self.assertEqual(self.meta(), {"a": "1"})

    def test_newest_row_about_the_same_wins(self) -> None:
        self.run_group(*self.rows(PUT, ("a", "0"), ("b", "0")))
        self.run_group(*self.rows(SET, ("1", "a"), ("7", "b"), ("2", "a"), ("3", "a")))
        self.assertEqual(self.meta(), {"a": "3", "b": "7"})

    def test_mark_of_many_accounts_in_one_group(self) -> None:
        with self.store.transaction() as cursor:
            accounts = [create(cursor, "example.org", f"user{n}", [], created=1).id for n in range(5)]
        moves = [marks.Mark(n * 10, frozenset({n * 10 + 5})).row(a) for n in range(4) for a in accounts]
        self.run_group(*self.rows(marks.SAVE, *moves))
        with self.store.transaction() as cursor:
            found = [marks.load(cursor, account) for account in accounts]
        self.assertEqual(found, [marks.Mark(30, frozenset({35}))] * 5)

    def test_empty_group_is_a_commit_like_others(self) -> None:
        self.assertEqual(self.run_group(), Outcome())
