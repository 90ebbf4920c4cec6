"""Lists of addresses that clients send: parsed in several turns of the reactor where that takes long.

256 KiB of addresses that are made to be hard to normalise take a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xmppd.core.context import Clock
from xmppd.core.jid import JID
from xmppd.core.pauses import pause

__all__ = ["LONGEST_LISTED", "parse_all"]

#: Bytes of an address in a list: PostgreSQL has no more than 2,700 in its keys.
LONGEST_LISTED: Final = 2000
#: Seconds after which the others have their turn.
LONGEST: Final = 0.005


async def parse_all(texts: Iterable[str], clock: Clock) -> list[JID]:
    """The addresses in a list.

    :raises InvalidJID: one of them is none.
    """
    found, began = [], clock.seconds()
    for text in texts:
        found.append(JID.parse(text))
        if clock.seconds() - began > LONGEST:
            await pause(clock, 0)
            began = clock.seconds()
    return found
