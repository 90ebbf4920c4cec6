"""The subscription states, against the tables of RFC 6121, appendix A."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from xmppd.core import subscriptions as s

NAMES = {
    "None": s.NONE,
    "None + Pending Out": s.NONE_OUT,
    "None + Pending In": s.NONE_IN,
    "None + Pending Out+In": s.NONE_OUT_IN,
    "To": s.TO,
    "To + Pending In": s.TO_IN,
    "From": s.FROM,
    "From + Pending Out": s.FROM_OUT,
    "Both": s.BOTH,
}

# The existing state; whether the stanza is routed or delivered; the new state, empty where it stays.
OUTBOUND = {
    "subscribe": """
        None                  | yes | None + Pending Out
        None + Pending Out    | yes |
        None + Pending In     | yes | None + Pending Out+In
        None + Pending Out+In | yes |
        To                    | yes |
        To + Pending In       | yes |
        From                  | yes | From + Pending Out
        From + Pending Out    | yes |
        Both                  | yes |
    """,
    "unsubscribe": """
        None                  | yes |
        None + Pending Out    | yes | None
        None + Pending In     | yes |
        None + Pending Out+In | yes | None + Pending In
        To                    | yes | None
        To + Pending In       | yes | None + Pending In
        From                  | yes |
        From + Pending Out    | yes | From
        Both                  | yes | From
    """,
    "subscribed": """
        None                  | no  | approved
        None + Pending Out    | no  | approved
        None + Pending In     | yes | From
        None + Pending Out+In | yes | From + Pending Out
        To                    | no  | approved
        To + Pending In       | yes | Both
        From                  | no  |
        From + Pending Out    | no  |
        Both                  | no  |
    """,
    "unsubscribed": """
        None                  | no  |
        None + Pending Out    | no  |
        None + Pending In     | yes | None
        None + Pending Out+In | yes | None + Pending Out
        To                    | no  |
        To + Pending In       | yes | To
        From                  | yes | None
        From + Pending Out    | yes | None + Pending Out
        Both                  | yes | To
    """,
}
INBOUND = {
    "subscribe": """
        None                  | yes | None + Pending In
        None + Pending Out    | yes | None + Pending Out+In
        None + Pending In     | no  |
        None + Pending Out+In | no  |
        To                    | yes | To + Pending In
        To + Pending In       | no  |
        From                  | no  | | subscribed
        From + Pending Out    | no  | | subscribed
        Both                  | no  | | subscribed
    """,
    # The RFC confirms the end of a request too, and in section 3.3.3 it does not; we do not.
    "unsubscribe": """
        None                  | no  |
        None + Pending Out    | no  |
        None + Pending In     | yes | None
        None + Pending Out+In | yes | None + Pending Out
        To                    | no  |
        To + Pending In       | yes | To
        From                  | yes | None               | unsubscribed
        From + Pending Out    | yes | None + Pending Out | unsubscribed
        Both                  | yes | To                 | unsubscribed
    """,
    "subscribed": """
        None                  | no  |
        None + Pending Out    | yes | To
        None + Pending In     | no  |
        None + Pending Out+In | yes | To + Pending In
        To                    | no  |
        To + Pending In       | no  |
        From                  | no  |
        From + Pending Out    | yes | Both
        Both                  | no  |
    """,
    "unsubscribed": """
        None                  | no  |
        None + Pending Out    | yes | None
        None + Pending In     | no  |
        None + Pending Out+In | yes | None + Pending In
        To                    | yes | None
        To + Pending In       | yes | None + Pending In
        From                  | no  |
        From + Pending Out    | yes | From
        Both                  | yes | From
    """,
}
# Section 3.4: what an approval in advance changes in the rows above.
APPROVED_OUTBOUND = {
    "subscribe": {s.NONE: (True, s.NONE_OUT), s.NONE_OUT: (True, s.NONE_OUT), s.TO: (True, s.TO)},
    "unsubscribe": {s.NONE: (True, s.NONE), s.NONE_OUT: (True, s.NONE), s.TO: (True, s.NONE)},
    "subscribed": {s.NONE: (False, s.NONE), s.NONE_OUT: (False, s.NONE_OUT), s.TO: (False, s.TO)},
}


def rows(table: str) -> list[tuple[int, s.Step]]:
    """The rows of one of the tables above."""
    found = []
    for line in table.strip().splitlines():
        before, passes, after, *answer = (cell.strip() for cell in line.split("|"))
        state = NAMES[before]
        new = state | s.APPROVED if after == "approved" else NAMES[after or before]
        found.append((state, s.Step(new, passes == "yes", answer[0] if answer else None)))
    return found


class AppendixATests(TestCase):
    def check(self, tables: dict[str, str], step: Callable[[int, str], s.Step]) -> None:
        self.assertEqual(tuple(tables), s.TYPES)
        for kind, table in tables.items():
            self.assertEqual(len(rows(table)), 9)
            for state, expected in rows(table):
                self.assertEqual(step(state, kind), expected, f"{kind} in state {state}")

    def test_outbound(self) -> None:
        self.check(OUTBOUND, s.outbound)

    def test_inbound(self) -> None:
        self.check(INBOUND, s.inbound)


class ApprovalTests(TestCase):
    def test_it_stays_whatever_else_the_user_sends(self) -> None:
        for kind, states in APPROVED_OUTBOUND.items():
            for state, (passes, after) in states.items():
                step = s.outbound(state | s.APPROVED, kind)
                self.assertEqual(step, s.Step(after | s.APPROVED, passes), f"{kind} in state {state}")

    def test_it_is_cancelled_without_a_word_to_the_contact(self) -> None:
        for state in (s.NONE, s.NONE_OUT, s.TO):
            self.assertEqual(s.outbound(state | s.APPROVED, "unsubscribed"), s.Step(state, False))

    def test_it_answers_the_request_and_ends_with_it(self) -> None:
        for state in (s.NONE, s.NONE_OUT, s.TO):
            step = s.inbound(state | s.APPROVED, "subscribe")
            self.assertEqual(step, s.Step(state | s.FROM, False, "subscribed"))

    def test_it_stays_whatever_else_the_contact_sends(self) -> None:
        for kind in ("unsubscribe", "subscribed", "unsubscribed"):
            for state in (s.NONE, s.NONE_OUT, s.TO):
                plain, approved = s.inbound(state, kind), s.inbound(state | s.APPROVED, kind)
                self.assertEqual(approved, plain._replace(state=plain.state | s.APPROVED))


class ClosureTests(TestCase):
    def test_there_are_nine_states_and_three_approved_ones(self) -> None:
        approved = {state | s.APPROVED for state in (s.NONE, s.NONE_OUT, s.TO)}
        self.assertEqual(set(s.STATES), {*NAMES.values(), *approved})
        self.assertEqual(len(s.STATES), 12)

    @given(st.lists(st.tuples(st.sampled_from([s.outbound, s.inbound]), st.sampled_from(s.TYPES))))
    def test_nothing_leads_out_of_them(self, stanzas: list[tuple[Callable[[int, str], s.Step], str]]) -> None:
        state = s.NONE
        for step, kind in stanzas:
            state = step(state, kind).state
            self.assertIn(state, s.STATES)

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from(s.TYPES)), max_size=30))
    def test_two_users_always_agree_who_sees_whom(self, stanzas: list[tuple[bool, str]]) -> None:
        """Whatever two users send each other: one sees the other exactly where the other shows itself."""
        states = [s.NONE, s.NONE]
        for first, kind in stanzas:
            self.send(states, 0 if first else 1, kind)
            self.assertEqual(bool(states[0] & s.TO), bool(states[1] & s.FROM))
            self.assertEqual(bool(states[1] & s.TO), bool(states[0] & s.FROM))

    def send(self, states: list[int], sender: int, kind: str) -> None:
        step = s.outbound(states[sender], kind)
        states[sender] = step.state
        if step.passes:
            self.receive(states, 1 - sender, kind)

    def receive(self, states: list[int], receiver: int, kind: str) -> None:
        step = s.inbound(states[receiver], kind)
        states[receiver] = step.state
        if step.answer:
            self.receive(states, 1 - receiver, step.answer)


class SubscriptionAttributeTests(TestCase):
    def test_of_every_state(self) -> None:
        shown: dict[str, set[int]] = {s.subscription(state): set() for state in s.STATES}
        for state in s.STATES:
            shown[s.subscription(state)].add(state)
        self.assertEqual(shown["both"], {s.BOTH})
        self.assertEqual(shown["from"], {s.FROM, s.FROM_OUT})
        self.assertEqual(shown["to"], {s.TO, s.TO_IN, s.TO_APPROVED})
        self.assertEqual(
            shown["none"], {s.NONE, s.NONE_OUT, s.NONE_IN, s.NONE_OUT_IN, s.NONE_APPROVED, s.OUT_APPROVED}
        )
