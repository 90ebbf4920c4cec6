"""Counting which limits are hit, and that every limit is one."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from twisted.trial import unittest

import xmppd
from xmppd.core import replies
from xmppd.core.counters import Counters, hits, limit_named
from xmppd.core.errors import StanzaError
from xmppd.core.limits import Limits
from xmppd.core.stanza import Stanza

PACKAGE = Path(xmppd.__file__).parent
#: What says how long or how much, and is never hit by itself.
MEASURES = {
    "auth_failures_period",
    "registrations_period",
    "rate_burst",
    "idle_timeout",
    "sm_resume_timeout",
    "archive_expires_after",
    "offline_expires_after",
}


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def attributes_read() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        if path.name != "limits.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and name_of(node.value) in ("limits", "_limits"):
                    yield node.attr


class CountersTests(unittest.TestCase):
    def test_counts_by_name(self) -> None:
        counters = Counters()
        counters.hit("rate")
        counters.told("Slower (rate)")
        counters.told("Too many of them (sm_queue)")
        self.assertEqual(counters.all(), {"rate": 2, "sm_queue": 1})
        self.assertEqual(counters.of("unauthenticated"), 0)

    def test_knows_no_other_names(self) -> None:
        counters = Counters()
        self.assertRaises(KeyError, counters.hit, "no_such_limit")
        for text in ("", "nothing", "(no_such_limit)", "(rate) in the middle", "rate"):
            counters.told(text)
            self.assertIsNone(limit_named(text))
        self.assertEqual(counters.all(), {})

    def test_options_of_modules_are_declared(self) -> None:
        counters = Counters()
        counters.told("Too many (test.items)")
        counters.declare("test.items")
        counters.told("Too many (test.items)")
        counters.hit("test.items")
        self.assertEqual(counters.all(), {"test.items": 2})

    def test_an_error_stanza_counts(self) -> None:
        before = hits.of("roster_items")
        replies.error(Stanza("iq", {"id": "1"}), StanzaError("policy-violation", "Too many (roster_items)"))
        self.assertEqual(hits.of("roster_items"), before + 1)


class EveryLimit(unittest.TestCase):
    def test_is_counted_where_it_is_hit(self) -> None:
        """By its name, or by a text that ends with it; those of XML are tested with `xmppd.xml.items`."""
        source = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "limits.py")
        names = {field.name for field in dataclasses.fields(Limits)}
        told = {name for name in names if f'"{name}"' in source or f"({name})" in source}
        xml = {"stanza_elements", "stanza_depth", "stanza_attributes"} | {
            name for name in names if name.startswith("unauthenticated_")
        }
        self.assertEqual(names - told - xml, MEASURES)

    def test_is_read_somewhere(self) -> None:
        unused = {field.name for field in dataclasses.fields(Limits)} - set(attributes_read())
        self.assertEqual(unused, set())
