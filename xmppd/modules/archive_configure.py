"""The owner's hand on the archive (XEP-0441, section 2.2): preferences, and deletion for good.

One command (XEP-0050): the first form asks what to do, the second one how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, cast

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.addresses import parse_all
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.module import Module
from xmppd.core.stanza import escape_attribute, escape_text
from xmppd.modules.archive_preferences import Preferences
from xmppd.modules.commands import Command, Done, Step, Turn, commands_of
from xmppd.modules.redaction import Scope, erase
from xmppd.storage.preferences import ArchivePreferences, Fallback
from xmppd.xml import delay, forms

__all__ = ["ArchiveConfigure", "read_moment"]

_PREFERENCES, _CONVERSATION, _PERIOD, _ALL = "preferences", "conversation", "period", "everything"
_CHOICES: Final = {
    _PREFERENCES: "Choose what is archived",
    _CONVERSATION: "Delete a conversation",
    _PERIOD: "Delete a period",
    _ALL: "Delete everything",
}
_FALLBACKS: Final = {
    "always": "Archive all messages",
    "never": "Archive no messages",
    "roster": "Archive messages of contacts",
}
_FOR_GOOD: Final = "What is deleted is gone for good, also for your other devices that have not fetched it."
_NO_ADDRESS: Final = "One of the addresses is none"
#: The last moment of a day, in microseconds from its beginning.
_DAY: Final = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a form."""

    kind: str
    name: str
    label: str
    values: Sequence[str] = ()
    options: Mapping[str, str] | None = None
    required: bool = False

    def xml(self) -> str:
        values = "".join(f"<value>{escape_text(value)}</value>" for value in self.values)
        options = "".join(
            f"<option label='{escape_attribute(label)}'><value>{escape_text(value)}</value></option>"
            for value, label in (self.options or {}).items()
        )
        required = "<required/>" if self.required else ""
        start = f"<field type='{self.kind}' var='{self.name}' label='{escape_attribute(self.label)}'>"
        return f"{start}{required}{values}{options}</field>"


class ArchiveConfigure(Module):
    """Offers the command at the node that XEP-0441 names."""

    name = "archive_configure"

    async def start(self) -> None:
        """Offer it where commands are."""
        commands = commands_of(self.context.host)
        if commands is not None:
            commands.add(Command(ns.MAM_CONFIGURE, "Configure the message archive", self.run))

    async def run(self, turn: Turn) -> Step | Done:
        """One step of the command."""
        if turn.number == 0:
            return Step(self._menu(), "next")
        fields = _submitted(turn)
        if turn.number == 1:
            wanted = _one(fields, "action")
            if wanted not in self._choices():
                raise _refused("action is one of the choices in the form")
            turn.state["action"] = wanted
            return Step(self._second(wanted, turn.account), "complete")
        if turn.state["action"] == _PREFERENCES:
            return await self._choose(turn.account, fields)
        return await self._erase(turn.account, _scope(turn.state["action"], fields))

    # -- forms

    def _preferences(self) -> Preferences | None:
        return cast("Preferences | None", self.context.host.modules.get("archive_preferences"))

    def _choices(self) -> dict[str, str]:
        without = self._preferences() is None
        return {name: label for name, label in _CHOICES.items() if name != _PREFERENCES or not without}

    def _menu(self) -> bytes:
        choices = self._choices()
        field = _Field("list-single", "action", "What to do", [next(iter(choices))], choices, required=True)
        return _form("The message archive", "", [field])

    def _second(self, action: str, account: Account) -> bytes:
        if action == _CONVERSATION:
            return _form(_CHOICES[action], _FOR_GOOD, [_Field("jid-single", "jid", "With", required=True)])
        if action == _PERIOD:
            when = "such as 2026-01-31, or 2026-01-31T12:00:00Z"
            fields = [
                _Field("text-single", "start", f"From, {when}"),
                _Field("text-single", "end", f"To, inclusive, {when}"),
            ]
            return _form(_CHOICES[action], _FOR_GOOD, fields)
        if action == _ALL:
            return _form(_CHOICES[action], _FOR_GOOD, [_Field("boolean", "sure", "I am sure", ["0"])])
        preferences = self._preferences()
        assert preferences is not None
        chosen = preferences.of(account)
        return _form(
            _CHOICES[action],
            "",
            [
                _Field("list-single", "default", "Unless listed below", [chosen.fallback], _FALLBACKS),
                _Field("jid-multi", "always", "Always archive messages of", chosen.always),
                _Field("jid-multi", "never", "Never archive messages of", chosen.never),
            ],
        )

    # -- what is done

    async def _choose(self, account: Account, fields: Mapping[str, list[str]]) -> Done:
        fallback = _one(fields, "default")
        if fallback not in _FALLBACKS:
            raise _refused("default is always, never or roster")
        preferences = self._preferences()
        assert preferences is not None
        always = await self._addresses(fields.get("always", ()))
        never = await self._addresses(fields.get("never", ()))
        await preferences.choose(account, ArchivePreferences(cast(Fallback, fallback), always, never))
        return Done("The preferences hold from now on.")

    async def _addresses(self, texts: Iterable[str]) -> tuple[str, ...]:
        wanted = [text.strip() for text in texts if text.strip()]
        try:
            found = await parse_all(wanted, self.context.clock)
        except InvalidJID:
            raise _refused(_NO_ADDRESS) from None
        return tuple(dict.fromkeys(jid.text for jid in found))

    async def _erase(self, account: Account, scope: Scope) -> Done:
        number = await erase(self.context, account, scope)
        return Done(f"{number} message{'' if number == 1 else 's'} deleted.")


def _form(title: str, instructions: str, fields: Iterable[_Field]) -> bytes:
    told = f"<instructions>{escape_text(instructions)}</instructions>" if instructions else ""
    kind = f"<field type='hidden' var='FORM_TYPE'><value>{ns.MAM_CONFIGURE}</value></field>"
    inner = told + kind + "".join(field.xml() for field in fields)
    return f"<x xmlns='{ns.DATA}' type='form'><title>{escape_text(title)}</title>{inner}</x>".encode()


# -- what is filled in


def _refused(text: str) -> StanzaError:
    return StanzaError("bad-request", text, app=(ns.COMMANDS, "bad-payload"))


def _submitted(turn: Turn) -> Mapping[str, list[str]]:
    fields = forms.submitted(turn.payload, ns.MAM_CONFIGURE)
    if fields is None:
        raise _refused("The form is missing")
    return fields


def _one(fields: Mapping[str, list[str]], name: str) -> str:
    values = fields.get(name, [])
    return values[0].strip() if len(values) == 1 else ""


def _scope(action: str, fields: Mapping[str, list[str]]) -> Scope:
    """Which messages are to be deleted."""
    if action == _CONVERSATION:
        address = _one(fields, "jid")
        if not address:
            raise _refused("The address is missing")
        try:
            return Scope(peer=JID.parse(address).bare.text)
        except InvalidJID:
            raise _refused(_NO_ADDRESS) from None
    if action == _PERIOD:
        start, end = _one(fields, "start"), _one(fields, "end")
        if not start and not end:
            raise _refused("The start or the end is missing")
        try:
            first, last = read_moment(start) if start else 0, read_moment(end, last=True) if end else None
        except ValueError:
            raise _refused("A time is written like 2026-01-31 or 2026-01-31T12:00:00Z") from None
        if last is not None and last < first:
            raise _refused("The end lies before the start")
        return Scope(None, first, last)
    if _one(fields, "sure") not in ("1", "true"):
        raise _refused("Nothing is deleted unless you are sure")
    return Scope()


def read_moment(text: str, *, last: bool = False) -> int:
    """A day or a time as people write it, in microseconds since 1970.

    :param last: the last moment of it.
    :raises ValueError: if it is none.
    """
    if "T" in text:
        return delay.parse_stamp(text)
    day = (date.fromisoformat(text) - date(1970, 1, 1)).days * _DAY
    return day + _DAY - 1 if last else day
