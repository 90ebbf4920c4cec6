"""All accounts of the process: in memory for routing, in the database for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from xmppd.auth.passwords import Credential, derive_all
from xmppd.core.account import REMOVED, Account
from xmppd.core.context import Session
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.events import AccountCreated, AccountRemoved, AccountRemoving, AccountStays, BacklogHolds
from xmppd.core.jid import JID
from xmppd.core.mailbox import Mailbox
from xmppd.host import Host
from xmppd.routing.registry import LocalRegistry
from xmppd.storage import accounts as store
from xmppd.storage import archive, marks, meta
from xmppd.storage.archive_book import ArchiveBook
from xmppd.storage.database import Database
from xmppd.storage.errors import StorageError

__all__ = ["AccountDirectory", "DomainAccounts"]

_log = Logger()

#: Seconds after which a moved mark is written down, at most once for each account.
MARKS_EVERY: Final = 1.0
#: Rows of a removed account's archive that are erased at once, so that others do not wait.
ERASE_AT_ONCE: Final = 100


class DomainAccounts:
    """The accounts of one domain, as authentication sees them (`xmppd.auth.accounts.Accounts`)."""

    def __init__(self, directory: AccountDirectory, domain: str) -> None:
        self._directory, self._domain = directory, domain

    async def credential(self, local: str, hash_name: str) -> Credential | None:
        """An account's keys for one hash: one query, whether it exists or not."""
        found = await self._directory.database.read(
            "credential", store.credential, self._domain, local, hash_name
        )
        if found is None:
            return None
        return Credential(hash_name, found.salt, found.iterations, found.stored_key, found.server_key)

    async def is_enabled(self, local: str) -> bool:
        """Whether an account may log in."""
        account = self._directory.registry.account(JID.make(local, self._domain))
        return account is not None and account.enabled


class _Leave:
    """The ticket of an account that takes leave of its contacts."""

    def __init__(self) -> None:
        self._holds = 1
        self._taken: Deferred[None] = Deferred()

    def hold(self) -> None:
        """One more thing to wait for."""
        self._holds += 1

    def committed(self) -> None:
        """One thing less to wait for."""
        self._holds -= 1
        if not self._holds:
            self._taken.callback(None)

    def failed(self, error: BaseException) -> None:
        """A contact that could not be told does not keep the account alive."""
        self.committed()

    def taken(self) -> Deferred[None]:
        """Fires when nothing is waited for any more."""
        self.committed()
        return self._taken


class AccountDirectory:
    """Makes, changes and removes accounts (see `xmppd.core.context.Accounts`).

    :param now: seconds since 1970.
    :param in_thread: runs what takes long (the derivation of keys) beside the reactor.
    """

    def __init__(
        self,
        database: Database,
        registry: LocalRegistry,
        book: ArchiveBook,
        hosts: dict[str, Host],
        clock: Any,
        now: Callable[[], float],
        in_thread: Callable[..., Any],
    ) -> None:
        self.database, self.registry = database, registry
        self._book, self._hosts, self._in_thread, self._now = book, hosts, in_thread, now
        #: Of this installation; salts of accounts that do not exist are made with it.
        self.secret = b""
        self._moved: dict[Account, Mailbox] = {}
        #: Accounts that are being removed.
        self._leaving: set[Account] = set()
        self._writing = LoopingCall(self._look_at_marks)
        self._clock = self._writing.clock = clock

    def of_domain(self, domain: str) -> DomainAccounts:
        """The accounts of one domain, for authentication."""
        return DomainAccounts(self, domain)

    async def load(self) -> None:
        """Read all accounts into memory."""
        self.secret = await self.database.write("secret", meta.secret, "accounts")
        for row in await self.database.read("accounts", store.load_directory):
            if row.state is not store.AccountState.REMOVED and self.registry.is_local(row.domain):
                self._add(row)
        self._writing.start(MARKS_EVERY, now=False)

    def _add(self, row: store.Account) -> Account:
        def moved(mailbox: Mailbox) -> None:
            self._moved[account] = mailbox

        mailbox = Mailbox(row.mark.cursor, row.mark.confirmed, self._book.latest, moved)
        enabled = row.state is store.AccountState.ACTIVE
        account = Account(row.id, JID.make(row.name, row.domain), mailbox, enabled=enabled)
        self.registry.add(account)
        return account

    # -- marks

    def _look_at_marks(self) -> None:
        """Once a second; not at the end, when sessions are written down already."""
        moved = self._moved
        self.write_marks()
        for account, mailbox in moved.items():
            self._relieve(account, mailbox)

    def write_marks(self) -> None:
        """Queue the marks that have moved since the last time."""
        moved, self._moved = self._moved, {}
        for account, mailbox in moved.items():
            number = account.id
            assert number is not None
            mark = marks.Mark(mailbox.mark, frozenset(mailbox.confirmed))
            self.database.append(marks.SAVE, mark.row(number))
            for row in mailbox.take_finished():
                self.database.append(archive.DELETE_DELIVERED, (number, row))

    def _relieve(self, account: Account, mailbox: Mailbox) -> None:
        try:
            if mailbox.relieve():
                self._hosts[account.jid.domain].hooks.run(BacklogHolds(account))
        except Exception:
            # The marks of all are written here.
            _log.failure("what holds the mark of {account}", account=account)

    async def close(self) -> None:
        """Queue the last marks; the database writes them before it closes."""
        if self._writing.running:
            self._writing.stop()
        self.write_marks()

    # -- accounts

    def require(self, jid: JID) -> Account:
        """The account of a bare JID.

        :raises StanzaError: ``item-not-found``.
        """
        account = self.registry.account(jid)
        if account is None or account.id is None or account in self._leaving:
            raise StanzaError("item-not-found", f"There is no account {jid.bare}")
        return account

    async def _credentials(self, password: str) -> list[store.Credential]:
        try:
            derived = await self._in_thread(derive_all, password)
        except ValueError as problem:
            raise StanzaError("not-acceptable", str(problem)) from None
        return [
            store.Credential(each.hash_name, each.salt, each.iterations, each.stored_key, each.server_key)
            for each in derived.values()
        ]

    async def create(self, jid: JID, password: str) -> None:
        """Make an account.

        :raises StanzaError: ``conflict`` where the name is taken, reserved, or was removed and not
            released; ``not-acceptable`` where name or password cannot be used.
        """
        if not jid.local or not jid.is_bare or not self.registry.is_local(jid.domain):
            raise StanzaError("not-acceptable", f"{jid} is no account of a domain that is served here")
        if self.registry.account(jid) is not None:
            raise StanzaError("conflict", f"The name {jid} is taken")
        credentials = await self._credentials(password)
        try:
            row = await self.database.write(
                "create account",
                _create,
                jid.domain,
                jid.local,
                credentials,
                int(self._now()),
                self._book.latest,
            )
        except store.AccountExistsError:
            raise StanzaError("conflict", f"The name {jid} is taken") from None
        account = self._add(row)
        # A login that began before may have been checked with the keys of another account of this name.
        account.password_set_at = self._clock.seconds()
        self._hosts[jid.domain].hooks.run(AccountCreated(account))

    async def set_password(self, jid: JID, password: str) -> None:
        """Give an account another password.

        :raises StanzaError: ``not-acceptable`` for a password that cannot be used, ``item-not-found``.
        """
        account = self.require(jid)
        credentials = await self._credentials(password)
        assert account.id is not None
        await self.database.write("set password", store.set_credentials, account.id, credentials)
        account.password_set_at = self._clock.seconds()

    async def remove(
        self,
        jid: JID,
        asked_by: Session | None = None,
        report: Callable[[int], None] = lambda rows: None,
    ) -> None:
        """Remove an account with all that is its own; its sessions end with ``not-authorized``.

        :param asked_by: its session that stays until the asker ends it: it still gets the answer.
        :param report: is told how many archived messages are gone, again and again.
        :raises StanzaError: ``item-not-found``.
        """
        account = self.require(jid)
        assert account.id is not None
        enabled = account.enabled
        self._leaving.add(account)
        try:
            await self._take_leave(account, asked_by)
            await self.database.write("remove account", store.remove, account.id)
        except StorageError:
            account.enabled = enabled
            self._hosts[jid.domain].hooks.run(AccountStays(account))
            raise
        finally:
            self._leaving.discard(account)

        # From here on it is gone, whatever happens; what cannot be erased now is at the next start.
        self.registry.remove(account)
        self._moved.pop(account, None)
        await self._erase(account.id, report)
        self._hosts[jid.domain].hooks.run(AccountRemoved(account, account.jid))
        await self.database.scrub()

    async def _take_leave(self, account: Account, asked_by: Session | None) -> None:
        account.enabled = False
        leave = _Leave()
        self._hosts[account.jid.domain].hooks.run(AccountRemoving(account, leave))
        await leave.taken()
        self._end_sessions(account, REMOVED, but=asked_by)

    async def _erase(self, number: int, report: Callable[[int], None] = lambda rows: None) -> None:
        """Erase an archive in steps."""
        gone = 0
        while step := await self.database.write("erase archive", archive.erase_some, number, ERASE_AT_ONCE):
            gone += step
            report(gone)

    async def finish_removals(self) -> None:
        """Erase the archives of removed accounts that were not when the server stopped."""
        try:
            left = await self.database.read("remains of accounts", store.with_remains)
            for number in left:
                await self._erase(number)
            if left:
                await self.database.scrub()
        except StorageError as problem:
            _log.warn("removed accounts are erased at the next start: {problem}", problem=str(problem))

    async def release(self, jid: JID) -> None:
        """Let the name of a removed account be given out again.

        :raises StanzaError: ``item-not-found`` if no account of that name was removed.
        """
        if not await self.database.write("release name", store.release, jid.domain, jid.local):
            raise StanzaError("item-not-found", f"No account {jid.bare} was removed")

    async def set_enabled(self, jid: JID, enabled: bool) -> None:
        """Let an account log in, or not; its sessions end when it is disabled.

        :raises StanzaError: ``item-not-found``.
        """
        account = self.require(jid)
        state = store.AccountState.ACTIVE if enabled else store.AccountState.DISABLED
        before, account.enabled = account.enabled, enabled
        assert account.id is not None
        try:
            await self.database.write("set state", store.set_state, account.id, state)
        except StorageError:
            account.enabled = before
            raise
        if not enabled:
            self._end_sessions(account, "The account was disabled")

    @staticmethod
    def _end_sessions(account: Account, why: str, but: Session | None = None) -> None:
        for session in list(account.sessions):
            if session is not but:
                session.close(StreamError("not-authorized", why))


def _create(
    cursor: Any, domain: str, name: str, credentials: list[store.Credential], created: int, mark: int
) -> store.Account:
    return store.create(cursor, domain, name, credentials, created=created, cursor_at=mark)
