"""Passwords and what is kept of them: SCRAM keys (RFC 5802 section 3), never the password itself."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from xmppd.core.precis import enforce_opaque

DIGEST_SIZES: Final = {"sha-1": 20, "sha-256": 32, "sha-512": 64}
"""The hash functions that there are SCRAM keys for, with the bytes of a digest."""

ITERATIONS: Final = 10_000
MIN_ITERATIONS: Final = 4096
"""RFC 7677 section 4."""
MAX_ITERATIONS: Final = 1_000_000
"""Beyond it, keys from elsewhere would let one login keep a thread busy for seconds."""

SALT_BYTES: Final = 16

_HASHLIB_NAMES: Final = {"sha-1": "sha1", "sha-256": "sha256", "sha-512": "sha512"}
_PLAIN: Final = re.compile("[ -~]{1,1023}")


@dataclass(frozen=True, slots=True)
class Credential:
    """One account's SCRAM keys for one hash function, as they are stored.

    :param hash_name: a key of :data:`DIGEST_SIZES`.
    :raises ValueError: if they cannot be SCRAM keys.
    """

    hash_name: str
    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        size = DIGEST_SIZES.get(self.hash_name)
        if size is None:
            raise ValueError(f"no SCRAM keys for hash function {self.hash_name!r}")
        if len(self.stored_key) != size or len(self.server_key) != size:
            raise ValueError(f"SCRAM keys for {self.hash_name} have {size} bytes")
        _check_salt(self.salt)
        _check_iterations(self.iterations)


def prepare_password(text: str) -> str:
    """Normalise a password (RFC 8265 section 4: OpaqueString).

    :raises ValueError: if it is empty, longer than 1023 bytes, or has characters
        that are not allowed, such as control characters.
    """
    if _PLAIN.fullmatch(text):
        return text
    try:
        return enforce_opaque(text)
    except ValueError as error:
        raise ValueError(f"the password {error}") from None


def derive(
    password: str, hash_name: str, salt: bytes | None = None, iterations: int = ITERATIONS
) -> Credential:
    """Compute SCRAM keys. It takes milliseconds: call it in a thread.

    :param hash_name: a key of :data:`DIGEST_SIZES`.
    :param salt: by default :data:`SALT_BYTES` random bytes.
    :raises ValueError: for a password that :func:`prepare_password` refuses, or other bad arguments.
    """
    if hash_name not in DIGEST_SIZES:
        raise ValueError(f"no SCRAM keys for hash function {hash_name!r}")
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    _check_salt(salt)
    _check_iterations(iterations)
    return _derive(prepare_password(password), hash_name, salt, iterations)


def derive_all(password: str) -> dict[str, Credential]:
    """Compute the SCRAM keys for all hash functions, by name. Call it in a thread.

    :raises ValueError: for a password that :func:`prepare_password` refuses.
    """
    return {hash_name: derive(password, hash_name) for hash_name in DIGEST_SIZES}


def verify(password: str, credential: Credential) -> bool:
    """Say whether a password belongs to SCRAM keys. Call it in a thread.

    It takes the same time for every wrong password, impossible ones included.
    """
    try:
        prepared, possible = prepare_password(password), True
    except ValueError:
        prepared, possible = "-", False
    derived = _derive(prepared, credential.hash_name, credential.salt, credential.iterations)
    return hmac.compare_digest(derived.stored_key, credential.stored_key) and possible


def fake_credential(secret: bytes, domain: str, local: str, hash_name: str) -> Credential:
    """Make SCRAM keys for a name that has no account; they look like real ones and fit no password.

    They are the same each time that someone asks, other ones for each name, domain and hash function.

    :param secret: the server's own, so that nobody can compute the salt and tell it from a real one.
    """
    size = DIGEST_SIZES[hash_name]
    name = f"{hash_name}\0{domain}\0{local}".encode()

    def make(purpose: bytes) -> bytes:
        return hmac.digest(secret, purpose + b"\0" + name, "sha512")

    return Credential(
        hash_name,
        make(b"salt")[:SALT_BYTES],
        ITERATIONS,
        make(b"stored key")[:size],
        make(b"server key")[:size],
    )


def digest(hash_name: str, data: bytes) -> bytes:
    """Hash data with a hash function named as in SCRAM's mechanisms."""
    return hashlib.new(_HASHLIB_NAMES[hash_name], data).digest()


def keyed_digest(hash_name: str, key: bytes, data: bytes) -> bytes:
    """Give the HMAC of data with a hash function named as in SCRAM's mechanisms."""
    return hmac.digest(key, data, _HASHLIB_NAMES[hash_name])


def _derive(prepared: str, hash_name: str, salt: bytes, iterations: int) -> Credential:
    salted = hashlib.pbkdf2_hmac(_HASHLIB_NAMES[hash_name], prepared.encode(), salt, iterations)
    client_key = keyed_digest(hash_name, salted, b"Client Key")
    server_key = keyed_digest(hash_name, salted, b"Server Key")
    return Credential(hash_name, salt, iterations, digest(hash_name, client_key), server_key)


def _check_salt(salt: bytes) -> None:
    if not 8 <= len(salt) <= 64:
        raise ValueError("a salt has 8 to 64 bytes")


def _check_iterations(iterations: int) -> None:
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise ValueError(f"the iterations of SCRAM keys are {MIN_ITERATIONS} to {MAX_ITERATIONS}")
