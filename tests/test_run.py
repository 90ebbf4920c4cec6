"""How tests/run.py reads what trial says."""

from twisted.trial.unittest import SynchronousTestCase

from tests.run import count


class CountTests(SynchronousTestCase):
    def test_all_passed(self) -> None:
        self.assertEqual(count(b"...\nRan 3 tests in 0.1s\n\nPASSED (successes=3)\n"), (3, 0))

    def test_whatever_did_not_pass_failed(self) -> None:
        said = b"FAILED (skips=1, expectedFailures=2, failures=3, errors=4, successes=5)\n"
        self.assertEqual(count(said), (5, 10))

    def test_skips_do_not_hide_behind_passed(self) -> None:
        self.assertEqual(count(b"PASSED (skips=2, successes=5)\n"), (5, 2))

    def test_no_test_ran(self) -> None:
        self.assertEqual(count(b"Ran 0 tests in 0.0s\n\nPASSED\n"), (0, 0))

    def test_trial_crashed(self) -> None:
        self.assertEqual(count(b"Traceback (most recent call last):\n"), (0, 0))
