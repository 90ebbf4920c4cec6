"""Marks, sessions, block lists, preferences, private storage, and values that a database has once."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.storage.base import BlockingStore, on_each_database
from xmppd.storage import accounts, blocking, marks, meta, preferences, private, roster_eras, sessions
from xmppd.storage.marks import Mark
from xmppd.storage.preferences import ArchivePreferences
from xmppd.storage.sessions import SavedSession


class MarkTests(SynchronousTestCase):
    @given(st.integers(0, 1 << 62), st.frozensets(st.integers(0, 1 << 62)))
    def test_row_and_back(self, cursor: int, confirmed: frozenset[int]) -> None:
        mark = Mark(cursor, confirmed)
        self.assertEqual(Mark.decode(*mark.row(1)[:2]), mark)

    def test_covers_what_is_confirmed(self) -> None:
        mark = Mark(10, frozenset({12}))
        self.assertEqual([seq for seq in range(9, 14) if mark.covers(seq)], [9, 10, 12])


@on_each_database
class SmallStoreTests:
    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            self.a, self.b = (
                accounts.create(cursor, "example.org", name, [], created=1).id for name in ("a", "b")
            )

    def test_mark_is_stored_with_the_account(self) -> None:
        mark = Mark(10, frozenset({12, 1 << 60}))
        with self.store.transaction() as cursor:
            marks.save(cursor, self.a, mark)
            self.assertEqual(marks.load(cursor, self.a), mark)
            self.assertEqual(marks.load(cursor, self.b), Mark())
            self.assertEqual(accounts.load_directory(cursor)[0].mark, mark)
            self.assertRaises(LookupError, marks.load, cursor, 999)

    def test_sessions_are_taken_once(self) -> None:
        saved = [
            SavedSession(self.a, "t1", 2**32 - 1, 100, b"one"),
            SavedSession(self.b, "t1", 7, 100, b"two"),
        ]
        with self.store.transaction() as cursor:
            sessions.save_all(cursor, saved)
            self.assertEqual(sessions.take_all(cursor, 500), saved)
            self.assertEqual(sessions.take_all(cursor, 500), [])

    def test_count_of_a_session_outlives_it(self) -> None:
        with self.store.transaction() as cursor:
            sessions.save_all(cursor, [SavedSession(self.a, "t", 5, 100, b"one")])
            sessions.take_all(cursor, 500)
            self.assertEqual(sessions.prune(cursor, 499), 0)
            self.assertEqual(sessions.handled(cursor, self.a, "t"), 5)
            cursor.execute(sessions.REMEMBER_HANDLED.sql, (self.a, "t", 6, 200))
            self.assertEqual(sessions.handled(cursor, self.a, "t"), 6)

    def test_count_is_told_to_its_own_account_only(self) -> None:
        with self.store.transaction() as cursor:
            cursor.execute(sessions.REMEMBER_HANDLED.sql, (self.a, "t", 6, 200))
            self.assertIsNone(sessions.handled(cursor, self.b, "t"))
            self.assertIsNone(sessions.handled(cursor, self.a, "u"))

    def test_expired_counts_are_forgotten(self) -> None:
        with self.store.transaction() as cursor:
            for token, expires in (("t", 100), ("u", 200)):
                cursor.execute(sessions.REMEMBER_HANDLED.sql, (self.a, token, 1, expires))
            self.assertEqual(sessions.prune(cursor, 100), 1)
            self.assertIsNone(sessions.handled(cursor, self.a, "t"))
            self.assertEqual(sessions.handled(cursor, self.a, "u"), 1)

    def test_session_can_be_saved_again(self) -> None:
        again = SavedSession(self.a, "t", 6, 300, b"two")
        with self.store.transaction() as cursor:
            sessions.save_all(cursor, [SavedSession(self.a, "t", 5, 100, b"one")])
            sessions.save_all(cursor, [again])
            self.assertEqual(sessions.take_all(cursor, 500), [again])

    def test_era_of_rosters(self) -> None:
        with self.store.transaction() as cursor:
            self.assertEqual(roster_eras.take_up(cursor, "example.org"), "")
            second = roster_eras.take_up(cursor, "example.org")
            self.assertRegex(second, "^-[0-9a-f]{8}$")
            cursor.execute(roster_eras.SAVE.sql, roster_eras.row("example.org", second, ended=True))
            self.assertEqual(roster_eras.take_up(cursor, "example.com"), "")
            self.assertEqual(roster_eras.take_up(cursor, "example.org"), second)
            self.assertNotIn(roster_eras.take_up(cursor, "example.org"), ("", second))

    def test_block_list(self) -> None:
        with self.store.transaction() as cursor:
            blocking.add(cursor, self.a, ["x@example.net", "example.com"])
            blocking.add(cursor, self.a, ["x@example.net", "y@example.net/z"])
            self.assertEqual(
                blocking.load(cursor, self.a), ["example.com", "x@example.net", "y@example.net/z"]
            )
            blocking.remove(cursor, self.a, ["example.com", "nobody"])
            self.assertEqual(blocking.load(cursor, self.a), ["x@example.net", "y@example.net/z"])
            self.assertEqual(
                sorted(blocking.load_domain(cursor, "example.org")),
                [("a", "x@example.net"), ("a", "y@example.net/z")],
            )
            self.assertEqual(blocking.load_domain(cursor, "example.com"), [])
            blocking.clear(cursor, self.a)
            self.assertEqual(blocking.load(cursor, self.a), [])
            self.assertEqual(blocking.load(cursor, self.b), [])

    def test_archive_preferences(self) -> None:
        first = ArchivePreferences("roster", ("a@example.net",), ("b@example.net/x", "c"))
        with self.store.transaction() as cursor:
            self.assertEqual(preferences.load_all(cursor), {})
            preferences.save(cursor, self.a, first)
            preferences.save(cursor, self.b, ArchivePreferences("always"))
            preferences.save(cursor, self.b, ArchivePreferences("never"))
            self.assertEqual(
                preferences.load_all(cursor), {self.a: first, self.b: ArchivePreferences("never")}
            )

    def test_private_storage(self) -> None:
        with self.store.transaction() as cursor:
            self.assertIsNone(private.get(cursor, self.a, "{u}x"))
            private.put(cursor, self.a, "{u}x", b"<x>1</x>")
            private.put(cursor, self.a, "{u}x", b"<x>22</x>")
            private.put(cursor, self.a, "{u}y", b"<y/>")
            self.assertEqual(private.get(cursor, self.a, "{u}x"), b"<x>22</x>")
            self.assertEqual(private.usage(cursor, self.a), (2, 13))
            self.assertEqual(private.usage(cursor, self.b), (0, 0))
            self.assertIsNone(private.get(cursor, self.b, "{u}x"))
            self.assertTrue(private.delete(cursor, self.a, "{u}x"))
            self.assertFalse(private.delete(cursor, self.a, "{u}x"))

    def test_values_that_a_database_has_once(self) -> None:
        with self.store.transaction() as cursor:
            self.assertIsNone(meta.get(cursor, "name"))
            meta.put(cursor, "name", "1")
            meta.put(cursor, "name", "2")
            self.assertEqual(meta.get(cursor, "name"), "2")

    def test_secret_is_made_once(self) -> None:
        with self.store.transaction() as cursor:
            secret = meta.secret(cursor, "salt", 20)
            self.assertEqual((len(secret), meta.secret(cursor, "salt", 20)), (20, secret))
            self.assertNotEqual(meta.secret(cursor, "other", 20), secret)
