"""What a module is, and the marks that say what it handles.

A module is one file with one class.  The loader in `xmppd.host` reads the marks; nothing registers itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from xmppd.core.account import Account
from xmppd.core.context import Context, Session, Ticket
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.stanza import Child, Stanza

__all__ = ["InfoForm", "Inlined", "IqRequest", "Module", "NoOptions", "Payload", "Target", "Xep", "iq", "on"]

F = TypeVar("F", bound=Callable[..., Any])

#: To whom an iq is addressed: the domain, an account (its bare JID).
Target = Literal["domain", "account"]

#: What a handler of an iq answers: nothing, or the payload with its namespace and name.
Payload = tuple[str, str, bytes] | None


@dataclass(frozen=True)
class Xep:
    """A specification that a module implements.

    :ivar number: for example ``0199``; an RFC stands as ``RFC 6121``.
    """

    number: str
    version: str
    name: str


@dataclass(frozen=True)
class InfoForm:
    """A form that extends disco#info (XEP-0128).

    :ivar fields: name and values of each field, in the order in which they are shown.
    """

    form_type: str
    fields: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Inlined:
    """What a client may ask a module for while its resource is bound (XEP-0386).

    :ivar feature: how the stream features name it.
    :ivar namespace: of the element that asks for it.
    :ivar name: of that element.
    :ivar apply: does it for the session; there is nothing to answer.
    """

    feature: str
    namespace: str
    name: str
    apply: Callable[[Session], None]


@dataclass(frozen=True)
class NoOptions:
    """The options of a module that has none."""


@dataclass(slots=True)
class IqRequest:
    """An iq get or set for the server itself.

    :ivar child: the payload; its tree comes from `xmppd.xml.tree.child`.
    :ivar account: the account that is addressed; None where the domain is.
    :ivar session: the local session that asks; None for a stranger from another server.
    """

    stanza: Stanza
    child: Child
    account: Account | None
    session: Session | None
    ticket: Ticket

    @property
    def sender(self) -> JID:
        """Who asks, as the server vouches for it."""
        assert self.stanza.sender is not None
        return self.stanza.sender

    @property
    def is_own(self) -> bool:
        """Whether the account's own user asks."""
        return self.account is not None and self.sender.bare == self.account.jid


class Module:
    """Base of all modules.

    :cvar name: how the configuration names it.
    :cvar xeps: what it implements; `docs/xeps.md` is made from it.
    :cvar Options: a frozen dataclass of its settings.
    :cvar features: for disco#info of the domain.
    :ivar account_features: for disco#info of every account.
    :cvar serves_guests: whether these hold for guests, of whom nothing is kept.
    :cvar stream_features: elements that are always offered after authentication.
    """

    name: ClassVar[str]
    xeps: ClassVar[tuple[Xep, ...]] = ()
    Options: ClassVar[type] = NoOptions
    features: ClassVar[tuple[str, ...]] = ()
    account_features: tuple[str, ...] = ()
    serves_guests: ClassVar[bool] = True
    stream_features: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self, context: Context, options: Any) -> None:
        self.context = context
        self.options = options

    async def start(self) -> None:
        """Called once, before anything listens."""

    async def stop(self) -> None:
        """Called once, after the last stream is closed."""

    def offered(self) -> tuple[bytes, ...]:
        """The elements that stand among the stream features after authentication."""
        return self.stream_features

    def inlined(self) -> tuple[Inlined, ...]:
        """What clients may ask for while a resource is bound."""
        return ()

    async def told_when_bound(self, account: Account) -> bytes:
        """What a client is told of its account when its resource has been bound (XEP-0386), if anything."""
        return b""

    def domain_forms(self) -> tuple[InfoForm, ...]:
        """Forms for disco#info of the domain; asked once, after all modules have started."""
        return ()

    def domain_items(self) -> tuple[tuple[str, str], ...]:
        """Address and name of what disco#items of the domain lists; asked once, like `domain_forms`."""
        return ()


def iq(
    kind: Literal["get", "set"],
    namespace: str,
    name: str,
    *targets: Target,
    beside: bool = False,
    owner: bool = False,
    contacts: bool = False,
) -> Callable[[F], F]:
    """Mark a handler of an iq: ``handler(request: IqRequest) -> Payload`` or a coroutine of that.

    It returns the payload of the result or raises a `StanzaError`; the reply is built elsewhere.

    :param targets: whom such an iq may address; without any: domain and account.
    :param beside: the client's next stanzas are taken while this one waits: for what only reads, and slowly.
    :param owner: only the own user of an account may ask that of it; others get ``forbidden``, whether
        there is such an account or not.
    :param contacts: only those who may see an account's presence may ask that of it; to others no account
        exists, and they cannot tell by the time either.
    """

    def mark(function: F) -> F:
        function._beside = beside  # type: ignore[attr-defined]
        function._owner = owner  # type: ignore[attr-defined]
        function._contacts = contacts  # type: ignore[attr-defined]
        marks = getattr(function, "_iq_marks", ())
        function._iq_marks = (*marks, (kind, namespace, name, targets or ("domain", "account")))  # type: ignore[attr-defined]
        return function

    return mark


def on(event: type, stage: Stage = Stage.DELIVER) -> Callable[[F], F]:
    """Mark a handler of an event (see `xmppd.core.events`)."""

    def mark(function: F) -> F:
        marks = getattr(function, "_event_marks", ())
        function._event_marks = (*marks, (event, stage))  # type: ignore[attr-defined]
        return function

    return mark


#: The type of a handler that `iq` marks.
IqHandler = Callable[[IqRequest], Payload | Awaitable[Payload]]
