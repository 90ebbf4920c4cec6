"""The one place that numbers, queues and writes stanzas."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from xmppd.core.account import Account
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.stream.ledger import MODULUS
from xmppd.stream.outbox import AT_ONCE, Outbox
from xmppd.stream.session import ClientSession
from xmppd.stream.turns import Turns
from xmppd.stream.unacknowledged import Unacknowledged


def message(number: int | str = 0) -> Stanza:
    return Stanza("message", {"id": str(number)})


class Wire:
    """A framer that remembers."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.overflows = 0

    def write(self, frames: list[bytes]) -> None:
        self.writes.append(b"".join(frames))

    def overflowed(self) -> None:
        self.overflows += 1


class OutboxCase(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.confirmed: list[int] = []
        self.outbox = Outbox(Turns(self.clock), lambda: 12.5, write_buffer=100)
        self.outbox.confirm = self.confirmed.extend
        self.wire = Wire()
        self.outbox.attach(self.wire)

    @property
    def queue(self) -> Unacknowledged:
        assert self.outbox.queue is not None
        return self.outbox.queue

    def turn(self) -> list[bytes]:
        """End a turn of the reactor; what was written."""
        self.clock.advance(0)
        writes, self.wire.writes = self.wire.writes, []
        return writes


class WritingTests(OutboxCase):
    def test_one_write_a_turn(self) -> None:
        self.outbox.send(message(1))
        self.outbox.nonza(b"<r/>")
        self.outbox.send(message(2))
        self.assertEqual(self.wire.writes, [])
        self.assertEqual(self.turn(), [b"<message id='1'/><r/><message id='2'/>"])
        self.assertEqual(self.turn(), [])

    def test_turns_share_one_call(self) -> None:
        """However many streams write, the reactor is asked once"""
        turns = Turns(self.clock)
        called: list[int] = []
        turns.at_end(lambda: called.append(1))
        turns.at_end(lambda: called.append(2))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(called, [1, 2])

    def test_one_that_fails_harms_no_other(self) -> None:
        turns = Turns(self.clock)
        called: list[int] = []
        turns.at_end(lambda: called.append(1))
        turns.at_end(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
        turns.at_end(lambda: called.append(2))
        self.clock.advance(0)
        self.assertEqual(called, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_much_is_written_before_the_turn_is_over(self) -> None:
        """Slow readers and floods: else nothing would bound what one turn collects."""
        self.outbox.nonza(b"x" * AT_ONCE)
        self.assertEqual(self.wire.writes, [])
        self.outbox.nonza(b"y")
        self.assertEqual(self.wire.writes, [b"x" * AT_ONCE + b"y"])
        self.outbox.nonza(b"z")
        self.assertEqual(self.turn(), [b"x" * AT_ONCE + b"y", b"z"])

    def test_full_transport_gets_nothing(self) -> None:
        self.outbox.block()
        self.outbox.send(message(1))
        self.assertEqual(self.turn(), [])
        self.assertEqual(self.outbox.pending_bytes, len(b"<message id='1'/>"))
        self.outbox.unblock()
        self.assertEqual(self.wire.writes, [b"<message id='1'/>"])

    def test_client_that_does_not_read(self) -> None:
        self.outbox.block()
        for number in range(20):
            self.outbox.send(message(number))
        self.assertEqual(self.wire.overflows, 1)
        self.assertEqual(self.outbox.pending_bytes, 0)

    def test_room(self) -> None:
        self.assertIs(self.outbox.room(), None)
        self.outbox.block()
        waiting: Any = self.outbox.room()
        self.assertNoResult(waiting)
        self.outbox.unblock()
        self.successResultOf(waiting)

    def test_one_after_the_other_where_there_is_room(self) -> None:
        session = ClientSession(JID.parse("a@b/c"), Account(1, JID.parse("a@b"), None), self.outbox, 0.0)
        done: list[int] = []

        async def write(number: int) -> None:
            await session.room()
            self.outbox.block()
            done.append(number)

        self.outbox.block()
        for number in range(3):
            Deferred.fromCoroutine(write(number))
        for number in range(3):
            self.outbox.unblock()
            self.assertEqual(done, list(range(number + 1)))

    def test_nobody_waits_for_a_connection_that_is_gone(self) -> None:
        self.outbox.block()
        waiting: Any = self.outbox.room()
        self.outbox.detach()
        self.successResultOf(waiting)
        self.assertIs(self.outbox.room(), None)

    def test_without_connection_nothing_is_kept_to_be_written(self) -> None:
        self.outbox.detach()
        self.outbox.send(message(1))
        self.outbox.attach(self.wire)
        self.assertEqual(self.turn(), [])

    def test_what_is_held_comes_behind_what_was_waited_for(self) -> None:
        """SASL2: <success/> comes first"""
        self.outbox.hold()
        self.outbox.send(message(1))
        self.assertEqual(self.turn(), [])
        self.outbox.release(b"<success/>")
        self.assertEqual(self.wire.writes, [b"<success/><message id='1'/>"])


class ConfirmationTests(OutboxCase):
    """Without stream management the next byte of the client confirms what was written before."""

    def test_next_byte(self) -> None:
        self.outbox.send(message(), 7)
        self.outbox.heard()
        self.assertEqual(self.confirmed, [])
        self.turn()
        self.outbox.heard()
        self.assertEqual(self.confirmed, [7])
        self.outbox.heard()
        self.assertEqual(self.confirmed, [7])

    def test_what_the_transport_has_not_taken(self) -> None:
        self.outbox.block()
        self.outbox.send(message(), 7)
        self.turn()
        self.outbox.heard()
        self.assertEqual(self.confirmed, [])

    def test_what_the_client_does_not_read(self) -> None:
        """What stands in the buffers of a transport that is full has not arrived"""
        self.outbox.send(message(), 7)
        self.turn()
        self.outbox.block()
        self.outbox.heard()
        self.assertEqual(self.confirmed, [])
        self.outbox.unblock()
        self.outbox.heard()
        self.assertEqual(self.confirmed, [7])

    def test_whoever_waits_for_it_is_told_once(self) -> None:
        told: list[int] = []
        self.outbox.send(message())
        self.outbox.then(lambda: told.append(1))
        self.outbox.heard()
        self.assertEqual(told, [])
        self.turn()
        self.outbox.block()
        self.outbox.heard()
        self.assertEqual(told, [])
        self.outbox.unblock()
        self.outbox.heard()
        self.outbox.heard()
        self.assertEqual(told, [1])

    def test_dead_session_confirms_nothing(self) -> None:
        self.outbox.send(message(), 7)
        self.turn()
        self.assertEqual(self.outbox.take_unacknowledged(), [])
        self.outbox.heard()
        self.assertEqual(self.confirmed, [])

    def test_bytes_of_another_connection(self) -> None:
        """What was sent before counting began, and never confirmed, gets a number and is sent again"""
        self.outbox.send(message(), 7)
        self.turn()
        self.outbox.block()
        self.outbox.send(message(), 8)
        self.outbox.count()
        self.outbox.send(message(), 9)
        self.outbox.detach()
        self.outbox.attach(self.wire)
        self.outbox.heard()
        self.assertEqual(self.confirmed, [])
        self.assertEqual((self.queue.sent, self.queue.missing_rows()), (3, [7, 8]))
        self.outbox.acknowledged(3)
        self.assertEqual(self.confirmed, [9, 7, 8])


class CountingTests(OutboxCase):
    """With stream management."""

    def send(self, *numbers: int, rows: bool = False) -> None:
        for number in numbers:
            self.outbox.send(message(number), number if rows else None)

    def test_only_stanzas_count(self) -> None:
        """SM: nonzas and what was sent before are not counted"""
        self.send(1)
        self.outbox.count()
        self.outbox.nonza(b"<r/>")
        self.send(2, 3)
        self.assertEqual((self.queue.sent, len(self.queue)), (2, 2))

    def test_acknowledgement(self) -> None:
        self.outbox.count()
        self.send(1, 2, 3, rows=True)
        self.turn()
        self.outbox.heard()
        self.assertEqual(self.confirmed, [])
        self.outbox.acknowledged(2)
        self.assertEqual(self.confirmed, [1, 2])
        self.outbox.acknowledged(2)
        self.assertEqual((self.confirmed, len(self.queue)), ([1, 2], 1))

    def test_whoever_waits_for_an_acknowledgement_is_told_once(self) -> None:
        """SM S8: also where the counter wraps; of several the last one counts"""
        told: list[int] = []
        self.outbox.count(MODULUS - 2)
        self.send(1, 2)
        self.outbox.then(lambda: told.append(1))
        self.send(3)
        self.outbox.then(lambda: told.append(2))
        self.send(4)
        self.turn()
        self.outbox.heard()
        self.outbox.acknowledged(0)
        self.assertEqual(told, [])
        self.outbox.acknowledged(1)
        self.outbox.acknowledged(2)
        self.assertEqual(told, [2])

    def test_rewriting_counts_nothing(self) -> None:
        """SM: retransmission is not counted again and not queued again"""
        self.outbox.count()
        self.send(1, 2)
        self.outbox.detach()
        self.send(3)
        self.outbox.attach(self.wire)
        self.queue.begin_again()
        self.send(4)
        self.assertEqual((self.queue.written, self.turn()), (0, []))
        while entries := self.queue.next_unsent(3):
            self.outbox.send_again([entry.stanza.wire for entry in entries if entry.stanza])
        self.assertEqual((self.queue.written, self.queue.unsent), (4, 0))
        (written,) = self.turn()
        self.assertEqual(written, b"".join(b"<message id='%d'/>" % number for number in (1, 2, 3, 4)))
        self.assertEqual((self.queue.sent, len(self.queue)), (4, 4))
