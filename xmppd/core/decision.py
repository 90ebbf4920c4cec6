"""What delivery has decided about a message; the rules are in `xmppd.routing.delivery`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from xmppd.core.context import Session

__all__ = ["Decision", "Otherwise"]


class Otherwise(Enum):
    """What becomes of a message that nobody gets now."""

    KEEP = "keep it for later, or else service-unavailable"
    REFUSE = "service-unavailable"
    IGNORE = "nothing"


class Decision(NamedTuple):
    """Who gets the original; and if that is nobody, what then."""

    recipients: Sequence[Session]
    otherwise: Otherwise
