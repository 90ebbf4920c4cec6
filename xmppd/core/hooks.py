"""Hooks: typed events, handlers in named stages, nothing of XMPP in it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, TypeVar

__all__ = ["Handler", "Hooks", "Stage"]

E = TypeVar("E")

#: Takes the event; a true answer means that it is settled and no later handler sees it.
Handler = Callable[[E], bool | None]


class Stage(IntEnum):
    """The order of the handlers of one event.  The names say what a message goes through.

    Copies need to know who got the original, and push comes last.
    """

    BLOCK = 1
    STRIP = 2
    ARCHIVE = 3
    DELIVER = 4
    COPY = 5
    NOTIFY = 6


class Hooks:
    """Who is called for which event, in order of stage and then of registration."""

    def __init__(self) -> None:
        self._handlers: dict[type, list[tuple[Stage, int, Handler[Any]]]] = {}
        self._chains: dict[type, tuple[Handler[Any], ...]] = {}
        self._number = 0

    def add(self, event: type[E], handler: Handler[E], stage: Stage = Stage.DELIVER) -> Callable[[], None]:
        """Register a handler; the answer undoes it."""
        self._number += 1
        entry = (stage, self._number, handler)
        entries = self._handlers.setdefault(event, [])
        insort(entries, entry, key=lambda known: known[:2])
        self._rebuild(event)

        def undo() -> None:
            if entry in entries:
                entries.remove(entry)
                self._rebuild(event)

        return undo

    def _rebuild(self, event: type) -> None:
        self._chains[event] = tuple(handler for _, _, handler in self._handlers[event])

    def run(self, event: object) -> bool:
        """Call the handlers of the event's type; true if one of them settled it."""
        for handler in self._chains.get(type(event), ()):  # noqa: SIM110 (a generator costs 0.4 µs a message)
            if handler(event):
                return True
        return False

    def tell(self, event: object) -> Iterator[Exception]:
        """Call the handlers of something that has happened, and that nobody can settle or stop.

        :returns: what went wrong, one after the other: a handler that fails does not keep the others.
        """
        for handler in self._chains.get(type(event), ()):
            try:
                handler(event)
            except Exception as problem:
                yield problem

    def run_after(self, event: object, stage: Stage) -> bool:
        """Go on with an event that was settled in a stage: call the handlers of the later stages."""
        later = [handler for known, _, handler in self._handlers.get(type(event), ()) if known > stage]
        return any(handler(event) for handler in later)

    def describe(self, event: type) -> list[str]:
        """The chain of an event, for people and for the test that prints it."""
        return [f"{stage.name} {handler.__qualname__}" for stage, _, handler in self._handlers.get(event, [])]
