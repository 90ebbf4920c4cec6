"""Dead peers are noticed, and living ones left alone."""

from __future__ import annotations

from tests.dialogues.case import ServerCase
from xmppd.core import ns
from xmppd.testing import Client

R = f"<r xmlns='{ns.SM}'/>"


class WatchTests(ServerCase):
    """Five minutes of silence, thirty seconds for an answer."""

    def setUp(self) -> None:
        super().setUp()
        self.phone = self.login("bob/phone")

    def wait(self, seconds: float) -> str:
        """Let time pass as it does; what the phone was sent."""
        for _ in range(int(seconds)):
            self.world.advance(1)
        return self.phone.take()

    def cut_off(self, client: Client) -> bool:
        return client.transport.aborted

    def test_silence_without_stream_management(self) -> None:
        """RFC 6120, 4.6.1: a blank, which TCP acknowledges or not; it counts as no answer"""
        self.assertEqual(self.wait(290), "")
        self.assertEqual(self.wait(20), " ")
        self.assertEqual(self.wait(600), "  ")
        self.assertFalse(self.cut_off(self.phone))

    def test_whoever_speaks_is_not_asked(self) -> None:
        for _ in range(10):
            self.assertEqual(self.wait(200), "")
            self.phone.send(" ")

    def test_silence_with_stream_management(self) -> None:
        """SM: asked, and given up without an answer; it can resume"""
        token = self.enable(self.phone)
        self.assertEqual(self.wait(310), R)
        self.assertEqual(self.wait(20), "")
        self.assertFalse(self.cut_off(self.phone))
        self.wait(20)
        self.assertTrue(self.cut_off(self.phone))
        self.phone.cut()
        _, got = self.reconnect("bob", token, 0)
        self.assertIn("<resumed ", got[0])

    def test_any_answer_will_do(self) -> None:
        self.enable(self.phone)
        self.assertEqual(self.wait(310), R)
        self.phone.send(" ")
        self.wait(100)
        self.assertFalse(self.cut_off(self.phone))

    def test_asked_again_after_each_silence(self) -> None:
        self.enable(self.phone)
        for _ in range(3):
            self.assertEqual(self.wait(310), R)
            self.phone.send(f"<a xmlns='{ns.SM}' h='0'/>")

    def test_client_that_does_not_read(self) -> None:
        """60 seconds without progress: the connection is given up"""
        self.phone.transport.producer.pauseProducing()
        for _ in range(11):
            self.wait(5)
            self.phone.send(" ")
        self.assertFalse(self.cut_off(self.phone))
        for _ in range(3):
            self.wait(5)
            self.phone.send(" ")
        self.assertTrue(self.cut_off(self.phone))

    def test_client_that_is_not_read_from_is_not_asked(self) -> None:
        """Its answer would not be read either"""
        self.enable(self.phone)
        self.wait(310)
        self.phone.transport.producer.pauseProducing()
        self.wait(40)
        self.assertFalse(self.cut_off(self.phone))

    def test_client_that_reads_slowly(self) -> None:
        producer = self.phone.transport.producer
        for _ in range(5):
            producer.pauseProducing()
            self.wait(50)
            self.phone.send(" ")
            producer.resumeProducing()
        self.assertFalse(self.cut_off(self.phone))

    def test_too_much_for_a_client_that_does_not_read(self) -> None:
        """write_buffer_bytes: the session waits for its client if it can"""
        token = self.enable(self.phone)
        alice = self.login("alice/home")
        self.phone.transport.producer.pauseProducing()
        body = "x" * 100_000
        for _ in range(12):
            self.tell(alice, f"<message to='bob@localhost' type='chat'><body>{body}</body></message>")
        self.assertTrue(self.cut_off(self.phone))
        self.phone.cut()
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual("".join(got).count("<body>"), 12)

    def test_one_that_fails_harms_no_other(self) -> None:
        broken = self.login("alice/broken")
        self.patch(broken.stream, "heard_at", None)
        self.assertEqual(self.wait(310), " ")
        self.assertTrue(broken.closed)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_stops_with_the_server(self) -> None:
        self.world.stop()
        self.world.advance(1000)
        self.assertEqual(self.world.reactor.getDelayedCalls(), [])
