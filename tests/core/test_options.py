"""Options: dataclasses from tables, with all problems at once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from xmppd.core.jid import JID
from xmppd.core.kinds import Between, Bytes, Count, Period, Seconds, describe, render
from xmppd.core.limits import Limits
from xmppd.core.options import OptionsError, Problem, option_fields, option_help, validate_options


@dataclass(frozen=True)
class Inner:
    """A table in a table."""

    size: Bytes = 1024
    """How
    large."""


@dataclass(frozen=True)
class Sample:
    """One field of each kind."""

    name: str = "x"
    """The name."""
    flag: bool = False
    count: Count = 3
    port: Annotated[int, Between(0, 65535)] = 5222
    ratio: float = 0.5
    timeout: Seconds = 60.0
    keep: Period | None = None
    most: Count | None = 10
    level: Literal["info", "debug"] = "info"
    policy: bool | Literal["roster"] = True
    home: Path = Path("data")
    who: tuple[JID, ...] = ()
    where: tuple[int | str, ...] = (1, "unix:x")
    least: Annotated[Bytes, Between(1024)] = 2048
    shortest: Annotated[Seconds, Between(1)] = 60.0
    inner: Inner = Inner()
    many: Mapping[str, Inner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ValueError("no name is bad; take another")
        if self.name == "worse":
            raise OptionsError([Problem("name", "no name is worse; take another")])


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from([option.name for option in option_fields(Sample)]) | st.text(max_size=3)
TABLES = st.dictionaries(
    NAMES, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner))
)


def problems(table: Mapping[str, object], options_class: type = Sample) -> list[str]:
    """Give the problems of a table as lines."""
    try:
        validate_options(options_class, table, "s")
    except OptionsError as error:
        return [str(problem) for problem in error.problems]
    return []


class ReadTests(SynchronousTestCase):
    def test_nothing_given(self) -> None:
        """An empty table gives the defaults."""
        self.assertEqual(validate_options(Sample, {}), Sample())

    def test_every_kind(self) -> None:
        """Every kind of field reads what it should."""
        table = {
            "name": "y",
            "flag": True,
            "count": 4,
            "port": 65535,
            "ratio": 1,
            "timeout": "2m",
            "keep": "2m",
            "most": 7,
            "level": "debug",
            "policy": "roster",
            "home": "/srv",
            "who": ["Admin@Example.org"],
            "where": [80, "tcp:1"],
            "least": "4 KiB",
            "shortest": 1,
            "inner": {"size": "2 KiB"},
            "many": {"a.b": {"size": 1}},
        }
        expected = Sample(
            "y", True, 4, 65535, 1.0, 120.0, 62 * 86400.0, 7, "debug", "roster", Path("/srv"),
            (JID.parse("admin@example.org"),), (80, "tcp:1"), 4096, 1.0, Inner(2048), {"a.b": Inner(1)},
        )  # fmt: skip
        self.assertEqual(validate_options(Sample, table), expected)

    def test_switched_off(self) -> None:
        """The words none, never and off, the number 0 and false switch off what can be."""
        for value in ("none", "Never", "off", 0, 0.0, False):
            self.assertIsNone(validate_options(Sample, {"most": value}).most)
        self.assertIs(validate_options(Sample, {"policy": False}).policy, False)
        self.assertEqual(validate_options(Sample, {"count": 0}).count, 0)

    def test_a_default_is_obligatory(self) -> None:
        """An options class without a default is a fault of the program."""

        @dataclass
        class Wrong:
            size: int

        self.assertRaises(TypeError, option_fields, Wrong)


class ProblemTests(SynchronousTestCase):
    def test_all_at_once(self) -> None:
        """All problems are found in one pass, each with its key."""
        table = {
            "count": "4",
            "flag": 1,
            "inner": {"sise": 1, "size": "x"},
            "many": {"a.b": {"size": -1}},
            "who": [3],
        }
        keys = [line.split(": ")[0] for line in problems(table)]
        self.assertEqual(
            keys, ["s.flag", "s.count", "s.who[0]", "s.inner.sise", "s.inner.size", 's.many."a.b".size']
        )

    def test_the_lines(self) -> None:
        """A line says what stands there, what should, and the default or another remedy."""
        cases: dict[str, tuple[dict[str, Any], str]] = {
            "type": ({"count": "4"}, 's.count: "4" is not a whole number; the default is 3'),
            "bounds": (
                {"port": 70000},
                "s.port: 70000 is not a whole number from 0 to 65535; the default is 5222",
            ),
            "bool": ({"flag": "yes"}, 's.flag: "yes" is not true or false; the default is false'),
            "choice": ({"level": "loud"}, 's.level: "loud" is not "info" or "debug"; the default is "info"'),
            "unit": (
                {"timeout": "3 moons"},
                's.timeout: "3 moons" is not a duration such as "10m" (unknown unit moons); '
                'the default is "1m"',
            ),
            "off": ({"keep": -1}, 's.keep: -1 is not a period such as "1y" or "none"; the default is "none"'),
            "table": ({"inner": 3}, "s.inner: 3 is not a table"),
            "list": ({"who": "a@b"}, 's.who: "a@b" is not a list; write ["a@b"]'),
            "table for a list": ({"who": {}}, "s.who: {} is not a list of an address in quotes"),
            "least": (
                {"least": "10"},
                's.least: "10" is not a size such as "256 KiB", at least 1 KiB; the default is "2 KiB"',
            ),
            "shortest": (
                {"shortest": 0},
                's.shortest: 0 is not a duration such as "10m", at least 1s; the default is "1m"',
            ),
            "close": ({"cuont": 1}, "s.cuont: unknown key; did you mean count?"),
            "post": ({"name": "bad"}, "s: no name is bad; take another"),
            "field": ({"name": "worse"}, "s.name: no name is worse; take another"),
        }
        for name, (table, line) in cases.items():
            self.assertEqual(problems(table), [line], name)

    def test_unknown_key_without_a_likeness(self) -> None:
        """Without a similar key the known ones are named."""
        self.assertEqual(problems({"zzz": 1}, Inner), ["s.zzz: unknown key; remove it, or use one of: size"])

    def test_a_bad_address_says_why(self) -> None:
        """A JID that is none comes with the reason."""
        (line,) = problems({"who": ["a b@example.org"]})
        self.assertIn("local part", line)

    def test_no_number_without_end(self) -> None:
        """Infinity and not-a-number, which TOML has, are no durations."""
        for value in (float("inf"), float("nan")):
            self.assertEqual(len(problems({"timeout": value})), 1)

    @given(TABLES)
    def test_anything_else_is_a_problem_in_one_line(self, table: dict[str, Any]) -> None:
        """Whatever a table holds, there is an instance, or problems of one line each."""
        for line in problems(table):
            self.assertEqual(len(line.splitlines()), 1)
            self.assertTrue(line.startswith("s"))


class WriteTests(SynchronousTestCase):
    def test_defaults_round_trip(self) -> None:
        """What is written for a default reads as the default again."""
        for options_class in (Inner, Limits, Sample):
            for option in option_fields(options_class):
                if option.name not in {"inner", "many"}:
                    table = tomllib.loads(f"{option.name} = {render(option.hint, option.default)}")
                    found = getattr(validate_options(options_class, table), option.name)
                    self.assertEqual(found, option.default, option.name)

    def test_help(self) -> None:
        """The docstring below a field is its help, as one line."""
        self.assertEqual(option_help(Inner), {"size": "How large."})
        self.assertEqual(option_help(Sample), {"name": "The name."})

    def test_every_limit_is_explained(self) -> None:
        """Every limit has a line of help, and says so when it can be switched off."""
        texts = option_help(Limits)
        for option in option_fields(Limits):
            self.assertIn(option.name, texts)
            if '"none"' in describe(option.hint):
                self.assertRegex(texts[option.name], '"none"|"never"')
