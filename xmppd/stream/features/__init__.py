"""What a stream negotiates.  Each feature is a value: when it is offered, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xmppd.core.module import Xep

if TYPE_CHECKING:
    from xmppd.core.stanza import Stanza
    from xmppd.stream.c2s import ClientStream, State
    from xmppd.xml.parser import Nonza

__all__ = ["Feature", "NonzaHandler"]

#: Takes a nonza; done at once, or something to wait for.
NonzaHandler = Callable[["ClientStream", "Nonza"], Awaitable[None] | None]


def _offer_nothing(_: ClientStream) -> bytes:
    return b""


@dataclass(frozen=True)
class Feature:
    """One feature of streams.

    :ivar states: in which states of the stream it is offered.
    :ivar offer: its element among the stream features; empty when it has nothing to offer.
    :ivar nonzas: its handlers by namespace and name; they are called in any state and check it.
    :ivar wants: whether it takes this stanza before a resource is bound, in one of its states.
    :ivar take: what it does with it.
    :ivar xeps: what it implements; `docs/xeps.md` is made from it.
    """

    states: frozenset[State] = frozenset()
    offer: Callable[[ClientStream], bytes] = _offer_nothing
    nonzas: Mapping[tuple[str, str], NonzaHandler] = field(default_factory=dict)
    wants: Callable[[Stanza], bool] | None = None
    take: Callable[[ClientStream, Stanza], Awaitable[None] | None] | None = None
    xeps: tuple[Xep, ...] = ()
