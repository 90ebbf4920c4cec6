"""The commands that xmppctl sends to the running server, written against what the server can do."""

import datetime
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Protocol

from xmppd.admin.wire import CommandError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.options import did_you_mean

Arguments = Mapping[str, Any]
Result = Mapping[str, object] | Sequence[Mapping[str, object]]

MOST_FOUND: Final = 1000
"""Most messages that a search gives."""


class Report(Protocol):
    """Takes the progress of a command that takes long."""

    def __call__(self, text: str, done: int, total: int | None = None) -> None:
        """Tell how far it is.

        :param text: what is being done.
        :param done: how much of it is done.
        :param total: how much there is, if that is known.
        """


@dataclass(frozen=True)
class UserRow:
    """An account.

    :ivar created: seconds since 1970.
    :ivar sessions: how many sessions it has, those included that wait for resumption.
    """

    jid: str
    state: Literal["active", "disabled", "removed"]
    created: float
    sessions: int


@dataclass(frozen=True)
class StreamManagementRow:
    """The state of stream management (XEP-0198) of a session.

    :ivar inbound: stanzas from the client that the server has handled (``h``).
    :ivar outbound: stanzas sent to the client.
    :ivar queue: how many of them it has not acknowledged.
    :ivar oldest: kind, type and id of the first of those, and
    :ivar oldest_age: how long ago it was sent, in seconds; None where all is acknowledged.
    :ivar resumable: whether the session survives its connection.
    :ivar hibernated: whether the connection is gone and the session waits for resumption.
    """

    inbound: int
    outbound: int
    queue: int
    resumable: bool
    hibernated: bool
    oldest: str | None = None
    oldest_age: int | None = None


@dataclass(frozen=True)
class SessionRow:
    """A session.

    :ivar address: IP address and port of the client, None while there is no connection.
    :ivar client: name of the software, where it is known.
    :ivar tls: version and cipher, None while there is no connection.
    :ivar since: seconds since 1970.
    :ivar priority: of its presence; None while it is not available.
    :ivar sm: None without stream management.
    """

    jid: str
    address: str | None
    client: str | None
    tls: str | None
    since: float
    priority: int | None
    sm: StreamManagementRow | None


@dataclass(frozen=True)
class FoundRow:
    """A message of an archive.

    :ivar id: as clients know it (XEP-0359).
    :ivar time: of its reception, seconds since 1970.
    """

    id: str
    time: float
    sender: str
    to: str
    text: str


class Operator(Protocol):
    """What the server can do for its operator. Accounts are bare JIDs; what fails raises a StanzaError."""

    @property
    def domains(self) -> Collection[str]:
        """The domains that the server serves."""
        ...

    async def add_user(self, jid: JID, password: str) -> None:
        """Make an account (``conflict`` if there is one, or its name is reserved)."""

    async def set_password(self, jid: JID, password: str) -> None:
        """Give an account a new password (``item-not-found`` if there is none)."""

    async def remove_user(self, jid: JID, report: Callable[[int], None]) -> None:
        """Remove an account with all that is its own; its name stays reserved.

        :param report: is told how many archived messages are gone, again and again.
        """

    async def release_user(self, jid: JID) -> None:
        """Let the name of a removed account be given out again."""

    async def set_enabled(self, jid: JID, enabled: bool) -> None:
        """Let an account log in, or not any more; the second ends its sessions."""

    async def users(self, domain: str | None = None) -> Iterable[UserRow]:
        """Give all accounts, or those of one domain."""
        ...

    def sessions(self) -> Iterable[SessionRow]:
        """Give all sessions."""
        ...

    async def kick(self, jid: JID, reason: str) -> int:
        """End the sessions of an account, or the one session of a full JID; gives how many there were."""
        ...

    async def search_archive(self, jid: JID, words: str, limit: int) -> tuple[Iterable[FoundRow], bool]:
        """Give the newest messages of an account that have all these words, the newest one last, and whether
        these are all (``item-not-found``; ``feature-not-implemented`` where search is switched off)."""
        ...

    async def stats(self) -> Mapping[str, int | float | str]:
        """Give figures about the process, by name."""
        ...


@dataclass(frozen=True)
class Argument:
    """An argument of a command.

    :ivar kind: the type of its value.
    :ivar secret: whether it must not be logged.
    """

    name: str
    kind: type = str
    required: bool = True
    secret: bool = False


@dataclass(frozen=True)
class Command:
    """A command of the server.

    :ivar handler: is called with the arguments, checked, and with what takes its progress; it raises
        CommandError or StanzaError.
    """

    name: str
    arguments: tuple[Argument, ...]
    handler: Callable[[Arguments, Report], Awaitable[Result]]

    def check(self, given: object) -> dict[str, Any]:
        """Give the arguments of a request.

        :raises CommandError: if they are not those of the command.
        """
        if not isinstance(given, dict):
            raise CommandError("usage", "The arguments are no JSON object")
        known = {argument.name: argument for argument in self.arguments}
        for name in given.keys() - known.keys():
            raise CommandError("usage", f"{self.name} has no argument {name}; {did_you_mean(name, known)}")
        for argument in self.arguments:
            _check(self.name, argument, given)
        return given

    def shown(self, arguments: Arguments) -> list[str]:
        """Give what of the arguments may be logged."""
        return [
            str(arguments[each.name]) for each in self.arguments if not each.secret and each.name in arguments
        ]


def build(operator: Operator) -> dict[str, Command]:
    """Give the commands of a server, by name."""
    commands = _Commands(operator)
    jid, password = Argument("jid"), Argument("password", secret=True)
    return {
        command.name: command
        for command in (
            Command("adduser", (jid, password), commands.add_user),
            Command("passwd", (jid, password), commands.set_password),
            Command("deluser", (jid,), commands.remove_user),
            Command("release", (jid,), commands.release_user),
            Command("disable", (jid,), commands.disable),
            Command("enable", (jid,), commands.enable),
            Command("users", (Argument("domain", required=False),), commands.users),
            Command("sessions", (Argument("jid", required=False),), commands.sessions),
            Command("kick", (jid, Argument("reason", required=False)), commands.kick),
            Command("stats", (), commands.stats),
            Command(
                "archive-search",
                (jid, Argument("words", secret=True), Argument("limit", int, required=False)),
                commands.search_archive,
            ),
        )
    }


class _Commands:
    """The handlers: they turn arguments into JIDs, and rows into what goes over the socket."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def add_user(self, arguments: Arguments, report: Report) -> Result:
        jid = self._account(arguments)
        await self._operator.add_user(jid, arguments["password"])
        return {"jid": jid.text}

    async def set_password(self, arguments: Arguments, report: Report) -> Result:
        jid = self._account(arguments)
        await self._operator.set_password(jid, arguments["password"])
        return {"jid": jid.text}

    async def remove_user(self, arguments: Arguments, report: Report) -> Result:
        jid = self._account(arguments)
        await self._operator.remove_user(jid, lambda rows: report("Deleting messages", rows))
        return {"jid": jid.text}

    async def release_user(self, arguments: Arguments, report: Report) -> Result:
        jid = self._account(arguments)
        await self._operator.release_user(jid)
        return {"jid": jid.text}

    async def disable(self, arguments: Arguments, report: Report) -> Result:
        jid = self._account(arguments)
        await self._operator.set_enabled(jid, False)
        return {"jid": jid.text}

    async def enable(self, arguments: Arguments, report: Report) -> Result:
        jid = self._account(arguments)
        await self._operator.set_enabled(jid, True)
        return {"jid": jid.text}

    async def users(self, arguments: Arguments, report: Report) -> Result:
        name = arguments.get("domain")
        domain = None if name is None else self._domain(name)
        rows = await self._operator.users(domain)
        ordered = sorted(rows, key=lambda row: row.jid.partition("@")[::-1])
        return [asdict(row) | {"created": _time(row.created)} for row in ordered]

    async def sessions(self, arguments: Arguments, report: Report) -> Result:
        jid = self._local(_parse(arguments["jid"])) if "jid" in arguments else None
        rows = sorted(self._operator.sessions(), key=lambda row: row.jid)
        return [asdict(row) | {"since": _time(row.since)} for row in rows if _covers(jid, row.jid)]

    async def kick(self, arguments: Arguments, report: Report) -> Result:
        jid = self._local(_parse(arguments["jid"]))
        sessions = await self._operator.kick(jid, arguments.get("reason", ""))
        if not sessions:
            raise CommandError("item-not-found", f"{jid} has no session")
        return {"jid": jid.text, "sessions": sessions}

    async def stats(self, arguments: Arguments, report: Report) -> Result:
        return await self._operator.stats()

    async def search_archive(self, arguments: Arguments, report: Report) -> Result:
        jid, limit = self._account(arguments), arguments.get("limit", MOST_FOUND)
        if not 1 <= limit <= MOST_FOUND:
            raise CommandError("usage", f"The limit is a number from 1 to {MOST_FOUND}")
        rows, complete = await self._operator.search_archive(jid, arguments["words"], limit)
        messages = [
            {"id": row.id, "time": _time(row.time), "from": row.sender, "to": row.to, "text": row.text}
            for row in rows
        ]
        return {"jid": jid.text, "complete": complete, "messages": messages}

    def _account(self, arguments: Arguments) -> JID:
        """Give the bare JID of an account in one of the server's domains."""
        jid = _parse(arguments["jid"])
        if not jid.local or not jid.is_bare:
            raise CommandError("invalid-jid", f"{jid} is not the address of an account; write name@domain")
        return self._local(jid)

    def _domain(self, text: str) -> str:
        """Give one of the server's domains."""
        jid = self._local(_parse(text))
        if jid.text != jid.domain:
            raise CommandError("usage", f"{jid} is more than a domain; write {jid.domain}")
        return jid.domain

    def _local(self, jid: JID) -> JID:
        domains = self._operator.domains
        if jid.domain not in domains:
            served = ", ".join(sorted(domains))
            text = f"{jid.domain} is not served here, but {served}; to serve it, add it to the configuration"
            raise CommandError("unknown-domain", text)
        return jid


def _parse(text: str) -> JID:
    try:
        return JID.parse(text)
    except InvalidJID as error:
        raise CommandError("invalid-jid", f"{text} is no valid address: {error}") from None


def _covers(jid: JID | None, full: str) -> bool:
    """Whether a session belongs to what was asked for: a domain, an account, itself, or anything."""
    if jid is None or jid.text == full:
        return True
    return JID.parse(full).bare == jid if jid.local else JID.parse(full).domain == jid.text


def _check(command: str, argument: Argument, given: dict[str, Any]) -> None:
    if argument.name not in given:
        if argument.required:
            raise CommandError("usage", f"{command} needs the argument {argument.name}")
    elif type(given[argument.name]) is not argument.kind:
        raise CommandError("usage", f"{command}: {argument.name} is not of type {argument.kind.__name__}")


def _time(seconds: float) -> str:
    """Write a time as in XEP-0082, in UTC."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
