"""Rosters in memory: in which order they are used, and how long they stay."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.modules.fakes import FakeTicket, World, stanza
from xmppd.core.account import Account
from xmppd.core.errors import StanzaError
from xmppd.core.roster import Roster
from xmppd.modules import roster_keeper
from xmppd.modules.roster_keeper import RosterKeeper, Saved
from xmppd.storage.errors import FaultError

SENT = stanza("<presence from='romeo@example.org/orchard' to='juliet@example.org' id='1' type='subscribe'/>")


class KeeperTests(TestCase):
    """A store that answers when the test says so."""

    def setUp(self) -> None:
        self.reads: list[tuple[Account, Deferred[Roster]]] = []
        self.world = World(database=SimpleNamespace(read=self.read))
        self.keeper = RosterKeeper(self.world.context, most_idle=2)
        self.romeo = self.world.account("romeo")
        self.heard: list[Any] = []

    async def read(self, name: str, function: Any, account: Account) -> Roster:
        waiting: Deferred[Roster] = Deferred()
        self.reads.append((account, waiting))
        return await waiting

    def arrive(self) -> None:
        """The oldest read ends."""
        account, waiting = self.reads.pop(0)
        waiting.callback(Roster(account))

    def hear(self, what: object) -> Any:
        return lambda roster: self.heard.append(what)

    def raise_error(self, error: Exception) -> Any:
        def work(roster: Roster) -> None:
            raise error

        return work


class OrderTests(KeeperTests):
    def test_what_waits_comes_in_order_and_the_rest_at_once(self) -> None:
        ticket = FakeTicket()
        for number in range(3):
            self.keeper.use(self.romeo, self.hear(number), None, ticket)
        self.assertEqual((self.heard, ticket.open, len(self.reads)), ([], 3, 1))
        self.arrive()
        self.assertEqual((self.heard, ticket.open, ticket.errors), ([0, 1, 2], 0, []))
        self.keeper.use(self.romeo, self.hear(3), None, ticket)
        self.assertEqual((self.heard[-1], ticket.open, self.reads), (3, 0, []))

    def test_who_waits_hears_when_it_is_done(self) -> None:
        waiting = [self.keeper.use(self.romeo, self.hear(1))]
        waiting.append(self.keeper.use(self.romeo, self.raise_error(StanzaError("not-allowed"))))
        self.assertTrue(self.keeper.is_reading(self.romeo))
        for each in waiting:
            assert each is not None
            self.assertNoResult(each)
        self.arrive()
        self.assertFalse(self.keeper.is_reading(self.romeo))
        for each in waiting:
            assert each is not None
            self.successResultOf(each)
        self.assertIsNone(self.keeper.use(self.romeo, self.hear(2)))

    async def test_load(self) -> None:
        loading = Deferred.fromCoroutine(self.keeper.load(self.romeo))
        self.assertNoResult(loading)
        self.arrive()
        self.assertIs(await loading, self.keeper.get(self.romeo))
        self.assertIs(await self.keeper.load(self.romeo), self.keeper.get(self.romeo))

    def test_a_failure_concerns_nobody_else(self) -> None:
        tickets = [FakeTicket(), FakeTicket(), FakeTicket()]
        self.keeper.use(self.romeo, self.raise_error(StanzaError("not-allowed")), SENT, tickets[0])
        self.keeper.use(self.romeo, self.raise_error(ZeroDivisionError()), SENT, tickets[1])
        self.keeper.use(self.romeo, self.hear(1), SENT, tickets[2])
        self.arrive()
        self.assertEqual([(each.open, len(each.errors)) for each in tickets], [(0, 1), (0, 1), (0, 0)])
        errors = self.world.router.take_errors()
        self.assertIn("<not-allowed ", errors[0])
        self.assertIn("<internal-server-error ", errors[1])
        self.assertEqual((self.heard, len(errors)), ([1], 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_failure_at_once_is_raised(self) -> None:
        self.keeper.wake(self.romeo)
        self.arrive()
        self.assertRaises(
            StanzaError, self.keeper.use, self.romeo, self.raise_error(StanzaError("not-allowed")), SENT
        )

    async def test_a_store_that_fails(self) -> None:
        ticket = FakeTicket()
        self.keeper.use(self.romeo, self.hear(1), SENT, ticket)
        self.keeper.use(self.romeo, self.hear(2))
        loading = Deferred.fromCoroutine(self.keeper.load(self.romeo))
        self.reads.pop()[1].errback(OSError("no disk"))
        self.assertIn("<internal-server-error ", self.world.router.take_errors()[0])
        self.assertEqual((self.heard, ticket.open, len(ticket.errors)), ([], 0, 1))
        self.failureResultOf(loading, StanzaError)
        self.flushLoggedErrors(OSError)
        # The next one tries again.
        self.keeper.use(self.romeo, self.hear(3))
        self.arrive()
        self.assertEqual(self.heard, [3])

    def test_what_the_server_has_to_do_waits_for_a_store_that_is_gone(self) -> None:
        ticket = FakeTicket()
        self.keeper.use(self.romeo, self.hear("client"), SENT, ticket)
        self.keeper.use(self.romeo, self.hear("server"))
        for _ in range(2):
            self.reads.pop()[1].errback(FaultError("gone"))
            self.assertEqual((self.heard, ticket.open, self.reads), ([], 0, []))
            self.world.clock.advance(roster_keeper.RETRY)
        self.assertEqual(len(self.world.router.take_errors()), 1)
        self.arrive()
        self.assertEqual(self.heard, ["server"])

    def test_not_everything_may_wait(self) -> None:
        self.patch(roster_keeper, "MOST_WAITING", 2)
        ticket = FakeTicket()
        for number in range(2):
            self.keeper.use(self.romeo, self.hear(number), None, ticket)
        self.assertRaises(StanzaError, self.keeper.use, self.romeo, self.hear(2), None, ticket)
        self.assertEqual(ticket.open, 2)
        # What the server itself has to do waits all the same.
        self.keeper.use(self.romeo, self.hear("end"))
        self.arrive()
        self.assertEqual(self.heard, [0, 1, "end"])


class StayTests(KeeperTests):
    def use(self, name: str) -> Account:
        """Something happens to an account that is offline."""
        account = self.world.account(name)
        self.keeper.use(account, self.hear(name))
        if self.reads:
            self.arrive()
        return account

    def kept(self) -> list[str]:
        return [roster.account.jid.local for roster in self.keeper.loaded()]

    def test_those_without_sessions_stay_until_others_come(self) -> None:
        for name in ("a", "b", "a", "c"):
            self.use(name)
        self.assertEqual(self.kept(), ["a", "c"])

    def test_those_with_sessions_stay(self) -> None:
        self.world.session("romeo/orchard")
        self.keeper.wake(self.romeo)
        self.arrive()
        for name in "abc":
            self.use(name)
        self.assertEqual(self.kept(), ["romeo", "b", "c"])
        self.romeo.sessions.clear()
        self.keeper.rest(self.romeo)
        self.assertEqual(self.kept(), ["romeo", "c"])

    def test_one_that_wakes_stays(self) -> None:
        account = self.use("a")
        self.world.session("a/x")
        self.keeper.wake(account)
        self.use("b")
        self.use("c")
        self.assertEqual(self.kept(), ["a", "b", "c"])

    def test_resting_with_another_session_or_without_a_roster(self) -> None:
        self.world.session("romeo/orchard")
        self.keeper.rest(self.romeo)
        self.keeper.wake(self.romeo)
        self.arrive()
        self.keeper.rest(self.romeo)
        for name in "ab":
            self.use(name)
        self.assertEqual(self.kept(), ["romeo", "a", "b"])

    def test_what_is_not_written_yet_stays(self) -> None:
        account = self.use("a")
        roster = self.keeper.get(account)
        assert roster is not None
        roster.unsaved = 1
        for name in "bc":
            self.use(name)
        self.assertEqual(self.kept(), ["a", "c"])
        roster.unsaved = 0
        self.use("d")
        self.assertEqual(self.kept(), ["c", "d"])

    def test_guests_leave_nothing(self) -> None:
        guest = Account(None, self.world.domain, None)
        self.keeper.use(guest, self.hear("guest"))
        self.assertEqual((self.heard, self.reads, self.kept()), (["guest"], [], []))


class SavedTests(TestCase):
    async def test_nothing_to_wait_for(self) -> None:
        await Saved().wait()

    def test_all_of_it(self) -> None:
        saved = Saved()
        saved.hold()
        saved.hold()
        waiting = Deferred.fromCoroutine(saved.wait())
        saved.committed()
        self.assertNoResult(waiting)
        saved.committed()
        self.successResultOf(waiting)

    def test_what_fails_first_counts(self) -> None:
        saved = Saved()
        for _ in range(3):
            saved.hold()
        saved.failed(OSError())
        waiting = Deferred.fromCoroutine(saved.wait())
        saved.failed(ValueError())
        saved.committed()
        self.failureResultOf(waiting, OSError)
