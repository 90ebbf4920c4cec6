"""Ad-hoc commands (XEP-0050) that accounts offer their owners: a list, sessions, and steps with forms.

What a command does is in the module that offers it: it gets a `Turn` and answers with `Step` or `Done`.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Host
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq
from xmppd.core.stanza import escape_attribute, escape_text
from xmppd.core.units import MINUTE
from xmppd.modules.disco import About, disco_of
from xmppd.xml import tree

__all__ = ["Command", "Commands", "Done", "Step", "Turn", "commands_of"]

#: Seconds without a word after which a session of a command ends.
LIFETIME: Final = 15 * MINUTE
#: Sessions of one resource, and of all; with more the longest unused one ends.
MOST_OF_ONE: Final = 5
MOST: Final = 1000

_ACTIONS: Final = ("execute", "prev", "next", "complete", "cancel")
_token = re.compile("[A-Za-z0-9_-]{22}").fullmatch


@dataclass(frozen=True, slots=True)
class Step:
    """A form to fill in.

    :ivar form: the ``<x/>``.
    :ivar action: what follows: another step, or the end.
    """

    form: bytes
    action: Literal["next", "complete"]


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a command.

    :ivar note: a sentence for the user.
    :ivar failed: whether it could not be done.
    """

    note: str
    failed: bool = False


@dataclass(slots=True)
class Turn:
    """One step of a session.

    :ivar number: how many forms have been filled in.
    :ivar payload: the ``<command/>`` with the form that was filled in.
    :ivar state: what the command keeps from step to step.
    """

    account: Account
    number: int
    payload: tree.Element
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of an account, for its owner.

    :ivar run: called for each step; it raises a StanzaError for a form that it does not take.
    """

    node: str
    name: str
    run: Callable[[Turn], Awaitable[Step | Done]]


@dataclass(slots=True)
class _Session:
    requester: JID
    node: str
    at: float
    shown: list[Step] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    busy: bool = False


def commands_of(host: Host) -> Commands | None:
    """Where modules of a domain offer their commands, at their start."""
    return cast("Commands | None", host.modules.get("commands"))


class Commands(Module):
    """Lists commands and runs their sessions."""

    name = "commands"
    xeps = (Xep("0050", "1.3.0", "Ad-Hoc Commands"),)
    account_features = (ns.COMMANDS,)

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._commands: dict[str, Command] = {}
        #: By their ids, the longest unused one first.
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    async def start(self) -> None:
        """Be found."""
        disco = disco_of(self.context.host)
        if disco is not None:
            disco.account_nodes.append(self)

    def add(self, command: Command) -> None:
        """Offer a command."""
        self._commands[command.node] = command

    # -- discovery (section 2.3)

    def info(self, account: Account, request: IqRequest, node: str) -> About | None:
        """The list, and each command."""
        if node == ns.COMMANDS:
            return About("automation", "command-list", None, (ns.COMMANDS,))
        command = self._commands.get(node)
        if command is None:
            return None
        self._check_owner(account, request)
        return About("automation", "command-node", command.name, (ns.COMMANDS, ns.DATA))

    def items(self, account: Account, request: IqRequest, node: str) -> Iterable[tuple[str, str]] | None:
        """What the list has; it is empty for others than the owner."""
        if node != ns.COMMANDS:
            return None if node not in self._commands else ()
        offered = self._commands.values() if request.is_own and not account.is_guest else ()
        return [(command.node, command.name) for command in offered]

    @staticmethod
    def _check_owner(account: Account, request: IqRequest) -> None:
        if not request.is_own or account.is_guest:
            raise StanzaError("forbidden", "Those commands are not yours")

    # -- execution (section 2.4)

    @iq("set", ns.COMMANDS, "command", "account", beside=True, owner=True)
    async def execute(self, request: IqRequest) -> Payload:
        """One step of a command."""
        assert request.account is not None
        self._check_owner(request.account, request)
        payload = tree.child(request.stanza, ns.COMMANDS, "command")
        assert payload is not None
        command = self._commands.get(payload.attributes.get("node", ""))
        if command is None:
            raise StanzaError("item-not-found", "There is no such command")
        action = payload.attributes.get("action", "execute")
        if action not in _ACTIONS:
            raise _problem("malformed-action")
        token, session = self._session(request, command, payload.attributes.get("sessionid"), action)
        if action == "cancel":
            del self._sessions[token]
            return _answer(command, token, "canceled", b"")
        if action == "prev":
            session.shown.pop()
            return _shown(command, token, session)
        return await self._run(
            command, token, session, Turn(request.account, len(session.shown), payload, session.state)
        )

    async def _run(self, command: Command, token: str, session: _Session, turn: Turn) -> Payload:
        session.busy = True
        try:
            answer = await command.run(turn)
        except BaseException:
            if not session.shown:
                # Nobody knows this session yet.
                self._sessions.pop(token, None)
            raise
        finally:
            session.busy = False
        if isinstance(answer, Step):
            session.shown.append(answer)
            return _shown(command, token, session)
        self._sessions.pop(token, None)
        kind = "error" if answer.failed else "info"
        note = f"<note type='{kind}'>{escape_text(answer.note)}</note>"
        return _answer(command, token, "completed", note.encode())

    # -- sessions (section 3.3)

    def _session(
        self, request: IqRequest, command: Command, token: str | None, action: str
    ) -> tuple[str, _Session]:
        """The session of a request, which may begin with it."""
        now = self.context.clock.seconds()
        while self._sessions and next(iter(self._sessions.values())).at < now - LIFETIME:
            self._sessions.popitem(last=False)
        if token is None:
            if action in ("prev", "cancel"):
                raise _problem("bad-action")
            return self._begin(request, command, now)
        session = self._sessions.get(token)
        if session is None and _token(token):
            raise StanzaError("not-allowed", "That session has ended", app=(ns.COMMANDS, "session-expired"))
        if session is None or session.requester != request.sender or session.node != command.node:
            raise _problem("bad-sessionid")
        if session.busy:
            raise StanzaError("unexpected-request", "The step before is not done yet")
        _check_action(session, action)
        session.at = now
        self._sessions.move_to_end(token)
        return token, session

    def _begin(self, request: IqRequest, command: Command, now: float) -> tuple[str, _Session]:
        own = [token for token, session in self._sessions.items() if session.requester == request.sender]
        if len(own) >= MOST_OF_ONE:
            del self._sessions[own[0]]
        elif len(self._sessions) >= MOST:
            self._sessions.popitem(last=False)
        token = secrets.token_urlsafe(16)
        session = self._sessions[token] = _Session(request.sender, command.node, now)
        return token, session


def _check_action(session: _Session, action: str) -> None:
    """Whether an action is one of those that the form was shown with."""
    if action in ("execute", "cancel") or action == session.shown[-1].action:
        return
    if action != "prev" or len(session.shown) < 2:
        raise _problem("bad-action")


def _problem(name: str) -> StanzaError:
    return StanzaError("bad-request", app=(ns.COMMANDS, name))


def _shown(command: Command, token: str, session: _Session) -> Payload:
    step = session.shown[-1]
    back = "<prev/>" if len(session.shown) > 1 else ""
    actions = f"<actions execute='{step.action}'>{back}<{step.action}/></actions>"
    return _answer(command, token, "executing", actions.encode() + step.form)


def _answer(command: Command, token: str, status: str, inner: bytes) -> Payload:
    start = (
        f"<command xmlns='{ns.COMMANDS}' node='{escape_attribute(command.node)}'"
        f" sessionid='{token}' status='{status}' xml:lang='en'>"
    )
    return ns.COMMANDS, "command", start.encode() + inner + b"</command>"
