"""Tokens of clients."""

from tests.storage.base import BlockingStore, on_each_database
from xmppd.storage import accounts, tokens
from xmppd.storage.tokens import Token

DAY = 86_400


def token(key: bytes, issued: int = 0, expires: int = 21 * DAY, used: bool = False) -> Token:
    return Token("HT-SHA-256-NONE", key, issued, expires, used)


@on_each_database
class TokenTests:
    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()
        with self.store.transaction() as cursor:
            self.juliet = accounts.create(cursor, "example.org", "juliet", [], created=0).id
            self.nurse = accounts.create(cursor, "example.org", "nurse", [], created=0).id

    def add(self, client: str, made: Token, account: int | None = None, most: int = 9) -> None:
        with self.store.transaction() as cursor:
            tokens.add(cursor, account or self.juliet, client, made, most=most)

    def use(self, client: str, made: Token) -> bool:
        with self.store.transaction() as cursor:
            return tokens.use(cursor, self.juliet, client, made)

    def find(self, client: str, name: str = "juliet", domain: str = "example.org") -> list[Token]:
        with self.store.transaction() as cursor:
            return tokens.find(cursor, domain, name, client)

    def test_token_is_found_by_account_and_client(self) -> None:
        self.add("phone", token(b"\0one"))
        self.assertEqual(self.find("phone"), [token(b"\0one")])
        for where in (
            ("phone", "nurse"),
            ("phone", "nobody"),
            ("phone", "juliet", "example.net"),
            ("tablet",),
        ):
            self.assertEqual(self.find(*where), [], where)

    def test_token_in_use_stays_until_the_new_one_is_used(self) -> None:
        """XEP-0484 section 3.5: the client may have lost its connection before it got the new one."""
        self.add("phone", token(b"one"))
        self.assertTrue(self.use("phone", token(b"one")))
        self.add("phone", token(b"two", 5))
        self.assertEqual(self.find("phone"), [token(b"two", 5), token(b"one", used=True)])
        self.assertTrue(self.use("phone", token(b"two", 5)))
        self.assertEqual(self.find("phone"), [token(b"two", 5, used=True)])

    def test_token_that_was_never_used_goes_when_a_newer_one_comes(self) -> None:
        self.add("phone", token(b"one"))
        self.add("phone", token(b"two"))
        self.assertEqual(self.find("phone"), [token(b"two")])

    def test_token_that_was_replaced_meanwhile_replaces_nothing(self) -> None:
        self.add("phone", token(b"one"))
        self.use("phone", token(b"one"))
        self.add("phone", token(b"three"))
        self.assertFalse(self.use("phone", token(b"two")))
        self.assertFalse(self.use("tablet", token(b"three")))
        self.assertEqual(len(self.find("phone")), 2)

    def test_expired_tokens_go_when_another_one_is_made(self) -> None:
        self.add("phone", token(b"one", 0, 10), self.nurse)
        self.add("phone", token(b"two", 9, 20))
        self.assertEqual(len(self.find("phone", "nurse")), 1)
        self.add("phone", token(b"three", 10, 30))
        self.assertEqual(self.find("phone", "nurse"), [])

    def test_client_that_would_expire_first_makes_room(self) -> None:
        for number, client in enumerate(("a", "b", "c")):
            self.add(client, token(b"key", number, 100 + number), most=2)
        self.add("other", token(b"key", 0, 50), self.nurse, most=2)
        self.assertEqual([len(self.find(client)) for client in ("a", "b", "c")], [0, 1, 1])

    def test_revoked(self) -> None:
        for client in ("phone", "tablet"):
            self.add(client, token(b"one"))
            self.use(client, token(b"one"))
            self.add(client, token(b"two"))
        with self.store.transaction() as cursor:
            tokens.revoke(cursor, self.juliet, "phone")
        self.assertEqual((self.find("phone"), len(self.find("tablet"))), ([], 2))

    def test_new_password_revokes_all_tokens_of_the_account(self) -> None:
        for account in (self.juliet, self.nurse):
            self.add("phone", token(b"one"), account)
        with self.store.transaction() as cursor:
            accounts.set_credentials(cursor, self.juliet, [])
        self.assertEqual((self.find("phone"), len(self.find("phone", "nurse"))), ([], 1))

    def test_removed_account_has_none(self) -> None:
        self.add("phone", token(b"one"))
        with self.store.transaction() as cursor:
            accounts.remove(cursor, self.juliet)
        self.assertEqual(self.find("phone"), [])
