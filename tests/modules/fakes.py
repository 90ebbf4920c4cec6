"""What surrounds a module, small enough to see through, so that its tests read like the wire."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from xmppd.core import ns, replies
from xmppd.core.account import Account
from xmppd.core.context import Context
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.hooks import Hooks
from xmppd.core.jid import JID
from xmppd.core.module import IqRequest, Module
from xmppd.core.stanza import Stanza
from xmppd.core.visibility import may_see_presence
from xmppd.xml import tree

M = TypeVar("M", bound=Module)

#: When the fake world begins: 2026-01-01T00:00:00Z.
NOW = 1767225600.0


def stanza(xml: str) -> Stanza:
    """A stanza as it is once routed: its addresses are JIDs."""
    kind = xml[1:].split(" ", 1)[0].split(">", 1)[0].rstrip("/")
    node = tree.parse(xml.replace(f"<{kind}", f"<{kind} xmlns='{ns.CLIENT}'", 1).encode())
    made = tree.stanza(node)
    to, sender = made.attrs.pop("to", None), made.attrs.pop("from", None)
    made.to = JID.parse(to) if to else None
    made.sender = JID.parse(sender) if sender else None
    return made


def wire(sent: Iterable[Stanza]) -> list[str]:
    """The stanzas as text."""
    return [one.wire.decode() for one in sent]


class FakeTicket:
    """Counts who waits."""

    def __init__(self) -> None:
        self.open = 0
        self.errors: list[BaseException] = []

    def hold(self) -> None:
        self.open += 1

    def committed(self) -> None:
        self.open -= 1

    def failed(self, error: BaseException) -> None:
        self.open -= 1
        self.errors.append(error)


class FakeSession:
    """A session that keeps what it is sent."""

    def __init__(self, jid: JID, account: Account, priority: int | None) -> None:
        self.jid = jid
        self.account = account
        self.priority = priority
        self.presence: Stanza | None = None
        self.slots: dict[str, Any] = {}
        self.sent: list[Stanza] = []
        self.closed = False
        self.error: StreamError | None = None

    @property
    def available(self) -> bool:
        return self.priority is not None

    def send(self, stanza: Stanza, row: int | None = None) -> None:
        self.sent.append(stanza)

    def close(self, error: StreamError | None = None) -> None:
        self.closed, self.error = True, error

    def take(self) -> list[str]:
        """What was sent since the last call."""
        sent, self.sent = wire(self.sent), []
        return sent


class FakeRouter:
    """Keeps what passes; `refuse` builds the error as the router does."""

    def __init__(self) -> None:
        self.sent: list[Stanza] = []
        self.arrived: list[Stanza] = []
        self.refused: list[tuple[Stanza, StanzaError]] = []

    def send(self, stanza: Stanza, session: Any = None, ticket: Any = None) -> None:
        self.sent.append(stanza)

    def arrive(self, stanza: Stanza, ticket: Any = None) -> None:
        self.arrived.append(stanza)

    def refuse(self, stanza: Stanza, problem: StanzaError) -> None:
        if replies.may_answer_with_error(stanza):
            self.refused.append((stanza, problem))

    def take(self) -> list[str]:
        """What went in either direction since the last call."""
        passed = wire(self.sent) + wire(self.arrived)
        self.sent, self.arrived = [], []
        return passed

    def take_errors(self) -> list[str]:
        """The errors since the last call."""
        refused, self.refused = self.refused, []
        return [replies.error(*one).wire.decode() for one in refused]


class FakeArchive:
    """Names its rows."""

    def mark(self, account: Account, stanza: Stanza, row: int) -> Stanza:
        mark = f"<stanza-id xmlns='{ns.STANZA_ID}' by='{account.jid.xml}' id='row-{row}'/>"
        return stanza.adding(ns.STANZA_ID, "stanza-id", mark.encode())


class FakeRegistry:
    """Accounts by bare JID."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.accounts: dict[JID, Account] = {}

    def account(self, jid: JID) -> Account | None:
        return self.accounts.get(jid.bare)

    def session(self, jid: JID) -> Any:
        account = self.account(jid)
        return next((s for s in account.sessions if s.jid == jid), None) if account else None

    def sessions(self) -> Iterator[Any]:
        for account in self.accounts.values():
            yield from account.sessions

    def is_local(self, domain: str) -> bool:
        return domain == self.domain


class FakeRoster(Module):
    """Who may see whose presence."""

    name = "roster"

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self.viewers: set[tuple[JID, JID]] = set()

    async def may_see_presence(self, of: JID, viewer: JID) -> bool:
        return (of, viewer.bare) in self.viewers


class World:
    """One domain around the modules under test."""

    def __init__(self, domain: str = "example.org", **context: Any) -> None:
        self.domain = JID.parse(domain)
        self.clock = Clock()
        self.hooks = Hooks()
        self.router = FakeRouter()
        self.registry = FakeRegistry(domain)
        self.host = SimpleNamespace(modules={})
        self.spawned: list[Deferred[None]] = []
        self.ticket = FakeTicket()
        self._handlers: dict[tuple[str, str, str, str], Any] = {}
        known = {
            "domain": self.domain,
            "host": self.host,
            "hooks": self.hooks,
            "router": self.router,
            "registry": self.registry,
            "clock": self.clock,
            "now": lambda: NOW + self.clock.seconds(),
            "spawn": self._spawn,
        }
        # What a test does not give, the module under test does not need.
        none = dict.fromkeys(field.name for field in fields(Context))
        self.context = Context(**{**none, **known, **context})

    def _spawn(self, work: Awaitable[None]) -> None:
        self.spawned.append(Deferred.fromCoroutine(work))  # type: ignore[arg-type]

    def load(self, kind: Callable[..., M], options: Any = None) -> M:
        """Make a module and put its handlers where the loader would."""
        module = kind(self.context, options)
        self.host.modules[module.name] = module
        for name, function in inspect.getmembers(type(module), inspect.isfunction):
            method = getattr(module, name)
            for event, stage in getattr(function, "_event_marks", ()):
                self.hooks.add(event, method, stage)
            for verb, namespace, payload, targets in getattr(function, "_iq_marks", ()):
                for target in targets:
                    self._handlers[verb, namespace, payload, target] = method
        return module

    def subscribe(self, local: str, viewer: str) -> None:
        """Let someone see the presence of an account, by their bare JID."""
        roster = self.host.modules.setdefault("roster", FakeRoster(self.context, None))
        roster.viewers.add((self.account(local).jid, JID.parse(viewer)))

    def account(self, local: str) -> Account:
        """The account of that name, made if there is none."""
        jid = JID.make(local, self.domain.text)
        return self.registry.accounts.setdefault(jid, Account(len(self.registry.accounts) + 1, jid, None))

    def session(self, text: str, priority: int | None = 0) -> FakeSession:
        """A new session: ``session("romeo/orchard")``; unavailable with priority None."""
        local, _, resource = text.partition("/")
        account = self.account(local)
        session = FakeSession(account.jid.with_resource(resource), account, priority)
        account.sessions.append(session)
        return session

    async def ask(self, xml: str) -> str:
        """Send an iq to the domain or an account; the answer as text.

        One without ``to`` is for the sender's own account.
        """
        request = stanza(xml)
        assert request.sender is not None
        if request.to is None:
            request.to = request.sender.bare
        try:
            answer = replies.result(request, *(await self._handle(request) or ()))
        except StanzaError as problem:
            answer = replies.error(request, problem)
        return answer.wire.decode()

    async def _handle(self, request: Stanza) -> Any:
        assert request.to is not None
        assert request.sender is not None
        child = request.children[0]
        target = "account" if request.to.local else "domain"
        handler = self._handlers.get((request.type or "", child[0], child[1], target))
        account = self.registry.account(request.to) if request.to.local else None
        if handler is None or (target == "account" and account is None):
            raise StanzaError("service-unavailable")
        if target == "account" and getattr(handler, "_contacts", False):
            host: Any = self.host
            if not await may_see_presence(host, request.to, request.sender):
                raise StanzaError("service-unavailable")
        session = self.registry.session(request.sender)
        answer = handler(IqRequest(request, child, account, session, self.ticket))
        return await answer if inspect.isawaitable(answer) else answer
