"""How long archives keep what is in them: MAM A4, quotas, usage."""

from tests.storage.archives import Archives
from tests.storage.base import message, on_each_database
from xmppd.storage import archive, archive_retention, marks
from xmppd.storage.archive_retention import Expired, Usage
from xmppd.storage.marks import Mark


@on_each_database
class RetentionTests(Archives):
    def test_oldest_rows_expire(self) -> None:
        self.add(1, 2, 3, 4)
        self.mark(Mark(4))
        self.assertEqual(self.expire(3), Expired(2, None, more=False))
        self.assertEqual(self.seqs(), [3, 4])

    def test_rows_expire_in_small_steps(self) -> None:
        self.add(*range(1, 8))
        self.mark(Mark(7))
        steps = [self.expire(8, limit=3) for _ in range(3)]
        self.assertEqual([(step.deleted, step.more) for step in steps], [(3, True), (3, True), (1, False)])
        self.assertEqual(self.seqs(), [])

    def test_row_that_is_not_delivered_outlives_retention_and_leaves_no_hole(self) -> None:
        self.add(*range(1, 6))
        self.mark(Mark(2, frozenset({4})))
        self.assertEqual(self.expire(6).deleted, 2)
        self.assertEqual(self.seqs(), [3, 4, 5])

    def test_confirmed_row_above_the_mark_expires(self) -> None:
        self.add(1, 2)
        self.mark(Mark(0, frozenset({1})))
        self.assertEqual(self.expire(3).deleted, 1)
        self.assertEqual(self.mark(), Mark(1))

    def test_row_that_nobody_fetched_is_given_up_in_the_end_and_moves_the_mark(self) -> None:
        self.add(*range(1, 6))
        self.mark(Mark(1, frozenset({4})))
        step = self.expire(6, offline_before=4)
        self.assertEqual((step.deleted, step.mark), (4, Mark(4)))
        self.assertEqual((self.seqs(), self.mark()), ([5], Mark(4)))

    def test_rows_of_others_do_not_expire(self) -> None:
        with self.store.transaction() as cursor:
            cursor.execute(archive.APPEND.sql, message(self.other, 1))
        self.assertEqual(self.expire(100).deleted, 0)

    def test_nothing_to_expire(self) -> None:
        self.add(5)
        self.assertEqual(self.expire(5, 5), Expired(0, None, more=False))

    def test_rows_beyond_a_quota(self) -> None:
        self.add(*range(1, 11))
        self.add(11, history=0)
        with self.store.transaction() as cursor:
            self.assertEqual(archive_retention.beyond(cursor, self.account, 4), 7)
            self.assertIsNone(archive_retention.beyond(cursor, self.account, 10))
        self.mark(Mark(100))
        self.expire(7)
        self.assertEqual(self.seqs(), [7, 8, 9, 10, 11])

    def test_delivery_is_given_up_but_history_stays(self) -> None:
        self.add(1, 2, 5)
        self.add(3, 6, history=0)
        with self.store.transaction() as cursor:
            self.assertEqual(archive_retention.give_up(cursor, self.account, before=5), Mark(3))
            self.assertIsNone(archive_retention.give_up(cursor, self.account, before=5))
        self.assertEqual((self.seqs(), self.mark()), ([1, 2, 5, 6], Mark(3)))

    def test_usage(self) -> None:
        self.add(1, 2, stanza=b"12345")
        self.add(3, deliver=0, stanza=b"123")
        self.mark(Mark(1))
        with self.store.transaction() as cursor:
            self.assertEqual(archive_retention.usage(cursor, self.account), Usage(3, 13, 1))
            self.assertEqual(archive_retention.usage(cursor, self.other), Usage(0, 0, 0))

    def expirable(self, **bounds: int | None) -> list[int]:
        wanted = {"history_before": 0, "offline_before": 0, "keep": None, **bounds}
        with self.store.transaction() as cursor:
            return archive_retention.expirable(cursor, [self.account, self.other], **wanted)  # type: ignore[arg-type]

    def test_whose_archive_has_something_to_expire(self) -> None:
        """MAM A4."""
        self.add(10, deliver=0)
        self.assertEqual(self.expirable(history_before=10, offline_before=50), [])
        self.assertEqual(self.expirable(history_before=11), [self.account])

    def test_whose_archive_has_something_to_give_up(self) -> None:
        self.add(10, 20)
        self.add(10, 30, owner=self.other)
        with self.store.transaction() as cursor:
            marks.save(cursor, self.other, Mark(10))
        self.assertEqual(self.expirable(offline_before=10), [])
        self.assertEqual(self.expirable(offline_before=11), [self.account])
        self.assertEqual(self.expirable(offline_before=31), [self.account, self.other])

    def test_whose_archive_exceeds_the_quota(self) -> None:
        self.add(1, 2, 3)
        self.assertEqual(self.expirable(keep=3), [])
        self.assertEqual(self.expirable(keep=2), [self.account])

    def test_a_full_archive_begins_with_what_is_not_delivered(self) -> None:
        self.add(1, 2, 3)

        def is_full(keep: int, mark: Mark | None = None) -> bool:
            with self.store.transaction() as cursor:
                return archive_retention.is_full(cursor, self.account, keep, mark or Mark(0))

        self.assertEqual([is_full(4), is_full(3), is_full(2)], [False, True, True])
        with self.store.transaction() as cursor:
            self.assertFalse(archive_retention.is_full(cursor, self.other, 1, Mark(0)))
        self.assertFalse(is_full(3, Mark(0, frozenset((1,)))))
