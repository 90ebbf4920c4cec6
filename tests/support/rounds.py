"""State machines for long, in rounds: hypothesis remembers every example of one, a gigabyte in an hour."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.support.shorten import failure_of, shorten, steps_of

__all__ = ["run", "run_some"]

#: Seconds for the search of the shortest way to a failure.
SHORTENING: Final = 120.0


def run_some(machine: type[RuleBasedStateMachine], examples: int, length: int, **more: Any) -> None:
    """Try some examples of a state machine, each with at most so many steps (length); they may be slow.

    :param more: other settings of hypothesis.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=length,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


def run(
    machine: type[RuleBasedStateMachine],
    first: int,
    *,
    examples: int,
    length: int,
    enough: Callable[[float], bool],
    done: Callable[[], str],
) -> int:
    """Run rounds until it is enough, or something is found; the exit code says which.

    :param first: the seed of the first round; the next one has the next number.
    :param examples: of a round; each has at most so many steps (length).
    :param enough: whether to stop, after so many seconds.
    :param done: what was done so far, in words.
    """
    number, began = first, time.monotonic()
    while not enough(time.monotonic() - began):
        try:
            run_some(seed(number)(machine), examples, length, database=None, phases=(Phase.generate,))
        except Exception as problem:
            traceback.print_exc()
            print(f"FAILED with --seed {number}, in {time.monotonic() - began:.0f} s: {done()}", flush=True)
            print("\n".join(_shortest(machine, steps_of(problem))), flush=True)
            return 1
        print(f"seed {number}, {time.monotonic() - began:.0f} s: {done()}", flush=True)
        number += 1
    return 0


def _shortest(machine: type[RuleBasedStateMachine], steps: list[str]) -> list[str]:
    place = failure_of(machine, steps)
    if place is None:
        return ["These steps do not fail again."]
    shortest = shorten(steps, lambda fewer: failure_of(machine, fewer) == place, SHORTENING)
    return [f"{place[0]} in {place[1]}, line {place[2]}; shortened to {len(shortest)} steps:", *shortest]
