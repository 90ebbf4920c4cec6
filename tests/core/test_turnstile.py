from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from xmppd.core.turnstile import Turnstile


class Turns(Clock):
    """A clock that can make a single turn, as a reactor does: what is asked for meanwhile comes later."""

    def turn(self) -> None:
        due, self.calls = self.calls, []
        for call in due:
            call.called = 1
            call.func(*call.args, **call.kw)


class TurnstileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.turnstile = Turnstile(self.clock)
        self.through: list[str] = []

    def enter(self, name: str) -> None:
        async def go() -> None:
            await self.turnstile.turn()
            self.through.append(name)

        Deferred.fromCoroutine(go())

    def test_the_first_does_not_wait(self) -> None:
        self.enter("a")
        self.assertEqual(self.through, ["a"])

    def test_one_a_turn_in_order(self) -> None:
        for name in "abc":
            self.enter(name)
        self.assertEqual(self.through, ["a"])
        self.clock.turn()
        self.assertEqual(self.through, ["a", "b"])
        self.enter("d")
        self.assertEqual(self.through, ["a", "b"])
        self.clock.turn()
        self.clock.turn()
        self.assertEqual(self.through, ["a", "b", "c", "d"])

    def test_who_comes_in_a_later_turn_does_not_wait(self) -> None:
        self.enter("a")
        self.clock.turn()
        self.enter("b")
        self.assertEqual(self.through, ["a", "b"])
        self.clock.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])
