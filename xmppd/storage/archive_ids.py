"""The ids that users see of archive rows (XEP-0359 stanza-id, XEP-0313 section 3.1)."""

import re
import struct
from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from xmppd.storage import meta
from xmppd.storage.statement import Cursor

KEY = "archive_id_key"
"""In `meta`: the key of this database. With another key all ids that clients hold would be unknown."""

_FORM = re.compile("[0-9a-f]{32}", re.ASCII)
_PAIR = struct.Struct(">qq")


class ArchiveIds:
    """Turns a row's key into an id and back: one block of AES-128. An id says nothing about the row and
    cannot be guessed (XEP-0313 section 8), is unique since the key of the row is, and needs neither a column
    nor an index. A single block is encrypted with no chaining: each block occurs once.

    :param key: 16 bytes, from `load_key`.
    """

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(algorithms.AES128(key), modes.ECB())  # noqa: S305
        self._encrypt = cipher.encryptor().update
        self._decrypt = cipher.decryptor().update

    def encode(self, account: int, seq: int) -> str:
        """The id of a row: 32 hexadecimal digits."""
        return self._encrypt(_PAIR.pack(account, seq)).hex()

    def encode_all(self, account: int, seqs: Iterable[int]) -> list[str]:
        """The ids of many rows, at a third of the cost."""
        text = self._encrypt(b"".join([_PAIR.pack(account, seq) for seq in seqs])).hex()
        return [text[place : place + 32] for place in range(0, len(text), 32)]

    def decode(self, account: int, text: str) -> int | None:
        """The sequence that an id of this account's archive stands for; whether there is such a row is not
        looked up.

        :returns: None for what is no id, or an id of another archive or server.
        """
        if _FORM.fullmatch(text) is None:
            return None
        owner, seq = _PAIR.unpack(self._decrypt(bytes.fromhex(text)))
        return int(seq) if owner == account and seq >= 0 else None


def load_key(cursor: Cursor) -> bytes:
    """The key of this database, made when it is asked for the first time (in a unit of `write`)."""
    return meta.secret(cursor, KEY, 16)
