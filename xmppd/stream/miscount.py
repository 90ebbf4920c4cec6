"""A client that counts wrongly is told apart from one that is late, and which known mistake would explain it.

The project began with two modules that disagreed on what a stanza is.  A client's author who sees the
numbers, the last stanzas and a guess finds such a mistake in minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.stanza import Stanza
from xmppd.stream.ledger import MODULUS

__all__ = ["Recount"]

_log = Logger()

#: Answers in a row that lag by the same number before it is called a miscount: one may be under way.
SURE_AFTER: Final = 3
#: Stanzas that are named in the log, and characters of their type and id.
LAST: Final = 10
LONGEST: Final = 64


#: What a client might leave out of its count: kinds of stanzas, and what a message is that wraps another one.
_KINDS: Final = {"message": "messages", "presence": "presence", "iq": "iqs"}
_WRAPPERS: Final = {ns.MAM: "archive results", ns.CARBONS: "carbons"}


def _shown(kind: str, group: str, *named: str) -> str:
    """Kind, type and id; of what the server wraps, and gives no id, what it is."""
    wrapped = f"({group})" if group in _WRAPPERS.values() else ""
    return " ".join(filter(None, (kind, *named, wrapped)))


class Recount:
    """What was sent on one session with stream management, by what a client may count wrongly."""

    __slots__ = ("_lag", "_last", "_sent", "_times", "_told", "again", "nonzas")

    def __init__(self) -> None:
        self._sent = dict.fromkeys((*_KINDS.values(), *_WRAPPERS.values()), 0)
        self._last: deque[tuple[str, str, str, str]] = deque(maxlen=LAST)
        self._lag = self._times = 0
        self._told = False
        #: Nonzas of stream management, and stanzas sent again, which nobody must count.
        self.nonzas = self.again = 0

    def sent(self, stanza: Stanza) -> None:
        """A stanza was numbered."""
        kind, children, attrs = stanza.kind, stanza.children, stanza.attrs
        group = _KINDS[kind]
        if children and kind == "message":
            group = _WRAPPERS.get(children[0][0], group)
        self._sent[group] += 1
        # Attributes may be as long as stanzas, and these stay in memory.
        self._last.append((kind, group, attrs.get("type", "")[:LONGEST], attrs.get("id", "")[:LONGEST]))

    def answered(self, who: str, h: int, asked_at: int) -> None:
        """The client has answered an ``<r/>``.

        :param who: the session, for the log.
        :param asked_at: stanzas sent when it was asked.
        """
        lag = (asked_at - h) % MODULUS
        if not lag or lag > MODULUS >> 1:
            self._lag = self._times = 0
            return
        self._times = self._times + 1 if lag == self._lag else 1
        self._lag = lag
        if self._times >= SURE_AFTER:
            self._tell(who, f"{lag} fewer than were sent (h {h}, sent {asked_at})", self._too_few(lag))

    def too_high(self, who: str, h: int, sent: int) -> None:
        """The client has acknowledged more than was sent."""
        ahead = (h - sent) % MODULUS
        self._tell(who, f"{ahead} more than were sent (h {h}, sent {sent})", self._too_many(ahead))

    def _too_few(self, lag: int) -> Iterator[str]:
        for group, number in self._sent.items():
            if number == lag:
                yield f"it ignores {group}"
        if lag == 1:
            yield "it is off by one after resumption" if self.again else "it is off by one"

    def _too_many(self, ahead: int) -> Iterator[str]:
        if ahead == self.nonzas:
            yield "it counts nonzas"
        if self.again and ahead == self.again:
            yield "it counts again what was sent again"
        if ahead == 1:
            yield "it is off by one"

    def _tell(self, who: str, what: str, guesses: Iterator[str]) -> None:
        if self._told:
            return
        self._told = True
        _log.warn(
            "{session}: the client miscounts: it acknowledges {what}."
            " The last stanzas: {last}. Guesses: {guesses}.",
            session=who,
            what=what,
            last=", ".join(_shown(*each) for each in self._last) or "none",
            guesses="; ".join(guesses) or "none",
        )
