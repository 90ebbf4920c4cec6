"""Archive ids: there and back, and nobody else's."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.storage.base import BlockingStore, on_each_database
from xmppd.storage.archive_ids import ArchiveIds, load_key

ACCOUNTS = st.integers(1, (1 << 63) - 1)
SEQS = st.integers(0, (1 << 63) - 1)
KEY = bytes(range(16))


class ArchiveIdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ids = ArchiveIds(KEY)

    @given(ACCOUNTS, SEQS)
    def test_there_and_back(self, account: int, seq: int) -> None:
        text = self.ids.encode(account, seq)
        self.assertRegex(text, "^[0-9a-f]{32}$")
        self.assertEqual(self.ids.decode(account, text), seq)

    @given(ACCOUNTS, SEQS)
    def test_the_same_after_a_restart(self, account: int, seq: int) -> None:
        self.assertEqual(ArchiveIds(KEY).encode(account, seq), self.ids.encode(account, seq))

    @given(ACCOUNTS, ACCOUNTS, SEQS)
    def test_id_of_another_archive_is_unknown(self, account: int, other: int, seq: int) -> None:
        if account != other:
            self.assertIsNone(self.ids.decode(other, self.ids.encode(account, seq)))

    @given(ACCOUNTS, st.text(max_size=40))
    def test_any_other_text_is_unknown(self, account: int, text: str) -> None:
        self.assertIsNone(self.ids.decode(account, text))

    @given(ACCOUNTS, st.binary(min_size=16, max_size=16))
    def test_guessed_id_is_unknown(self, account: int, guess: bytes) -> None:
        """True for all but two in 2^64 guesses."""
        self.assertIsNone(self.ids.decode(account, guess.hex()))

    @given(ACCOUNTS, SEQS)
    def test_id_of_another_server_is_unknown(self, account: int, seq: int) -> None:
        self.assertIsNone(self.ids.decode(account, ArchiveIds(bytes(16)).encode(account, seq)))

    def test_only_the_one_way_to_write_an_id_is_taken(self) -> None:
        text = self.ids.encode(1, 2)
        for other in (text.upper(), f" {text}", f"{text}\n", text[:-1], f"{text}0", f"{text[:8]}-{text[8:]}"):
            if other != text:
                self.assertIsNone(self.ids.decode(1, other), other)

    def test_ids_are_unique(self) -> None:
        made = {self.ids.encode(account, seq) for account in range(1, 50) for seq in range(200)}
        self.assertEqual(len(made), 49 * 200)

    def test_neighbours_have_nothing_in_common(self) -> None:
        """MAM A2: unpredictable. On average half of the bits change from one sequence to the next."""
        numbers = [int(self.ids.encode(1, seq), 16) for seq in range(1000)]
        changed = [(a ^ b).bit_count() for a, b in pairwise(numbers)]
        self.assertTrue(60 < sum(changed) / len(changed) < 68)
        self.assertGreater(min(changed), 25)


@on_each_database
class KeyTests:
    store: BlockingStore

    def test_key_is_made_once(self) -> None:
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            key = load_key(cursor)
        with self.store.transaction() as cursor:
            self.assertEqual(load_key(cursor), key)
        self.assertEqual(len(key), 16)

    def test_every_database_has_its_own(self) -> None:
        keys = []
        for store in (self.make_store(), self.make_store()):
            with store.transaction() as cursor:
                keys.append(load_key(cursor))
        self.assertNotEqual(*keys)
