"""What an account has certainly got: the mark, what is owed, and the backlog."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
from twisted.trial import unittest

from xmppd.core import mailbox as core_mailbox
from xmppd.core.mailbox import Mailbox
from xmppd.core.stanza import Stanza


class FakeSession:
    """Remembers what it was sent."""

    def __init__(self, priority: int | None = 0) -> None:
        self.priority = priority
        self.pressed = self.closed = 0
        self.is_far_behind = False
        self.sent: list[tuple[Stanza, int | None]] = []

    @property
    def rows(self) -> list[int | None]:
        return [row for _, row in self.sent]

    def send(self, stanza: Stanza, row: int | None = None) -> None:
        self.sent.append((stanza, row))

    def press(self) -> None:
        self.pressed += 1

    def close(self, _: object = None) -> None:
        self.closed += 1


def mailbox(mark: int = 0, confirmed: Iterable[int] = (), latest: int = 0) -> Mailbox:
    return Mailbox(mark, confirmed, latest, lambda _: None)


def session(priority: int | None = 0) -> Any:
    return FakeSession(priority)


def message() -> Stanza:
    return Stanza("message", {})


class DeliveryTests(unittest.SynchronousTestCase):
    """Live messages."""

    def test_new_account_has_no_backlog(self) -> None:
        self.assertFalse(mailbox(5, (), 5).has_backlog)

    def test_rows_after_the_mark_may_be_on_the_disk(self) -> None:
        self.assertTrue(mailbox(5, (), 6).has_backlog)

    def test_confirmation_moves_the_mark(self) -> None:
        box, phone = mailbox(), session()
        box.deliver(phone, message(), 1)
        self.assertEqual(phone.rows, [1])
        self.assertEqual(box.mark, 0)
        box.confirm([1])
        self.assertEqual(box.mark, 1)
        self.assertEqual(box.confirmed, set())

    def test_owed_row_holds_the_mark(self) -> None:
        box, phone, desk = mailbox(), session(), session()
        box.deliver(phone, message(), 1)
        box.deliver(desk, message(), 2)
        box.confirm([2])
        self.assertEqual((box.mark, box.confirmed), (0, {2}))
        box.confirm([1])
        self.assertEqual((box.mark, box.confirmed), (2, set()))

    def test_one_of_two_sessions_confirms_for_both(self) -> None:
        box, phone, desk = mailbox(), session(), session()
        for each in (phone, desk):
            box.deliver(each, message(), 1)
        box.confirm([1])
        self.assertEqual(box.mark, 1)
        box.gone(desk)
        self.assertFalse(box.has_backlog)

    def test_message_without_a_row_is_only_sent(self) -> None:
        box, phone = mailbox(3, (), 3), session()
        box.deliver(phone, message(), None)
        self.assertEqual((phone.rows, box.owed, box.mark), ([None], {}, 3))

    def test_waiting_row_holds_the_mark(self) -> None:
        box, phone = mailbox(), session()
        box.wait(1)
        box.deliver(phone, message(), 2)
        box.confirm([2])
        self.assertEqual(box.mark, 0)
        self.assertTrue(box.has_backlog)

    def test_rows_of_a_dead_session_become_backlog(self) -> None:
        box, phone = mailbox(), session()
        for row in (1, 2, 3):
            box.deliver(phone, message(), row)
        box.confirm([2])
        box.gone(phone)
        self.assertTrue(box.has_backlog)
        self.assertEqual(box.mark, 0)
        desk = session()
        self.assertEqual([row for row in (1, 2, 3) if box.claim(desk, row)], [1, 3])

    def test_row_that_another_session_owes_is_not_given_again(self) -> None:
        box, phone, desk = mailbox(), session(), session()
        for each in (phone, desk):
            box.deliver(each, message(), 1)
        box.gone(phone)
        self.assertFalse(box.has_backlog)
        self.assertFalse(box.claim(session(), 1))

    def test_unknown_and_repeated_confirmations_do_no_harm(self) -> None:
        box, phone = mailbox(4, (), 4), session()
        box.deliver(phone, message(), 6)
        box.confirm([2, 6, 6])
        self.assertEqual((box.mark, box.confirmed, box.owed), (6, set(), {}))

    def test_moves_are_reported(self) -> None:
        moved: list[Mailbox] = []
        box = Mailbox(0, (), 0, moved.append)
        box.deliver(session(), message(), 1)
        self.assertEqual(moved, [])
        box.confirm([1])
        self.assertEqual(moved, [box])


class NegativePriorityTests(unittest.SynchronousTestCase):
    """A session that gets a message for its full JID only does not take it from the account."""

    def test_row_waits_for_another_session(self) -> None:
        for priority in (None, -1):
            box, bot, phone = mailbox(), session(priority), session()
            box.deliver(bot, message(), 1)
            self.assertEqual(bot.rows, [1])
            box.confirm([1], bot)
            self.assertEqual(box.mark, 0)
            self.assertTrue(box.has_backlog)
            self.assertTrue(box.claim(phone, 1))
            box.confirm([1])
            box.read_to(1)
            self.assertEqual(box.mark, 1)

    def test_same_session_does_not_get_it_again(self) -> None:
        box, phone = mailbox(), session(None)
        box.deliver(phone, message(), 1)
        box.confirm([1], phone)
        phone.priority = 0
        self.assertFalse(box.claim(phone, 1))
        box.read_to(1)
        self.assertEqual((box.mark, box.has_backlog), (1, False))

    def test_same_session_owes_it_until_it_confirms(self) -> None:
        box, phone = mailbox(), session(None)
        box.deliver(phone, message(), 1)
        phone.priority = 0
        self.assertFalse(box.claim(phone, 1))
        box.read_to(1)
        self.assertEqual(box.mark, 0)
        box.confirm([1], phone)
        self.assertEqual(box.mark, 1)

    def test_same_session_does_not_get_it_again_after_another_one(self) -> None:
        """The other one died before it confirmed"""
        for seen in (False, True):
            box, phone, desk = mailbox(), session(None), session()
            box.deliver(phone, message(), 1)
            if seen:
                box.confirm([1], phone)
            self.assertTrue(box.claim(desk, 1))
            box.read_to(1)
            box.gone(desk)
            phone.priority = 0
            self.assertFalse(box.claim(phone, 1))
            box.read_to(1)
            self.assertEqual(box.mark, int(seen))
            box.confirm([1], phone)
            self.assertEqual(box.mark, 1)

    def test_it_does_not_confirm_for_another_one(self) -> None:
        """Found by the model: the bot's acknowledgement came while the desk owed the row, which then was lost
        with the desk."""
        for dead in (False, True):
            box, bot, desk = mailbox(), session(-1), session()
            box.deliver(bot, message(), 1)
            self.assertTrue(box.claim(desk, 1))
            box.read_to(1)
            if dead:
                box.gone(desk)
            box.confirm([1], bot)
            if not dead:
                box.gone(desk)
            self.assertEqual((box.mark, box.has_backlog), (0, True))
            phone = session()
            self.assertTrue(box.claim(phone, 1))
            box.read_to(1)
            box.confirm([1], phone)
            self.assertEqual(box.mark, 1)

    def test_dead_session_is_forgotten(self) -> None:
        box, bot = mailbox(), session(-1)
        box.deliver(bot, message(), 1)
        box.confirm([1], bot)
        box.gone(bot)
        self.assertTrue(box.claim(session(), 1))


class ReplayTests(unittest.SynchronousTestCase):
    """The backlog comes before what is live."""

    def test_live_messages_wait_behind_it(self) -> None:
        box, phone = mailbox(0, (), 1), session()
        self.assertTrue(box.begin_replay(phone))
        box.deliver(phone, message(), 2)
        box.deliver(phone, message(), None)
        self.assertEqual(phone.rows, [])
        self.assertTrue(box.claim(phone, 1))
        phone.send(message(), 1)
        box.read_to(1)
        box.end_replay(phone)
        self.assertEqual(phone.rows, [1, 2, None])
        box.confirm([1, 2])
        self.assertEqual(box.mark, 2)

    def test_other_sessions_do_not_wait(self) -> None:
        box, phone, desk = mailbox(0, (), 1), session(), session()
        box.begin_replay(phone)
        self.assertFalse(box.begin_replay(desk))
        box.deliver(desk, message(), 2)
        self.assertEqual(desk.rows, [2])
        box.end_replay(desk)
        self.assertFalse(box.begin_replay(desk))

    def test_what_waited_for_a_dead_session_is_not_lost(self) -> None:
        box, phone = mailbox(0, (), 1), session()
        box.begin_replay(phone)
        ephemeral = message()
        box.deliver(phone, message(), 2)
        box.deliver(phone, ephemeral, None)
        self.assertEqual(box.take_unsent(phone), [ephemeral])
        box.gone(phone)
        desk = session()
        self.assertTrue(box.begin_replay(desk))
        self.assertEqual([row for row in (1, 2) if box.claim(desk, row)], [1, 2])

    def test_row_set_free_behind_the_reader_is_seen_by_it(self) -> None:
        box, phone, desk = mailbox(0, (), 0), session(), session()
        box.deliver(phone, message(), 1)
        box.wait(2)
        box.begin_replay(desk)
        place = box.read_until
        box.claim(desk, 2)
        box.read_to(2)
        box.gone(phone)
        self.assertLess(box.read_until, 2)
        self.assertEqual(box.read_until, place)
        self.assertTrue(box.has_backlog)
        self.assertTrue(box.claim(desk, 1))

    def test_restored_session_owes_its_rows(self) -> None:
        box, phone = mailbox(2, (4,), 6), session()
        box.restore(phone, [1, 4, 5])
        desk = session()
        self.assertEqual([row for row in range(1, 7) if box.claim(desk, row)], [3, 6])


class PassingTests(unittest.SynchronousTestCase):
    """Rows that are no part of the history go when they are confirmed."""

    def test_confirmed_row_is_finished_once(self) -> None:
        box, phone = mailbox(), session()
        box.passing.add(1)
        box.deliver(phone, message(), 1)
        self.assertEqual(box.take_finished(), [])
        box.confirm([1])
        self.assertEqual((box.take_finished(), box.take_finished(), box.passing), ([1], [], set()))

    def test_erased_row_is_gone_without_a_word(self) -> None:
        box = mailbox()
        box.passing.update((1, 2))
        box.erase({1})
        box.confirm([1])
        self.assertEqual((box.passing, box.take_finished()), ({2}, []))

    def test_erased_row_is_not_sent_behind_a_replay(self) -> None:
        box, phone = mailbox(0, (), 1), session()
        self.assertTrue(box.begin_replay(phone))
        for row in (2, 3):
            box.deliver(phone, message(), row)
        box.erase({2})
        box.read_to(1)
        box.end_replay(phone)
        self.assertEqual((phone.rows, box.mark), ([3], 2))

    def test_row_that_was_confirmed_while_it_was_read_is_not_kept_in_mind(self) -> None:
        box, phone, desk = mailbox(), session(), session()
        box.passing.add(1)
        box.deliver(phone, message(), 1)
        box.wait(2)
        box.begin_replay(desk)
        box.confirm([1])
        self.assertFalse(box.claim(desk, 1, passing=True))
        self.assertEqual((box.take_finished(), box.passing), ([1], set()))

    def test_claimed_row_is_finished_when_it_is_confirmed(self) -> None:
        box, phone = mailbox(0, (), 1), session()
        self.assertTrue(box.claim(phone, 1, passing=True))
        box.confirm([1])
        self.assertEqual(box.take_finished(), [1])

    def test_row_that_was_erased_while_a_session_owed_it_is_not_kept_in_mind(self) -> None:
        """Found by the model, after a restart: the session expired, and the erased row, which nobody was
        given any more, was counted for ever."""
        box, phone, desk = mailbox(0, (), 2), session(), session()
        box.passing.update((1, 2))
        box.restore(phone, [1, 2])
        box.gone(phone)
        self.assertTrue(box.claim(desk, 2))
        box.read_to(2)
        box.confirm([2])
        self.assertEqual((sorted(box.take_finished()), box.passing, box.mark), ([1, 2], set(), 2))

    def test_row_that_another_session_may_read_again_stays(self) -> None:
        """Found by the model: it went with the first acknowledgement, and a session that had kept no more of
        it than its position was resumed without it"""
        box, desk, phone, pad = mailbox(), session(), session(), session()
        box.passing.add(1)
        for each in (desk, phone, pad):
            box.deliver(each, message(), 1)
        box.deliver(desk, message(), 2)
        box.confirm([1, 2], desk)
        self.assertEqual((box.take_finished(), box.mark, box.owed), ([], 0, {}))
        self.assertFalse(box.claim(session(), 1))
        box.confirm([1], phone)
        self.assertEqual(box.take_finished(), [])
        box.gone(pad)
        self.assertEqual((box.take_finished(), box.mark), ([1], 2))
        self.assertEqual((box.passing, box.wanted, box.confirmed), (set(), {}, set()))

    def test_row_stays_for_a_session_that_did_not_count(self) -> None:
        box, bot, phone = mailbox(), session(-1), session()
        box.passing.add(1)
        box.deliver(bot, message(), 1)
        self.assertTrue(box.claim(phone, 1))
        box.read_to(1)
        box.confirm([1], phone)
        self.assertEqual((box.take_finished(), box.wanted), ([], {1: [bot]}))
        box.confirm([1], bot)
        self.assertEqual((box.take_finished(), box.mark), ([1], 1))

    def test_row_does_not_stay_for_a_session_that_has_acknowledged_it(self) -> None:
        box, bot, phone = mailbox(), session(-1), session()
        box.passing.add(1)
        box.deliver(bot, message(), 1)
        self.assertTrue(box.claim(phone, 1))
        box.confirm([1], bot)
        box.confirm([1], phone)
        self.assertEqual((box.take_finished(), box.wanted), ([1], {}))

    def test_row_stays_over_a_restart(self) -> None:
        box, phone = mailbox(0, (1,), 2), session()
        box.passing.update((1, 2))
        box.restore(phone, [1, 2])
        box.read_to(2)
        box.confirm([2], phone)
        self.assertEqual((box.take_finished(), box.mark), ([2], 0))
        box.confirm([1], phone)
        self.assertEqual((box.take_finished(), box.mark), ([1], 2))

    def test_row_that_nobody_is_to_get_any_more_goes_at_once(self) -> None:
        for end in (lambda box: box.erase({1}), lambda box: box.give_up(1)):
            box, desk, phone = mailbox(), session(), session()
            box.passing.add(1)
            for each in (desk, phone):
                box.deliver(each, message(), 1)
            box.confirm([1], desk)
            end(box)
            self.assertEqual((box.passing, box.wanted, box.mark), (set(), {}, 1))

    def test_work_does_not_grow_with_what_a_device_that_is_away_wants(self) -> None:
        """Each acknowledgement looked through the thousands of rows that another device had not got yet"""

        class Unread(dict[int, Any]):
            def __iter__(self) -> Any:
                raise AssertionError("looked through")

        box, desk, phone = mailbox(), session(), session()
        box.wanted, box.owed = Unread(), Unread()
        for row in range(1, 100):
            box.passing.add(row)
            for each in (desk, phone):
                box.deliver(each, message(), row)
            box.confirm([row], desk)
        self.assertEqual((box.mark, len(box.wanted)), (0, 99))
        for row in range(1, 100):
            box.confirm([row], phone)
            self.assertEqual(box.mark, row)

    def test_history_stays(self) -> None:
        box, phone = mailbox(), session()
        box.deliver(phone, message(), 1)
        box.confirm([1])
        self.assertEqual(box.take_finished(), [])


class RelieveTests(unittest.SynchronousTestCase):
    """Thousands of confirmed rows do not wait for one for ever."""

    def setUp(self) -> None:
        self.patch(core_mailbox, "MOST_CONFIRMED", 10)
        self.patch(core_mailbox, "SOME", 5)
        self.box, self.desk, self.phone = mailbox(), session(), session()

    def confirm(self, first: int, number: int) -> None:
        """The desk gets these, and has them."""
        for row in range(first, first + number):
            self.box.deliver(self.desk, message(), row)
            self.box.confirm([row], self.desk)

    def test_whoever_owes_is_asked_first(self) -> None:
        self.box.deliver(self.phone, message(), 1)
        self.confirm(2, 10)
        self.assertFalse(self.box.relieve())
        self.assertEqual((self.phone.pressed, self.phone.closed), (0, 0))
        self.confirm(12, 1)
        for _ in range(3):
            self.assertFalse(self.box.relieve())
        self.assertEqual((self.phone.pressed, self.phone.closed), (1, 0))
        self.confirm(13, 6)
        self.assertFalse(self.box.relieve())
        self.assertEqual((self.phone.pressed, self.phone.closed, self.desk.pressed), (1, 1, 0))

    def test_whoever_answers_stays(self) -> None:
        self.box.deliver(self.phone, message(), 1)
        self.confirm(2, 11)
        self.box.relieve()
        self.box.deliver(self.phone, message(), 20)
        self.box.confirm([1], self.phone)
        self.confirm(21, 11)
        self.box.relieve()
        self.assertEqual((self.phone.pressed, self.phone.closed), (2, 0))

    def test_backlog_is_given_to_somebody(self) -> None:
        """It closed a session that acknowledged all that it was sent, since another one, of negative
        priority, had been written to"""
        bot = session(-1)
        self.box.deliver(bot, message(), 1)
        self.confirm(2, 10)
        self.box.deliver(self.desk, message(), 12)
        self.box.confirm([11], self.desk)
        self.confirm(13, 1)
        self.assertTrue(self.box.relieve())
        self.assertFalse(self.box.relieve())
        self.assertEqual((self.desk.pressed, self.desk.closed, bot.closed), (0, 0, 0))

    def test_what_may_be_read_again_is_given_up(self) -> None:
        """It closed a session whose client had not been sent the row yet, since its user did not look"""
        self.box.passing.update(range(1, 4))
        for row in range(1, 4):
            for each in (self.desk, self.phone):
                self.box.deliver(each, message(), row)
        self.box.confirm([1, 2, 3], self.desk)
        self.confirm(4, 8)
        self.assertFalse(self.box.relieve())
        self.assertEqual((self.box.take_finished(), self.box.wanted, self.box.mark), ([1, 2, 3], {}, 11))
        self.assertEqual((self.phone.pressed, self.phone.closed), (0, 0))

    def test_memory_is_bounded(self) -> None:
        """Rows that come and go behind one that stays"""
        self.box.deliver(self.phone, message(), 1)
        for _ in range(100):
            for row in range(2, 50):
                self.box.deliver(self.desk, message(), row)
            self.box.gone(self.desk)
        self.assertLess(len(self.box._holding), 300)


class Model(RuleBasedStateMachine):
    """Everything that can happen to an account, against plain sets.

    `rows` are those on the disk; `got` those that a session of non-negative priority has acknowledged.
    """

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.box = mailbox()
        self.rows: list[int] = []
        self.got: set[int] = set()
        self.alive: list[FakeSession] = []
        self.unacked: dict[FakeSession, list[int]] = {}
        self.counts: dict[tuple[FakeSession, int], bool] = {}
        #: What went to a session of negative priority.
        self.shown: set[tuple[FakeSession, int]] = set()
        self.acked: set[tuple[FakeSession, int]] = set()
        #: Rows that are no part of the history and are still on the disk.
        self.passing: set[int] = set()
        #: A replay under way: who, from where, up to where, and what the disk gave.
        self.reading: tuple[FakeSession, int, int, list[int]] | None = None

    def _new_row(self) -> int:
        row = self.rows[-1] + 3 if self.rows else 3
        self.rows.append(row)
        if row % 2:
            self.passing.add(row)
            self.box.passing.add(row)
        return row

    def _note_sent(self) -> None:
        """Book what the sessions were sent since the last time."""
        for each in self.alive:
            known = self.unacked[each]
            for row in each.rows[self._known(each) :]:
                assert row is not None
                assert (each, row) not in self.counts, "a session got a row twice"
                self.counts[each, row] = (each, row) not in self.shown
                known.append(row)

    def _known(self, each: FakeSession) -> int:
        return sum(who is each for who, _ in self.counts)

    @rule(target=sessions, priority=st.sampled_from([None, -1, 0, 0, 5]))
    def bind(self, priority: int | None) -> FakeSession:
        new = FakeSession(priority)
        self.alive.append(new)
        self.unacked[new] = []
        return new

    @rule(who=sessions, priority=st.sampled_from([-1, 0]))
    def change_priority(self, who: FakeSession, priority: int) -> None:
        if who in self.alive:
            who.priority = priority

    @rule(who=st.lists(sessions, max_size=3, unique_by=id))
    def message(self, who: list[FakeSession]) -> None:
        row = self._new_row()
        ready = [each for each in who if each in self.alive and (each.priority or 0) >= 0]
        ready = [each for each in ready if each.priority is not None]
        for each in ready:
            self.box.deliver(cast(Any, each), message(), row)
        if not ready:
            self.box.wait(row)
        self._note_sent()

    @rule(who=sessions)
    def message_to_full_jid(self, who: FakeSession) -> None:
        if who in self.alive:
            row = self._new_row()
            if who.priority is None or who.priority < 0:
                self.shown.add((who, row))
            self.box.deliver(cast(Any, who), message(), row)
            self._note_sent()

    @rule(who=sessions, number=st.integers(1, 5))
    def acknowledge(self, who: FakeSession, number: int) -> None:
        if who not in self.alive:
            return
        rows, self.unacked[who] = self.unacked[who][:number], self.unacked[who][number:]
        self.got |= {row for row in rows if self.counts[who, row]}
        self.box.confirm(rows, cast(Any, who))
        self.acked |= {(who, row) for row in rows}

    @rule(who=consumes(sessions))
    def die(self, who: FakeSession) -> None:
        if who in self.alive:
            self.alive.remove(who)
            self.box.gone(cast(Any, who))

    @precondition(lambda self: self.box.has_backlog and self.reading is None)
    @rule(who=sessions, size=st.integers(1, 3))
    def start_reading(self, who: FakeSession, size: int) -> None:
        if who not in self.alive or who.priority is None or who.priority < 0:
            return
        if self.box.begin_replay(cast(Any, who)):
            after, until = self.box.read_until, self.box.backlog_until
            found = [row for row in self.rows if row > after][:size]
            self.reading = (who, after, until if len(found) < size else min(found[-1], until), found)

    @precondition(lambda self: self.reading is not None)
    @rule()
    def finish_reading(self) -> None:
        assert self.reading is not None
        (who, after, until, found), self.reading = self.reading, None
        if who in self.alive and self.box.read_until == after and (who.priority or 0) >= 0:
            for row in found:
                if row <= until:
                    self._claim(who, row)
            self.box.read_to(until)
        self.box.end_replay(cast(Any, who))
        self._note_sent()

    def _claim(self, who: FakeSession, row: int) -> None:
        waited = row not in self.got and row not in self.box.owed
        if self.box.claim(cast(Any, who), row):
            who.send(message(), row)
        elif waited:
            # It had got the row when that did not count yet.
            assert (who, row) in self.counts, "a row was passed over"
            self.counts[who, row] = True
            if (who, row) in self.acked:
                self.got.add(row)

    @precondition(lambda self: self.reading is None)
    @rule()
    def restart(self) -> None:
        """Everyone is gone; what is written down is the mark."""
        for each in self.alive:
            self.box.gone(cast(Any, each))
        self.alive.clear()
        self.rows_go_when_nobody_may_read_them_again()
        self.box = mailbox(self.box.mark, self.box.confirmed, self.rows[-1] if self.rows else 0)
        self.box.passing.update(row for row in self.passing if row > self.box.mark)

    @invariant()
    def mark_is_right(self) -> None:
        box = self.box
        for row in self.rows:
            if row not in self.got:
                assert row > box.mark, "the mark passed a row that nobody has got"
                assert row not in box.confirmed

    @invariant()
    def waiting_rows_are_owed_or_backlog(self) -> None:
        for row in self.rows:
            if row not in self.got and row not in self.box.owed:
                assert self.box.read_until < row <= self.box.backlog_until, "a row waits for nobody"

    @invariant()
    def rows_go_when_nobody_may_read_them_again(self) -> None:
        finished = self.box.take_finished()
        for row in finished:
            assert row in self.got, "a row went that nobody has got"
            for each in self.alive:
                assert row not in self.unacked[each], "a row went that a session may have to read again"
        assert len(finished) == len(self.passing.intersection(finished)), "a row went twice, or was history"
        self.passing.difference_update(finished)

    def teardown(self) -> None:
        """Whoever comes last gets the rest, and then nothing is left."""
        if self.reading is not None:
            self.finish_reading()
        for each in self.alive:
            self.box.gone(cast(Any, each))
        self.alive.clear()
        last = self.bind(0)
        while self.box.has_backlog:
            self.start_reading(last, 2)
            self.finish_reading()
        self.acknowledge(last, len(self.rows))
        assert self.got == set(self.rows), "a row was lost"
        assert self.box.mark == (self.rows[-1] if self.rows else 0)
        assert not self.box.confirmed
        assert not self.box.owed
        self.rows_go_when_nobody_may_read_them_again()
        assert not self.passing
        assert not self.box.passing
        assert not self.box.wanted


class ModelTests(unittest.SynchronousTestCase):
    def test_nothing_is_lost_or_given_twice(self) -> None:
        """No row lost, no session gets one twice, the mark is always right."""
        from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

        run_state_machine_as_test(Model, settings=settings(max_examples=400, stateful_step_count=40))
