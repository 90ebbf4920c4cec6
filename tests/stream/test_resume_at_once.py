"""A resumption with a full queue is one write, not one a stanza."""

from __future__ import annotations

import re

from twisted.trial.unittest import TestCase

from xmppd.testing import InProcessServer

SM = "urn:xmpp:sm:3"


class ResumeAtOnceTests(TestCase):
    """What is sent again is collected like everything else of a turn."""

    def test_500_stanzas_are_one_write(self) -> None:
        """SM S11: all of it, in order, behind <resumed/>."""
        world = InProcessServer()
        self.addCleanup(world.stop)
        for user in ("alice", "bob"):
            world.add_user(f"{user}@localhost")
        alice, bob = world.login("alice@localhost/a"), world.login("bob@localhost/b")
        enabled = re.search(" id='([^']+)'", bob.ask(f"<enable xmlns='{SM}' resume='true'/>"))
        assert enabled is not None
        bob.cut()
        for number in range(500):
            alice.send(f"<message to='bob@localhost' type='chat'><body>m{number}</body></message>")
        world.settle()
        again = world.connect()
        again.authenticate("bob@localhost", "secret")
        writes: list[bytes] = []
        write = again.transport.write
        again.transport.write = lambda data: (writes.append(data), write(data))[1]
        answer = again.ask(f"<resume xmlns='{SM}' previd='{enabled[1]}' h='0'/>")
        self.assertEqual([f"m{n}" for n in range(500)], re.findall("<body>(.*?)</body>", answer))
        self.assertEqual(1, len(writes))
