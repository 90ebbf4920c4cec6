"""Fairness: what takes the database long keeps neither logins nor other archives waiting."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from xmppd.core import ns
from xmppd.modules.retraction import MOST_WAITING
from xmppd.testing import Client, InProcessServer

SLOW = ("archive page", "search", "retracted message")


class SlowQuestions(TestCase):
    def setUp(self) -> None:
        self.world = InProcessServer()
        self.addCleanup(self.world.stop)
        for name in ("alice", "bob", "carol"):
            self.world.add_user(f"{name}@localhost")
        #: Questions that are under way, by name and account.
        self.under_way: list[tuple[str, int, Deferred[None]]] = []
        read = self.world.database.read

        async def slow(name: str, function: Any, /, *args: Any) -> Any:
            if name in SLOW:
                turn: Deferred[None] = Deferred()
                self.under_way.append((name, args[0], turn))
                await turn
            return await read(name, function, *args)

        self.patch(self.world.database, "read", slow)
        self.addCleanup(self.answer_all)

    def answer_all(self) -> None:
        while self.under_way:
            self.under_way.pop(0)[2].callback(None)
            self.world.settle()

    def ask(self, client: Client, number: int) -> None:
        client.send(f"<iq type='set' id='q{number}'><query xmlns='{ns.MAM}'/></iq>")

    def test_archives_in_turn(self) -> None:
        alice, more, bob = (
            self.world.login(f"{name}@localhost/{name}") for name in ("alice", "alice", "bob")
        )
        for number in range(3):
            self.ask(alice, number)
            self.ask(more, number)
        self.assertEqual(len(self.under_way), 1)
        self.ask(bob, 0)
        self.assertEqual([account for _, account, _ in self.under_way], [1, 2])

    def test_one_connection_is_left_to_all_else(self) -> None:
        for name in ("alice", "bob", "carol"):
            self.ask(self.world.login(f"{name}@localhost/x"), 0)
        self.assertEqual(len(self.under_way), 2)

    def test_retractions(self) -> None:
        """Each looks at a thousand messages; of a flood of them some are not followed."""
        alice = self.world.login("alice@localhost/x")
        retract = f"<retract xmlns='{ns.RETRACT}' id='m'/><store xmlns='{ns.HINTS}'/>"
        for number in range(MOST_WAITING + 20):
            alice.send(f"<message type='chat' id='r{number}' to='alice@localhost'>{retract}</message>")
        self.assertEqual(len(self.under_way), 1)
        self.assertEqual(self.world.database.lane.waiting((1, "alice@localhost")), MOST_WAITING)
