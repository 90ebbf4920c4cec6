"""What a stream receives: in order, one after the other, and what passes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial import unittest

from xmppd.core.errors import StreamError
from xmppd.core.stanza import Stanza
from xmppd.stream.inbox import OTHERS, PACE, SLICE, Inbox
from xmppd.xml.parser import Item, Limits, Nonza
from xmppd.xml.reader import ParserPool

HEADER = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>"


class Reading:
    """A transport that is read or not."""

    def __init__(self) -> None:
        self.on = True

    def pauseProducing(self) -> None:
        assert self.on
        self.on = False

    def resumeProducing(self) -> None:
        assert not self.on
        self.on = True


class FakeStream:
    """Notes what is handled; waits for stanzas whose id says so."""

    is_closed = False
    reads_ahead = True

    def __init__(self) -> None:
        self.transport = Reading()
        self.handled: list[str] = []
        self.waiting: list[Deferred[None]] = []
        self.problem: Any = None
        self.clock = Clock()
        self.worked_for: list[float] = []

    def handle(self, item: Item) -> Any:
        name = str(item.id) if isinstance(item, Stanza) else getattr(item, "name", "other")
        self.handled.append(name)
        if name.startswith("slow"):
            self.clock.rightNow += 0.003
        if name.startswith("wait"):
            self.waiting.append(Deferred())
            return self.waiting[-1]
        if name == "done":
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        if name in ("fail", "a"):
            raise ValueError("broken in a test")
        return None

    def passes(self, item: Item) -> bool:
        return isinstance(item, Nonza) and item.name in ("r", "a")

    def comes_again(self, item: Item) -> bool:
        return isinstance(item, Nonza) and item.name == "r"

    def failed(self, failure: Failure) -> None:
        self.problem, self.is_closed = failure.value, True

    def worked(self, seconds: float, now: float) -> None:
        self.worked_for.append(round(seconds, 6))


class InboxTests(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = FakeStream()
        self.clock = self.stream.clock
        self.inbox = Inbox(self.stream, ParserPool(Limits()), self.clock)
        self.inbox.push(HEADER)
        self.inbox.reader.settle(ParserPool(Limits()))
        self.take()

    def take(self) -> list[str]:
        handled, self.stream.handled = self.stream.handled, []
        return handled

    def push(self, *names: str) -> None:
        """Stanzas with these ids; with a bracket: what it says."""
        self.inbox.push("".join(n if n.startswith("<") else f"<iq id='{n}'/>" for n in names).encode())

    def test_in_order(self) -> None:
        self.push("1", "done", "2")
        self.push("3")
        self.assertEqual(self.take(), ["1", "done", "2", "3"])
        self.assertTrue(self.stream.transport.on)

    def test_handler_that_waits(self) -> None:
        """Reading stops only when something comes meanwhile"""
        self.push("wait", "1")
        self.assertTrue(self.stream.transport.on)
        self.push("2")
        self.assertEqual(self.take(), ["wait"])
        self.assertFalse(self.stream.transport.on)
        self.stream.waiting[0].callback(None)
        self.assertEqual(self.take(), ["1", "2"])
        self.assertTrue(self.stream.transport.on)

    def test_one_after_the_other(self) -> None:
        self.push("wait1", "1", "wait2")
        self.push("2")
        self.stream.waiting[0].callback(None)
        self.assertEqual(self.take(), ["wait1", "1", "wait2"])
        self.stream.waiting[1].callback(None)
        self.assertEqual(self.take(), ["2"])

    def test_what_passes(self) -> None:
        """And comes again where it was, because more is to be said then"""
        self.push("wait", "1", "<r xmlns='t'/>", "2")
        self.assertEqual(self.take(), ["wait", "r"])
        self.push("<r xmlns='t'/>")
        self.assertEqual(self.take(), ["r"])
        self.stream.waiting[0].callback(None)
        self.assertEqual(self.take(), ["1", "r", "2", "r"])

    def test_nothing_passes_while_the_meaning_of_bytes_may_change(self) -> None:
        self.stream.reads_ahead = False
        self.push("wait", "<r xmlns='t'/>")
        self.assertEqual(self.take(), ["wait"])
        self.stream.waiting[0].callback(None)
        self.assertEqual(self.take(), ["r"])

    def test_wrong_bytes_come_in_their_turn(self) -> None:
        self.push("wait", "1", "<x></y>")
        self.assertIs(self.stream.problem, None)
        self.stream.waiting[0].callback(None)
        self.assertEqual(self.take(), ["wait", "1"])
        self.assertIsInstance(self.stream.problem, StreamError)

    def test_failures(self) -> None:
        """At once, later, and of what passes: nothing more is handled"""
        self.push("fail", "1")
        self.assertEqual(self.take(), ["fail"])
        self.setUp()
        self.push("wait", "1")
        self.stream.waiting[0].errback(ValueError("broken in a test"))
        self.assertEqual(self.take(), ["wait"])
        self.assertIsInstance(self.stream.problem, ValueError)
        self.setUp()
        self.push("wait", "<a xmlns='t'/>", "1")
        self.stream.reads_ahead = False
        self.stream.waiting[0].callback(None)
        self.assertEqual(self.take(), ["wait", "a"])
        self.assertIsInstance(self.stream.problem, ValueError)

    def test_others_have_their_turn(self) -> None:
        """In order, and nothing passes only because of that"""
        names = [str(number) for number in range(SLICE + 5)]
        self.push(*names, "<r xmlns='t'/>")
        self.assertEqual(self.take(), names[:SLICE])
        self.assertTrue(self.stream.transport.on)
        self.push("last")
        self.assertEqual(self.take(), [])
        self.assertFalse(self.stream.transport.on)
        self.clock.advance(0)
        self.assertEqual(self.take(), [*names[SLICE:], "r", "last"])
        self.assertTrue(self.stream.transport.on)

    def test_slow_items_end_the_turn_sooner(self) -> None:
        """Fairness: what counts is the time that is taken from the others"""
        self.push("slow1", "slow2", "slow3", "4")
        self.assertEqual(self.take(), ["slow1", "slow2"])
        self.clock.advance(0)
        self.assertEqual(self.take(), ["slow3", "4"])
        self.assertTrue(self.stream.transport.on)
        self.assertEqual(self.stream.worked_for[-2:], [0.006, 0.003])

    def test_reasons_not_to_read(self) -> None:
        """The transport reads when there is none left"""
        self.inbox.pause(PACE)
        self.inbox.pause(OTHERS)
        self.inbox.resume(PACE)
        self.assertFalse(self.stream.transport.on)
        self.inbox.resume(OTHERS)
        self.assertTrue(self.stream.transport.on)

    def test_closed(self) -> None:
        """It reads on, for the end of TLS, and handles nothing"""
        self.push("wait", "1")
        self.push("2")
        self.stream.is_closed = True
        self.inbox.close()
        self.assertTrue(self.stream.transport.on)
        self.stream.waiting[0].callback(None)
        self.push("3")
        self.assertEqual(self.take(), ["wait"])

    def test_gone(self) -> None:
        self.push("wait", "1")
        self.inbox.leave()
        self.stream.waiting[0].callback(None)
        self.push("2")
        self.assertEqual(self.take(), ["wait"])
