"""A client that counts wrongly is named once, with the numbers and a guess."""

from __future__ import annotations

import re

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from xmppd.stream.smacks import ASK_AFTER
from xmppd.testing import Client, InProcessServer

SM = "urn:xmpp:sm:3"
PING = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"


class MiscountTests(TestCase):
    """What the log says of a client that miscounts."""

    def setUp(self) -> None:
        self.world = InProcessServer()
        self.world.add_user("alice@localhost")
        self.alice: Client = self.world.login("alice@localhost/phone")
        enabled = self.alice.ask(f"<enable xmlns='{SM}' resume='true'/>")
        self.token = enabled.partition(" id='")[2].partition("'")[0]
        self.told: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.addCleanup(self.world.stop)

    def observe(self, event: dict[str, object]) -> None:
        text = str(event.get("log_format", "")).format(
            **{k: v for k, v in event.items() if k != "log_format"}
        )
        if "miscounts" in text:
            self.told.append(text)

    def test_long_ids_fill_neither_memory_nor_the_log(self) -> None:
        ids = [f"{number}{'x' * 100_000}" for number in range(10)]
        for each in ids:
            self.alice.ask(f"<iq type='get' id='{each}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.answer(1000)
        (told,) = self.told
        self.assertIn(ids[-1][:60], told)
        self.assertLess(len(told), 2000)

    def fill_archive(self, number: int) -> None:
        for each in range(number):
            self.alice.ask(
                f"<message to='carol@localhost' id='s{each}' type='chat'><body>secret</body></message>"
            )

    def answer(self, h: int) -> None:
        self.alice.ask(f"<a xmlns='{SM}' h='{h}'/>")

    def pings_until_asked(self, number: int) -> None:
        for each in range(number):
            self.alice.ask(f"<iq type='get' id='p{each}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")

    def test_ignored_archive_results_are_guessed(self) -> None:
        """The bug of 2020: archive results that a client does not count.  SM edge case: archive results."""
        self.fill_archive(9)
        counted, page = 0, "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>"
        for request in [page] + 3 * ASK_AFTER * [PING]:
            for token in re.findall("<iq |<r ", self.alice.ask(request)):
                if token == "<r ":
                    self.alice.send(f"<a xmlns='{SM}' h='{counted}'/>")
                else:
                    counted += 1
        self.assertEqual(1, len(self.told), self.told)
        self.assertIn("9 fewer than were sent", self.told[0])
        self.assertIn("it ignores archive results", self.told[0])
        self.assertIn("iq result p", self.told[0])

    def test_last_stanzas_are_named(self) -> None:
        """By kind, type and id, or by what the server wraps; no bodies"""
        self.fill_archive(2)
        self.alice.ask("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        self.answer(4)
        self.assertIn("message (archive results), message (archive results), iq result q.", self.told[0])
        self.assertNotIn("secret", self.told[0])

    def test_honest_but_late_client_is_left_alone(self) -> None:
        """Answers that lag by different numbers are no miscount."""
        sent = 0
        for late in (1, 2, 3, 1, 2, 3):
            self.pings_until_asked(10)
            sent += 10
            self.answer(sent - late)
        self.assertEqual([], self.told)

    def test_too_many_are_told_with_a_guess(self) -> None:
        """More than was sent: the numbers, and that it counts nonzas (SM S14)."""
        self.alice.ask(f"<r xmlns='{SM}'/>")
        self.alice.ask(f"<r xmlns='{SM}'/>")
        self.answer(2)
        self.assertEqual(1, len(self.told), self.told)
        self.assertIn("2 more than were sent (h 2, sent 0)", self.told[0])
        self.assertIn("it counts nonzas", self.told[0])

    def resume(self, h: int) -> None:
        """Lose the connection, and come back with that count; what was not acknowledged is sent again."""
        self.alice.cut()
        self.alice = self.world.connect()
        self.alice.authenticate("alice@localhost", "secret")
        answer = self.alice.ask(f"<resume xmlns='{SM}' previd='{self.token}' h='{h}'/>")
        self.assertIn("<resumed ", answer)

    def test_off_by_one_after_resumption(self) -> None:
        """Answers that lag by one each time, since something was sent again."""
        self.pings_until_asked(3)
        self.resume(2)
        counted = 3 - 1
        self.answer(counted)
        for _ in range(3 * ASK_AFTER):
            for token in re.findall("<iq |<r ", self.alice.ask(PING)):
                if token == "<r ":
                    self.answer(counted)
                else:
                    counted += 1
        self.assertEqual(1, len(self.told), self.told)
        self.assertIn("1 fewer than were sent", self.told[0])
        self.assertIn("it is off by one after resumption", self.told[0])

    def test_what_was_sent_again_is_counted_again(self) -> None:
        self.pings_until_asked(4)
        self.resume(1)
        self.answer(4 + 3)
        self.assertEqual(1, len(self.told), self.told)
        self.assertIn("3 more than were sent (h 7, sent 4)", self.told[0])
        self.assertIn("it counts again what was sent again", self.told[0])
