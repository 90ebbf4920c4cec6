"""Tests of the brake on guessing."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial import unittest

from xmppd.auth.throttle import (
    KNOWN_PERIOD,
    LONGEST_DELAY,
    FailureBuckets,
    KnownAddresses,
    Throttle,
    address_key,
    delay_after,
)

ALICE, BOB = "alice@example.org", "bob@example.org"
HOME, STRANGER = "192.0.2.1", "198.51.100.7"


class DelayTests(unittest.TestCase):
    def test_doubles_up_to_a_bound(self) -> None:
        self.assertEqual([delay_after(count) for count in range(7)], [0, 1, 2, 4, 8, 16, 16])
        self.assertEqual(delay_after(10**9), LONGEST_DELAY)


class AddressKeyTests(unittest.TestCase):
    def test_ipv4(self) -> None:
        self.assertEqual(address_key("192.0.2.1"), "192.0.2.1")
        self.assertEqual(address_key("::ffff:192.0.2.1"), "192.0.2.1")

    def test_ipv6_counts_by_network(self) -> None:
        self.assertEqual(address_key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64")
        self.assertEqual(address_key("2001:DB8:1:2::1"), "2001:db8:1:2::/64")
        self.assertNotEqual(address_key("2001:db8:1:3::1"), address_key("2001:db8:1:2::1"))
        self.assertEqual(address_key("fe80::1%eth0"), "fe80::/64")

    def test_others_count_as_they_are(self) -> None:
        self.assertEqual(address_key("/run/xmppd.sock"), "/run/xmppd.sock")
        self.assertEqual(address_key(""), "")


class FailureBucketsTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.buckets = FailureBuckets(self.clock.seconds, 4, 100.0, capacity=3)

    def fail(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.buckets.failed(key)

    def test_a_bucketful_of_failures_is_free(self) -> None:
        self.fail("a", 3)
        self.assertEqual(self.buckets.wait("a"), 0.0)
        self.fail("a")
        self.assertEqual(self.buckets.wait("a"), 25.0)
        self.assertEqual(self.buckets.wait("b"), 0.0)

    def test_tokens_come_back(self) -> None:
        self.fail("a", 4)
        self.clock.advance(24)
        self.assertEqual(self.buckets.wait("a"), 1.0)
        self.clock.advance(1)
        self.assertEqual(self.buckets.wait("a"), 0.0)
        self.fail("a")
        self.assertEqual(self.buckets.wait("a"), 25.0)

    def test_debt_is_bounded(self) -> None:
        self.fail("a", 6)
        self.assertEqual(self.buckets.wait("a"), 75.0)
        self.fail("a", 1000)
        self.assertEqual(self.buckets.wait("a"), 125.0)

    def test_full_buckets_are_forgotten(self) -> None:
        self.fail("a")
        self.fail("b")
        self.assertEqual(len(self.buckets), 2)
        self.clock.advance(25)
        self.fail("c")
        self.assertEqual(len(self.buckets), 1)

    def test_number_is_bounded(self) -> None:
        for number in range(100):
            self.fail(f"key {number}", 4)
        self.assertEqual(len(self.buckets), 3)
        self.assertEqual(self.buckets.wait("key 99"), 25.0)
        self.assertEqual(self.buckets.wait("key 0"), 0.0)

    def test_the_one_whose_last_failure_is_longest_ago_goes_first(self) -> None:
        for key in ("a", "b", "c", "a", "a", "a", "d"):
            self.fail(key)
        self.assertEqual(self.buckets.wait("a"), 25.0)
        self.assertEqual(len(self.buckets), 3)

    def test_no_limit(self) -> None:
        for size in (None, 0):
            buckets = FailureBuckets(self.clock.seconds, size, 100.0)
            for _ in range(100):
                buckets.failed("a")
            self.assertEqual((buckets.wait("a"), len(buckets)), (0.0, 0))

    @given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 60)), max_size=60))
    def test_no_rate_above_the_limit(self, steps: list[tuple[str, float]]) -> None:
        """Whatever the times, attempts that wait their turn never fail more often than the bucket allows."""
        clock = Clock()
        buckets = FailureBuckets(clock.seconds, 4, 100.0)
        failures: dict[str, list[float]] = {}
        for key, pause in steps:
            clock.advance(pause)
            if buckets.wait(key) == 0.0:
                buckets.failed(key)
                failures.setdefault(key, []).append(clock.seconds())
        for times in failures.values():
            for index, begin in enumerate(times):
                for count, end in enumerate(times[index:], 1):
                    self.assertLessEqual(count, 4 + (end - begin) / 25 + 1e-6)


class KnownAddressesTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.known = KnownAddresses(self.clock.seconds, 10.0, capacity=3, per_account=2)

    def test_expires(self) -> None:
        self.assertNotIn((HOME, ALICE), self.known)
        self.known.add(HOME, ALICE)
        self.assertIn((HOME, ALICE), self.known)
        self.assertNotIn((HOME, BOB), self.known)
        self.clock.advance(10)
        self.assertNotIn((HOME, ALICE), self.known)

    def test_addresses_of_an_account_are_bounded(self) -> None:
        for address in ("a", "b", "a", "c"):
            self.known.add(address, ALICE)
        self.assertEqual([address for address in "abc" if (address, ALICE) in self.known], ["a", "c"])

    def test_accounts_are_bounded(self) -> None:
        for number in range(100):
            self.known.add(HOME, f"account {number}")
        self.assertEqual(len(self.known), 3)
        self.assertIn((HOME, "account 99"), self.known)
        for account in ("account 97", "another"):
            self.known.add(HOME, account)
        self.assertIn((HOME, "account 97"), self.known)
        self.assertNotIn((HOME, "account 98"), self.known)


class ThrottleTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.throttle = Throttle(self.clock.seconds, per_address=10, per_account=5, period=100.0)

    def fail(self, address: str, account: str, times: int) -> None:
        for _ in range(times):
            self.throttle.failed(address, account)

    def test_one_account_from_many_addresses(self) -> None:
        for number in range(5):
            self.assertEqual(self.throttle.wait(f"198.51.100.{number}", ALICE), 0.0)
            self.fail(f"198.51.100.{number}", ALICE, 1)
        self.assertEqual(self.throttle.wait("203.0.113.1", ALICE), 20.0)
        self.assertEqual(self.throttle.wait("203.0.113.1", BOB), 0.0)

    def test_many_accounts_from_one_address(self) -> None:
        for number in range(10):
            self.fail(f"2001:db8::{number:x}", f"account{number}@example.org", 1)
        self.assertEqual(self.throttle.wait("2001:db8::ffff", BOB), 10.0)
        self.assertEqual(self.throttle.wait("2001:db8:0:1::1", BOB), 0.0)

    def test_strangers_cannot_lock_the_owner_out(self) -> None:
        self.throttle.succeeded(HOME, ALICE)
        for number in range(50):
            self.fail(f"198.51.100.{number}", ALICE, 20)
        self.assertEqual(self.throttle.wait(HOME, ALICE), 0.0)
        self.assertGreater(self.throttle.wait("203.0.113.1", ALICE), 0.0)

    def test_owner_at_a_new_address_waits_for_a_bounded_time(self) -> None:
        self.fail(STRANGER, ALICE, 10_000)
        self.clock.advance(120)
        self.assertEqual(self.throttle.wait("203.0.113.1", ALICE), 0.0)

    def test_neighbour_with_an_old_password_blocks_nobody_known(self) -> None:
        self.throttle.succeeded(HOME, ALICE)
        self.fail(HOME, BOB, 100)
        self.assertEqual(self.throttle.wait(HOME, ALICE), 0.0)
        self.assertGreater(self.throttle.wait(HOME, BOB), 0.0)

    def test_known_address_is_no_licence_to_guess(self) -> None:
        self.throttle.succeeded(HOME, ALICE)
        self.fail(HOME, ALICE, 5)
        self.assertEqual(self.throttle.wait(HOME, ALICE), 20.0)
        self.assertEqual(self.throttle.wait(STRANGER, ALICE), 0.0)

    def test_own_login_does_not_refill_the_bucket_of_the_address(self) -> None:
        self.fail(STRANGER, ALICE, 10)
        self.throttle.succeeded(STRANGER, BOB)
        self.assertGreater(self.throttle.wait(STRANGER, "carol@example.org"), 0.0)

    def test_address_is_forgotten_in_the_end(self) -> None:
        self.throttle.succeeded(HOME, ALICE)
        self.clock.advance(KNOWN_PERIOD)
        self.fail(STRANGER, ALICE, 5)
        self.assertEqual(self.throttle.wait(HOME, ALICE), 20.0)

    def test_no_limits(self) -> None:
        throttle = Throttle(self.clock.seconds, per_address=None, per_account=None)
        for _ in range(100):
            throttle.failed(HOME, ALICE)
        self.assertEqual(throttle.wait(HOME, ALICE), 0.0)
