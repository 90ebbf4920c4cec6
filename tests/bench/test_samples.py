from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.profile import calls_table, sampled_table
from bench.samples import read_samples, share_out

LINES = [
    "thread (7): MainThread;main (a.py:1);read (a.py:9) 6",
    "thread (7): MainThread;main (a.py:1);read (a.py:9);read (a.py:9) 3",
    "thread (7): MainThread;main (a.py:1) 1",
    "thread (8): PoolThread-1-0;run (b.py:1);commit (b.py:5) 5",
    "thread (8): PoolThread-1-0;run (b.py:1);Condition.wait (threading.py:295) 500",
    "thread (9): PoolThread-1-1;run (b.py:1);Condition.wait (threading.py:295) 500",
]


class SamplesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.spent = share_out(read_samples(LINES), {7: 0.001, 8: 0.0005, 9: 0.0}, units=10)

    def test_each_thread_shares_out_its_own_time(self) -> None:
        own = {one.function: round(one.own, 6) for one in self.spent}
        self.assertEqual(
            own, {"read (a.py:9)": 90, "main (a.py:1)": 10, "commit (b.py:5)": 50, "run (b.py:1)": 0}
        )

    def test_recursion_counts_once(self) -> None:
        whole = {one.function: round(one.whole, 6) for one in self.spent}
        self.assertEqual((whole["main (a.py:1)"], whole["read (a.py:9)"]), (100, 90))

    def test_threads_that_only_wait_are_left_out(self) -> None:
        self.assertEqual({one.thread for one in self.spent}, {"MainThread", "PoolThread"})

    def test_the_table_begins_with_the_most_own_time(self) -> None:
        text = sampled_table("message", self.spent, {7: 0.001, 8: 0.0005}, units=10, top=2)
        self.assertIn("150 µs of CPU a message: 100 in MainThread, 50.0 in PoolThread.", text)
        self.assertEqual([line.split()[1] for line in text.splitlines()[4:]], ["read", "commit"])


class CallsTests(SynchronousTestCase):
    def test_calls_and_times_are_per_unit(self) -> None:
        stats: dict[tuple[str, int, str], Any] = {
            ("/x/a.py", 3, "f"): (20, 20, 0.001, 0.002, {}),
            ("~", 0, "<len>"): (40, 40, 0.0, 0.0, {}),
        }
        text = calls_table("message", stats, units=10, top=1)
        self.assertIn("6 calls a message", text)
        self.assertIn("| f (x/a.py:3) |  2.00 |    100 |             200 |", text)
