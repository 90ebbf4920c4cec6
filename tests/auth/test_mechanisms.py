"""Tests of the table of mechanisms and of whole exchanges."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial import unittest

from tests.auth.helpers import (
    DOMAIN,
    HASHES,
    SECRET,
    BrokenAccounts,
    Client,
    MemoryAccounts,
    directory,
    failure_of,
    log_in,
    run_inline,
)
from xmppd.auth import accounts as accounts_module
from xmppd.auth.accounts import Directory
from xmppd.auth.mechanisms import MECHANISMS, PASSWORD_MECHANISMS, make_offer, start
from xmppd.auth.passwords import derive
from xmppd.auth.sasl import Challenge, Exchange, SaslFailure, Success

BINDINGS = {"tls-exporter": b"exported"}
OFFER = make_offer(tls=True, bindings=BINDINGS, enabled=MECHANISMS)
SCRAM = {f"SCRAM-{name.upper()}{plus}": name for name in HASHES for plus in ("", "-PLUS")}
WITH_PASSWORD = [*SCRAM, "PLAIN"]


def scram_client(name: str, username: str, password: str) -> Client:
    if name.endswith("-PLUS"):
        return Client(SCRAM[name], username, password, "p=tls-exporter,,", b"exported")
    return Client(SCRAM[name], username, password)


async def attempt(exchange: Exchange, name: str, username: str, password: str) -> Success:
    """Log in with any mechanism that has a password."""
    if name in SCRAM:
        return await log_in(exchange, scram_client(name, username, password))
    success = await exchange.step(f"\0{username}\0{password}".encode())
    assert isinstance(success, Success)
    return success


class TableTests(unittest.TestCase):
    def test_order(self) -> None:
        strengths = [mechanism.strength for mechanism in MECHANISMS.values()]
        self.assertEqual(strengths, sorted(set(strengths), reverse=True))

    def test_needs(self) -> None:
        for name, mechanism in MECHANISMS.items():
            self.assertEqual(mechanism.needs_binding, name.endswith("-PLUS"))
            self.assertEqual(mechanism.needs_tls, name.endswith("-PLUS") or name == "PLAIN")
            self.assertEqual(mechanism.hash_name, SCRAM.get(name))


class OfferTests(unittest.TestCase):
    def test_everything(self) -> None:
        offer = make_offer(tls=True, bindings=BINDINGS)
        self.assertEqual(offer.mechanisms, PASSWORD_MECHANISMS)
        self.assertEqual(offer.bindings, BINDINGS)
        self.assertTrue(offer.has_plus)

    def test_guests_only_where_configured(self) -> None:
        self.assertNotIn("ANONYMOUS", make_offer(tls=True).mechanisms)
        self.assertEqual(make_offer(tls=True, enabled=["ANONYMOUS"]).mechanisms, ("ANONYMOUS",))

    def test_without_tls(self) -> None:
        offer = make_offer(tls=False)
        self.assertEqual(offer.mechanisms, ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"))
        self.assertFalse(offer.has_plus)

    def test_without_bindings(self) -> None:
        self.assertFalse(make_offer(tls=True).has_plus)
        self.assertIn("PLAIN", make_offer(tls=True).mechanisms)

    def test_bindings_only_with_a_mechanism_that_uses_them(self) -> None:
        self.assertEqual(make_offer(tls=True, bindings=BINDINGS, enabled=["PLAIN"]).bindings, {})

    def test_configured_names(self) -> None:
        offer = make_offer(tls=True, enabled=["PLAIN", "X-UNKNOWN", "SCRAM-SHA-1", "PLAIN"])
        self.assertEqual(offer.mechanisms, ("SCRAM-SHA-1", "PLAIN"))


class StartTests(unittest.TestCase):
    def condition(self, name: str, **options: Any) -> str:
        failure = self.assertRaises(
            SaslFailure, start, name, make_offer(**options), directory(MemoryAccounts({}))
        )
        return str(failure.condition)

    def test_not_offered(self) -> None:
        self.assertEqual(self.condition("EXTERNAL", tls=True), "invalid-mechanism")
        self.assertEqual(self.condition("plain", tls=True), "invalid-mechanism")
        self.assertEqual(self.condition("ANONYMOUS", tls=True), "invalid-mechanism")
        self.assertEqual(self.condition("SCRAM-SHA-1-PLUS", tls=True), "invalid-mechanism")
        self.assertEqual(self.condition("SCRAM-SHA-1", tls=True, enabled=["PLAIN"]), "invalid-mechanism")

    def test_needs_tls(self) -> None:
        self.assertEqual(self.condition("PLAIN", tls=False), "encryption-required")
        self.assertEqual(self.condition("SCRAM-SHA-1-PLUS", tls=False), "encryption-required")


class ExchangeTests(unittest.TestCase):
    def setUp(self) -> None:
        self.accounts = MemoryAccounts({"alice": "pencil", "dora": "pencil"})
        self.accounts.disabled.add("dora")
        self.directory = directory(self.accounts)

    def start(self, name: str, admit: Callable[[str], None] = lambda local: None) -> Exchange:
        return start(name, OFFER, self.directory, admit)

    async def failure(self, name: str, username: str, password: str) -> SaslFailure:
        try:
            await attempt(self.start(name), name, username, password)
        except SaslFailure as failure:
            return failure
        raise AssertionError("no failure")

    async def test_success(self) -> None:
        for name in WITH_PASSWORD:
            exchange = self.start(name)
            self.assertEqual(exchange.local, "")
            success = await attempt(exchange, name, "Alice", "pencil")
            self.assertEqual((success.identity, exchange.local), ("alice", "alice"))
            self.assertEqual(success.data is None, name == "PLAIN")

    async def test_no_initial_response(self) -> None:
        for name in WITH_PASSWORD:
            exchange = self.start(name)
            self.assertEqual(await exchange.step(None), Challenge(b""))
            self.assertEqual((await attempt(exchange, name, "alice", "pencil")).identity, "alice")

    async def test_guest(self) -> None:
        success = await self.start("ANONYMOUS").step(b"trace")
        assert isinstance(success, Success)
        self.assertEqual(len(success.identity), 36)
        self.assertEqual(self.accounts.queries, [])

    async def test_failures_are_alike(self) -> None:
        for name in WITH_PASSWORD:
            for username, password in (
                ("alice", "wrong"),
                ("nobody", "wrong"),
                ("dora", "wrong"),
                ("a b", "x"),
            ):
                failure = await self.failure(name, username, password)
                self.assertEqual((failure.condition, failure.text), ("not-authorized", ""), (name, username))

    async def test_no_password_fits_a_missing_account(self) -> None:
        """Not even where the keys that stand for it happen to fit."""
        keys = derive("pencil", "sha-256")
        self.patch(accounts_module, "fake_credential", lambda *arguments: keys)
        self.assertEqual((await self.failure("PLAIN", "nobody", "pencil")).condition, "not-authorized")

    async def test_disabled_account(self) -> None:
        for name in WITH_PASSWORD:
            self.assertEqual((await self.failure(name, "dora", "pencil")).condition, "account-disabled")

    async def test_impossible_passwords(self) -> None:
        for password in ("pencil\x01", "p" * 2000):
            failure = await self.failure("PLAIN", "alice", password)
            self.assertEqual(failure.condition, "not-authorized")

    async def test_normalised_password(self) -> None:
        self.accounts = MemoryAccounts({"alice": "é x"})
        self.directory = directory(self.accounts)
        success = await attempt(self.start("PLAIN"), "PLAIN", "alice", "e\u0301\u00a0x")
        self.assertEqual(success.identity, "alice")

    async def test_acting_for_somebody_else(self) -> None:
        failure = await failure_of(self.start("PLAIN"), b"dora@example.org\0alice\0pencil")
        self.assertEqual(failure.condition, "invalid-authzid")
        success = await self.start("PLAIN").step(b"Alice@example.org\0alice\0pencil")
        assert isinstance(success, Success)
        self.assertEqual(success.identity, "alice")

    async def test_admission_comes_before_any_look_up(self) -> None:
        asked = []

        def refuse(local: str) -> None:
            asked.append(local)
            raise SaslFailure("temporary-auth-failure", "later")

        for name in WITH_PASSWORD:
            exchange = self.start(name, refuse)
            with self.assertRaises(SaslFailure) as caught:
                await attempt(exchange, name, "Alice", "pencil")
            self.assertEqual(caught.exception.text, "later")
        self.assertEqual(asked, ["alice"] * len(WITH_PASSWORD))
        self.assertEqual(self.accounts.queries, [])

    async def test_store_that_fails(self) -> None:
        self.directory = directory(BrokenAccounts())
        for name in WITH_PASSWORD:
            failure = await self.failure(name, "alice", "pencil")
            self.assertEqual(failure.condition, "temporary-auth-failure")
            self.assertIsInstance(failure.__cause__, OSError)
            self.assertNotIn("host", str(failure))

    async def test_thread_that_cannot_be_had(self) -> None:
        def refuse(*arguments: object) -> Deferred[bool]:
            raise RuntimeError("pool is full")

        self.directory = Directory(DOMAIN, self.accounts, refuse, SECRET)
        failure = await self.failure("PLAIN", "alice", "pencil")
        self.assertEqual(failure.condition, "temporary-auth-failure")

    async def test_derivation_runs_in_the_thread(self) -> None:
        calls = []

        async def run(function: Callable[..., bool], *arguments: object) -> bool:
            calls.append(function.__name__)
            return function(*arguments)

        self.directory = Directory(DOMAIN, self.accounts, run, SECRET)
        self.patch(hashlib, "pbkdf2_hmac", self.not_outside(calls, hashlib.pbkdf2_hmac))
        await attempt(self.start("PLAIN"), "PLAIN", "alice", "pencil")
        self.assertEqual(calls, ["verify"])

    def not_outside(self, calls: list[str], real: Callable[..., bytes]) -> Callable[..., bytes]:
        def wrapper(*arguments: Any) -> bytes:
            self.assertEqual(calls, ["verify"])
            return real(*arguments)

        return wrapper

    def test_short_secret(self) -> None:
        self.assertRaises(ValueError, Directory, DOMAIN, self.accounts, run_inline, b"short")

    def test_secret_is_not_in_the_representation(self) -> None:
        self.assertNotIn("secret of", repr(self.directory))

    @settings(max_examples=60)
    @given(
        st.sampled_from(WITH_PASSWORD),
        st.lists(st.binary(max_size=30) | st.text("n,=rpcy\0alice", max_size=30).map(str.encode), max_size=2),
    )
    def test_any_messages_fail_properly(self, name: str, messages: list[bytes]) -> None:
        async def run() -> None:
            exchange = self.start(name)
            first = (b"p=tls-exporter" if name.endswith("-PLUS") else b"n") + b",,n=alice,r=abc"
            for message in [first, *messages] if name in SCRAM else messages:
                try:
                    await exchange.step(message)
                except SaslFailure:
                    return

        self.successResultOf(Deferred.fromCoroutine(run()))


class AccountEnumerationTests(unittest.TestCase):
    """An account that does not exist costs exactly what a wrong password costs."""

    def setUp(self) -> None:
        self.accounts = MemoryAccounts({"alice": "pencil"})
        self.work: list[tuple[object, ...]] = []

    def count(self, module: Any, function: str, *positions: int) -> None:
        real = getattr(module, function)

        def counting(*arguments: Any) -> Any:
            chosen = (arguments[position] for position in positions)
            self.work.append((function, *(a if isinstance(a, (int, str)) else len(a) for a in chosen)))
            return real(*arguments)

        self.patch(module, function, counting)

    async def work_of(self, name: str, username: str) -> tuple[list[tuple[object, ...]], list[str]]:
        """Fail to log in, and give the server's hash calls, with sizes, and store queries."""
        exchange = start(name, OFFER, directory(self.accounts))
        message = f"\0{username}\0wrong".encode()
        self.work.clear()
        self.accounts.queries.clear()
        if name in SCRAM:
            client = scram_client(name, username, "wrong")
            challenge = await exchange.step(client.first())
            assert isinstance(challenge, Challenge)
            begun = list(self.work)
            message = client.final(challenge.data)
            self.work[:] = begun
        failure = await failure_of(exchange, message)
        self.assertEqual(failure.condition, "not-authorized")
        return list(self.work), list(self.accounts.queries)

    async def test_equal_work(self) -> None:
        self.count(hashlib, "pbkdf2_hmac", 0, 1, 2, 3)
        self.count(hashlib, "new", 0, 1)
        self.count(hmac, "digest", 0, 2)
        self.count(hmac, "compare_digest", 0, 1)
        for name in WITH_PASSWORD:
            existing, missing = await self.work_of(name, "alice"), await self.work_of(name, "nosuc")
            self.assertEqual(existing, missing, name)
            self.assertEqual(existing[1], ["credential"])
            derivations = [call for call in existing[0] if call[0] == "pbkdf2_hmac"]
            self.assertEqual(derivations, [] if name in SCRAM else [("pbkdf2_hmac", "sha256", 5, 16, 10_000)])
            self.assertIn("compare_digest", [call[0] for call in existing[0]])
