"""Tokens in place of passwords (XEP-0484), without a stream around them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial import unittest

from tests.auth.helpers import BrokenAccounts, MemoryAccounts, directory, failure_of
from xmppd.auth import fast
from xmppd.auth.channel_binding import TLS_EXPORTER, TLS_SERVER_END_POINT
from xmppd.auth.fast import LIFETIME, ROTATE_AFTER, NewToken, TokenExchange, Wanted, next_token, usable
from xmppd.auth.sasl import SaslFailure, Success
from xmppd.storage.tokens import Token

NONE = "HT-SHA-256-NONE"
EXPR = "HT-SHA-256-EXPR"
NOW = 1_767_225_600.0


def proof(name: str, token: str, binding: bytes = b"") -> bytes:
    """What a client sends: made with the token itself, which the server does not have."""
    return name.encode() + b"\0" + hmac.digest(token.encode(), b"Initiator" + binding, "sha256")


class MemoryTokens:
    """Tokens of ``user``'s client ``phone``; counts what it is asked."""

    def __init__(self, *tokens: Token) -> None:
        self.tokens = tokens
        self.queries: list[tuple[str, str]] = []

    async def find(self, local: str, client: str) -> Sequence[Token]:
        self.queries.append((local, client))
        return self.tokens if (local, client) == ("user", "phone") else []

    async def change(
        self, account: int, client: str, *, used: Token | None, revoked: bool, added: Token | None
    ) -> None:
        raise NotImplementedError


class BrokenTokens(MemoryTokens):
    """A store that cannot be reached."""

    async def find(self, local: str, client: str) -> Sequence[Token]:
        raise OSError("no such host")


class ExchangeTests(unittest.TestCase):
    def setUp(self) -> None:
        self.accounts = MemoryAccounts({})
        self.new = NewToken.make(NONE, NOW)
        self.tokens = MemoryTokens(self.new.kept)

    def exchange(
        self,
        mechanism: str = NONE,
        client: str = "phone",
        binding: bytes = b"",
        now: float = NOW + 1,
        tokens: MemoryTokens | None = None,
    ) -> TokenExchange:
        return TokenExchange(
            directory(self.accounts),
            tokens or self.tokens,
            mechanism,
            client,
            binding=binding,
            now=now,
            admit=lambda local: None,
        )

    async def test_right_token(self) -> None:
        exchange = self.exchange()
        success = await exchange.step(proof("user", self.new.text))
        expected = hmac.digest(self.new.text.encode(), b"Responder", "sha256")
        self.assertEqual(success, Success(expected, "user"))
        self.assertEqual((exchange.local, exchange.token), ("user", self.new.kept))

    async def test_channel_binding_is_part_of_both_proofs(self) -> None:
        new = NewToken.make(EXPR, NOW)
        tokens = MemoryTokens(new.kept)
        success = await self.exchange(EXPR, binding=b"key", tokens=tokens).step(
            proof("user", new.text, b"key")
        )
        self.assertEqual(success.data, hmac.digest(new.text.encode(), b"Responder" + b"key", "sha256"))
        for other in (b"", b"another"):
            failure = await failure_of(
                self.exchange(EXPR, binding=b"key", tokens=tokens), proof("user", new.text, other)
            )
            self.assertEqual(failure.condition, "not-authorized")

    async def test_token_is_good_for_its_mechanism_client_and_account_only(self) -> None:
        cases = (
            self.exchange(EXPR),
            self.exchange("HT-SHA-256-ENDP"),
            self.exchange(client="tablet"),
        )
        for exchange in cases:
            failure = await failure_of(exchange, proof("user", self.new.text))
            self.assertEqual(failure.condition, "not-authorized")
        failure = await failure_of(self.exchange(), proof("nobody", self.new.text))
        self.assertEqual(failure.condition, "not-authorized")

    async def test_the_token_in_use_and_the_newer_one_are_good(self) -> None:
        newer = NewToken.make(NONE, NOW + 1)
        both = MemoryTokens(newer.kept, self.new.kept)
        for one in (newer, self.new):
            exchange = self.exchange(tokens=both)
            await exchange.step(proof("user", one.text))
            self.assertEqual(exchange.token, one.kept)

    async def test_work_does_not_tell_what_exists(self) -> None:
        """One query and two comparisons, whether account, client or token exist or not."""
        with patch.object(fast.hmac, "compare_digest", wraps=hmac.compare_digest) as compared:
            for tokens in ((), (self.new.kept,), (self.new.kept, NewToken.make(NONE, NOW).kept)):
                for name in ("user", "nobody"):
                    compared.reset_mock()
                    store = MemoryTokens(*tokens)
                    failure = await failure_of(self.exchange(tokens=store), proof(name, "wrong"))
                    self.assertEqual(str(failure), "not-authorized")
                    self.assertEqual((len(store.queries), compared.call_count), (1, 2))

    async def test_what_fills_up_the_work_fits_no_token(self) -> None:
        answer = b"user\0" + hmac.digest(bytes(32), b"Initiator", "sha256")
        failure = await failure_of(self.exchange(tokens=MemoryTokens()), answer)
        self.assertEqual(failure.condition, "not-authorized")

    async def test_expired(self) -> None:
        """Section 4.2: only who has the token learns that it was one."""
        late = NOW + LIFETIME
        failure = await failure_of(self.exchange(now=late), proof("user", self.new.text))
        self.assertEqual(failure.condition, "credentials-expired")
        failure = await failure_of(self.exchange(now=late), proof("user", "wrong"))
        self.assertEqual(failure.condition, "not-authorized")
        await self.exchange(now=late - 1).step(proof("user", self.new.text))

    async def test_disabled_account(self) -> None:
        self.accounts.disabled.add("user")
        failure = await failure_of(self.exchange(), proof("user", self.new.text))
        self.assertEqual(failure.condition, "account-disabled")
        failure = await failure_of(self.exchange(), proof("user", "wrong"))
        self.assertEqual(failure.condition, "not-authorized")

    async def test_malformed(self) -> None:
        good = proof("user", self.new.text)
        for message in (None, b"", b"user", b"\0" + good[5:], good[:-1], good + b"x", b"\xff" + good):
            failure = await failure_of(self.exchange(), message)
            self.assertEqual(failure.condition, "malformed-request", message)
        self.assertEqual(self.tokens.queries, [])

    @given(st.binary(max_size=80))
    def test_any_bytes_end_in_success_or_a_failure(self, message: bytes) -> None:
        outcome = self.successResultOf(Deferred.fromCoroutine(_outcome(self.exchange(), message)))
        self.assertIn(outcome, ("malformed-request", "not-authorized"))

    async def test_name_is_normalised(self) -> None:
        success = await self.exchange().step(proof("USER", self.new.text))
        self.assertEqual(success.identity, "user")

    async def test_throttle_comes_before_the_store(self) -> None:
        def refuse(local: str) -> None:
            raise SaslFailure("temporary-auth-failure", local)

        exchange = TokenExchange(
            directory(self.accounts), self.tokens, NONE, "phone", binding=b"", now=NOW, admit=refuse
        )
        failure = await failure_of(exchange, proof("user", self.new.text))
        self.assertEqual(str(failure), "temporary-auth-failure: user")
        self.assertEqual(self.tokens.queries, [])

    async def test_broken_store(self) -> None:
        failure = await failure_of(self.exchange(tokens=BrokenTokens()), proof("user", self.new.text))
        self.assertEqual(failure.condition, "temporary-auth-failure")
        broken = TokenExchange(
            directory(BrokenAccounts()), self.tokens, NONE, "phone", binding=b"", now=NOW, admit=str
        )
        failure = await failure_of(broken, proof("user", self.new.text))
        self.assertEqual(failure.condition, "temporary-auth-failure")


async def _outcome(exchange: TokenExchange, message: bytes) -> str:
    try:
        await exchange.step(message)
    except SaslFailure as failure:
        return failure.condition
    return "success"


class TokenTests(unittest.TestCase):
    def test_only_the_hash_is_kept(self) -> None:
        new = NewToken.make(NONE, NOW)
        self.assertEqual(new.kept.key, hashlib.sha256(new.text.encode()).digest())
        # HMAC hashes a longer key only: a shorter token would have to be kept itself.
        self.assertGreater(len(new.text), hashlib.sha256().block_size)
        self.assertNotIn(new.text, repr(new))
        self.assertNotIn(new.kept.key.hex(), repr(new))

    def test_no_two_are_the_same(self) -> None:
        self.assertEqual(len({NewToken.make(NONE, NOW).text for _ in range(100)}), 100)

    def test_lifetime(self) -> None:
        kept = NewToken.make(NONE, NOW + 0.9).kept
        self.assertEqual((kept.issued, kept.expires, kept.used), (int(NOW), int(NOW + LIFETIME), False))

    def test_mechanisms_follow_from_the_connection(self) -> None:
        """With a channel binding and without (section 3.1), as far as there is one."""
        self.assertEqual(usable([]), (NONE,))
        self.assertEqual(usable([TLS_SERVER_END_POINT]), ("HT-SHA-256-ENDP", NONE))
        self.assertEqual(usable([TLS_EXPORTER, TLS_SERVER_END_POINT]), (EXPR, "HT-SHA-256-ENDP", NONE))


class RotationTests(unittest.TestCase):
    def test_when_a_new_one_is_given(self) -> None:
        used = NewToken.make(EXPR, NOW).kept
        soon, due = NOW + ROTATE_AFTER - 1, NOW + ROTATE_AFTER
        cases = (
            (Wanted(), None, due, None),
            (Wanted(NONE), None, NOW, NONE),
            (Wanted(), used, soon, None),
            (Wanted(), used, due, EXPR),
            (Wanted(NONE), used, soon, NONE),
            (Wanted(invalidate=True), used, due, None),
            (Wanted(NONE, invalidate=True), used, soon, NONE),
        )
        for wanted, token, now, mechanism in cases:
            made = next_token(wanted, token, now)
            self.assertEqual(None if made is None else made.kept.mechanism, mechanism, wanted)
