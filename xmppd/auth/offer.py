"""What a stream offered its peer to authenticate with, and the hash that protects it (XEP-0440, XEP-0474)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from xmppd.auth.passwords import digest


@dataclass(frozen=True, slots=True)
class Offer:
    """The mechanisms and channel-binding types that one stream advertised.

    ``mechanisms``: in the order in which they were advertised. ``bindings``: the data of the connection by
    channel-binding type, exactly the types that were advertised (XEP-0440). ``tls``: whether the stream is
    encrypted.
    """

    mechanisms: tuple[str, ...]
    bindings: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    tls: bool = False

    @property
    def has_plus(self) -> bool:
        """Whether a peer could have used a channel binding."""
        return any(name.endswith("-PLUS") for name in self.mechanisms)

    def downgrade_hash(self, hash_name: str) -> str:
        """Give the value of attribute ``h`` in SCRAM's first message from the server (XEP-0474 section 6.1).

        :param hash_name: the hash function of the mechanism in use.
        """
        lists = [self.mechanisms, self.bindings] if self.bindings else [self.mechanisms]
        text = b"\x1f".join(b"\x1e".join(sorted(name.encode() for name in names)) for names in lists)
        return base64.b64encode(digest(hash_name, text)).decode()
