"""The rows of archives: read whole, erased, and their sequences."""

from tests.storage.archives import Archives
from tests.storage.base import message, on_each_database
from xmppd.storage import archive, archive_delivery, archive_query, archive_retention
from xmppd.storage.archive import TOMBSTONE
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor


@on_each_database
class RowTests(Archives):
    def test_confirmed_row_is_forgotten_unless_it_is_history(self) -> None:
        self.add(1)
        self.add(2, 3, history=0)
        with self.store.transaction() as cursor:
            cursor.executemany(archive.DELETE_DELIVERED.sql, [(self.account, 1), (self.account, 2)])
        self.assertEqual(self.seqs(), [1, 3])

    def test_redacted_row_keeps_its_place_and_loses_its_content(self) -> None:
        self.add(1, 2, kind=1)
        with self.store.transaction() as cursor:
            self.assertTrue(archive.redact(cursor, self.account, 1, b"<gone/>"))
            self.assertFalse(archive.redact(cursor, self.account, 1, b"<again/>"))
            self.assertFalse(archive.redact(cursor, self.account, 99, b"<gone/>"))
            first, second = archive.rows(cursor, self.account)
            self.assertEqual(
                [row.seq for row in archive_delivery.deliverable(cursor, self.account, 0, 9)], [2]
            )
            self.assertTrue(archive_query.exists(cursor, self.account, 1))
        self.assertEqual(first, message(self.account, 1, stanza=b"<gone/>", kind=1 | TOMBSTONE, deliver=0))
        self.assertEqual(second.kind, 1)

    def test_whole_rows_of_a_conversation_and_a_period(self) -> None:
        self.add(1, 2, 3, 4)
        with self.store.transaction() as cursor:
            cursor.execute(archive.APPEND.sql, message(self.account, 5, "paris@example.net"))
            found = archive.rows(cursor, self.account, peer="romeo@example.net", start=2, limit=2)
            self.assertEqual(found, [message(self.account, 2), message(self.account, 3)])
            self.assertEqual([row.seq for row in archive.rows(cursor, self.account, start=4, end=4)], [4])

    def test_message_that_another_speaks_of(self) -> None:
        self.add(1, 3, stanza=b"<message id='m1'/>")
        self.add(2, stanza=b"<message id='m2'/>")
        self.add(4, stanza=b"<message id='m1'/>", outgoing=1)
        self.add(5, stanza=b"<message id='m2'><other id='m1'/></message>")
        with self.store.transaction() as cursor:
            for before, limit, expected in ((9, 9, [3, 1]), (9, 2, [3]), (3, 9, [1]), (1, 9, [])):
                self.assertEqual(self.containing(cursor, before=before, limit=limit), expected)
                self.patch(archive, "PIECE", 1)
                self.assertEqual(self.containing(cursor, before=before, limit=limit), expected)
                self.patch(archive, "PIECE", 10)

    def test_large_rows_count_as_several_where_one_is_looked_for(self) -> None:
        """What a client can have read for one message of its own is bounded."""
        self.add(*range(1, 31), stanza=b"<message id='m1'>%b</message>" % (b"x" * 3 * archive.ROW_BYTES))
        with self.store.transaction() as cursor:
            self.assertEqual(self.containing(cursor, before=99, limit=41), [*range(30, 19, -1)])

    def containing(self, cursor: Cursor, *, before: int, limit: int) -> list[int]:
        found = archive.containing(
            cursor, self.account, "romeo@example.net", b"'m1'", outgoing=False, before=before, limit=limit
        )
        return [row.seq for row in found]

    def test_archive_is_erased_in_steps(self) -> None:
        self.add(*range(1, 8))
        erased = []
        with self.store.transaction() as cursor:
            cursor.execute(archive.APPEND.sql, message(self.other, 1))
            while number := archive.erase_some(cursor, self.account, 3):
                erased.append(number)
            self.assertEqual(archive_retention.usage(cursor, self.other).rows, 1)
        self.assertEqual((erased, self.seqs()), ([3, 3, 1], []))

    def greatest(self) -> int:
        with self.store.transaction() as cursor:
            return archive.greatest(cursor)

    def test_greatest_sequence_of_all_archives(self) -> None:
        self.assertEqual(self.greatest(), 0)
        self.add(7)
        with self.store.transaction() as cursor:
            cursor.executemany(archive.APPEND.sql, [message(self.other, 9), message(77, 8)])
        self.assertEqual(self.greatest(), 9)

    def test_sequence_of_an_erased_row_is_never_used_again(self) -> None:
        """MAM A36, also where the clock is set back and the newest rows are gone."""
        self.add(5)
        with self.store.transaction() as cursor:
            archive.erase(cursor, self.account)
        self.assertEqual(self.greatest(), 5)
        self.add(6)
        self.mark(Mark(6))
        self.expire(7)
        self.assertEqual((self.seqs(), self.greatest()), ([], 6))

    def test_sequence_of_a_row_that_was_only_delivered_is_never_used_again(self) -> None:
        self.add(5, 7, history=0)
        self.mark(Mark(5, frozenset({7})))
        with self.store.transaction() as cursor:
            cursor.executemany(archive.DELETE_DELIVERED.sql, [(self.account, 5), (self.account, 7)])
        self.assertEqual(self.greatest(), 7)

    def test_sequence_of_a_row_that_was_taken_back_is_never_used_again(self) -> None:
        self.add(5, history=0)
        with self.store.transaction() as cursor:
            self.assertTrue(archive.forget(cursor, self.account, 5))
            self.assertFalse(archive.forget(cursor, self.account, 5))
        self.assertEqual((self.seqs(), self.greatest()), ([], 5))
