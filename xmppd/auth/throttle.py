"""The brake on guessing passwords: what every failed login costs, whatever the mechanism or transport."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from xmppd.core.units import DAY, HOUR

FAILURES_PER_ADDRESS: Final = 20
FAILURES_PER_ACCOUNT: Final = 20
PERIOD: Final = HOUR
"""Seconds in which a bucket that was used up is full again."""

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 16.0

MAX_ENTRIES: Final = 16_384
"""Addresses, accounts and accounts with known addresses that are remembered, of each at most."""
MAX_KNOWN_ADDRESSES: Final = 16
"""Addresses remembered for one account."""
KNOWN_PERIOD: Final = 30 * DAY
"""Seconds for which an address is known after a login from it."""


def delay_after(failures: int) -> float:
    """Give the seconds to wait before a failure is answered: 1, 2, 4 and so on, at most 16.

    :param failures: how often this stream has failed, the one to be answered included.
    """
    if failures < 1:
        return 0.0
    return float(min(FIRST_DELAY * 2 ** min(failures - 1, 10), LONGEST_DELAY))


def address_key(address: str) -> str:
    """Give what counts as one address: an IPv4 address or the /64 of an IPv6 address.

    Whatever is no IP address (a unix socket, a test) counts as it is.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))


class FailureBuckets:
    """Token buckets by key. A failure takes a token; without tokens there are no more attempts for a while.

    Failures of attempts that were under way when the bucket ran out make a debt, at most another bucketful.
    A bucket is one number, the time at which it will be full, and a full one is forgotten.

    :param clock: gives the time in seconds.
    :param size: tokens in a full bucket, None or 0 for no limit.
    :param period: seconds in which an empty bucket fills.
    :param capacity: buckets kept at most; the one whose last failure is longest ago goes first.
    """

    def __init__(
        self, clock: Callable[[], float], size: int | None, period: float, capacity: int = MAX_ENTRIES
    ) -> None:
        self._clock = clock
        self._size = size or None
        self._period = period
        self._capacity = capacity
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: str) -> float:
        """Give the seconds until a key has a token again, 0.0 if it has one."""
        full_at = self._full_at.get(key)
        if full_at is None or self._size is None:
            return 0.0
        with_one_token = full_at - self._period + self._period / self._size
        return max(0.0, with_one_token - self._clock())

    def failed(self, key: str) -> None:
        """Take a token."""
        if self._size is None:
            return
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._period / self._size
        self._full_at[key] = min(full_at, now + 2 * self._period)
        self._full_at.move_to_end(key)
        self._prune(now)

    def _prune(self, now: float) -> None:
        """Forget full buckets, as far as they stand at the old end, and the oldest if there are too many."""
        while self._full_at:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= self._capacity:
                return
            del self._full_at[oldest]


class KnownAddresses:
    """From where accounts have logged in lately. An entry takes a right password to make.

    :param clock: gives the time in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        period: float = KNOWN_PERIOD,
        capacity: int = MAX_ENTRIES,
        per_account: int = MAX_KNOWN_ADDRESSES,
    ) -> None:
        self._clock = clock
        self._period = period
        self._capacity = capacity
        self._per_account = per_account
        self._known_until: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._known_until.values()))

    def __contains__(self, pair: tuple[str, str]) -> bool:
        address, account = pair
        addresses = self._known_until.get(account)
        return addresses is not None and addresses.get(address, 0.0) > self._clock()

    def add(self, address: str, account: str) -> None:
        """Remember that an account has just logged in from an address."""
        addresses = self._known_until.setdefault(account, OrderedDict())
        addresses[address] = self._clock() + self._period
        addresses.move_to_end(address)
        if len(addresses) > self._per_account:
            addresses.popitem(last=False)
        self._known_until.move_to_end(account)
        if len(self._known_until) > self._capacity:
            self._known_until.popitem(last=False)


class Throttle:
    """Decides who may try a password now; one for the whole process.

    An attempt needs a token in the bucket of its address and one in the bucket of its account; every failure
    takes one of both. The bucket of the account stops many addresses that guess at one account. Alone, it
    would let any stranger lock the owner out for ever by failing on purpose. So an address from which the
    account has logged in within the last 30 days has a bucket of its own for that account, and neither of the
    two others counts there: strangers cannot empty it, and neither can a neighbour behind the same address
    who guesses at other accounts, or whose device keeps trying an old password. From a new address the owner
    waits until the account's bucket has a token.

    Accounts that do not exist have buckets like the others: a refusal says nothing about them.

    :param clock: gives the time in seconds.
    :param per_address: failures from one address within ``period``, None for any number.
    :param per_account: failures of one account within ``period``, None for any number.
    :param period: in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        per_address: int | None = FAILURES_PER_ADDRESS,
        per_account: int | None = FAILURES_PER_ACCOUNT,
        period: float = PERIOD,
        capacity: int = MAX_ENTRIES,
    ) -> None:
        self._addresses = FailureBuckets(clock, per_address, period, capacity)
        self._accounts = FailureBuckets(clock, per_account, period, capacity)
        self._pairs = FailureBuckets(clock, per_account, period, capacity)
        self._known = KnownAddresses(clock, capacity=capacity)

    def wait(self, address: str, account: str) -> float:
        """Give the seconds until an attempt is allowed, 0.0 for now.

        :param address: where the attempt comes from, as text.
        :param account: the bare JID that it is for, normalised.
        """
        address = address_key(address)
        if (address, account) in self._known:
            return self._pairs.wait(_pair(address, account))
        return max(self._addresses.wait(address), self._accounts.wait(account))

    def refused_by(self, address: str, account: str) -> str:
        """Give the name of the limit that holds an attempt back; for one that `wait` held back."""
        address = address_key(address)
        if (address, account) not in self._known and self._addresses.wait(address):
            return "auth_failures_per_address"
        return "auth_failures_per_account"

    def failed(self, address: str, account: str) -> None:
        """Count a wrong password; not an attempt that :meth:`wait` held back, which would never end."""
        address = address_key(address)
        if (address, account) in self._known:
            self._pairs.failed(_pair(address, account))
        else:
            self._addresses.failed(address)
            self._accounts.failed(account)

    def succeeded(self, address: str, account: str) -> None:
        """Remember the address of a login. No bucket fills by it, or one's own account would refill it."""
        self._known.add(address_key(address), account)


def _pair(address: str, account: str) -> str:
    return f"{address} {account}"
