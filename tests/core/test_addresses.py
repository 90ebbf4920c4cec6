"""Lists of addresses: right, and given up to others where they take long."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from xmppd.core import addresses
from xmppd.core.addresses import LONGEST, parse_all
from xmppd.core.jid import JID, InvalidJID


class ParseAllTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.parsed: list[str] = []
        parse = JID.parse

        class Slow(JID):
            """Each takes more than half of the time."""

            @staticmethod
            def parse(text: str) -> JID:
                self.parsed.append(text)
                self.clock.rightNow += 0.6 * LONGEST
                return parse(text)

        self.patch(addresses, "JID", Slow)

    def begin(self, *texts: str) -> Deferred[list[JID]]:
        return Deferred.fromCoroutine(parse_all(texts, self.clock))

    def test_others_have_their_turn(self) -> None:
        """Parser CPU: 256 KiB of addresses can take a second."""
        first, second = self.begin("A@b", "c@b", "d@b"), self.begin("e@b", "f@b", "g@b")
        self.assertEqual(self.parsed, ["A@b", "c@b", "e@b", "f@b"])
        self.clock.advance(0)
        self.assertEqual(self.parsed[4:], ["d@b", "g@b"])
        self.assertEqual([jid.text for jid in self.successResultOf(first)], ["a@b", "c@b", "d@b"])
        self.assertEqual([jid.text for jid in self.successResultOf(second)], ["e@b", "f@b", "g@b"])

    def test_what_is_none(self) -> None:
        running = self.begin("a@b", "b@c", "@", "d@b")
        self.clock.advance(0)
        self.failureResultOf(running, InvalidJID)
        self.assertEqual(self.parsed, ["a@b", "b@c", "@"])
