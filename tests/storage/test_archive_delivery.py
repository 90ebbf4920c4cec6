"""What is still to be delivered."""

from tests.storage.archives import Archives
from tests.storage.base import message, on_each_database
from xmppd.storage import archive, archive_delivery, marks
from xmppd.storage.marks import Mark


@on_each_database
class DeliveryTests(Archives):
    def test_rows_to_deliver_in_order_above_a_position(self) -> None:
        self.add(1, 2, 5)
        self.add(3, deliver=0, outgoing=1)
        self.add(4, history=0, resource="", own_resource="phone")
        with self.store.transaction() as cursor:
            found = archive_delivery.deliverable(cursor, self.account, 1, 10)
            self.assertEqual([(row.seq, row.history) for row in found], [(2, True), (4, False), (5, True)])
            self.assertEqual(
                (found[1].peer, found[1].resource, found[1].own_resource), ("romeo@example.net", "", "phone")
            )
            self.assertEqual(found[0].stanza, message(seq=2).stanza)
            self.assertEqual(
                [row.seq for row in archive_delivery.deliverable(cursor, self.account, 0, 2)], [1, 2]
            )
            self.patch(archive, "PAGE_BYTES", 1)
            for piece in (1, 2):
                self.patch(archive, "PIECE", piece)
                part = archive_delivery.deliverable(cursor, self.account, 1, 10)
                self.assertEqual([row.seq for row in part], [2, 4][:piece])
            self.assertEqual(archive_delivery.owed(cursor, self.account, 1, 10), 3)
            self.assertEqual(archive_delivery.owed(cursor, self.account, 1, 2), 2)

    def test_passing_rows_by_account(self) -> None:
        self.add(1, 2, history=0)
        self.add(3)
        self.add(1, 4, history=0, owner=self.other)
        self.add(5, history=0, deliver=0, owner=self.other)
        with self.store.transaction() as cursor:
            marks.save(cursor, self.other, Mark(3))
            self.assertEqual(archive_delivery.passing(cursor), {self.account: [1, 2], self.other: [4]})

    def test_stanzas_at_positions(self) -> None:
        self.add(1, 3)
        self.add(2, history=0, deliver=0)
        with self.store.transaction() as cursor:
            found = archive_delivery.stanzas(cursor, self.account, [3, 2, 99, 2])
            self.assertEqual(found, {seq: (message(seq=seq).stanza, seq == 3) for seq in (2, 3)})
            self.assertEqual(archive_delivery.stanzas(cursor, self.account, []), {})
