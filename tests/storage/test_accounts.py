"""Accounts and credentials."""

from tests.storage.base import BlockingStore, message, on_each_database
from xmppd.storage import (
    accounts,
    archive,
    blocking,
    preferences,
    private,
    roster,
    search_index,
    sessions,
    tokens,
)
from xmppd.storage.accounts import Account, AccountExistsError, AccountState, Credential
from xmppd.storage.marks import Mark

SHA1 = Credential("SHA-1", b"salt\x00", 10_000, b"stored\xff", b"server")
SHA256 = Credential("SHA-256", b"salt", 10_000, b"stored", b"server")


@on_each_database
class AccountTests:
    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()

    def create(self, name: str = "juliet", domain: str = "example.org") -> Account:
        with self.store.transaction() as cursor:
            return accounts.create(cursor, domain, name, [SHA1, SHA256], created=1000)

    def directory(self) -> list[Account]:
        with self.store.transaction() as cursor:
            return accounts.load_directory(cursor)

    def credential(self, name: str = "juliet", hash_name: str = "SHA-1") -> Credential | None:
        with self.store.transaction() as cursor:
            return accounts.credential(cursor, "example.org", name, hash_name)

    def test_new_account_is_in_the_directory(self) -> None:
        account = self.create()
        self.assertEqual(
            account, Account(account.id, "example.org", "juliet", AccountState.ACTIVE, 1000, Mark())
        )
        self.assertEqual(self.directory(), [account])

    def test_new_account_can_begin_at_a_mark(self) -> None:
        with self.store.transaction() as cursor:
            account = accounts.create(cursor, "example.org", "juliet", [], created=1, cursor_at=77)
        self.assertEqual(account.mark, Mark(77))

    def test_same_name_in_two_domains_makes_two_accounts(self) -> None:
        self.assertNotEqual(self.create().id, self.create(domain="example.net").id)

    def test_name_is_given_out_once(self) -> None:
        self.create()
        self.assertRaises(AccountExistsError, self.create)
        self.assertEqual(len(self.directory()), 1)

    def test_credentials_by_hash(self) -> None:
        self.create()
        self.assertEqual(self.credential(), SHA1)
        self.assertEqual(self.credential(hash_name="SHA-256"), SHA256)
        self.assertIsNone(self.credential(hash_name="SHA-512"))
        self.assertIsNone(self.credential("romeo"))

    def test_new_password_replaces_all_credentials(self) -> None:
        account = self.create()
        new = Credential("SHA-256", b"other", 20_000, b"other", b"other")
        with self.store.transaction() as cursor:
            accounts.set_credentials(cursor, account.id, [new])
        self.assertEqual(self.credential(hash_name="SHA-256"), new)
        self.assertIsNone(self.credential())

    def test_account_is_disabled_and_enabled(self) -> None:
        account = self.create()
        for state in (AccountState.DISABLED, AccountState.ACTIVE):
            with self.store.transaction() as cursor:
                accounts.set_state(cursor, account.id, state)
            self.assertEqual(self.directory()[0].state, state)
            self.assertEqual(self.credential(), SHA1)

    def fill(self, account: int) -> None:
        """Something in every table."""
        with self.store.transaction() as cursor:
            cursor.execute(archive.APPEND.sql, message(account, 1))
            roster.upsert(cursor, account, roster.RosterItem("romeo@example.net"))
            roster.put_request(cursor, account, roster.Request("nurse@example.net", b"<presence/>"))
            sessions.save_all(cursor, [sessions.SavedSession(account, "t", 1, 9, b"payload")])
            blocking.add(cursor, account, ["paris@example.net"])
            preferences.save(cursor, account, preferences.ArchivePreferences("never"))
            private.put(cursor, account, "{urn:example}notes", b"<notes/>")
            tokens.add(cursor, account, "c", tokens.Token("HT-SHA-256-NONE", b"key", 1, 9), most=1)
            search_index.open_index(cursor)
            batch = search_index.next_batch(cursor, account, 1)
            assert batch is not None
            search_index.add_batch(cursor, batch)

    def rows_of(self, account: int) -> dict[str, int]:
        found = {}
        with self.store.transaction() as cursor:
            for table in (*accounts.OWNED, "archive"):
                cursor.execute(f"SELECT count(*) FROM {table} WHERE account = ?", (account,))
                found[table] = cursor.fetchone()[0]
        return found

    def test_removed_account_leaves_nothing_but_its_name(self) -> None:
        account, neighbour = self.create(), self.create("nurse")
        for each in (account, neighbour):
            self.fill(each.id)
        before = self.rows_of(neighbour.id)
        self.assertNotIn(0, before.values())
        with self.store.transaction() as cursor:
            accounts.remove(cursor, account.id)
            self.assertEqual(accounts.with_remains(cursor), [account.id])
            while archive.erase_some(cursor, account.id, 1):
                pass
            self.assertEqual(accounts.with_remains(cursor), [])
        self.assertEqual(set(self.rows_of(account.id).values()), {0})
        self.assertEqual(self.rows_of(neighbour.id), before)
        self.assertEqual(
            [each.state for each in self.directory()], [AccountState.REMOVED, AccountState.ACTIVE]
        )
        self.assertIsNone(self.credential())

    def test_every_table_with_rows_of_accounts_is_known_to_removal(self) -> None:
        script = "\n".join(text for _, text in self.store.dialect.schema())
        tables = [
            part.split(" (")[0]
            for part in script.split("CREATE TABLE ")[1:]
            if "account BIGINT" in part or "account INTEGER" in part
        ]
        self.assertEqual(sorted(tables), sorted([*accounts.OWNED, "archive", "search_position"]))

    def test_name_of_a_removed_account_is_kept_until_it_is_released(self) -> None:
        old = self.create()
        with self.store.transaction() as cursor:
            accounts.remove(cursor, old.id)
        self.assertRaises(AccountExistsError, self.create)
        with self.store.transaction() as cursor:
            self.assertTrue(accounts.release(cursor, "example.org", "juliet"))
        self.assertNotEqual(self.create().id, old.id)

    def test_what_was_written_after_the_removal_goes_with_the_name(self) -> None:
        old = self.create()
        with self.store.transaction() as cursor:
            accounts.remove(cursor, old.id)
        self.fill(old.id)
        with self.store.transaction() as cursor:
            self.assertTrue(accounts.release(cursor, "example.org", "juliet"))
        self.assertEqual(set(self.rows_of(old.id).values()), {0})
        self.assertEqual(self.directory(), [])

    def test_number_of_the_last_account_is_not_given_out_again(self) -> None:
        self.create()
        last = self.create("last")
        with self.store.transaction() as cursor:
            accounts.remove(cursor, last.id)
            accounts.release(cursor, "example.org", "last")
        self.assertGreater(self.create("next").id, last.id)

    def test_name_in_use_is_not_released(self) -> None:
        self.create()
        with self.store.transaction() as cursor:
            self.assertFalse(accounts.release(cursor, "example.org", "juliet"))
            self.assertFalse(accounts.release(cursor, "example.org", "nobody"))
        self.assertEqual(len(self.directory()), 1)
