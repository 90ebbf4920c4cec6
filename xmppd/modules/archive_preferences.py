"""What of a user's messages is archived, as the user wants it (XEP-0441).

The choices of all accounts are in memory, and so are the contacts of those that archive by roster: they are
asked for every message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol, cast

from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.addresses import parse_all
from xmppd.core.classify import Verdict
from xmppd.core.context import Context, Host
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError
from xmppd.core.events import AccountRemoved, RosterChanged
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.kinds import Between, Count
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq, on
from xmppd.core.stanza import escape_text
from xmppd.modules.roster_keeper import keeper_of
from xmppd.storage import preferences as store
from xmppd.storage import roster as roster_store
from xmppd.storage.preferences import ArchivePreferences, Fallback
from xmppd.xml import tree

__all__ = ["ArchivePolicy", "Options", "Preferences", "policy_of"]

_log = Logger()

_DEFAULTS: Final[Mapping[object, Fallback]] = {True: "always", False: "never", "roster": "roster"}
_JID: Final = (ns.MAM, "jid")

#: What the limit is called where it is counted.
MOST_ITEMS: Final = "archive_preferences.items"
hits.declare(MOST_ITEMS)
_FALLBACKS: Final[Mapping[str, Fallback]] = {"always": "always", "never": "never", "roster": "roster"}

_ALWAYS: Final = Verdict(True, "archived by default")
_NEVER: Final = Verdict(False, "not archived by default")
_LISTED: Final = Verdict(True, "on the list of those always archived")
_UNWANTED: Final = Verdict(False, "on the list of those never archived")
_CONTACT: Final = Verdict(True, "in the roster")
_STRANGER: Final = Verdict(False, "not in the roster")


@dataclass(frozen=True)
class Options:
    """Options of archive preferences."""

    default_archive_policy: bool | Literal["roster"] = True
    """Whether messages are archived for users who have not chosen: true, false, or "roster" (of contacts)."""
    items: Annotated[Count, Between(1)] = 500
    """Most addresses on the two lists of an account."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The preferences of an account, ready to be asked."""

    stored: ArchivePreferences
    always: frozenset[str]
    never: frozenset[str]

    @classmethod
    def of(cls, stored: ArchivePreferences) -> _Choice:
        return cls(stored, frozenset(stored.always), frozenset(stored.never))

    def listed(self, peer: JID) -> Verdict | None:
        """What the lists say: a full JID before a bare one, and "never" before "always"."""
        for text in (peer.text, peer.bare.text) if peer.resource else (peer.text,):
            if text in self.never:
                return _UNWANTED
            if text in self.always:
                return _LISTED
        return None


class ArchivePolicy(Protocol):
    """Who is asked about a message before it is archived."""

    def wants(self, account: Account, peer: JID) -> Verdict:
        """Whether an account's messages to and from someone are archived."""
        ...


def policy_of(host: Host) -> ArchivePolicy | None:
    """Who decides for a domain; None where users have no choice."""
    return cast("ArchivePolicy | None", host.modules.get("archive_preferences"))


class Preferences(Module):
    """Keeps the preferences of all accounts of a domain."""

    name = "archive_preferences"
    xeps = (Xep("0441", "0.2.0", "Message Archive Management Preferences"),)
    Options = Options

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._options: Options = options
        self._fallback: Fallback = _DEFAULTS[self._options.default_archive_policy]
        self._everyone = _ALWAYS if self._fallback == "always" else _NEVER
        #: Of the accounts that have chosen.
        self._choices: dict[Account, _Choice] = {}
        #: Bare JIDs in the rosters of those for whom it matters.
        self._contacts: dict[Account, set[str]] = {}

    async def start(self) -> None:
        """Read what accounts have chosen, and the rosters that this asks for."""
        context = self.context
        accounts = [each for each in context.registry.accounts() if each.jid.domain == context.domain.text]
        stored = await context.database.read("archive preferences", store.load_all)
        for account in accounts:
            if account.id in stored:
                self._choices[account] = _Choice.of(stored[account.id])
        numbers = {account.id: account for account in accounts if self._goes_by_roster(account)}
        found = await context.database.read("contacts", roster_store.contacts, list(numbers))
        self._contacts = {numbers[number]: contacts for number, contacts in found.items()}

    # -- what is asked for every message

    def wants(self, account: Account, peer: JID) -> Verdict:
        """Whether an account's messages to and from someone are archived (section 2.3).

        :param peer: the addressee of what goes out, the sender of what comes in.
        """
        choice = self._choices.get(account)
        if choice is None:
            if self._fallback != "roster":
                return self._everyone
            return self._by_roster(account, peer)
        listed = choice.listed(peer)
        if listed is not None:
            return listed
        if choice.stored.fallback == "roster":
            return self._by_roster(account, peer)
        return _ALWAYS if choice.stored.fallback == "always" else _NEVER

    def _by_roster(self, account: Account, peer: JID) -> Verdict:
        """By the bare JID; notes to oneself are as good as those to a contact."""
        bare = peer.bare
        known = bare.text in self._contacts.get(account, ()) or bare == account.jid
        return _CONTACT if known else _STRANGER

    def _goes_by_roster(self, account: Account) -> bool:
        choice = self._choices.get(account)
        return (self._fallback if choice is None else choice.stored.fallback) == "roster"

    # -- what keeps it true

    @on(RosterChanged)
    def roster_changed(self, event: RosterChanged) -> None:
        """Follow the roster of an account for which it matters."""
        account = event.account
        if account.id is None or not self._goes_by_roster(account):
            return
        contacts = self._contacts.setdefault(account, set())
        if event.present is None:
            self.context.spawn(self._read_contacts(account))
        elif event.present:
            contacts.add(event.contact.text)
        else:
            contacts.discard(event.contact.text)

    @on(AccountRemoved)
    def removed(self, event: AccountRemoved) -> None:
        """Nobody asks any more."""
        self._choices.pop(event.account, None)
        self._contacts.pop(event.account, None)

    async def _read_contacts(self, account: Account) -> None:
        """Take the roster as it is, changes that are not on the disk yet included."""
        if "roster" in self.context.host.modules:
            roster = await keeper_of(self.context.host).load(account)
            self._contacts[account] = set(roster.items)

    # -- requests (section 2.1)

    @iq("get", ns.MAM, "prefs", "account", owner=True)
    def get(self, request: IqRequest) -> Payload:
        """The preferences as they are."""
        return _payload(self.of(_own(request)))

    @iq("set", ns.MAM, "prefs", "account", owner=True)
    async def set(self, request: IqRequest) -> Payload:
        """New preferences; the answer comes when they are on the disk."""
        account = _own(request)
        payload = tree.child(request.stanza, ns.MAM, "prefs")
        assert payload is not None
        wanted = await self._read(payload)
        await self.choose(account, wanted)
        return _payload(wanted)

    async def _read(self, payload: tree.Element) -> ArchivePreferences:
        """The preferences in a request; a list that is missing counts as empty.

        :raises StanzaError: ``bad-request`` for another default than the three, or a list that is there
            twice; ``jid-malformed``.
        """
        fallback, lists = _fallback(payload), _lists(payload)
        always = await self._addresses(lists.get("always", ()))
        return ArchivePreferences(fallback, always, await self._addresses(lists.get("never", ())))

    async def _addresses(self, texts: Iterable[str]) -> tuple[str, ...]:
        """The addresses on a list, each once."""
        try:
            found = await parse_all(texts, self.context.clock)
        except InvalidJID:
            raise StanzaError("jid-malformed", "One of the addresses is none") from None
        return tuple(dict.fromkeys(jid.text for jid in found))

    def of(self, account: Account) -> ArchivePreferences:
        """What an account has chosen, or what holds for those that have not."""
        choice = self._choices.get(account)
        return ArchivePreferences(self._fallback) if choice is None else choice.stored

    async def choose(self, account: Account, wanted: ArchivePreferences) -> None:
        """Set the preferences of an account; they hold at once.

        :raises StanzaError: ``policy-violation`` for too many addresses.
        """
        most = self._options.items
        if len(wanted.always) + len(wanted.never) > most:
            raise StanzaError("policy-violation", f"The lists may have {most} addresses ({MOST_ITEMS})")
        if wanted.fallback == "roster":
            await self._read_contacts(account)
        before = self._choices.get(account)
        mine = self._choices[account] = _Choice.of(wanted)
        assert account.id is not None
        try:
            await self.context.database.write("archive preferences", store.save, account.id, wanted)
        except Exception:
            if self._choices.get(account) is mine:
                self._restore(account, before)
            raise
        if not self._goes_by_roster(account):
            self._contacts.pop(account, None)

    def _restore(self, account: Account, before: _Choice | None) -> None:
        _log.error("new archive preferences of {account} are lost", account=account)
        if before is None:
            del self._choices[account]
        else:
            self._choices[account] = before


def _own(request: IqRequest) -> Account:
    account = request.account
    if account is None or account.id is None or not request.is_own:
        raise StanzaError("forbidden", "Those preferences are not yours")
    return account


def _fallback(payload: tree.Element) -> Fallback:
    fallback = _FALLBACKS.get(payload.attributes.get("default", ""))
    if fallback is None:
        raise StanzaError("bad-request", "default is always, never or roster")
    return fallback


def _lists(payload: tree.Element) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for child in payload.elements():
        if child.uri != ns.MAM or child.name not in ("always", "never"):
            continue
        if child.name in lists:
            raise StanzaError("bad-request", f"The list <{child.name}/> is there twice")
        lists[child.name] = [_text(part) for part in child.elements() if (part.uri, part.name) == _JID]
    return lists


def _text(element: tree.Element) -> str:
    return "".join(part for part in element.children if isinstance(part, str)).strip()


def _payload(preferences: ArchivePreferences) -> Payload:
    lists = "".join(
        f"<{name}>{''.join(f'<jid>{escape_text(jid)}</jid>' for jid in jids)}</{name}>"
        for name, jids in (("always", preferences.always), ("never", preferences.never))
    )
    text = f"<prefs xmlns='{ns.MAM}' default='{preferences.fallback}'>{lists}</prefs>"
    return ns.MAM, "prefs", text.encode()
