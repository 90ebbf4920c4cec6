"""How long archives are kept: MAM A4 (the oldest go, no holes, no id twice), quotas, what is undelivered."""

from __future__ import annotations

from itertools import pairwise

from tests.modules.archives import ArchiveConversation
from tests.modules.conversation import User
from xmppd.core.module import Module
from xmppd.modules import retention
from xmppd.modules.redaction import Scope, erase
from xmppd.modules.retention import Retention
from xmppd.storage import database
from xmppd.storage.errors import FaultError

DAY = 86_400.0
#: Longer than until the next clean-up.
INTERVAL = 5 * 3600.0


class RetentionConversation(ArchiveConversation):
    """Romeo talks to others far away; juliet is not there."""

    def begin(self, database: str | None = None) -> None:
        super().begin(database)
        self.account("romeo")
        self.account("juliet")

    def module(self) -> Retention:
        module: Module = self.server.server.hosts["example.org"].modules["retention"]
        assert isinstance(module, Retention)
        return module

    def receive(self, *bodies: str, to: str = "romeo") -> None:
        """Somebody far away writes to romeo."""
        for body in bodies:
            self.from_abroad(
                f"<message from='nurse@capulet.example/hall' to='{to}@example.org' type='chat'>"
                f"<body>{body}</body></message>"
            )

    def come_and_go(self, name: str = "romeo") -> list[str]:
        """The user takes what waits; the bodies of that."""
        user = User(self.server.login(f"{name}@example.org/orchard", presence=False))
        user.send("<presence/>")
        got = [each.partition("<body>")[2].partition("<")[0] for each in user.take() if "<body>" in each]
        user.send("<presence type='unavailable'/>")
        user.client.close()
        self.server.advance(2)
        return got


class ExpiryTests(RetentionConversation):
    settings = ("limits.archive_expires_after=2d", "limits.offline_expires_after=10d")

    def test_the_oldest_expire(self) -> None:
        """MAM A4."""
        self.receive("1", "2")
        self.come_and_go()
        self.pass_time(1.5 * DAY)
        self.receive("3")
        self.come_and_go()
        self.assertEqual(self.history("romeo"), ["1", "2", "3"])
        self.pass_time(0.5 * DAY + INTERVAL)
        self.assertEqual(self.history("romeo"), ["3"])

    def test_no_file_has_the_content_for_long(self) -> None:
        self.receive("expired")
        self.come_and_go()
        self.assertTrue(self.files_with(b"<body>expired"))
        self.pass_time(2 * DAY + INTERVAL, 3600)
        self.pass_time(database.SCRUB_AFTER)
        self.assertEqual(self.files_with(b"<body>expired"), [])

    def test_what_is_not_delivered_stays_and_what_came_after_it(self) -> None:
        """MAM A4: a row in the middle never goes before those in front of it."""
        self.receive("1")
        self.come_and_go()
        self.receive("2")
        romeo = self.user("romeo/orchard", presence=False)
        self.chat(romeo, "nurse@capulet.example", "3")
        romeo.client.close()
        self.pass_time(2 * DAY + INTERVAL)
        self.assertEqual(self.history("romeo"), ["2", "3"])
        self.assertEqual(self.come_and_go(), ["2"])
        self.pass_time(INTERVAL)
        self.assertEqual(self.history("romeo"), [])

    def test_what_nobody_fetches_is_given_up_in_the_end(self) -> None:
        self.receive("1", "2")
        self.pass_time(9.9 * DAY, 3600)
        self.receive("3")
        self.assertEqual(self.history("romeo"), ["1", "2", "3"])
        self.pass_time(0.1 * DAY + INTERVAL)
        self.assertEqual(self.history("romeo"), ["3"])
        mailbox = self.account("romeo").mailbox
        assert mailbox is not None
        self.assertLess(mailbox.mark, self.rows("romeo")[0].seq)
        self.assertEqual(self.come_and_go(), ["3"])

    def test_the_mark_in_memory_moves_with_that_on_the_disk(self) -> None:
        self.receive("1", "2")
        last = self.rows("romeo")[-1].seq
        self.pass_time(10 * DAY + INTERVAL, 3600)
        mailbox = self.account("romeo").mailbox
        assert mailbox is not None
        self.assertGreaterEqual(mailbox.mark, last)
        self.restart()
        mailbox = self.account("romeo").mailbox
        assert mailbox is not None
        self.assertGreaterEqual(mailbox.mark, last)

    def test_ids_of_what_has_expired_are_not_given_out_again(self) -> None:
        """MAM A4 and A36: the clock may even go back."""
        self.receive("1")
        last = self.rows("romeo")[-1].seq
        self.pass_time(10 * DAY + INTERVAL, 3600)
        self.assertEqual(self.rows("romeo"), [])
        self.restart()
        self.receive("2")
        self.assertGreater(self.rows("romeo")[0].seq, last)

    def test_it_goes_on_after_a_fault(self) -> None:
        self.receive("1")
        self.come_and_go()
        read = self.server.database.read

        async def fail(*_: object) -> None:
            raise FaultError("gone")

        self.server.database.read = fail  # type: ignore[method-assign, assignment]
        self.pass_time(2 * DAY + INTERVAL, 3600)
        self.server.database.read = read  # type: ignore[method-assign]
        self.assertEqual(len(self.rows("romeo")), 1)
        self.assertTrue(self.flushLoggedErrors(FaultError))
        self.pass_time(INTERVAL)
        self.assertEqual(self.rows("romeo"), [])


class LongerHistoryTests(RetentionConversation):
    """The history is kept longer than what waits for delivery."""

    settings = ("limits.archive_expires_after=never", "limits.offline_expires_after=1d")

    def test_what_is_given_up_stays_in_the_history(self) -> None:
        self.receive("1", "2")
        self.pass_time(DAY + INTERVAL)
        self.assertEqual(self.history("romeo"), ["1", "2"])
        self.receive("3")
        self.assertEqual(self.come_and_go(), ["3"])

    def test_what_was_for_delivery_alone_is_gone(self) -> None:
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
        self.from_abroad(f"<message from='a@b.example' to='romeo@example.org'><body>x</body>{hint}</message>")
        self.assertEqual(self.waiting("romeo"), ["x"])
        mailbox = self.account("romeo").mailbox
        assert mailbox is not None
        self.assertEqual(len(mailbox.passing), 1)
        self.pass_time(DAY + INTERVAL)
        self.assertEqual((self.rows("romeo"), mailbox.passing), ([], set()))


class StepTests(RetentionConversation):
    settings = ("limits.archive_expires_after=1d",)

    def test_many_rows_go_in_small_steps_with_time_between(self) -> None:
        self.patch(retention, "STEP", 10)
        romeo = self.user("romeo/orchard", presence=False)
        for number in range(35):
            romeo.client.send(f"<message to='a@b.example' type='chat'><body>{number}</body></message>")
        self.assertEqual(len(self.rows("romeo")), 35)
        romeo.client.close()
        sizes: list[int] = []
        write = self.server.database.write

        async def note(name: str, function: object, *args: object) -> object:
            answer = await write(name, function, *args)  # type: ignore[arg-type]
            if name == "expire":
                sizes.append(answer.deleted)  # type: ignore[attr-defined]
            return answer

        self.patch(self.server.database, "write", note)
        before = self.server.reactor.seconds()
        self.assertEqual(self.server.wait_for(self.module().clean(self.account("romeo"), 1 << 60)), 35)
        self.assertEqual(sizes, [10, 10, 10, 5])
        self.assertGreaterEqual(self.server.reactor.seconds() - before, 3 * retention.PAUSE)

    def test_clean_ups_begin_at_random_moments_around_the_interval(self) -> None:
        begun: list[float] = []
        clean_all = self.module()._clean_all

        async def note() -> None:
            begun.append(self.server.reactor.seconds())
            await clean_all()

        self.patch(self.module(), "_clean_all", note)
        self.pass_time(3 * DAY)
        gaps = [later - earlier for earlier, later in pairwise(begun)]
        self.assertLessEqual(begun[0], retention.FIRST + 60)
        self.assertGreaterEqual(len(gaps), 15)
        self.assertGreater(len({round(gap, 3) for gap in gaps}), 1)
        for gap in gaps:
            self.assertTrue(0.89 * 4 * 3600 <= gap <= 1.11 * 4 * 3600 + 60, gap)

    def test_nothing_happens_after_the_stop(self) -> None:
        self.server.stop()
        self.assertIsNone(self.module()._timer)
        self.pass_time(DAY, 3600)


class QuotaTests(RetentionConversation):
    settings = ("limits.archive_messages=5",)

    def test_the_oldest_go(self) -> None:
        """MAM A4."""
        romeo = self.user("romeo/orchard")
        for number in range(12):
            self.chat(romeo, "a@b.example", str(number))
        self.server.advance(5)
        self.assertEqual(self.history("romeo"), ["7", "8", "9", "10", "11"])

    def test_a_quota_full_of_what_waits_is_told_to_the_sender(self) -> None:
        romeo = self.user("romeo/orchard")
        for number in range(5):
            self.chat(romeo, "juliet", str(number))
        romeo.take()
        self.chat(romeo, "juliet", "too much")
        (answer,) = romeo.take()
        self.assertIn("<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>", answer)
        self.assertIn("(archive_messages)", answer)
        self.assertEqual(self.history("juliet"), ["0", "1", "2", "3", "4"])

    def test_there_is_room_again_once_it_is_delivered(self) -> None:
        romeo = self.user("romeo/orchard")
        for number in range(6):
            self.chat(romeo, "juliet", str(number))
        self.assertEqual(self.come_and_go("juliet"), ["0", "1", "2", "3", "4"])
        romeo.take()
        # The first one finds that the mark has moved.
        self.chat(romeo, "juliet", "a")
        self.chat(romeo, "juliet", "b")
        self.server.advance(5)
        self.assertEqual(romeo.take(), [])
        self.assertEqual(self.history("juliet"), ["2", "3", "4", "a", "b"])

    def test_mark_that_is_not_written_down_yet(self) -> None:
        """Once all is delivered nobody is refused, however soon the archive is looked at"""
        romeo, juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        juliet.send("<presence type='unavailable'/>")
        for number in range(6):
            self.chat(romeo, "juliet", str(number))
        romeo.take()
        self.server.advance(retention.LOOK_AGAIN + 0.5)
        juliet.client.send("<presence/>")
        self.server.settle()
        juliet.client.send(" ")
        self.chat(romeo, "juliet", "a")
        juliet.client.send(" ")
        self.assertIsNone(self.module()._full.get(self.account("juliet")))
        self.server.advance(retention.LOOK_AGAIN + 1)
        self.chat(romeo, "juliet", "b")
        self.assertEqual(romeo.take(), [])

    def test_there_is_room_again_once_it_is_given_up(self) -> None:
        romeo = self.user("romeo/orchard")
        for number in range(6):
            self.chat(romeo, "juliet", str(number))
        self.pass_time(366 * DAY, 3600 * 6)
        self.receive("late", to="juliet")
        self.assertEqual(self.history("juliet"), ["late"])

    def test_there_is_room_again_once_what_waits_was_erased(self) -> None:
        """No delivery tells of it: it is looked at again after a while."""
        romeo = self.user("romeo/orchard")
        for number in range(5):
            self.chat(romeo, "juliet", str(number))
        self.server.wait_for(erase(self.module().context, self.account("juliet"), Scope()))
        romeo.take()
        self.chat(romeo, "juliet", "too early")
        self.assertIn("<resource-constraint ", romeo.take()[0])
        self.server.advance(retention.LOOK_AGAIN)
        # The first one finds it out.
        self.chat(romeo, "juliet", "a")
        self.assertIn("<resource-constraint ", romeo.take()[0])
        self.chat(romeo, "juliet", "b")
        self.assertEqual(romeo.take(), [])
        self.assertEqual(self.history("juliet")[-1], "b")

    def test_accounts_without_a_word_cost_nothing(self) -> None:
        self.assertEqual((self.module()._since, self.module()._full), ({}, {}))


class QuotaWithoutCleaningTests(RetentionConversation):
    """The quota is looked after between two clean-ups, when what waits has become too old."""

    settings = (
        "limits.archive_messages=5",
        "limits.offline_expires_after=1d",
        "modules.retention.archive_cleanup_interval=100d",
    )

    def test_the_mark_in_memory_moves_with_that_on_the_disk(self) -> None:
        self.receive("1", "2", to="juliet")
        first, last = (row.seq for row in self.rows("juliet"))
        self.pass_time(2 * DAY, 3600)
        self.receive("3", "4", "5", "6", to="juliet")
        self.pass_time(retention.LOOK_AGAIN, 1)
        self.receive("too much", to="juliet")
        self.pass_time(1)
        self.assertEqual(self.history("juliet"), ["2", "3", "4", "5", "6"])
        mailbox = self.account("juliet").mailbox
        assert mailbox is not None
        self.assertTrue(first <= mailbox.mark < last)
