"""What has been handled of what a client sent."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.core.ticket import NO_TICKET
from xmppd.stream.ledger import MODULUS, Ledger


class LedgerTests(unittest.SynchronousTestCase):
    def test_ticket_without_anything_durable_closes_at_once(self) -> None:
        ledger = Ledger()
        ledger.open().committed()
        self.assertEqual((ledger.received, ledger.handled, ledger.settled), (1, 1, True))

    def test_ticket_waits_for_all_that_holds_it(self) -> None:
        ledger = Ledger()
        ticket = ledger.open()
        ticket.hold()
        ticket.hold()
        ticket.committed()
        ticket.committed()
        self.assertEqual((ledger.received, ledger.handled), (1, 0))
        ticket.failed(ValueError())
        self.assertEqual(ledger.handled, 1)

    def test_order(self) -> None:
        """SM: `h` is the end of the closed tickets in order"""
        ledger = Ledger()
        first, second, third = ledger.open(), ledger.open(), ledger.open()
        third.committed()
        second.committed()
        self.assertEqual(ledger.handled, 0)
        first.committed()
        self.assertEqual(ledger.handled, 3)

    def test_wrap(self) -> None:
        """SM S8"""
        ledger = Ledger(MODULUS - 1)
        ledger.open().committed()
        self.assertEqual((ledger.received, ledger.handled), (0, 0))

    def test_settled_is_told(self) -> None:
        ledger = Ledger()
        told: list[int] = []
        ledger.on_settled = lambda: told.append(ledger.handled)
        first, second = ledger.open(), ledger.open()
        waiting = ledger.when_settled()
        second.committed()
        self.assertEqual(told, [])
        self.assertNoResult(waiting)
        first.committed()
        self.assertEqual(told, [2])
        self.successResultOf(waiting)

    def test_who_no_longer_waits_does_no_harm(self) -> None:
        ledger = Ledger()
        ticket = ledger.open()
        waiting = ledger.when_settled()
        waiting.cancel()
        self.failureResultOf(waiting)
        ticket.committed()
        self.assertTrue(ledger.settled)

    def test_forgotten_tickets_no_longer_count(self) -> None:
        """SM: past the time of a resumption the client sends again what is not durable yet"""
        ledger = Ledger()
        ledger.open().committed()
        late = ledger.open()
        waiting = ledger.when_settled()
        ledger.forget_open()
        self.successResultOf(waiting)
        self.assertEqual((ledger.received, ledger.handled, ledger.settled), (1, 1, True))
        again = ledger.open()
        late.committed()
        self.assertEqual(ledger.handled, 1)
        again.committed()
        self.assertEqual(ledger.handled, 2)

    def test_moved(self) -> None:
        ledger = Ledger(7)
        self.assertFalse(ledger.moved())
        ledger.open().committed()
        self.assertEqual((ledger.moved(), ledger.moved()), (True, False))

    def test_what_nobody_counts(self) -> None:
        NO_TICKET.hold()
        NO_TICKET.committed()
        NO_TICKET.failed(ValueError())

    @given(st.integers(0, MODULUS - 1), st.lists(st.integers(0, 3), max_size=12), st.randoms())
    def test_any_order_of_commits(self, start: int, holds: list[int], random: Random) -> None:
        """SM: whatever is durable first, `h` never passes a ticket that is open"""
        ledger = Ledger(start)
        tickets = [ledger.open() for _ in holds]
        todo = [number for number, more in enumerate(holds) for _ in range(more + 1)]
        for number, more in enumerate(holds):
            for _ in range(more):
                tickets[number].hold()
        random.shuffle(todo)
        left = [more + 1 for more in holds]
        for number in todo:
            tickets[number].committed()
            left[number] -= 1
            closed = next((place for place, open_ in enumerate(left) if open_), len(left))
            self.assertEqual(ledger.handled, (start + closed) % MODULUS)
        self.assertTrue(ledger.settled)
