"""The states of a presence subscription, and what changes them: tables of RFC 6121, appendix A.

A state is seen from the user's side.  It is a sum of flags, so that a roster keeps a small integer for each
contact.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza

__all__ = [
    "APPROVED",
    "BOTH",
    "FROM",
    "FROM_OUT",
    "NONE",
    "NONE_APPROVED",
    "NONE_IN",
    "NONE_OUT",
    "NONE_OUT_IN",
    "OUT_APPROVED",
    "PENDING_IN",
    "PENDING_OUT",
    "STATES",
    "TO",
    "TO_APPROVED",
    "TO_IN",
    "TYPES",
    "Step",
    "answer_to_probe",
    "inbound",
    "outbound",
    "refusal_of_probe",
    "subscription",
]

#: The user sees the contact's presence.
TO: Final = 1
#: The contact sees the user's presence.
FROM: Final = 2
#: The user has asked the contact, who has not answered.
PENDING_OUT: Final = 4
#: The contact has asked the user, who has not answered.
PENDING_IN: Final = 8
#: The user has said yes to a request that has not come yet (section 3.4).
APPROVED: Final = 16

NONE: Final = 0
NONE_OUT: Final = PENDING_OUT
NONE_IN: Final = PENDING_IN
NONE_OUT_IN: Final = PENDING_OUT | PENDING_IN
TO_IN: Final = TO | PENDING_IN
FROM_OUT: Final = FROM | PENDING_OUT
BOTH: Final = TO | FROM
# Approval in advance makes three more of the nine states: it ends with the request that it answers.
NONE_APPROVED: Final = APPROVED
OUT_APPROVED: Final = PENDING_OUT | APPROVED
TO_APPROVED: Final = TO | APPROVED

#: All states that there are.
STATES: Final = (
    NONE,
    NONE_OUT,
    NONE_IN,
    NONE_OUT_IN,
    TO,
    TO_IN,
    FROM,
    FROM_OUT,
    BOTH,
    NONE_APPROVED,
    OUT_APPROVED,
    TO_APPROVED,
)

#: The types of presence that change a subscription, in the order of the columns below.
TYPES: Final = ("subscribe", "unsubscribe", "subscribed", "unsubscribed")


class Step(NamedTuple):
    """What a stanza does.

    :ivar state: the state after it.
    :ivar passes: whether it goes on to the contact (outbound) or to the user's clients (inbound).
    :ivar answer: the type of presence that the server returns to the contact on behalf of the user, or None.
    """

    state: int
    passes: bool
    answer: str | None = None


def _go(state: int) -> Step:
    return Step(state, True)


def _stop(state: int) -> Step:
    return Step(state, False)


def _yes(state: int) -> Step:
    """A request that is granted without asking the user."""
    return Step(state, False, "subscribed")


def _end(state: int) -> Step:
    """The end of a subscription.  That of a request is not confirmed: strangers would learn who exists."""
    return Step(state, True, "unsubscribed")


# Tables 2 to 5.  Columns: what the user sends.
# fmt: off
_OUTBOUND: Final = {
    #                 subscribe          unsubscribe         subscribed            unsubscribed
    NONE:           (_go(NONE_OUT),     _go(NONE),          _stop(NONE_APPROVED), _stop(NONE)),
    NONE_OUT:       (_go(NONE_OUT),     _go(NONE),          _stop(OUT_APPROVED),  _stop(NONE_OUT)),
    NONE_IN:        (_go(NONE_OUT_IN),  _go(NONE_IN),       _go(FROM),            _go(NONE)),
    NONE_OUT_IN:    (_go(NONE_OUT_IN),  _go(NONE_IN),       _go(FROM_OUT),        _go(NONE_OUT)),
    TO:             (_go(TO),           _go(NONE),          _stop(TO_APPROVED),   _stop(TO)),
    TO_IN:          (_go(TO_IN),        _go(NONE_IN),       _go(BOTH),            _go(TO)),
    FROM:           (_go(FROM_OUT),     _go(FROM),          _stop(FROM),          _go(NONE)),
    FROM_OUT:       (_go(FROM_OUT),     _go(FROM),          _stop(FROM_OUT),      _go(NONE_OUT)),
    BOTH:           (_go(BOTH),         _go(FROM),          _stop(BOTH),          _go(TO)),
    NONE_APPROVED:  (_go(OUT_APPROVED), _go(NONE_APPROVED), _stop(NONE_APPROVED), _stop(NONE)),
    OUT_APPROVED:   (_go(OUT_APPROVED), _go(NONE_APPROVED), _stop(OUT_APPROVED),  _stop(NONE_OUT)),
    TO_APPROVED:    (_go(TO_APPROVED),  _go(NONE_APPROVED), _stop(TO_APPROVED),   _stop(TO)),
}
# fmt: on

# Tables 6 to 9.  Columns: what the contact sends.
# fmt: off
_INBOUND: Final = {
    #                 subscribe           unsubscribe           subscribed            unsubscribed
    NONE:           (_go(NONE_IN),       _stop(NONE),          _stop(NONE),          _stop(NONE)),
    NONE_OUT:       (_go(NONE_OUT_IN),   _stop(NONE_OUT),      _go(TO),              _go(NONE)),
    NONE_IN:        (_stop(NONE_IN),     _go(NONE),            _stop(NONE_IN),       _stop(NONE_IN)),
    NONE_OUT_IN:    (_stop(NONE_OUT_IN), _go(NONE_OUT),        _go(TO_IN),           _go(NONE_IN)),
    TO:             (_go(TO_IN),         _stop(TO),            _stop(TO),            _go(NONE)),
    TO_IN:          (_stop(TO_IN),       _go(TO),              _stop(TO_IN),         _go(NONE_IN)),
    FROM:           (_yes(FROM),         _end(NONE),           _stop(FROM),          _stop(FROM)),
    FROM_OUT:       (_yes(FROM_OUT),     _end(NONE_OUT),       _go(BOTH),            _go(FROM)),
    BOTH:           (_yes(BOTH),         _end(TO),             _stop(BOTH),          _go(FROM)),
    NONE_APPROVED:  (_yes(FROM),         _stop(NONE_APPROVED), _stop(NONE_APPROVED), _stop(NONE_APPROVED)),
    OUT_APPROVED:   (_yes(FROM_OUT),     _stop(OUT_APPROVED),  _go(TO_APPROVED),     _go(NONE_APPROVED)),
    TO_APPROVED:    (_yes(BOTH),         _stop(TO_APPROVED),   _stop(TO_APPROVED),   _go(NONE_APPROVED)),
}
# fmt: on


def outbound(state: int, kind: str) -> Step:
    """What it does that the user sends presence of a type in `TYPES` to the contact (appendix A.2)."""
    return _OUTBOUND[state][TYPES.index(kind)]


def inbound(state: int, kind: str) -> Step:
    """What it does that the contact sends presence of a type in `TYPES` to the user (appendix A.3)."""
    return _INBOUND[state][TYPES.index(kind)]


def subscription(state: int) -> str:
    """The ``subscription`` attribute of a roster item in that state."""
    return ("none", "to", "from", "both")[state & BOTH]


def answer_to_probe(probe: Stanza, kind: str, sender: JID, to: JID) -> Stanza:
    """Presence of a type that answers a probe where there is nobody's presence to show (section 4.3.2.1)."""
    attrs = {"type": kind} if probe.id is None else {"type": kind, "id": probe.id}
    return Stanza("presence", attrs, to=to, sender=sender)


def refusal_of_probe(probe: Stanza) -> Stanza:
    """What a probe gets from an account that the prober has no subscription to, and from no account at all.

    It ends the subscription where the prober's server still believes in one (section 4.3.2).
    """
    assert probe.to is not None
    assert probe.sender is not None
    return answer_to_probe(probe, "unsubscribed", probe.to.bare, probe.sender.bare)
