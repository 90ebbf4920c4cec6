import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from bench.load.meter import Latencies, Meter, cpu_seconds, descendants, rss_kib, thread_seconds


class ProcessTests(SynchronousTestCase):
    def test_children_count(self) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            self.assertIn(child.pid, descendants([os.getpid()]))

    def test_this_process_has_used_some(self) -> None:
        sum(number * number for number in range(1_000_000))
        self.assertGreater(cpu_seconds([os.getpid()]), 0)
        self.assertGreater(sum(thread_seconds(os.getpid()).values()), 0)
        self.assertGreater(rss_kib([os.getpid()]), 1000)

    def test_a_process_that_has_ended_counts_nothing(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        self.assertEqual((cpu_seconds([child.pid]), rss_kib([child.pid])), (0, 0))
        self.assertEqual(thread_seconds(child.pid), {})

    def test_the_generators_time_is_not_that_of_the_others(self) -> None:
        meter = Meter([])
        meter.start()
        sum(number * number for number in range(1_000_000))
        meter.stop()
        report = meter.report(2, "sum")
        self.assertAlmostEqual(report["generator_cpu_us"], meter.generator / 2 * 1e6)
        self.assertEqual((report["server_cpu_us"], report["units"]), (0, 2))

    def test_no_work_has_no_cost_a_unit(self) -> None:
        meter = Meter([])
        meter.start()
        meter.stop()
        self.assertIsNone(meter.report(0, "message")["server_cpu_us"])


class LatenciesTests(SynchronousTestCase):
    def test_percentiles_in_milliseconds(self) -> None:
        latencies = Latencies()
        for number in range(100):
            latencies.add(number / 1000)
        self.assertEqual(latencies.report(), {"p50": 50, "p95": 95, "p99": 99, "max": 99})

    def test_nothing(self) -> None:
        self.assertEqual(Latencies().report(), {})
