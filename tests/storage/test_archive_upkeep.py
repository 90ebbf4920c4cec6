"""What the upkeep of archives asks the store: MAM A4, quotas, and what waits for delivery alone."""

from tests.storage.base import BlockingStore, StorageTestCase, message, on_each_database
from xmppd.storage import accounts, archive, marks, roster
from xmppd.storage.archive import APPEND
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor


def make(cursor: Cursor, name: str) -> int:
    """A new account."""
    return accounts.create(cursor, "example.org", name, [], created=1).id


@on_each_database
class UpkeepTests:
    store: BlockingStore

    def setUp(self) -> None:
        assert isinstance(self, StorageTestCase)
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            self.romeo, self.juliet = make(cursor, "romeo"), make(cursor, "juliet")

    def add(self, account: int, *seqs: int, **others: object) -> None:
        with self.store.transaction() as cursor:
            cursor.executemany(APPEND.sql, [message(account, seq, **others) for seq in seqs])

    def test_passing_rows_by_account(self) -> None:
        self.add(self.romeo, 1, 2, history=0)
        self.add(self.romeo, 3)
        self.add(self.juliet, 1, 4, history=0)
        self.add(self.juliet, 5, history=0, deliver=0)
        with self.store.transaction() as cursor:
            marks.save(cursor, self.juliet, Mark(3))
            self.assertEqual(archive.passing(cursor), {self.romeo: [1, 2], self.juliet: [4]})

    def expirable(self, **bounds: int | None) -> list[int]:
        wanted = {"history_before": 0, "offline_before": 0, "keep": None, **bounds}
        with self.store.transaction() as cursor:
            return archive.expirable(cursor, [self.romeo, self.juliet], **wanted)  # type: ignore[arg-type]

    def test_whose_archive_has_something_to_expire(self) -> None:
        """MAM A4."""
        self.add(self.romeo, 10, deliver=0)
        self.assertEqual(self.expirable(history_before=10, offline_before=50), [])
        self.assertEqual(self.expirable(history_before=11), [self.romeo])

    def test_whose_archive_has_something_to_give_up(self) -> None:
        self.add(self.romeo, 10, 20)
        self.add(self.juliet, 10, 30)
        with self.store.transaction() as cursor:
            marks.save(cursor, self.juliet, Mark(10))
        self.assertEqual(self.expirable(offline_before=10), [])
        self.assertEqual(self.expirable(offline_before=11), [self.romeo])
        self.assertEqual(self.expirable(offline_before=31), [self.romeo, self.juliet])

    def test_whose_archive_exceeds_the_quota(self) -> None:
        self.add(self.romeo, 1, 2, 3)
        self.assertEqual(self.expirable(keep=3), [])
        self.assertEqual(self.expirable(keep=2), [self.romeo])

    def test_a_full_archive_begins_with_what_is_not_delivered(self) -> None:
        self.add(self.romeo, 1, 2, 3)

        def is_full(keep: int) -> bool:
            with self.store.transaction() as cursor:
                return archive.is_full(cursor, self.romeo, keep)

        self.assertEqual([is_full(4), is_full(3), is_full(2)], [False, True, True])
        with self.store.transaction() as cursor:
            self.assertFalse(archive.is_full(cursor, self.juliet, 1))
            marks.save(cursor, self.romeo, Mark(0, frozenset((1,))))
        self.assertFalse(is_full(3))

    def test_contacts_of_accounts(self) -> None:
        with self.store.transaction() as cursor:
            for jid in ("a@b.example", "c@d.example"):
                roster.upsert(cursor, self.romeo, roster.RosterItem(jid))
            roster.delete(cursor, self.romeo, "a@b.example")
            self.assertEqual(
                roster.contacts(cursor, [self.romeo, self.juliet]),
                {self.romeo: {"c@d.example"}, self.juliet: set()},
            )
