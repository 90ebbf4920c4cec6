"""Everything that is measured works, on a real server. What it takes is not looked at."""

import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.plan import choose

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


class QuickTests(SynchronousTestCase):
    def test_every_scenario_works(self) -> None:
        out = Path(self.mktemp()).resolve()
        done = run("bench", "--quick", "--out", str(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        _, *results = map(json.loads, out.read_text().splitlines())
        self.assertEqual([result["case"] for result in results], [case.name for case in choose()])
        for result in results:
            self.assertGreater(result["units"], 0, result)
            self.assertNotIn("error_stanzas", result)
            self.assertNotIn("undelivered", result.get("notes", {}), result)
        for case in choose():
            self.assertIn(f"| {case.title} ", done.stdout)

    def test_sessions_that_wait_are_measured(self) -> None:
        done = run("bench", "--quick", "--only", "hibernated")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("KiB a client", done.stdout)

    def test_the_floor_works(self) -> None:
        done = run("bench", "--quick", "--server", "floor-rows", "--only", "chat,ping")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_growth_is_drawn(self) -> None:
        drawing = Path(self.mktemp()).resolve()
        quick = ("--quick", "--only", "online,time", "--drawing", str(drawing))
        done = run("bench.growth", *quick)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("| chat, 5,000 others online ", done.stdout)
        self.assertIn("| everything at once, for long: last look", done.stdout)
        self.assertEqual(drawing.read_text().count("<polyline"), 3)

    def test_an_unknown_name_is_one_line(self) -> None:
        done = run("bench", "--only", "chta")
        self.assertEqual(done.returncode, 1)
        self.assertIn("chta: there are chat, chat-20,", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
