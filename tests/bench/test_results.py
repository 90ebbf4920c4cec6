from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.compare import BEGIN, END, plan, report, write
from bench.plan import CASES, OURS, UnknownCaseError
from bench.results import Results, read
from bench.tables import figure, own_figures, table, target_figures

ABOUT = {
    "command": "python -m bench.compare",
    "date": "2026-11-24 12:00 UTC",
    "processor": "abacus",
    "cores": 2,
    "system": "Debian",
    "kernel": "6.1",
    "file_system": "ext4",
    "python": "3.11.2",
    "sqlite": "3.40.1",
    "openssl": "OpenSSL 3.0",
    "quick": False,
}


def record(case: str, server: str, cpu: float, **more: Any) -> dict[str, Any]:
    return {
        "case": case,
        "server": server,
        "version": f"{server} 1",
        "repetition": 0,
        "unit": "message",
        "units": 10,
        "rate": 1000.0,
        "server_cpu_us": cpu,
        "server_busy": 0.5,
        "generator_cpu_us": 1.0,
        "others_busy": 0.0,
        **more,
    }


def results(*records: dict[str, Any]) -> Results:
    return Results(ABOUT, list(records))


class ResultsTests(SynchronousTestCase):
    def test_figures_are_medians_over_repetitions(self) -> None:
        many = results(*(record("chat", OURS, cpu) for cpu in (90, 100, 150)))
        self.assertEqual(many.median("chat", OURS, "server_cpu_us"), 100)
        self.assertEqual(many.spread("chat", OURS, "server_cpu_us"), 0.6)

    def test_a_figure_that_is_not_there(self) -> None:
        one = results(record("chat", OURS, 90))
        self.assertIsNone(one.median("chat", OURS, "quiet_ms.p99"))
        self.assertIsNone(one.median("chat", "prosody", "server_cpu_us"))
        self.assertIsNone(one.spread("chat", OURS, "quiet_ms.p99"))

    def test_a_file_keeps_them(self) -> None:
        path = Path(self.mktemp())
        kept = Results(ABOUT, file=path)
        kept.begin()
        kept.add(record("chat", OURS, 90))
        again = read(path)
        self.assertEqual((again.about, again.records), (kept.about, kept.records))


class TableTests(SynchronousTestCase):
    def test_three_digits(self) -> None:
        self.assertEqual(
            [figure(value) for value in (None, 0.0, 1.234, 12.34, 1234.5)],
            ["-", "0.00", "1.23", "12.3", "1,234"],
        )

    def test_columns_are_as_wide_as_what_is_in_them(self) -> None:
        self.assertEqual(
            table(["", "µs"], [["chat", "9"]], numbers=range(1, 2)),
            "|      | µs |\n| ---- | -: |\n| chat |  9 |",
        )

    def test_a_row_says_what_it_has_besides(self) -> None:
        text = own_figures(
            results(
                record("neighbour", OURS, 9, latency_ms={"p50": 1.0, "p99": 2.0}, quiet_ms={"p99": 1.5}),
                record("memory", OURS, 9, kib_per_client=31.4),
                record("chat", OURS, 9, error_stanzas=3),
            )
        )
        for note in ("without them p99 1.50 ms", "31.4 KiB a client", "3.00 error stanzas"):
            self.assertIn(note, text)

    def test_rows_are_in_the_order_of_the_plan(self) -> None:
        lines = own_figures(results(record("ping", OURS, 9), record("chat", OURS, 9))).splitlines()
        self.assertIn("chat", lines[2])
        self.assertIn("ping", lines[3])


class TargetTests(SynchronousTestCase):
    def verdicts(self, *records: dict[str, Any]) -> list[str]:
        rows = target_figures(results(*records), OURS).splitlines()[2:]
        return [row.strip("| ").split("|")[-1].strip() for row in rows]

    def test_each_against_its_own_rival(self) -> None:
        ours, prosody = record("chat", OURS, 100), record("chat", "prosody", 1500)
        self.assertEqual(self.verdicts(ours, prosody), ["yes"])
        self.assertEqual(
            self.verdicts(ours, prosody, record("chat", "ejabberd-noarchive", 99)), ["yes", "no"]
        )

    def test_against_itself(self) -> None:
        fast = record("neighbour", OURS, 9, latency_ms={"p99": 4.0}, quiet_ms={"p99": 2.0})
        slow = record("neighbour", OURS, 9, latency_ms={"p99": 4.1}, quiet_ms={"p99": 2.0})
        self.assertEqual((self.verdicts(fast), self.verdicts(slow)), (["yes"], ["no"]))

    def test_against_another_figure_of_the_same_run(self) -> None:
        dear, cheap = (
            record("sm-cost", OURS, 116, plain_cpu_us=100),
            record("sm-cost", OURS, 115, plain_cpu_us=100),
        )
        self.assertEqual((self.verdicts(dear), self.verdicts(cheap)), (["no"], ["yes"]))

    def test_what_was_not_measured_has_no_row(self) -> None:
        self.assertEqual(self.verdicts(record("chat", "prosody", 1500)), [])


class CompareTests(SynchronousTestCase):
    def test_each_case_runs_on_the_servers_of_its_targets(self) -> None:
        servers = {case.name: names for case, names in plan("", "").items()}
        self.assertEqual(servers["archive"], [OURS, "ejabberd"])
        self.assertEqual(servers["memory-5000"], [OURS, "prosody"])
        self.assertNotIn("muc", servers)

    def test_chosen_servers_run_everything_chosen(self) -> None:
        chosen = plan("chat", "floor, prosody-files")
        self.assertEqual(chosen, {CASES[0]: ["floor", "prosody-files"]})
        self.assertRaises(UnknownCaseError, plan, "", "nothing")

    def test_a_report_names_machine_and_versions(self) -> None:
        text = report(results(record("chat", OURS, 100), record("chat", "prosody", 1500)))
        for part in ("abacus, 2 cores", "- prosody: prosody 1", "`python -m bench.compare`", "1/15"):
            self.assertIn(part, text)

    def test_the_newest_table_takes_the_place_of_the_one_before(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
        write("new", path)
        self.assertEqual(path.read_text(), f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n")
