from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.load.ring import ring
from bench.load.target import XmppError


class RingTests(SynchronousTestCase):
    @given(st.integers(3, 30), st.integers(2, 10), st.integers(0, 20))
    def test_contacts_are_mutual(self, members: int, contacts: int, others: int) -> None:
        if contacts // 2 * 2 >= members:
            return
        contacts_of = ring(members + 2 + others, members, contacts)
        for member, friends in contacts_of.items():
            self.assertNotIn(member, friends)
            self.assertEqual(len(set(friends)), contacts // 2 * 2)
            for friend in friends:
                self.assertIn(member, contacts_of[friend])

    def test_they_come_just_before_the_owners_of_archives(self) -> None:
        self.assertEqual(list(ring(12, 4, 2)), [6, 7, 8, 9])

    def test_too_few_accounts(self) -> None:
        self.assertRaises(XmppError, ring, 11, 10, 4)
