"""Durations and sizes with units."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from xmppd.core.units import (
    BYTES,
    DAY,
    MONTH,
    PERIODS,
    SECONDS,
    YEAR,
    parse_amount,
    render_duration,
    render_size,
)


class ParseTests(SynchronousTestCase):
    def test_durations(self) -> None:
        """A duration is a number of seconds or has a unit, long or short, in the singular or the plural."""
        cases = {
            "90": 90,
            "500ms": 0.5,
            "30s": 30,
            "10m": 600,
            "10 minutes": 600,
            "1.5 hours": 5400,
            "2d": 2 * DAY,
            "1 Week": 7 * DAY,
            "1y": YEAR,
        }
        self.assertEqual({text: parse_amount(text, SECONDS) for text in cases}, cases)

    def test_m_is_a_month_in_a_period(self) -> None:
        """ "2m" is two minutes in a duration and two months of 31 days in a period."""
        self.assertEqual(parse_amount("2m", SECONDS), 120)
        self.assertEqual(parse_amount("2m", PERIODS), 2 * MONTH)
        self.assertEqual(parse_amount("2min", PERIODS), 120)

    def test_sizes(self) -> None:
        """KiB counts by 1,024 and kB by 1,000."""
        cases = {
            "512": 512,
            "8 KiB": 8192,
            "2MiB": 2 << 20,
            "1.5 MB": 1_500_000,
            "1 gib": 1 << 30,
            "3 bytes": 3,
        }
        self.assertEqual({text: parse_amount(text, BYTES) for text in cases}, cases)

    def test_what_is_none_is_refused(self) -> None:
        """Signs, exponents, unknown units, several numbers and foreign digits are no amounts."""
        for text in ["", "m", "-1s", "+1s", "1e3", "10 parsecs", "1h30m", "٣s", "1_0", "1" * 40, "0x10"]:
            self.assertRaises(ValueError, parse_amount, text, SECONDS)


class RenderTests(SynchronousTestCase):
    def test_largest_whole_unit(self) -> None:
        """What is written has the largest unit that divides it."""
        self.assertEqual(
            [render_duration(s) for s in (0.1, 90, 3600, 86400.0, YEAR)], ["100ms", "90s", "1h", "1d", "1y"]
        )
        self.assertEqual(render_duration(2 * MONTH, PERIODS), "2m")
        self.assertEqual([render_size(n) for n in (1000, 8192, 3 << 30)], ["1000 B", "8 KiB", "3 GiB"])

    @given(st.integers(0, 10**12))
    def test_duration_round_trip(self, milliseconds: int) -> None:
        """A written duration reads as the same milliseconds, for both meanings of "m"."""
        for units in (SECONDS, PERIODS):
            read = parse_amount(render_duration(milliseconds / 1000, units), units)
            self.assertEqual(round(read * 1000), milliseconds)

    @given(st.integers(0, 10**14))
    def test_size_round_trip(self, size: int) -> None:
        """A written size reads as the same size."""
        self.assertEqual(parse_amount(render_size(size), BYTES), size)
