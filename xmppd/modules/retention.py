"""How long messages are kept (XEP-0313, section 3.2): oldest first, without holes, in small steps.

What is not delivered yet outlives its time and its quota until `offline_expires_after`.  A quota that is
full of such messages takes no more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import Annotated, Any, Final, Protocol, cast

from twisted.logger import Logger

from xmppd.core.account import Account
from xmppd.core.context import Context, Host
from xmppd.core.errors import StanzaError
from xmppd.core.events import AccountRemoved
from xmppd.core.kinds import Between, Seconds
from xmppd.core.limits import Limits
from xmppd.core.module import Module, on
from xmppd.core.pauses import pause
from xmppd.core.units import HOUR
from xmppd.storage import archive_retention
from xmppd.storage.marks import Mark

__all__ = ["Options", "Quota", "Retention", "quota_of", "retention_of"]

_log = Logger()
_random = SystemRandom()

#: Rows that one transaction looks at, some 15 ms of the writer, and seconds until the next one: in between
#: others write.
STEP: Final = 100
PAUSE: Final = 0.1
#: Accounts that are looked through at once for something to do.
BATCH: Final = 100
#: Seconds after the start, at most, until the first clean-up.
FIRST: Final = 600.0
#: A quota may be exceeded by this part of it before it is looked after out of turn.
SLACK: Final = 20
#: Seconds after which a full archive is looked at again, at most once for each account.
LOOK_AGAIN: Final = 5.0


@dataclass(frozen=True)
class Options:
    """Options of retention."""

    archive_cleanup_interval: Annotated[Seconds, Between(1)] = 4 * HOUR
    """Time between two clean-ups of the archives, more or less: each begins at a random moment."""


class Quota(Protocol):
    """Who is told of what is stored where an archive has a bound (`archive_messages`)."""

    def admit(self, account: Account) -> None:
        """A message wants to be stored that is to be delivered.

        :raises StanzaError: ``resource-constraint`` if the archive is full of others like it.
        """

    def stored(self, account: Account) -> None:
        """One more row."""


def quota_of(host: Host) -> Quota | None:
    """Who looks after the quotas of a domain; None where archives have no bound."""
    retention = host.modules.get("retention")
    if retention is None or retention.context.limits.archive_messages is None:
        return None
    return cast(Quota, retention)


def retention_of(host: Host) -> Retention | None:
    """Who cleans the archives of a domain."""
    return cast("Retention | None", host.modules.get("retention"))


class Retention(Module):
    """Cleans the archives of a domain, and looks after their quotas."""

    name = "retention"
    Options = Options

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._interval: float = options.archive_cleanup_interval
        self._limits: Limits = context.limits
        self._timer: Any = None
        self._stopped = False
        #: Rows stored since an account's quota was last looked after.
        self._since: dict[Account, int] = {}
        #: Of the accounts whose quota is full: the low-water mark, and the time when that was found.
        self._full: dict[Account, tuple[int, float]] = {}
        self._busy: set[Account] = set()

    async def start(self) -> None:
        """Clean up soon, but not while everyone comes back."""
        self._begin_in(_random.uniform(0, min(FIRST, self._interval)))

    async def stop(self) -> None:
        """Begin no more steps."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- in turn

    def _begin_in(self, seconds: float) -> None:
        self._timer = self.context.clock.callLater(seconds, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self.context.spawn(self._run())

    async def _run(self) -> None:
        try:
            await self._clean_all()
        finally:
            if not self._stopped:
                self._begin_in(self._interval * _random.uniform(0.9, 1.1))

    async def _clean_all(self) -> None:
        context = self.context
        domain = context.domain.text
        accounts = [each for each in context.registry.accounts() if each.jid.domain == domain]
        for start in range(0, len(accounts), BATCH):
            for account in await self._expirable(accounts[start : start + BATCH]):
                await self.clean(account)
            await pause(context.clock, PAUSE)
            if self._stopped:
                return

    async def _expirable(self, accounts: Sequence[Account]) -> list[Account]:
        by_number = {account.id: account for account in accounts}
        found = await self.context.database.read(
            "expirable archives",
            lambda cursor: archive_retention.expirable(
                cursor,
                [number for number in by_number if number is not None],
                history_before=self._before(self._limits.archive_expires_after),
                offline_before=self._before(self._limits.offline_expires_after),
                keep=self._limits.archive_messages,
            ),
        )
        return [by_number[number] for number in found]

    def _before(self, seconds: float | None) -> int:
        """The sequence of what was received so long ago; 0 for what never expires."""
        return 0 if seconds is None else max(0, int((self.context.now() - seconds) * 1_000_000))

    # -- one archive

    async def clean(
        self,
        account: Account,
        history_before: int | None = None,
        report: Callable[[int], None] = lambda rows: None,
    ) -> int:
        """Delete what has expired, and what exceeds the quota.

        :param history_before: another sequence than the limits give, before which all expires.
        :param report: is told after each step how many rows are gone.
        :returns: how many rows are gone.
        """
        offline_before = self._before(self._limits.offline_expires_after)
        if offline_before:
            self._moved(
                account,
                await self._write("give up", archive_retention.give_up, account.id, before=offline_before),
            )
        if history_before is None:
            history_before = self._before(self._limits.archive_expires_after)
        deleted = await self._expire(account, history_before, report)
        if self._limits.archive_messages is not None:
            deleted += await self._keep_to_quota(account, self._limits.archive_messages)
        if deleted:
            self.context.database.scrub_later()
            _log.info("{rows} archived messages of {account} have expired", rows=deleted, account=account)
        return deleted

    async def _expire(
        self, account: Account, before: int, report: Callable[[int], None] = lambda rows: None
    ) -> int:
        """Delete rows in steps, so that nobody waits for long."""
        deleted = 0
        while not self._stopped:
            step = await self._write(
                "expire",
                archive_retention.expire,
                account.id,
                history_before=before,
                offline_before=self._before(self._limits.offline_expires_after),
                limit=STEP,
            )
            self._moved(account, step.mark)
            deleted += step.deleted
            report(deleted)
            if not step.more:
                break
            await pause(self.context.clock, PAUSE)
        return deleted

    async def _write(self, name: str, function: Any, /, *args: Any, **keywords: Any) -> Any:
        return await self.context.database.write(name, lambda cursor: function(cursor, *args, **keywords))

    @staticmethod
    def _moved(account: Account, mark: Mark | None) -> None:
        """Rows that nobody confirmed are gone: there is nothing to wait for."""
        if mark is not None and account.mailbox is not None:
            account.mailbox.give_up(mark.cursor)

    # -- quotas

    async def _keep_to_quota(self, account: Account, keep: int) -> int:
        self._since.pop(account, None)
        read = self.context.database.read
        before = await read("beyond the quota", archive_retention.beyond, account.id, keep)
        deleted = 0 if before is None else await self._expire(account, before)
        mailbox = account.mailbox
        if mailbox is not None and await read(
            "full archive",
            archive_retention.is_full,
            account.id,
            keep,
            # On the disk it is up to a second old.
            Mark(mailbox.mark, frozenset(mailbox.confirmed)),
        ):
            self._full[account] = mailbox.mark, self.context.clock.seconds()
        else:
            self._full.pop(account, None)
        return deleted

    def admit(self, account: Account) -> None:
        """A message wants to be stored that is to be delivered.

        :raises StanzaError: ``resource-constraint`` if the archive is full of others like it.
        """
        found = self._full.get(account)
        if found is not None and account.mailbox is not None:
            mark, at = found
            moved = account.mailbox.mark != mark
            if moved or self.context.clock.seconds() - at >= LOOK_AGAIN:
                self._look_after(account)
            if not moved:
                text = "The archive is full of messages that wait for delivery (archive_messages)"
                raise StanzaError("resource-constraint", text)
        self.stored(account)

    def stored(self, account: Account) -> None:
        """One more row."""
        self._since[account] = since = self._since.get(account, 0) + 1
        if since * SLACK >= (self._limits.archive_messages or 0):
            self._look_after(account)

    def _look_after(self, account: Account) -> None:
        if account not in self._busy and not self._stopped:
            self._busy.add(account)
            self.context.spawn(self._look(account))

    async def _look(self, account: Account) -> None:
        try:
            await self._keep_to_quota(account, self._limits.archive_messages or 0)
        finally:
            self._busy.discard(account)

    @on(AccountRemoved)
    def removed(self, event: AccountRemoved) -> None:
        """There is nothing to look after any more."""
        self._since.pop(event.account, None)
        self._full.pop(event.account, None)
