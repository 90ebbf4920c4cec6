"""In-band registration (XEP-0077): new accounts where the domain is open, password and removal always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from xmppd.auth.throttle import FailureBuckets, address_key
from xmppd.core import ns, replies
from xmppd.core.account import REMOVED, Account
from xmppd.core.context import Context
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq
from xmppd.core.stanza import escape_text
from xmppd.xml import tree

__all__ = ["Options", "Register", "Registrar"]

#: Refused attempts that are allowed for each account that may be made: names that are taken, bad passwords.
ATTEMPTS: Final = 10


@dataclass(frozen=True)
class Options:
    """Registration. Whether it is open says the domain (registration)."""

    reserved: tuple[str, ...] = (
        "abuse",
        "admin",
        "administrator",
        "hostmaster",
        "info",
        "mailer-daemon",
        "noc",
        "noreply",
        "operator",
        "postmaster",
        "root",
        "security",
        "server",
        "service",
        "support",
        "sysadmin",
        "system",
        "webmaster",
        "www",
        "xmpp",
    )
    """Names that strangers cannot take, beside those of the domain's admins."""


class Registrar:
    """Makes accounts for strangers, before they have logged in.

    What an address may do is bounded in accounts and in refused attempts, and it makes one at a time
    where there is such a bound.

    :param reserved: local parts that are not given out.
    """

    def __init__(self, context: Context, reserved: frozenset[str]) -> None:
        self._context = context
        self._reserved = reserved
        size, period = context.limits.registrations_per_address, context.limits.registrations_period
        tries = None if size is None else size * ATTEMPTS
        self._made = FailureBuckets(context.clock.seconds, size, period)
        self._refused = FailureBuckets(context.clock.seconds, tries, period)
        self._one_at_a_time = size is not None
        self._busy: set[str] = set()

    def registration_form(self) -> bytes:
        """What to fill in."""
        return (
            f"<query xmlns='{ns.REGISTER}'><instructions>Choose a name and a password.</instructions>"
            "<username/><password/></query>"
        ).encode()

    async def register(self, payload: tree.Element, address: str) -> None:
        """Make an account.

        :param payload: the ``<query/>`` that was submitted.
        :param address: where the stranger is connected from.
        :raises StanzaError: ``conflict`` for a name that is not to be had, ``not-acceptable`` for missing
            fields or bad ones, ``resource-constraint`` for too many from one address.
        """
        key = address_key(address)
        self._check(key)
        self._busy.add(key)
        try:
            await self._create(_fields(payload))
        except StanzaError:
            self._refused.failed(key)
            raise
        finally:
            self._busy.discard(key)
        self._made.failed(key)

    def _check(self, key: str) -> None:
        if self._made.wait(key) or self._refused.wait(key):
            raise StanzaError("resource-constraint", "Too many new accounts (registrations_per_address)")
        if key in self._busy and self._one_at_a_time:
            raise StanzaError("resource-constraint", "Another registration from this address is under way")

    async def _create(self, fields: dict[str, str]) -> None:
        if "remove" in fields:
            raise StanzaError("unexpected-request", "Log in to remove an account")
        if not fields.get("username") or not fields.get("password"):
            raise StanzaError("not-acceptable", "A name and a password are needed")
        jid = _jid(fields["username"], self._context.domain)
        if jid.local in self._reserved:
            raise StanzaError("conflict", "This name is not available")
        await self._context.accounts.create(jid, fields["password"])


class Register(Module):
    """Lets users change their password and remove their account.

    :ivar registrar: what makes accounts for strangers; None where the domain is closed.
    """

    name = "register"
    xeps = (Xep("0077", "2.4", "In-Band Registration"),)
    Options = Options
    features = (ns.REGISTER,)
    account_features = (ns.REGISTER,)

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        admins = {admin.local for admin in context.settings.admins if admin.domain == context.domain.text}
        reserved = admins.union(options.reserved)
        self.registrar = Registrar(context, frozenset(reserved)) if context.settings.registration else None

    @iq("get", ns.REGISTER, "query")
    def registered(self, request: IqRequest) -> Payload:
        """What the user is registered as."""
        name = escape_text(self._account(request).jid.local)
        text = (
            f"<query xmlns='{ns.REGISTER}'><registered/><username>{name}</username><password/>"
            "<instructions>Send another password, or remove the account.</instructions></query>"
        )
        return ns.REGISTER, "query", text.encode()

    @iq("set", ns.REGISTER, "query")
    async def change(self, request: IqRequest) -> Payload:
        """Another password, or the end of the account."""
        account = self._account(request)
        payload = tree.child(request.stanza, ns.REGISTER, "query")
        assert payload is not None
        fields = _fields(payload)
        if "remove" in fields:
            if sum(1 for _ in payload.elements()) > 1:
                raise StanzaError("bad-request", "<remove/> stands alone")
            await self._remove(account, request)
        else:
            await self._change_password(account, fields)
        return None

    async def _remove(self, account: Account, request: IqRequest) -> None:
        """The answer and the end come in one: what the client has sent behind its request is not taken."""
        session = request.session
        assert session is not None
        await self.context.accounts.remove(account.jid, session)
        session.send(replies.result(request.stanza))
        session.close(StreamError("not-authorized", REMOVED))

    async def _change_password(self, account: Account, fields: dict[str, str]) -> None:
        if not fields.get("username") or not fields.get("password"):
            raise StanzaError("bad-request", "The name and the new password are needed")
        if _jid(fields["username"], self.context.domain) != account.jid:
            raise StanzaError("not-allowed", "Only the own password can be changed")
        await self.context.accounts.set_password(account.jid, fields["password"])

    def _account(self, request: IqRequest) -> Account:
        """The account that asks; what it asks for is always its own, by the address that it logged in with.

        :raises StanzaError: for anyone else, as for an account that does not exist.
        """
        if request.account is not None and not request.is_own:
            raise StanzaError("service-unavailable")
        if request.session is None or request.sender.domain != self.context.domain.text:
            raise StanzaError("service-unavailable")
        if request.session.account.is_guest:
            raise StanzaError("not-allowed", "A guest has no account")
        return request.session.account


def _fields(payload: tree.Element) -> dict[str, str]:
    """The texts of the fields by name, those of other namespaces left out.

    :raises StanzaError: ``bad-request`` for a field that is there twice.
    """
    fields: dict[str, str] = {}
    for child in payload.elements():
        if child.uri == ns.REGISTER:
            if child.name in fields:
                raise StanzaError("bad-request", "A field is there twice")
            fields[child.name] = "".join(part for part in child.children if isinstance(part, str))
    return fields


def _jid(local: str, domain: JID) -> JID:
    try:
        return JID.make(local, domain.text)
    except InvalidJID as problem:
        raise StanzaError("not-acceptable", "This cannot be a name") from problem
