"""The shortest way to a failure of a state machine, by leaving out steps.

Hypothesis takes its five minutes for that and often ends with more than is needed: it may only draw other
numbers.  A step that has become impossible here ends the attempt, and that is all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from traceback import extract_tb

from hypothesis.stateful import RuleBasedStateMachine

__all__ = ["failure_of", "shorten", "steps_of"]

#: What a step is written as.
_STEP = "state."


def steps_of(problem: BaseException) -> list[str]:
    """The steps that hypothesis has noted at a failure, and the invariants that it looked at in between."""
    lines = [line for note in getattr(problem, "__notes__", ()) for line in note.splitlines()]
    steps: list[str] = []
    for line in lines:
        if line.startswith(_STEP):
            steps.append(line)
        elif steps and line.startswith((" ", "(", ")")):
            # Long arguments are written in several lines.
            steps[-1] += line.strip()
    return [step for step in steps if not step.startswith(f"{_STEP}teardown")]


def failure_of(machine: type[RuleBasedStateMachine], steps: Sequence[str]) -> tuple[str, ...] | None:
    """Run these steps; what goes wrong, and where in the code, if something does."""
    state = machine()
    try:
        for step in steps:
            eval(step, {"state": state})
    except Exception as problem:
        with suppress(Exception):
            state.teardown()
        return _place(problem)
    try:
        state.teardown()
    except Exception as problem:
        return _place(problem)
    return None


def _place(problem: Exception) -> tuple[str, ...]:
    last = extract_tb(problem.__traceback__)[-1]
    return type(problem).__name__, last.filename, str(last.lineno)


def shorten(steps: Sequence[str], fails: Callable[[Sequence[str]], bool], seconds: float) -> list[str]:
    """Leave out what is not needed to fail, for so long at most; the first step stays.

    Halves first, then quarters, and single steps in the end (delta debugging).
    """
    until = time.monotonic() + seconds
    first, rest = list(steps[:1]), list(steps[1:])
    size = max(1, len(rest) // 2)
    while rest:
        for start in range(0, len(rest), size):
            less = rest[:start] + rest[start + size :]
            if time.monotonic() < until and fails(first + less):
                rest = less
                break
        else:
            if size == 1:
                break
            size //= 2
        size = max(1, min(size, len(rest) // 2))
    return first + rest
