"""The attacker against this server: every case comes out as it should."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.hostile.__main__ import GROUPS, attack, cases
from tests.hostile.wire import Target
from tests.support.server import Server


class HostileTests(TestCase):
    def test_every_case(self) -> None:
        # One of its own: after this it trusts nobody from here.
        server = Server()
        with server.configuration.open("a") as file:
            # Sooner full: each contact waits for the disk.
            file.write("[limits]\nroster_items = 100\n")
        server.start()
        self.addCleanup(server.stop)
        names = ("mallory", "victim")
        for name in names:
            server.add_account(name, "pw")
        attacker, victim = ((f"{name}@localhost", "pw") for name in names)
        target = Target("127.0.0.1", server.port, "localhost", attacker, victim)
        chosen = cases([])
        verdicts = list(attack(target, chosen, jobs=8))
        wrong = [f"{each.case.name} -> {each.outcome}" for each in verdicts if not each.passed]
        self.assertEqual(wrong, [])
        self.assertEqual(len(verdicts), len(chosen))

    def test_names_are_different(self) -> None:
        names = [f"{case.group}: {case.name}" for group in GROUPS for case in group.cases]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(cases(["STARTTLS"]), [case for case in cases([]) if "STARTTLS" in case.group])
