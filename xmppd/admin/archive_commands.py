"""What `xmppctl archive` has the server do: figures, export, import, expiry, deletion.

Files are read and written by the server itself, in pieces: what they cost in memory does not depend on how
large an archive is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from xmppd.admin.commands import Argument, Arguments, Command, Report, Result
from xmppd.admin.wire import CommandError
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Archive, Context, Database, Host
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.stanza import Stanza
from xmppd.core.units import PERIODS, parse_amount
from xmppd.modules.archive_configure import read_moment
from xmppd.modules.redaction import Scope, erase
from xmppd.modules.retention import retention_of
from xmppd.modules.stanza_ids import without_ids
from xmppd.storage import archive as store
from xmppd.storage import archive_query, archive_retention
from xmppd.storage.archive import GROUPCHAT, TOMBSTONE, ArchiveRow
from xmppd.xml import delay, portable
from xmppd.xml.parser import Limits
from xmppd.xml.portable import ArchivedMessage, PortableError, PortableReader

__all__ = ["Archives", "build_archive"]

#: Messages that are read or written at once.
PAGE: Final = 200
#: Bytes of a file that are read at once.
PIECE: Final = 64 << 10
#: Bytes of the name of a file, without its end; a file system has 255.
LONGEST_NAME: Final = 200


class Accounts(Protocol):
    """Who has archives."""

    def account(self, jid: JID) -> Account | None:
        """The account of a bare JID."""
        ...

    def accounts(self) -> Iterable[Account]:
        """All accounts."""
        ...


class Archives(Protocol):
    """What the server has of archives.

    :ivar hosts: the served domains by name.
    """

    @property
    def database(self) -> Database: ...

    @property
    def archive(self) -> Archive: ...

    @property
    def registry(self) -> Accounts: ...

    @property
    def hosts(self) -> Mapping[str, Host]: ...

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def in_thread(self, function: Callable[..., Any], /, *args: Any) -> Awaitable[Any]:
        """Run what waits for the disk beside the reactor."""
        ...


def build_archive(server: Archives, limits: Limits) -> dict[str, Command]:
    """Give the commands, by name.

    :param limits: of a message that is imported.
    """
    commands = _ArchiveCommands(server, limits)
    jid, anyone = Argument("jid"), Argument("jid", required=False)
    period = (Argument("start", required=False), Argument("end", required=False))
    return {
        command.name: command
        for command in (
            Command("archive-stats", (anyone,), commands.stats),
            Command("archive-export", (Argument("folder"), anyone), commands.export),
            Command("archive-import", (Argument("file"),), commands.restore),
            Command("archive-expire", (anyone, Argument("older", required=False)), commands.expire),
            Command("archive-delete", (jid, Argument("with", required=False), *period), commands.delete),
        )
    }


class _ArchiveCommands:
    def __init__(self, server: Archives, limits: Limits) -> None:
        self._server, self._limits = server, limits

    # -- whose archives

    def _chosen(self, arguments: Arguments) -> list[Account]:
        """All accounts, those of a domain, or one."""
        accounts = sorted(
            (each for each in self._server.registry.accounts() if each.id is not None),
            key=lambda account: (account.jid.domain, account.jid.local),
        )
        if "jid" not in arguments:
            return accounts
        wanted = _parse(arguments["jid"])
        if not wanted.local and wanted.domain in self._server.hosts:
            return [account for account in accounts if account.jid.domain == wanted.domain]
        return [self._account(wanted)]

    def _account(self, jid: JID) -> Account:
        account = self._server.registry.account(jid)
        if account is None or account.id is None or not jid.is_bare:
            raise CommandError("item-not-found", f"There is no account {jid}")
        return account

    def _context(self, account: Account) -> Context:
        modules = self._server.hosts[account.jid.domain].modules
        return next(iter(modules.values())).context

    # -- figures

    async def stats(self, arguments: Arguments, report: Report) -> Result:
        rows = []
        chosen = self._chosen(arguments)
        for number, account in enumerate(chosen):
            report("Counting", number, len(chosen))
            usage = await self._server.database.read("archive usage", archive_retention.usage, account.id)
            bounds = await self._server.database.read("archive bounds", archive_query.bounds, account.id)
            first, last = (None, None) if bounds is None else map(delay.stamp, bounds)
            rows.append(
                {
                    "jid": account.jid.text,
                    "messages": usage.rows,
                    "bytes": usage.bytes,
                    "undelivered": usage.undelivered,
                    "first": first,
                    "last": last,
                }
            )
        return rows

    # -- export (XEP-0227)

    async def export(self, arguments: Arguments, report: Report) -> Result:
        folder, chosen = _absolute(arguments["folder"]), self._chosen(arguments)
        try:
            await self._server.in_thread(_make_folder, folder)
        except OSError as error:
            raise _cannot(folder, error) from None
        files = []
        for account in chosen:
            path = folder / _file_of(account.jid)
            try:
                written = await self._export(account, path, report)
            except OSError as error:
                raise _cannot(path, error) from None
            files.append({"jid": account.jid.text, "file": str(path), "messages": written})
        return files

    async def _export(self, account: Account, path: Path, report: Report) -> int:
        """Write a file; under its name it is there only when it is whole."""
        in_thread, part = self._server.in_thread, path.with_name(f"{path.name}.part")
        usage = await self._server.database.read("archive usage", archive_retention.usage, account.id)
        file: BinaryIO = await in_thread(_create, part)
        try:
            written = await self._write(
                account, file, lambda rows: report(str(account.jid), rows, usage.rows)
            )
            await in_thread(_finish, file)
        finally:
            file.close()
        await in_thread(os.replace, part, path)
        return written

    async def _write(self, account: Account, file: BinaryIO, tell: Callable[[int], None]) -> int:
        in_thread, after, written, passed = self._server.in_thread, 0, 0, 0
        await in_thread(file.write, portable.begin(account.jid))
        while True:
            rows = await self._page(account, after)
            history = [row for row in rows if row.history]
            ids = self._server.archive.ids_of(account, [row.seq for row in history])
            results = [
                portable.write(name, row.seq, row.stanza) for name, row in zip(ids, history, strict=True)
            ]
            await in_thread(file.write, b"".join(results))
            written += len(history)
            passed += len(rows)
            tell(passed)
            if len(rows) < PAGE:
                break
            after = rows[-1].seq + 1
        await in_thread(file.write, portable.END)
        return written

    async def _page(self, account: Account, start: int) -> list[ArchiveRow]:
        assert account.id is not None
        number = account.id
        return await self._server.database.read(
            "export", lambda cursor: store.rows(cursor, number, start=start, limit=PAGE)
        )

    # -- import

    async def restore(self, arguments: Arguments, report: Report) -> Result:
        path = _absolute(arguments["file"])
        try:
            file = await self._server.in_thread(open, path, "rb")
            with file:
                return await self._restore(path, file, report)
        except PortableError as error:
            raise CommandError("bad-request", f"{path}: {error}. What came before is imported.") from None
        except OSError as error:
            raise _cannot(path, error) from None

    async def _restore(self, path: Path, file: BinaryIO, report: Report) -> Result:
        reader, done = PortableReader(self._limits), 0
        size = os.fstat(file.fileno()).st_size
        counts = {"messages": 0, "known": 0, "skipped": 0}
        unknown: dict[str, None] = {}
        while data := await self._server.in_thread(file.read, PIECE):
            rows = []
            for found in reader.feed(data):
                row = self._row(found, unknown)
                if row is None:
                    counts["skipped"] += 1
                else:
                    rows.append(row)
            for start in range(0, len(rows), PAGE):
                page = rows[start : start + PAGE]
                new = await self._server.database.write("import", store.restore, page)
                counts["messages"] += new
                counts["known"] += len(page) - new
            done += len(data)
            report(path.name, done, size)
        reader.close()
        counts["skipped"] += reader.skipped
        return {"file": str(path), **counts, "unknown_accounts": list(unknown)}

    def _row(self, found: ArchivedMessage, unknown: dict[str, None]) -> ArchiveRow | None:
        """The row of a message; None where it is not one of an account's archive here."""
        account = None if found.account is None else self._server.registry.account(found.account)
        if account is None or account.id is None:
            if len(unknown) < PAGE:
                unknown[str(found.account)] = None
            return None
        if not 0 < found.received <= self._server.now() * 1_000_000:
            return None
        # The ids that another installation gave lead nowhere here (XEP-0359).
        message = without_ids(found.message, lambda by: by.domain in self._server.hosts)
        return _row_of(account.jid, account.id, found.received, message)

    # -- expiry and deletion

    async def expire(self, arguments: Arguments, report: Report) -> Result:
        before = self._before(arguments)
        chosen, deleted = self._chosen(arguments), 0
        for number, account in enumerate(chosen):

            def tell(rows: int, number: int = number, gone: int = deleted) -> None:
                report(f"Expiring, {gone + rows} messages gone", number, len(chosen))

            tell(0)
            retention = retention_of(self._server.hosts[account.jid.domain])
            if retention is None:
                raise CommandError("not-allowed", "The module retention is not loaded")
            deleted += await retention.clean(account, before, tell)
        return {"accounts": len(chosen), "messages": deleted}

    def _before(self, arguments: Arguments) -> int | None:
        if "older" not in arguments:
            return None
        try:
            period = parse_amount(arguments["older"], PERIODS)
        except ValueError:
            period = 0.0
        # 0 stands for "never" elsewhere, and would delete everything here.
        if not period:
            raise CommandError("usage", "older is a period such as 2w, 6m (months) or 1y")
        return max(0, int((self._server.now() - period) * 1_000_000))

    async def delete(self, arguments: Arguments, report: Report) -> Result:
        account = self._account(_parse(arguments["jid"]))
        peer = _parse(arguments["with"]).bare.text if "with" in arguments else None
        start, end = _moment(arguments, "start") or 0, _moment(arguments, "end")
        if end is not None and end < start:
            raise CommandError("usage", "end lies before start; nothing was deleted")
        scope = Scope(peer, start, end)
        deleted = await erase(
            self._context(account), account, scope, lambda number: report("Deleting", number)
        )
        return {"jid": account.jid.text, "messages": deleted}


def _row_of(own: JID, number: int, received: int, message: Stanza) -> ArchiveRow | None:
    sender, to = message.sender, message.to or own
    if sender is None or own not in (sender.bare, to.bare):
        return None
    outgoing = to.bare != own
    peer, mine = (to, sender) if outgoing else (sender, to)
    message.to = to
    return ArchiveRow(
        number,
        received,
        peer.bare.text,
        peer.resource,
        mine.resource,
        int(outgoing),
        history=1,
        deliver=0,
        kind=TOMBSTONE * _is_tombstone(message) + GROUPCHAT * (message.message_type == "groupchat"),
        stanza=message.standing_alone(),
    )


def _is_tombstone(message: Stanza) -> bool:
    """Whether nothing is left of a message; anybody can write something beside what says so."""
    return all(
        (namespace, name) == (ns.RETRACT, "retracted") and message.inner[:end].endswith(b"/>")
        for namespace, name, _, end in message.children
    )


def _file_of(jid: JID) -> str:
    """The name of an account's file; names of files are shorter than those of accounts may be."""
    text = str(jid)
    if len(text.encode()) > LONGEST_NAME:
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        text = f"{text.encode()[: LONGEST_NAME - 40].decode(errors='ignore')}-{digest}"
    return f"{text}.xml"


def _parse(text: str) -> JID:
    try:
        return JID.parse(text)
    except InvalidJID as error:
        raise CommandError("invalid-jid", f"{text} is no valid address: {error}") from None


def _moment(arguments: Arguments, name: str) -> int | None:
    if name not in arguments:
        return None
    try:
        return read_moment(arguments[name], last=name == "end")
    except ValueError:
        text = f"{name} is a day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z"
        raise CommandError("usage", text) from None


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise CommandError("usage", "The server needs a path from the root on")
    return path


def _cannot(path: Path, error: OSError) -> CommandError:
    reason = os.strerror(error.errno or 0)
    return CommandError(
        "not-allowed",
        f"{path}: the server cannot use it ({reason}); it is read and written by the server's user",
    )


def _make_folder(folder: Path) -> None:
    """Make a folder that others may not look into, in one that is there."""
    folder.mkdir(mode=0o700, exist_ok=True)


def _create(path: Path) -> BinaryIO:
    """Make a file that others may not read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
