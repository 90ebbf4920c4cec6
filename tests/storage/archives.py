"""Two accounts with archives, for the tests of what archives hold, deliver and keep."""

from tests.storage.base import BlockingStore, message
from xmppd.storage import accounts, archive, archive_retention, marks
from xmppd.storage.archive_retention import Expired
from xmppd.storage.marks import Mark


class Archives:
    """Mixed into what runs on each database."""

    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            self.account = accounts.create(cursor, "example.org", "juliet", [], created=1).id
            self.other = accounts.create(cursor, "example.org", "nurse", [], created=1).id

    def add(self, *seqs: int, owner: int | None = None, **values: object) -> None:
        account = self.account if owner is None else owner
        with self.store.transaction() as cursor:
            cursor.executemany(archive.APPEND.sql, [message(account, seq, **values) for seq in seqs])

    def seqs(self) -> list[int]:
        with self.store.transaction() as cursor:
            return [row.seq for row in archive.rows(cursor, self.account)]

    def mark(self, mark: Mark | None = None) -> Mark:
        with self.store.transaction() as cursor:
            if mark is not None:
                marks.save(cursor, self.account, mark)
            return marks.load(cursor, self.account)

    def expire(self, history_before: int, offline_before: int = 0, limit: int = 100) -> Expired:
        with self.store.transaction() as cursor:
            return archive_retention.expire(
                cursor,
                self.account,
                history_before=history_before,
                offline_before=offline_before,
                limit=limit,
            )
