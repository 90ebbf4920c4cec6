"""SCRAM-SHA-1 (RFC 5802) as a client that lies where it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from tests.hostile.wire import SASL, Connection, auth, encoded


@dataclass(frozen=True)
class Lies:
    """What differs from an honest login.

    :ivar gs2: the header of the first message.
    :ivar bound: what the second message says the header was.
    :ivar nonce: is added to the nonce of the second message.
    :ivar proof: replaces the proof.
    """

    mechanism: str = "SCRAM-SHA-1"
    gs2: str = "n,,"
    bound: str | None = None
    nonce: str = ""
    proof: str | None = None


def log_in(peer: Connection, account: tuple[str, str], lies: Lies) -> str | None:
    """Play both messages; the outcome is ``<success`` where the server takes it."""
    name, password = account[0].partition("@")[0], account[1]
    bare = f"n={name},r=hostile0123456789"
    peer.send(auth(lies.mechanism, lies.gs2 + bare))
    said = peer.wait("</challenge>", "</failure>", "</stream:stream>")
    if "<challenge" not in said:
        peer.seen = said
        return None
    first = base64.b64decode(said.partition("<challenge")[2].partition(">")[2].partition("<")[0]).decode()
    given = dict(part.split("=", 1) for part in first.split(","))
    bound = lies.gs2 if lies.bound is None else lies.bound
    final = f"c={encoded(bound)},r={given['r']}{lies.nonce}"
    proof = lies.proof if lies.proof is not None else _proof(password, given, f"{bare},{first},{final}")
    peer.send(f"<response xmlns='{SASL}'>{encoded(f'{final},p={proof}')}</response>")
    return peer.outcome("<success")


def _proof(password: str, given: dict[str, str], messages: str) -> str:
    salted = hashlib.pbkdf2_hmac("sha1", password.encode(), base64.b64decode(given["s"]), int(given["i"]))
    key = hmac.digest(salted, b"Client Key", "sha1")
    signature = hmac.digest(hashlib.sha1(key).digest(), messages.encode(), "sha1")
    return encoded(bytes(a ^ b for a, b in zip(key, signature, strict=True)))
