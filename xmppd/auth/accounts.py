"""The accounts of one domain, as far as authentication sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import CancelledError

from xmppd.auth.passwords import Credential, fake_credential, verify
from xmppd.auth.sasl import SaslFailure

MIN_SECRET_BYTES: Final = 32

_HASH_OF_PLAIN: Final = "sha-256"

P = ParamSpec("P")
T = TypeVar("T")


class Accounts(Protocol):
    """Where accounts are kept."""

    async def credential(self, local: str, hash_name: str) -> Credential | None:
        """Give an account's SCRAM keys, None if there is no such account or key: one query either way."""

    async def is_enabled(self, local: str) -> bool:
        """Say whether an account may log in. Asked only after its password was right."""


class RunInThread(Protocol):
    """Runs a function where it does not hold up the reactor, such as ``deferToThread``."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Directory:
    """The accounts of one domain and what authentication needs beside them.

    :param domain: the served domain, normalised.
    :param secret: at least 32 random bytes, the same ones after a restart; salts of accounts that do not
        exist are made with it.
    :raises ValueError: if the secret is too short.
    """

    domain: str
    accounts: Accounts
    run_in_thread: RunInThread
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the secret has fewer than {MIN_SECRET_BYTES} bytes")

    async def credential(self, local: str, hash_name: str) -> Credential | None:
        """Look up an account's SCRAM keys.

        :raises SaslFailure: with ``temporary-auth-failure`` if the store fails.
        """
        with temporary_failures():
            return await self.accounts.credential(local, hash_name)

    async def check_password(self, local: str, password: str) -> bool:
        """Say whether there is such an account with this password; the work is the same in all cases.

        For whatever has the password itself: PLAIN, HTTP. It does not look whether the account is enabled.

        :raises SaslFailure: with ``temporary-auth-failure`` if the store fails.
        """
        fake = fake_credential(self.secret, self.domain, local, _HASH_OF_PLAIN)
        found = await self.credential(local, _HASH_OF_PLAIN)
        with temporary_failures():
            fits = await self.run_in_thread(verify, password, found or fake)
        return fits and found is not None

    async def require_enabled(self, local: str) -> None:
        """Refuse a disabled account. Only for someone who knows its password.

        :raises SaslFailure: ``account-disabled``; ``temporary-auth-failure`` if the store fails.
        """
        with temporary_failures():
            enabled = await self.accounts.is_enabled(local)
        if not enabled:
            raise SaslFailure("account-disabled", "The operator has disabled this account")


@contextmanager
def temporary_failures() -> Iterator[None]:
    """Turn whatever goes wrong into a failure that peers may see; the error itself is its cause."""
    try:
        yield
    except (SaslFailure, CancelledError):
        raise
    except Exception as error:
        raise SaslFailure("temporary-auth-failure") from error
