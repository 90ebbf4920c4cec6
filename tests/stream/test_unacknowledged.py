"""What a client has been sent and has not acknowledged: numbers, bounds, and what is left."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.core.stanza import Stanza
from xmppd.stream.ledger import MODULUS
from xmppd.stream.unacknowledged import Sent, TooHigh, Unacknowledged


def message(number: int | str = 0) -> Stanza:
    return Stanza("message", {"id": str(number)})


def queue(*numbers: int, start: int = 0, rows: bool = False) -> Unacknowledged:
    """With messages of these numbers; if wanted, these are their rows in the archive as well."""
    made = Unacknowledged(start)
    add(made, *numbers, rows=rows)
    return made


def add(to: Unacknowledged, *numbers: int, rows: bool = False) -> None:
    for number in numbers:
        to.add(message(number), number if rows else None, 12.5)


class NumbersTests(unittest.SynchronousTestCase):
    def test_too_high(self) -> None:
        """SM S14"""
        sent = queue(1, 2)
        self.assertTrue(sent.can_acknowledge(2))
        self.assertFalse(sent.can_acknowledge(3))
        problem = self.assertRaises(TooHigh, sent.acknowledge, 3)
        self.assertEqual((problem.h, problem.sent), (3, 2))

    def test_lower_than_before_is_too_high(self) -> None:
        """SM S14: h < last h is the same thing mod 2**32"""
        sent = queue(1, 2)
        sent.acknowledge(2)
        self.assertRaises(TooHigh, sent.acknowledge, 1)

    def test_wrap(self) -> None:
        """SM S8"""
        sent = queue(1, 2, 3, 4, start=MODULUS - 2)
        self.assertEqual(sent.sent, 2)
        sent.acknowledge(MODULUS - 1)
        self.assertEqual(len(sent), 3)
        sent.acknowledge(1)
        self.assertEqual(len(sent), 1)
        self.assertRaises(TooHigh, sent.acknowledge, 3)

    def test_what_is_left_is_taken_once(self) -> None:
        sent = queue(1, 2, rows=True)
        sent.acknowledge(1)
        (left,) = sent.take()
        self.assertEqual((left.row, left.at), (2, 12.5))
        self.assertEqual((sent.take(), len(sent)), ([], 0))

    def test_restored(self) -> None:
        sent = Unacknowledged(8, [Sent(None, 5, 1.0), Sent(message(6), None, 2.0)])
        self.assertEqual(sent.missing_rows(), [5])
        self.assertEqual(sent.kept, 1)
        self.assertEqual(sent.acknowledge(8), [5])

    def test_oldest(self) -> None:
        sent = queue()
        self.assertIs(sent.oldest, None)
        add(sent, 1, 2, rows=True)
        self.assertEqual(sent.oldest and sent.oldest.row, 1)


class BoundsTests(unittest.SynchronousTestCase):
    def test_archived_entries_give_up_their_bytes(self) -> None:
        """SM S18: beyond the bound, what is in the archive keeps its position"""
        sent = queue(1, 2, rows=True)
        add(sent, 3)
        self.assertTrue(sent.fits(3, 1000))
        self.assertEqual(sent.missing_rows(), [])
        self.assertTrue(sent.fits(2, 1000))
        self.assertEqual(sent.missing_rows(), [1, 2])
        self.assertEqual((sent.acknowledge(1), sent.missing_rows()), ([1], [2]))

    def test_too_much_that_is_not_archived(self) -> None:
        sent = queue(1, 2, 3)
        self.assertFalse(sent.fits(2, 1000))
        self.assertFalse(sent.fits(3, 10))

    def test_room_for_one_is_made_among_the_last(self) -> None:
        """SM S18: of a long queue only what is new is looked at"""
        sent = queue(0)
        for number in range(1, 200):
            add(sent, number, rows=True)
            self.assertTrue(sent.fits(2, 1000))
            self.assertEqual(sent.missing_rows(), list(range(1, number + 1 - number % 2)))
        sent.acknowledge(100)
        add(sent, 200, 201, rows=True)
        self.assertTrue(sent.fits(0, 0))
        self.assertEqual(sent.missing_rows(), list(range(100, 202)))

    def test_trimmed_entries_still_count(self) -> None:
        """SM S18: acknowledgements go on, and confirm what they confirmed"""
        sent = queue(1, 2, 3, 4, rows=True)
        sent.trim(2, 1000, 3)
        self.assertEqual((sent.kept, len(sent), len(sent.entries)), (2, 4, 3))
        self.assertEqual(sent.acknowledge(3), [1, 2, 3])
        self.assertEqual((len(sent), len(sent.dropped or ())), (1, 0))
        self.assertRaises(TooHigh, sent.acknowledge, 5)

    def test_trimming_looks_at_what_is_new(self) -> None:
        """SM S18: it went through thousands of positions with each stanza, to find the one with bytes"""
        sent = queue(*range(1, 1000), rows=True)
        sent.trim(2, 1000, 2000)
        looked: list[int] = []
        let_go = sent._let_go
        self.patch(Unacknowledged, "_let_go", lambda _, place: (looked.append(place), let_go(place))[1])
        for number in range(1000, 1100):
            add(sent, number, rows=True)
            sent.trim(2, 1000, 1000)
            self.assertEqual(sent.kept, 2)
        self.assertLessEqual(len(looked), 100)

    @given(
        st.integers(0, MODULUS - 1),
        st.lists(st.one_of(st.just("send"), st.integers(0, 6), st.just("fit"), st.just("trim")), max_size=40),
    )
    def test_any_conversation(self, start: int, steps: list[Any]) -> None:
        """SM: whatever is sent, acknowledged, left to the archive or trimmed, the count is right"""
        queue = Unacknowledged(start)
        sent = acked = 0
        confirmed: list[int] = []
        for step in steps:
            if step == "send":
                sent += 1
                queue.add(message(sent), sent if sent % 2 else None, 0.0)
            elif step == "fit":
                queue.fits(2, 1000)
            elif step == "trim":
                queue.trim(3, 1000, 5)
            elif acked + step <= sent:
                acked += step
                confirmed += queue.acknowledge((start + acked) % MODULUS)
            else:
                self.assertFalse(queue.can_acknowledge((start + acked + step) % MODULUS))
            self.assertEqual(queue.sent, (start + sent) % MODULUS)
            self.assertEqual(len(queue), sent - acked)
            in_memory = [entry.stanza for entry in queue.entries if entry.stanza is not None]
            self.assertEqual(queue.kept, len(in_memory))
            self.assertEqual(queue.kept_bytes, sum(len(stanza.wire) for stanza in in_memory))
            self.assertEqual(confirmed, list(range(1, acked + 1, 2)))
