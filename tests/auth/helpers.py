"""The other side of the tests: accounts in memory, and a SCRAM client that can misbehave."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from xmppd.auth.accounts import Directory
from xmppd.auth.passwords import Credential, derive
from xmppd.auth.sasl import Challenge, Exchange, SaslFailure, Success

P = ParamSpec("P")
T = TypeVar("T")

DOMAIN = "example.org"
SECRET = b"a secret of the server: 32 bytes" * 2
HASHES = {"sha-1": "sha1", "sha-256": "sha256", "sha-512": "sha512"}


async def run_inline(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs)


class MemoryAccounts:
    """Accounts with passwords; counts what it is asked."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self.queries: list[str] = []
        self.disabled: set[str] = set()
        self._keys = {
            (local, name): derive(password, name, b"0123456789abcdef")
            for local, password in passwords.items()
            for name in HASHES
        }

    async def credential(self, local: str, hash_name: str) -> Credential | None:
        self.queries.append("credential")
        return self._keys.get((local, hash_name))

    async def is_enabled(self, local: str) -> bool:
        self.queries.append("is_enabled")
        return local not in self.disabled


class BrokenAccounts:
    """A store that cannot be reached."""

    async def credential(self, local: str, hash_name: str) -> Credential | None:
        raise OSError("no such host")

    async def is_enabled(self, local: str) -> bool:
        raise OSError("no such host")


def directory(accounts: MemoryAccounts | BrokenAccounts) -> Directory:
    return Directory(DOMAIN, accounts, run_inline, SECRET)


class Client:
    """The client's side of SCRAM; every part of a message can be replaced."""

    def __init__(
        self, hash_name: str, username: str, password: str, gs2: str = "n,,", data: bytes = b""
    ) -> None:
        self.hash = HASHES[hash_name]
        self.password = password
        self.gs2 = gs2
        self.data = data
        self.bare = f"n={username},r=clientnonce"
        self.server_signature = b""

    def first(self) -> bytes:
        return (self.gs2 + self.bare).encode()

    def final(self, challenge: bytes, *, nonce: str | None = None, extra: str = "") -> bytes:
        attributes = self.attributes(challenge)
        binding = base64.b64encode(self.gs2.encode() + self.data).decode()
        without_proof = f"c={binding},r={attributes['r'] if nonce is None else nonce}{extra}"
        auth_message = f"{self.bare},{challenge.decode()},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac(
            self.hash, self.password.encode(), base64.b64decode(attributes["s"]), int(attributes["i"])
        )
        client_key = hmac.digest(salted, b"Client Key", self.hash)
        stored_key = hashlib.new(self.hash, client_key).digest()
        signature = hmac.digest(stored_key, auth_message, self.hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", self.hash)
        self.server_signature = b"v=" + base64.b64encode(hmac.digest(server_key, auth_message, self.hash))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    @staticmethod
    def attributes(challenge: bytes) -> dict[str, str]:
        return dict(field.split("=", 1) for field in challenge.decode().split(","))


async def log_in(exchange: Exchange, client: Client) -> Success:
    """Run a whole exchange of SCRAM, the client's check of the server included."""
    challenge = await exchange.step(client.first())
    assert isinstance(challenge, Challenge)
    success = await exchange.step(client.final(challenge.data))
    assert isinstance(success, Success)
    assert success.data == client.server_signature
    return success


async def failure_of(exchange: Exchange, *messages: bytes | None) -> SaslFailure:
    """Send messages until the exchange fails, and give the failure."""
    for message in messages:
        try:
            await exchange.step(message)
        except SaslFailure as failure:
            return failure
    raise AssertionError("no failure")
