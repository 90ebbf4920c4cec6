"""Hooks: who is called, in which order, until when."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.core.hooks import Handler, Hooks, Stage


@dataclass
class Rung:
    """An event of the tests."""

    heard: list[str]


@dataclass
class Loud(Rung):
    """Another one."""


def hears(name: str, answer: bool | None = None) -> Handler[Rung]:
    """A handler that leaves its name."""

    def handler(event: Rung) -> bool | None:
        event.heard.append(name)
        return answer

    handler.__qualname__ = name
    return handler


class HookTests(unittest.TestCase):
    def setUp(self) -> None:
        self.hooks = Hooks()

    def heard(self) -> list[str]:
        event = Rung([])
        self.hooks.run(event)
        return event.heard

    def test_nobody_listens(self) -> None:
        self.assertFalse(self.hooks.run(Rung([])))
        self.assertEqual(self.hooks.describe(Rung), [])

    def test_order_is_stage_then_registration(self) -> None:
        for stage in (Stage.NOTIFY, Stage.ARCHIVE, Stage.BLOCK, Stage.COPY, Stage.STRIP, Stage.DELIVER):
            self.hooks.add(Rung, hears(f"{stage.name} 1"), stage)
            self.hooks.add(Rung, hears(f"{stage.name} 2"), stage)
        names = ["BLOCK", "STRIP", "ARCHIVE", "DELIVER", "COPY", "NOTIFY"]
        self.assertEqual(self.heard(), [f"{name} {number}" for name in names for number in (1, 2)])
        self.assertEqual(
            self.hooks.describe(Rung), [f"{name} {name} {number}" for name in names for number in (1, 2)]
        )

    def test_stage_by_default(self) -> None:
        self.hooks.add(Rung, hears("copy"), Stage.COPY)
        self.hooks.add(Rung, hears("default"))
        self.hooks.add(Rung, hears("archive"), Stage.ARCHIVE)
        self.assertEqual(self.heard(), ["archive", "default", "copy"])

    def test_true_settles_it(self) -> None:
        for name, answer in (("none", None), ("false", False), ("true", True), ("never", None)):
            self.hooks.add(Rung, hears(name, answer))
        event = Rung([])
        self.assertIs(self.hooks.run(event), True)
        self.assertEqual(event.heard, ["none", "false", "true"])

    def test_events_are_known_by_their_own_type(self) -> None:
        self.hooks.add(Rung, hears("rung"))
        event = Loud([])
        self.assertIs(self.hooks.run(event), False)
        self.assertEqual(event.heard, [])

    def test_error_is_the_callers(self) -> None:
        def broken(_: Rung) -> bool:
            raise ZeroDivisionError

        self.hooks.add(Rung, broken)
        self.hooks.add(Rung, hears("never"))
        self.assertRaises(ZeroDivisionError, self.heard)

    def test_undo_removes_one_registration(self) -> None:
        same = hears("same")
        self.hooks.add(Rung, same)
        undo = self.hooks.add(Rung, same)
        self.hooks.add(Rung, hears("other"))
        undo()
        self.assertEqual(self.heard(), ["same", "other"])
        undo()
        self.assertEqual(self.heard(), ["same", "other"])

    def test_change_while_running_counts_from_the_next_run(self) -> None:
        def first(event: Rung) -> None:
            event.heard.append("first")
            undo_last()
            self.hooks.add(Rung, hears("new"), Stage.NOTIFY)

        undo_first = self.hooks.add(Rung, first)
        undo_last = self.hooks.add(Rung, hears("last"))
        self.assertEqual(self.heard(), ["first", "last"])
        undo_first()
        self.assertEqual(self.heard(), ["new"])

    @given(st.lists(st.tuples(st.sampled_from(Stage), st.booleans())))
    def test_any_sequence_of_changes(self, changes: list[tuple[Stage, bool]]) -> None:
        hooks = Hooks()
        model: list[tuple[Stage, int]] = []
        undos = []
        for number, (stage, undone) in enumerate(changes):
            undos.append((stage, number, hooks.add(Rung, hears(str(number)), stage)))
            model.append((stage, number))
            if undone:
                stage_of, number_of, undo = undos.pop(number % len(undos))
                undo()
                model.remove((stage_of, number_of))
        event = Rung([])
        hooks.run(event)
        self.assertEqual(event.heard, [str(number) for _, number in sorted(model)])
