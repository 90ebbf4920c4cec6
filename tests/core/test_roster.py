"""A roster in memory."""

from twisted.trial.unittest import TestCase

from xmppd.core import subscriptions as s
from xmppd.core.account import Account
from xmppd.core.jid import JID
from xmppd.core.roster import Item, Roster

ROMEO = JID.parse("romeo@example.net")


class RosterTests(TestCase):
    def setUp(self) -> None:
        self.account = Account(1, JID.parse("juliet@example.org"), None)
        self.roster = Roster(self.account, 7)

    def put(self, state: int) -> None:
        self.roster.put(Item(ROMEO, "", (), state))

    def test_the_state_of_somebody_unknown(self) -> None:
        self.assertEqual(self.roster.state(ROMEO), s.NONE)
        self.roster.requests[ROMEO.text] = b"<presence/>"
        self.assertEqual(self.roster.state(ROMEO), s.NONE_IN)

    def test_the_state_of_a_contact(self) -> None:
        self.put(s.TO)
        self.assertEqual(self.roster.state(ROMEO), s.TO)
        self.roster.requests[ROMEO.text] = b"<presence/>"
        self.assertEqual(self.roster.state(ROMEO), s.TO_IN)

    def test_every_change_is_a_version(self) -> None:
        self.put(s.NONE)
        self.put(s.NONE)
        self.roster.remove(ROMEO)
        self.assertEqual(self.roster.version, 10)
        self.assertEqual(self.roster.items, {})

    def test_who_sees_the_presence(self) -> None:
        for state in s.STATES:
            self.put(state & ~s.PENDING_IN)
            for viewer in (ROMEO, ROMEO.with_resource("orchard")):
                self.assertEqual(self.roster.may_see_presence(viewer), bool(state & s.FROM))
        self.assertTrue(self.roster.may_see_presence(self.account.jid.with_resource("balcony")))
        self.assertFalse(self.roster.may_see_presence(JID.parse("example.net")))

    def test_the_audience_is_forgotten_when_it_changes(self) -> None:
        for before, after, kept in (
            (s.NONE, s.TO, True),
            (s.TO, s.BOTH, False),
            (s.BOTH, s.FROM, True),
            (s.FROM, s.NONE, False),
        ):
            self.put(before)
            self.roster.audience = ((), ())
            self.put(after)
            self.assertEqual(self.roster.audience is not None, kept)
        self.roster.audience = ((), ())
        self.roster.remove(ROMEO)
        self.assertIsNone(self.roster.audience)
