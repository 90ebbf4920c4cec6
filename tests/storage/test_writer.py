"""The group writer with a fake clock, and with groups that end as the test says."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.storage.base import Noted
from xmppd.storage.errors import ClosedError, FaultError, RefusedError
from xmppd.storage.group import Outcome
from xmppd.storage.statement import Statement, Unit
from xmppd.storage.writer import FIRST_RETRY, LAST_RETRY, GroupWriter, Limits

INSERT = Statement.insert("pet", ("name", "picture"), weight="picture")
FAULT = FaultError("disk full")


class ScriptedRunner:
    """Keeps each group until the test says how it ended."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.waiting: list[Deferred[Outcome]] = []
        self.questions: list[tuple[str, Deferred[Any]]] = []

    def run_group(self, units: list[Any]) -> Deferred[Outcome]:
        self.groups.append([unit.row if isinstance(unit, Unit) else unit.name for unit in units])
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def was_committed(self, ticket: str) -> Deferred[Any]:
        self.questions.append((ticket, Deferred()))
        return self.questions[-1][1]

    def end(self, **outcome: Any) -> None:
        self.waiting.pop(0).callback(Outcome(**outcome))


class NotedEvents:
    """An observer that notes what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_fault(self, error: BaseException) -> None:
        self.events.append("fault")

    def on_healthy(self) -> None:
        self.events.append("healthy")

    def on_full(self) -> None:
        self.events.append("full")

    def on_drained(self) -> None:
        self.events.append("drained")


class WriterTestCase(SynchronousTestCase):
    patience = 1.0

    def setUp(self) -> None:
        self.clock = Clock()
        self.runner = ScriptedRunner()
        self.limits = Limits(
            group_delay=0.005, patience=self.patience, group_rows=4, queue_rows=10, queue_bytes=1000
        )
        self.writer = GroupWriter(self.clock, self.runner, self.limits)
        self.observer = NotedEvents()
        self.writer.observe(self.observer)
        self.heard: list[Any] = []

    def append(self, *names: str, size: int = 0) -> list[Unit]:
        return [self.writer.append(INSERT, (name, b"x" * size), Noted(name, self.heard)) for name in names]

    def names(self) -> list[list[Any]]:
        return [
            [unit if isinstance(unit, str) else unit[0] for unit in group] for group in self.runner.groups
        ]

    def fail_group(self) -> None:
        self.runner.end(fault=FAULT)


class GroupTests(WriterTestCase):
    def test_group_starts_after_the_delay_of_its_first_row(self) -> None:
        self.append("a")
        self.clock.advance(0.004)
        self.append("b")
        self.assertEqual(self.names(), [])
        self.clock.advance(0.001)
        self.assertEqual(self.names(), [["a", "b"]])

    def test_group_starts_at_its_number_of_rows(self) -> None:
        self.append("a", "b", "c", "d")
        self.clock.advance(0)
        self.assertEqual(self.names(), [["a", "b", "c", "d"]])

    def test_rows_of_one_turn_are_never_torn_apart(self) -> None:
        self.append("a", "b", "c", "d", "e", "f")
        self.assertEqual(self.names(), [])
        self.clock.advance(0)
        self.assertEqual(self.names(), [["a", "b", "c", "d", "e", "f"]])

    def test_one_group_at_a_time_and_the_next_takes_what_came_meanwhile(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        self.append("b", "c", "d", "e", "f")
        self.clock.advance(1)
        self.assertEqual(self.names(), [["a"]])
        self.runner.end()
        self.clock.advance(0)
        self.assertEqual(self.names(), [["a"], ["b", "c", "d", "e", "f"]])

    def test_delay_is_counted_from_the_first_row_though_a_group_was_under_way(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        self.append("b")
        self.clock.advance(0.003)
        self.runner.end()
        self.clock.advance(0.0019)
        self.assertEqual(self.names(), [["a"]])
        self.clock.advance(0.0002)
        self.assertEqual(self.names(), [["a"], ["b"]])

    def test_enough_rows_start_a_group_as_soon_as_the_one_before_has_ended(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        self.append("b", "c", "d", "e")
        self.runner.end()
        self.clock.advance(0)
        self.assertEqual(self.names(), [["a"], ["b", "c", "d", "e"]])

    def test_enough_rows_of_completions_start_a_group(self) -> None:
        class More(Noted):
            def committed(inner) -> None:
                self.append("b", "c", "d", "e")

        self.writer.append(INSERT, ("a", b""), More("a", self.heard))
        self.clock.advance(0.005)
        self.runner.end()
        self.clock.advance(0)
        self.assertEqual(len(self.names()), 2)

    def test_completions_are_called_in_order_after_the_commit(self) -> None:
        self.append("a", "b", "c")
        self.clock.advance(0.005)
        self.assertEqual(self.heard, [])
        self.runner.end()
        self.assertEqual(self.heard, ["a", "b", "c"])

    def test_row_that_was_refused_fails_alone(self) -> None:
        self.append("a", "b", "c")
        self.clock.advance(0.005)
        self.runner.end(failures={1: RefusedError("not null")})
        self.assertEqual(self.heard, ["a", ("b", "RefusedError"), "c"])
        self.assertEqual((self.writer.counters.rows, self.writer.counters.failures), (2, 1))

    def test_completion_that_raises_harms_no_other(self) -> None:
        class Broken(Noted):
            def committed(self) -> None:
                raise ValueError(self.name)

        self.append("a")
        self.writer.append(INSERT, ("b", b""), Broken("b", self.heard))
        self.append("c")
        self.clock.advance(0.005)
        self.runner.end()
        self.assertEqual(self.heard, ["a", "c"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_row_that_is_appended_by_a_completion_goes_into_the_next_group(self) -> None:
        class Again(Noted):
            def committed(inner) -> None:
                self.append("b")

        self.writer.append(INSERT, ("a", b""), Again("a", self.heard))
        self.clock.advance(0.005)
        self.runner.end()
        self.clock.advance(0.005)
        self.assertEqual(self.names(), [["a"], ["b"]])

    def test_function_gets_its_value_or_its_error(self) -> None:
        first = self.writer.write("first", lambda cursor: None, ())
        second = self.writer.write("second", lambda cursor: None, ())
        self.clock.advance(0.005)
        self.runner.end(values={0: 7}, failures={1: LookupError()})
        self.assertEqual(self.successResultOf(first), 7)
        self.failureResultOf(second, LookupError)

    def test_withdrawn_row_is_neither_run_nor_completed(self) -> None:
        a, _ = self.append("a", "b")
        self.assertTrue(a.withdraw())
        self.clock.advance(0.005)
        self.runner.end()
        self.assertEqual((self.names(), self.heard), ([["b"]], ["b"]))

    def test_nothing_is_run_when_all_is_withdrawn(self) -> None:
        (a,) = self.append("a")
        a.withdraw()
        self.clock.advance(0.005)
        self.assertEqual((self.names(), self.writer.queued), ([], 0))
        self.append("b")
        self.clock.advance(0.005)
        self.assertEqual(self.names(), [["b"]])

    def test_row_under_way_cannot_be_withdrawn(self) -> None:
        (a,) = self.append("a")
        self.clock.advance(0.005)
        self.assertFalse(a.withdraw())
        self.runner.end()
        self.assertFalse(a.withdraw())
        self.assertEqual(self.heard, ["a"])

    def test_cancelled_function_is_not_run(self) -> None:
        deferred = self.writer.write("first", lambda cursor: None, ())
        deferred.cancel()
        self.failureResultOf(deferred, CancelledError)
        self.clock.advance(0.005)
        self.assertEqual(self.names(), [])

    def test_cancelled_function_under_way_ends_without_a_listener(self) -> None:
        deferred = self.writer.write("first", lambda cursor: None, ())
        self.clock.advance(0.005)
        deferred.cancel()
        self.failureResultOf(deferred, CancelledError)
        self.runner.end(values={0: 7})
        self.assertEqual(self.writer.counters.rows, 1)


class SettledTests(WriterTestCase):
    def test_nothing_to_wait_for(self) -> None:
        self.assertIsNone(self.writer.settled())

    def test_waits_for_the_group_that_is_open(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        self.append("b")
        settled = self.writer.settled()
        self.runner.end()
        self.assertNoResult(settled)
        self.clock.advance(0.005)
        self.runner.end()
        self.successResultOf(settled)

    def test_waits_for_the_group_that_is_under_way(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        settled = self.writer.settled()
        self.append("b")
        self.runner.end()
        self.successResultOf(settled)

    def test_completions_come_before_readers(self) -> None:
        self.append("a")
        settled = self.writer.settled()
        settled.addCallback(lambda _: self.heard.append("reader"))
        self.clock.advance(0.005)
        self.runner.end()
        self.assertEqual(self.heard, ["a", "reader"])

    def test_nobody_waits_for_a_faulted_writer(self) -> None:
        self.append("a")
        settled = self.writer.settled()
        self.clock.advance(0.005)
        later = (self.append("b"), self.writer.settled())[1]
        self.fail_group()
        self.successResultOf(settled)
        self.successResultOf(later)
        self.assertIsNone(self.writer.settled())


class PatienceTests(WriterTestCase):
    """Rows cost less the more there are; whoever comes to wait for them does not wait longer than else."""

    patience = 4.0

    def test_group_of_rows_takes_longer(self) -> None:
        self.append("a")
        self.clock.advance(0.019)
        self.append("b")
        self.assertEqual(self.names(), [])
        self.clock.advance(0.001)
        self.assertEqual(self.names(), [["a", "b"]])

    def test_somebody_comes_to_wait_soon(self) -> None:
        self.append("a")
        self.clock.advance(0.002)
        self.writer.settled()
        self.clock.advance(0.003)
        self.assertEqual(self.names(), [["a"]])

    def test_somebody_comes_to_wait_late(self) -> None:
        """A function, or whoever wants to read what was written"""
        for comes in (lambda: self.writer.write("b", lambda cursor: None, ()), self.writer.settled):
            self.runner.groups.clear()
            self.append("a")
            self.clock.advance(0.01)
            comes()
            self.assertEqual(self.names(), [])
            self.clock.advance(0)
            self.assertEqual(self.names()[0][0], "a")
            self.runner.end(values={1: None})

    def test_somebody_waits_behind_a_group_under_way(self) -> None:
        self.append("a")
        self.clock.advance(0.02)
        self.append("b")
        self.writer.settled()
        self.runner.end()
        self.clock.advance(0.005)
        self.assertEqual(self.names(), [["a"], ["b"]])


class FaultTests(WriterTestCase):
    def fault(self, *names: str) -> list[Unit]:
        units = self.append(*names)
        self.clock.advance(0.005)
        self.fail_group()
        return units

    def test_faulted_writer_keeps_its_rows_and_tries_again(self) -> None:
        self.fault("a", "b")
        self.assertTrue(self.writer.faulted)
        self.append("c")
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.names(), [["a", "b"], ["a", "b", "c"]])
        self.runner.end()
        self.assertFalse(self.writer.faulted)
        self.assertEqual(self.heard, ["a", "b", "c"])
        self.assertEqual(self.observer.events, ["fault", "healthy"])

    def test_new_rows_do_not_start_a_group_of_a_faulted_writer(self) -> None:
        self.fault("a")
        self.append("b", "c", "d", "e", "f")
        self.clock.advance(FIRST_RETRY - 0.001)
        self.assertEqual(len(self.names()), 1)

    def test_attempts_become_rare_but_never_stop(self) -> None:
        self.fault("a")
        waited = []
        for _ in range(10):
            (call,) = self.clock.getDelayedCalls()
            waited.append(call.getTime() - self.clock.seconds())
            self.clock.advance(waited[-1])
            self.fail_group()
        self.assertAlmostEqual(waited[0], FIRST_RETRY)
        self.assertAlmostEqual(waited[1], 2 * FIRST_RETRY)
        self.assertAlmostEqual(waited[-1], LAST_RETRY)
        self.assertEqual(self.writer.counters.faults, 11)

    def test_first_retry_is_quick_again_after_a_recovery(self) -> None:
        self.fault("a")
        self.clock.advance(FIRST_RETRY)
        self.fail_group()
        self.clock.advance(2 * FIRST_RETRY)
        self.runner.end()
        self.fault("b")
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.names()[-1], ["b"])

    def test_rows_of_a_faulted_writer_can_be_withdrawn_when_the_fault_is_told(self) -> None:
        withdrawn: list[bool] = []
        units = self.append("a", "b")

        class Withdrawing(NotedEvents):
            def on_fault(self, error: BaseException) -> None:
                withdrawn.append(units[0].withdraw())

        self.writer.observe(Withdrawing())
        self.clock.advance(0.005)
        self.fail_group()
        self.clock.advance(FIRST_RETRY)
        self.assertEqual((withdrawn, self.names()[-1]), ([True], ["b"]))

    def test_every_failed_attempt_is_told(self) -> None:
        self.fault("a")
        self.clock.advance(FIRST_RETRY)
        self.fail_group()
        self.assertEqual(self.observer.events, ["fault", "fault"])

    def test_observer_that_raises_stops_nothing(self) -> None:
        class Broken(NotedEvents):
            def on_fault(self, error: BaseException) -> None:
                raise ValueError

        self.writer._observers.insert(0, Broken())
        self.fault("a")
        self.assertEqual(self.observer.events, ["fault"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_functions_lose_patience_and_rows_do_not(self) -> None:
        deferred = self.writer.write("impatient", lambda cursor: None, ())
        self.fault("a")
        self.assertNoResult(deferred)
        for _ in range(10):
            (call,) = self.clock.getDelayedCalls()
            self.clock.advance(call.getTime() - self.clock.seconds())
            self.fail_group()
        self.failureResultOf(deferred, FaultError)
        (call,) = self.clock.getDelayedCalls()
        self.clock.advance(call.getTime() - self.clock.seconds())
        self.assertEqual(self.names()[-1], ["a"])

    def test_writer_with_nothing_left_looks_whether_writing_works(self) -> None:
        (a,) = self.fault("a")
        a.withdraw()
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.names()[-1], ["probe"])
        self.runner.end(values={0: None})
        self.assertEqual(self.observer.events, ["fault", "healthy"])

    def test_completions_come_before_the_news_that_all_is_well(self) -> None:
        heard = self.heard

        class Late(NotedEvents):
            def on_healthy(self) -> None:
                heard.append("healthy")

        self.writer.observe(Late())
        self.fault("a")
        self.clock.advance(FIRST_RETRY)
        self.runner.end()
        self.assertEqual(heard, ["a", "healthy"])


class DoubtTests(WriterTestCase):
    """The connection was lost in a commit: it took place or not."""

    def setUp(self) -> None:
        super().setUp()
        self.units = self.append("a", "b")
        self.clock.advance(0.005)
        self.runner.end(fault=FAULT, ticket="42", failures={1: RefusedError("alone")})

    def test_it_is_asked_for_before_anything_else(self) -> None:
        self.append("c")
        self.clock.advance(FIRST_RETRY)
        self.assertEqual([ticket for ticket, _ in self.runner.questions], ["42"])
        self.assertEqual(len(self.runner.groups), 1)

    def test_it_took_place(self) -> None:
        self.append("c")
        self.clock.advance(FIRST_RETRY)
        self.runner.questions[0][1].callback(True)
        self.assertEqual(self.heard, ["a", ("b", "RefusedError")])
        self.assertFalse(self.writer.faulted)
        self.clock.advance(0.005)
        self.assertEqual(self.names(), [["a", "b"], ["c"]])

    def test_it_did_not_take_place(self) -> None:
        self.append("c")
        self.clock.advance(FIRST_RETRY)
        self.runner.questions[0][1].callback(False)
        self.assertEqual(self.names(), [["a", "b"], ["a", "b", "c"]])
        self.runner.end()
        self.assertEqual(self.heard, ["a", "b", "c"])

    def test_it_cannot_be_said_yet(self) -> None:
        self.clock.advance(FIRST_RETRY)
        self.runner.questions[0][1].callback(FAULT)
        self.clock.advance(2 * FIRST_RETRY)
        self.assertEqual(len(self.runner.questions), 2)
        self.assertTrue(self.writer.faulted)

    def test_rows_in_doubt_cannot_be_withdrawn(self) -> None:
        self.assertFalse(self.units[0].withdraw())

    def test_closing_with_rows_in_doubt_ends(self) -> None:
        closed = Deferred.fromCoroutine(self.writer.close())
        self.runner.questions[0][1].callback(FAULT)
        self.successResultOf(closed)
        self.assertEqual(self.heard, [("a", "ClosedError"), ("b", "ClosedError")])


class FullTests(WriterTestCase):
    def test_full_by_rows_and_drained_when_they_are_written(self) -> None:
        self.append(*"abcdefghij")
        self.assertFalse(self.writer.full)
        self.append("k")
        self.assertTrue(self.writer.full)
        self.clock.advance(0)
        self.runner.end()
        self.assertFalse(self.writer.full)
        self.assertEqual(self.observer.events, ["full", "drained"])

    def test_full_by_bytes(self) -> None:
        self.append("a", size=1000)
        self.assertFalse(self.writer.full)
        self.append("b", size=1)
        self.assertTrue(self.writer.full)

    def test_still_full_while_a_fault_lasts(self) -> None:
        self.append(*"abcdefghijk")
        self.clock.advance(0)
        self.fail_group()
        self.assertTrue(self.writer.full)
        self.assertEqual(self.observer.events, ["full", "fault"])

    def test_drained_when_rows_are_withdrawn_in_a_fault(self) -> None:
        units = self.append(*"abcdefghijk")
        self.clock.advance(0)
        self.fail_group()
        for unit in units[:8]:
            unit.withdraw()
        self.clock.advance(FIRST_RETRY)
        self.fail_group()
        self.assertEqual(self.observer.events, ["full", "fault", "fault", "drained"])


class CloseTests(WriterTestCase):
    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.writer.close())

    def test_idle_writer_closes_at_once(self) -> None:
        self.successResultOf(self.close())

    def test_queued_rows_are_written_first_and_without_delay(self) -> None:
        self.append("a", "b")
        closed = self.close()
        self.assertEqual(self.names(), [["a", "b"]])
        self.assertNoResult(closed)
        self.runner.end()
        self.successResultOf(closed)
        self.assertEqual(self.heard, ["a", "b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rows_behind_a_group_under_way_are_written_as_well(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        self.append("b")
        closed = self.close()
        self.runner.end()
        self.clock.advance(0)
        self.assertNoResult(closed)
        self.runner.end()
        self.successResultOf(closed)

    def test_row_that_comes_while_closing_is_written(self) -> None:
        self.append("a")
        closed = self.close()
        self.append("b")
        self.runner.end()
        self.clock.advance(0)
        self.runner.end()
        self.successResultOf(closed)
        self.assertEqual(self.heard, ["a", "b"])

    def test_row_of_a_completion_that_closes_is_written(self) -> None:
        """As when the end waits for its last write, and then has the marks written"""
        closed: list[Deferred[None]] = []

        def go_on(_: object) -> None:
            self.append("b")
            closed.append(self.close())

        self.writer.write("last", lambda cursor: None, ()).addCallback(go_on)
        self.clock.advance(0.005)
        self.runner.end(values={0: None})
        self.assertNoResult(closed[0])
        self.clock.advance(0)
        self.assertEqual(self.names(), [["last"], ["b"]])
        self.runner.end()
        self.successResultOf(closed[0])
        self.assertEqual(self.heard, ["b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_observer_that_closes_a_faulted_writer(self) -> None:
        """That attempt was the last one"""
        closed: list[Deferred[None]] = []
        self.patch(self.observer, "on_fault", lambda _: closed.append(self.close()))
        self.append("a")
        self.clock.advance(0.005)
        self.fail_group()
        self.successResultOf(closed[0])
        self.assertEqual(self.names(), [["a"]])
        self.assertEqual(self.heard, [("a", "ClosedError")])

    def test_faulted_writer_makes_one_last_attempt(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        self.fail_group()
        closed = self.close()
        self.assertEqual(self.names(), [["a"], ["a"]])
        self.runner.end()
        self.successResultOf(closed)
        self.assertEqual(self.heard, ["a"])

    def test_what_cannot_be_written_at_the_end_is_reported(self) -> None:
        deferred = self.writer.write("function", lambda cursor: None, ())
        self.append("a")
        closed = self.close()
        self.fail_group()
        self.successResultOf(closed)
        self.assertEqual(self.heard, [("a", "ClosedError")])
        self.failureResultOf(deferred, ClosedError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed_writer_takes_nothing(self) -> None:
        self.successResultOf(self.close())
        (unit,) = self.append("a")
        self.assertEqual(self.heard, [])
        self.assertFalse(unit.withdraw())
        self.clock.advance(0)
        self.assertEqual(self.heard, [("a", "ClosedError")])
        self.assertRaises(ClosedError, self.writer.write, "function", lambda cursor: None, ())


class ReentrantTests(WriterTestCase):
    """Whoever hears of a group may close the writer, as the server does at the end of its last write."""

    def closing(self, *names: str) -> Any:
        """A callback that queues rows and closes, as `Server.stop` does."""

        def close(result: Any) -> Any:
            self.append(*names)
            self.closed = Deferred.fromCoroutine(self.writer.close())
            return result

        return close

    def test_closed_by_a_completion_it_ends_after_the_group_that_is_left(self) -> None:
        self.writer.write("last", lambda cursor: None, ()).addCallback(self.closing("a"))
        self.clock.advance(0.005)
        self.runner.end(values={0: None})
        self.clock.advance(0)
        self.assertEqual(self.names(), [["last"], ["a"]])
        self.assertNoResult(self.closed)
        self.assertFalse(self.writer.closed)
        self.runner.end()
        self.successResultOf(self.closed)
        self.assertEqual(self.heard, ["a"])

    def test_closed_by_a_completion_with_nothing_left_it_ends_at_once(self) -> None:
        self.writer.write("last", lambda cursor: None, ()).addCallback(self.closing())
        self.clock.advance(0.005)
        self.runner.end(values={0: None})
        self.successResultOf(self.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed_by_a_completion_it_forgets_no_reader(self) -> None:
        self.writer.write("last", lambda cursor: None, ()).addCallback(self.closing("a"))
        self.clock.advance(0.005)
        settled = self.writer.settled()
        self.runner.end(values={0: None})
        self.successResultOf(settled)

    def test_reader_that_comes_in_a_completion_sees_the_group_after(self) -> None:
        later: list[Any] = []

        def more(_: object) -> None:
            self.append("a")
            later.append(self.writer.settled())

        self.writer.write("first", lambda cursor: None, ()).addCallback(more)
        self.clock.advance(0.005)
        self.runner.end(values={0: None})
        self.assertNoResult(later[0])
        self.clock.advance(0.005)
        self.runner.end()
        self.successResultOf(later[0])

    def test_closed_when_a_fault_is_told_it_reports_what_is_lost(self) -> None:
        class Closing(NotedEvents):
            def on_fault(inner, error: BaseException) -> None:
                if not self.writer.closing:
                    self.closing("b")(None)

        self.writer.observe(Closing())
        self.append("a")
        self.clock.advance(0.005)
        self.fail_group()
        self.clock.advance(LAST_RETRY)
        self.assertEqual(self.runner.waiting, [])
        self.successResultOf(self.closed)
        self.assertEqual(self.heard, [("a", "ClosedError"), ("b", "ClosedError")])

    def test_closed_while_a_queue_is_full_it_writes_all_of_it(self) -> None:
        self.append("a")
        self.clock.advance(0.005)
        self.append(*"bcdefghijklm")
        self.assertTrue(self.writer.full)
        closed = Deferred.fromCoroutine(self.writer.close())
        self.append("n")
        self.runner.end()
        self.clock.advance(0)
        self.runner.end()
        self.successResultOf(closed)
        self.assertEqual(self.heard, list("abcdefghijklmn"))
        self.assertEqual(self.observer.events, ["full", "drained"])

    def test_closed_while_a_fault_and_a_full_queue_last(self) -> None:
        self.append(*"abcdefghijk")
        self.clock.advance(0)
        self.fail_group()
        closed = Deferred.fromCoroutine(self.writer.close())
        self.fail_group()
        self.successResultOf(closed)
        self.assertEqual(self.heard, [(name, "ClosedError") for name in "abcdefghijk"])
        self.assertEqual(self.writer.queued, 0)
