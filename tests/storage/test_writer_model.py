"""The group writer under anything that can happen to it, in any order: no unit ends twice or never, and
nobody waits for ever."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.storage.test_writer import FAULT, INSERT, ScriptedRunner
from xmppd.storage.errors import RefusedError
from xmppd.storage.group import Outcome
from xmppd.storage.statement import Unit
from xmppd.storage.writer import LAST_RETRY, GroupWriter, Limits


class OneAtATime(ScriptedRunner):
    """Keeps what is asked of it; a second thing before the first has ended is a mistake."""

    def _check(self) -> None:
        assert not self.busy, "two at a time"

    @property
    def busy(self) -> bool:
        return bool(self.waiting) or any(not answer.called for _, answer in self.questions)

    def run_group(self, units: list[Any]) -> Deferred[Outcome]:
        self._check()
        self.units = list(units)
        return super().run_group(units)

    def was_committed(self, ticket: str) -> Deferred[Any]:
        self._check()
        return super().was_committed(ticket)


class WriterMachine(RuleBasedStateMachine):
    """What the server does to the writer, and what a database does."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.runner = Clock(), OneAtATime()
        limits = Limits(group_delay=0.005, group_rows=4, queue_rows=6, queue_bytes=100)
        self.writer = GroupWriter(self.clock, self.runner, limits)
        self.writer.observe(self)
        self.ended: dict[int, list[str]] = {}
        self.units: list[tuple[int, Unit]] = []
        self.stored: list[int] = []
        self.readers: list[Deferred[None]] = []
        self.closed: Deferred[None] | None = None
        self.told_full = False
        self.on_next: list[str] = []

    # -- what is told

    def on_fault(self, error: BaseException) -> None:
        assert not self.runner.busy
        self.react()

    def on_healthy(self) -> None:
        self.react()

    def on_full(self) -> None:
        assert not self.told_full
        self.told_full = True

    def on_drained(self) -> None:
        assert self.told_full
        self.told_full = False

    def react(self) -> None:
        """Do what was chosen for the next time that something is heard."""
        if self.on_next:
            what = self.on_next.pop()
            {"append": self.append, "write": self.write, "read": self.read, "close": self.close}[what]()

    def note(self, number: int, how: str) -> None:
        self.ended[number].append(how)
        self.react()

    # -- what is done

    @rule()
    def append(self) -> None:
        number = len(self.ended)
        self.ended[number] = []
        note = self.note

        class Done:
            def committed(self) -> None:
                note(number, "stored")

            def failed(self, error: BaseException) -> None:
                note(number, type(error).__name__)

        self.units.append((number, self.writer.append(INSERT, (number, b"x" * 9), Done())))

    @rule()
    def write(self) -> None:
        if self.writer.closed:
            return
        number = len(self.ended)
        self.ended[number] = []
        self.writer.write(str(number), lambda cursor: None, ()).addCallbacks(
            lambda _: self.note(number, "stored"),
            lambda failure: self.note(number, failure.type.__name__),
        )

    @rule()
    def read(self) -> None:
        settled = self.writer.settled()
        if settled is not None:
            self.readers.append(settled)
            settled.addCallback(lambda _: self.react())

    @precondition(lambda self: self.units)
    @rule(which=st.integers(0, 1000))
    def withdraw(self, which: int) -> None:
        number, unit = self.units[which % len(self.units)]
        if unit.withdraw():
            self.ended[number].append("withdrawn")

    @precondition(lambda self: self.closed is None and len(self.ended) > 3)
    @rule()
    def close(self) -> None:
        if self.closed is None:
            self.closed = Deferred.fromCoroutine(self.writer.close())

    @rule(what=st.sampled_from(["append", "write", "read", "close"]))
    def react_next(self, what: str) -> None:
        self.on_next.append(what)

    @rule(seconds=st.sampled_from([0, 0.005, LAST_RETRY]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # -- what the database does

    @precondition(lambda self: self.runner.waiting)
    @rule(refused=st.sets(st.integers(0, 3)), how=st.sampled_from(["well", "well", "fault", "doubt"]))
    def end_group(self, refused: set[int], how: str) -> None:
        units = self.runner.units
        there = [n for n in range(len(units)) if n not in refused]
        outcome: dict[str, Any] = {
            "values": dict.fromkeys(there),
            "failures": {n: RefusedError("no") for n in refused if n < len(units)},
        }
        if how != "well":
            outcome |= {"fault": FAULT, "ticket": "1" if how == "doubt" else None}
        self.runner.end(**outcome)

    @precondition(lambda self: self.runner.questions and not self.runner.questions[-1][1].called)
    @rule(answer=st.sampled_from([True, False, FAULT]))
    def answer(self, answer: Any) -> None:
        self.runner.questions[-1][1].callback(answer)

    # -- what holds at any time

    @invariant()
    def nothing_ends_twice(self) -> None:
        assert all(len(ends) <= 1 for ends in self.ended.values())

    @invariant()
    def closed_is_when_nothing_is_left(self) -> None:
        if self.closed is not None and self.closed.called:
            assert self.writer.queued == 0
            assert not self.runner.busy

    def teardown(self) -> None:
        """Whatever was, the writer can be closed, and then nobody waits any longer."""
        self.on_next.clear()
        self.close()
        for _ in range(20):
            self.clock.advance(LAST_RETRY)
            if self.runner.waiting:
                self.end_group(set(), "well")
            elif self.runner.questions and not self.runner.questions[-1][1].called:
                self.answer(True)
        assert self.closed is not None
        assert self.closed.called
        assert not self.runner.busy
        self.clock.advance(0)
        assert self.clock.getDelayedCalls() == []
        assert all(ends for ends in self.ended.values())
        assert all(reader.called for reader in self.readers)


class WriterModelTests(SynchronousTestCase):
    """Faults, closing, withdrawing and all that is done by those who hear of it, in random order."""

    def test_every_unit_ends_once_and_no_reader_is_forgotten(self) -> None:
        run_state_machine_as_test(
            WriterMachine, settings=settings(max_examples=300, stateful_step_count=40, deadline=None)
        )
