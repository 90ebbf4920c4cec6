from twisted.trial.unittest import SynchronousTestCase

from bench.load.fanout import FanOut


class FanOutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sent: list[int] = []
        self.fanout = FanOut(self.sent.append, width=3)

    def test_the_last_copy_causes_the_next_one(self) -> None:
        self.fanout.send()
        self.fanout.on_copy(2)
        self.assertEqual(self.sent, [1])
        self.fanout.on_copy(1)
        self.assertEqual(self.sent, [1, 2])
        self.assertEqual(len(self.fanout.latencies.values), 1)

    def test_several_in_flight(self) -> None:
        self.fanout.send()
        self.fanout.send()
        self.fanout.on_copy(5)
        self.assertEqual(self.sent, [1, 2, 3])
        self.fanout.on_copy(1)
        self.assertEqual(self.sent, [1, 2, 3, 4])

    def test_nothing_is_over_while_the_width_is_unknown(self) -> None:
        self.fanout.restart(0)
        self.fanout.send()
        self.fanout.on_copy(50)
        self.assertEqual((self.sent, self.fanout.copies), ([1], 50))

    def test_at_the_end_nothing_more_is_sent(self) -> None:
        self.fanout.send()
        self.fanout.active = False
        self.fanout.on_copy(3)
        self.assertEqual((self.sent, list(self.fanout.flying)), ([1], []))
