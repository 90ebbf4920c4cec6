"""Scenarios by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.load.run import Run

__all__ = ["SCENARIOS", "Result", "Scenario", "scenario"]

#: What `Meter.report` gives, and what the scenario adds: ``latency_ms``, ``notes`` and others.
Result = dict[str, Any]
Scenario = Callable[["Run"], Awaitable[Result]]

SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Register a scenario under its name; the first line of its docstring is its help."""

    def register(function: Scenario) -> Scenario:
        SCENARIOS[name] = function
        return function

    return register
