"""The way of a stanza: the hooks of its sender, then those of its addressee, then delivery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from xmppd.core import replies
from xmppd.core.account import Account
from xmppd.core.classify import is_state_only, may_be_kept_for_later
from xmppd.core.context import Registry, Session, Ticket
from xmppd.core.decision import Otherwise
from xmppd.core.errors import StanzaError
from xmppd.core.events import (
    IqArriving,
    IqSending,
    MessageArriving,
    MessageRefused,
    MessageSending,
    PresenceArriving,
    PresenceLeaving,
    PresenceSending,
)
from xmppd.core.hooks import Hooks
from xmppd.core.jid import JID
from xmppd.core.module import IqHandler, IqRequest, Module, Payload
from xmppd.core.stanza import Stanza
from xmppd.core.subscriptions import refusal_of_probe
from xmppd.core.ticket import NO_TICKET
from xmppd.core.visibility import may_see_presence
from xmppd.routing.delivery import decide
from xmppd.storage.errors import ClosedError, FaultError

__all__ = ["Domain", "LocalRouter"]

_log = Logger()


class Domain(Protocol):
    """A served domain, as the router sees it."""

    jid: JID
    hooks: Hooks
    modules: dict[str, Module]

    def iq_handler(
        self, kind: str, namespace: str, name: str, target: str
    ) -> Callable[[IqRequest], Payload | Awaitable[Payload]] | None:
        """Who answers such a request."""
        ...


#: Slow requests that one session may have under way while its next stanzas are taken.
MOST_BESIDE: Final = 2

#: What the sender of a request is told that the database kept from being answered.
DATABASE_AWAY: Final = "Nothing can be stored or looked up at the moment; try again later"


class LocalRouter:
    """The router of one process (see `xmppd.core.context.Router`).

    :param registry: who exists and is online.
    :param domains: the served domains by name.
    :param store_nothing: lets the ticket of a message to nobody wait as long as that of any other.
    """

    def __init__(
        self,
        registry: Registry,
        domains: dict[str, Domain],
        store_nothing: Callable[[Ticket], None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._domains = domains
        self._store_nothing = store_nothing
        #: Whether one more line about someone may be logged (`xmppd.core.budget`).
        self.may_log: Callable[[str], bool] = lambda _: True
        #: How many requests of a session run beside its queue, by its identity.
        self._beside: dict[int, int] = {}
        self._answered: list[Deferred[None]] = []

    # -- a local user sends

    def send(
        self, stanza: Stanza, session: Session | None = None, ticket: Ticket | None = None
    ) -> Deferred[Any] | None:
        """A local user sends a stanza: the hooks of sending, then `arrive`.

        :returns: what to wait for before the user's next stanza is taken, if anything.
        """
        ticket = ticket or NO_TICKET
        try:
            return self._send(stanza, session, ticket)
        except StanzaError as problem:
            self.refuse(stanza, problem)
        except Exception:
            self._report(stanza, Failure())
            self.refuse(stanza, StanzaError("internal-server-error"))
        return None

    def _send(self, stanza: Stanza, session: Session | None, ticket: Ticket) -> Deferred[Any] | None:
        sender = stanza.sender
        assert sender is not None
        domain = self._domains[sender.domain]
        account = session.account if session is not None else self._registry.account(sender)
        if account is None:
            return None
        if stanza.kind == "message":
            event = MessageSending(stanza, account, session, ticket)
            if not domain.hooks.run(event):
                self._arrive(event.stanza, ticket, session)
            return None
        if stanza.kind == "presence":
            presence = PresenceSending(stanza, account, session, ticket)
            domain.hooks.run(presence)
            return presence.waiting
        if domain.hooks.run(IqSending(stanza, account, session, ticket)):
            return None
        return self._arrive(stanza, ticket, session)

    # -- a stanza arrives

    def arrive(self, stanza: Stanza, ticket: Ticket | None = None) -> None:
        """A stanza arrives where its ``to`` says."""
        try:
            if stanza.kind == "presence" and self._is_kept_back(stanza):
                return
            self._arrive(stanza, ticket or NO_TICKET, None)
        except StanzaError as problem:
            self.refuse(stanza, problem)
        except Exception:
            self._report(stanza, Failure())
            self.refuse(stanza, StanzaError("internal-server-error"))

    def _is_kept_back(self, presence: Stanza) -> bool:
        """Whether the domain of a local sender does not let presence go to another domain."""
        sender, to = presence.sender, presence.to
        if sender is None or to is None or sender.domain == to.domain:
            return False
        account, home = self._registry.account(sender), self._domains.get(sender.domain)
        return account is not None and home is not None and home.hooks.run(PresenceLeaving(presence, account))

    def _arrive(self, stanza: Stanza, ticket: Ticket, session: Session | None) -> Deferred[Any] | None:
        to = stanza.to
        assert to is not None
        domain = self._domains.get(to.domain)
        if domain is None:
            if stanza.kind == "presence":
                return None
            raise StanzaError("remote-server-not-found", "This server has no connection to that domain")
        if not to.local:
            return self._for_domain(stanza, domain, session, ticket)
        account = self._registry.account(to)
        if stanza.kind == "message":
            self._message(stanza, domain, account, ticket)
        elif stanza.kind == "presence":
            if account is not None:
                domain.hooks.run(PresenceArriving(stanza, account, ticket))
            elif stanza.type == "probe":
                # As from an account that the prober has no subscription to: nobody learns who exists.
                self.arrive(refusal_of_probe(stanza))
        else:
            return self._iq(stanza, domain, account, session, ticket)
        return None

    def _message(self, stanza: Stanza, domain: Domain, account: Account | None, ticket: Ticket) -> None:
        assert stanza.to is not None
        if account is not None:
            decision = decide(stanza.message_type, stanza.to, account.sessions)
            domain.hooks.run(MessageArriving(stanza, account, ticket, decision))
            return
        # An account that does not exist answers exactly as one that exists with nobody online.
        otherwise = decide(stanza.message_type, stanza.to, ()).otherwise
        if otherwise is Otherwise.KEEP and may_be_kept_for_later(stanza).yes:
            self._store_nothing(ticket)
            return
        if otherwise is not Otherwise.IGNORE and not is_state_only(stanza):
            raise StanzaError("service-unavailable")

    def deliver(self, event: MessageArriving) -> None:
        """Give a message to the resources that RFC 6121 names (the DELIVER stage of `MessageArriving`).

        :raises StanzaError: ``service-unavailable``.
        """
        stanza, account, decision = event.stanza, event.account, event.decision
        event.delivered = list(decision.recipients)
        mailbox = account.mailbox
        if decision.recipients:
            stanza.holders = len(decision.recipients)
            for session in decision.recipients:
                if mailbox is None:
                    session.send(stanza)
                else:
                    mailbox.deliver(session, stanza, event.row)
        elif event.row is not None and mailbox is not None:
            mailbox.wait(event.row)
        elif decision.otherwise is not Otherwise.IGNORE and not is_state_only(stanza):
            # Also where it should be kept and is not: it says so itself, or there is no room.
            raise StanzaError("service-unavailable")

    def _for_domain(
        self, stanza: Stanza, domain: Domain, session: Session | None, ticket: Ticket
    ) -> Deferred[Any] | None:
        if stanza.kind == "iq":
            return self._iq(stanza, domain, None, session, ticket)
        if stanza.kind == "message" and stanza.message_type not in ("error", "headline"):
            raise StanzaError("service-unavailable", "Nobody reads messages to the server itself")
        return None

    # -- iq

    def _iq(
        self,
        stanza: Stanza,
        domain: Domain,
        account: Account | None,
        session: Session | None,
        ticket: Ticket,
    ) -> Deferred[Any] | None:
        to, sender = stanza.to, stanza.sender
        assert to is not None
        assert sender is not None
        if to.local and to.resource:
            self._iq_to_resource(stanza, domain, account, ticket)
            return None
        if stanza.type not in ("get", "set"):
            return None
        child = stanza.children[0]
        handler = domain.iq_handler(stanza.type, child[0], child[1], "account" if to.local else "domain")
        if to.local and getattr(handler, "_owner", False) and sender.bare != to:
            raise StanzaError("forbidden", "That is for the owner of the account only")
        request = IqRequest(stanza, child, account, session, ticket)
        if to.local and getattr(handler, "_contacts", False) and sender.bare != to:
            return self._answer(lambda _: self._answer_contact(handler, domain, request), request)  # type: ignore[arg-type]
        if handler is None or (to.local and account is None):
            raise StanzaError("service-unavailable")
        if account is not None and domain.hooks.run(IqArriving(stanza, account, ticket)):
            return None
        return self._answer(handler, request)

    async def _answer_contact(self, handler: IqHandler, domain: Domain, request: IqRequest) -> Payload:
        """Answer someone who may see the account's presence; to others it does not exist."""
        to, account = request.stanza.to, request.account
        assert to is not None
        if not await may_see_presence(domain, to, request.sender) or account is None:
            raise StanzaError("service-unavailable")
        domain.hooks.run(IqArriving(request.stanza, account, request.ticket))
        answer = handler(request)
        return answer if answer is None or isinstance(answer, tuple) else await answer

    def _iq_to_resource(
        self, stanza: Stanza, domain: Domain, account: Account | None, ticket: Ticket
    ) -> None:
        assert stanza.to is not None
        target = self._registry.session(stanza.to) if account is not None else None
        if target is None or account is None:
            raise StanzaError("service-unavailable")
        if not domain.hooks.run(IqArriving(stanza, account, ticket)):
            target.send(stanza)

    def _answer(
        self,
        handler: Callable[[IqRequest], Payload | Awaitable[Payload]],
        request: IqRequest,
    ) -> Deferred[Any] | None:
        outcome = handler(request)
        if outcome is None or isinstance(outcome, tuple):
            self._reply(request, outcome)
            return None
        waiting: Deferred[Any] = Deferred.fromCoroutine(outcome)  # type: ignore[arg-type]
        waiting.addCallbacks(
            lambda payload: self._reply(request, payload),
            lambda failure: self._failed(request.stanza, failure),
        )
        if waiting.called or not getattr(handler, "_beside", False):
            return waiting
        return self._run_beside(waiting, request)

    def _run_beside(self, waiting: Deferred[Any], request: IqRequest) -> Deferred[Any] | None:
        """Let the session go on, unless it has too many such requests already."""
        who = id(request.session)
        self._beside[who] = running = self._beside.get(who, 0) + 1

        def done(result: object) -> object:
            self._beside[who] -= 1
            if not self._beside[who]:
                del self._beside[who]
            if not self._beside:
                self._tell_answered()
            return result

        waiting.addBoth(done)
        return waiting if running > MOST_BESIDE else None

    def when_answered(self) -> Deferred[None] | None:
        """When no request runs beside its session any more; None if none does now.  It may be cancelled."""
        if not self._beside:
            return None
        self._answered.append(Deferred())
        return self._answered[-1]

    def _tell_answered(self) -> None:
        answered, self._answered = self._answered, []
        for each in answered:
            if not each.called:
                each.callback(None)

    def _failed(self, stanza: Stanza, failure: Any) -> None:
        if failure.check(StanzaError):
            self.refuse(stanza, failure.value)
        elif failure.check(FaultError, ClosedError):
            _log.warn("{stanza} failed: {problem}", stanza=stanza, problem=failure.getErrorMessage())
            self.refuse(stanza, StanzaError("internal-server-error", DATABASE_AWAY, type="wait"))
        else:
            self._report(stanza, failure)
            self.refuse(stanza, StanzaError("internal-server-error"))

    def _report(self, stanza: Stanza, failure: Failure) -> None:
        """A fault of the program: who has found one must not flood the log with it."""
        if self.may_log("" if stanza.sender is None else stanza.sender.bare.text):
            _log.failure("{stanza} failed", failure, stanza=stanza)

    # -- answers

    def _reply(self, request: IqRequest, payload: Payload) -> None:
        answer = replies.result(request.stanza, *payload) if payload else replies.result(request.stanza)
        if request.session is not None:
            # Also where its account is gone meanwhile: that may be what it asked for.
            request.session.send(answer)
        else:
            self._give(answer)

    def refuse(self, stanza: Stanza, problem: StanzaError) -> None:
        """Answer a stanza with an error, unless it is one that is never answered."""
        if replies.may_answer_with_error(stanza) and stanza.sender is not None:
            self._give(replies.error(stanza, problem))

    def _give(self, answer: Stanza) -> None:
        """An answer goes back to exactly the resource that asked; copies are all that is hooked to that."""
        to = answer.to
        assert to is not None
        session = self._registry.session(to)
        if session is not None:
            session.send(answer)
            if answer.kind == "message":
                self._domains[to.domain].hooks.run(MessageRefused(answer, session))
        elif to.domain in self._domains and not to.local:
            _log.debug("an answer for {to}, who is not there", to=to.text)
        elif to.domain not in self._domains:
            self.arrive(answer)
