"""Nobody but this server gives ids in its name (XEP-0359)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xmppd.core import ns
from xmppd.core.events import MessageArriving, MessageSending
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.module import Module, Xep, on
from xmppd.core.stanza import Child, Stanza
from xmppd.xml import tree

__all__ = ["StanzaIds", "without_ids"]

#: Ids of a message whose givers are looked at.  A message passes one or two archives; whoever makes up more
#: makes work, and loses them all.
MOST_IDS: Final = 16


def _is_id(child: Child) -> bool:
    return child[0] == ns.STANZA_ID and child[1] == "stanza-id"


def _by(stanza: Stanza, child: Child) -> JID | None:
    """The ``by`` of a stanza id; None where there is none that means anything."""
    node = tree.parse_within(b"<m xmlns='jabber:client'>", stanza.xml(child))
    try:
        return JID.parse(node.attributes.get("by", ""))
    except InvalidJID:
        return None


def without_ids(stanza: Stanza, ours: Callable[[JID], bool]) -> Stanza:
    """A message without the ids that claim to be by one of ours, or by nobody who could be asked."""

    too_many = sum(map(_is_id, stanza.children)) > MOST_IDS

    def wanted(child: Child) -> bool:
        if not _is_id(child):
            return True
        if too_many:
            return False
        by = _by(stanza, child)
        return by is not None and not ours(by)

    return stanza.keep(wanted)


class StanzaIds(Module):
    """Takes forged stanza ids out of every message, archived or not, local or remote."""

    name = "stanza_ids"
    xeps = (Xep("0359", "0.7.0", "Unique and Stable Stanza IDs"),)
    account_features = (ns.STANZA_ID,)

    @on(MessageSending, Stage.STRIP)
    def strip_sent(self, event: MessageSending) -> None:
        """What a local user sends must not carry ids of anybody here."""
        if event.stanza.has(ns.STANZA_ID, "stanza-id"):
            is_local = self.context.registry.is_local
            event.stanza = without_ids(event.stanza, lambda by: is_local(by.domain))

    @on(MessageArriving, Stage.STRIP)
    def strip_arrived(self, event: MessageArriving) -> None:
        """What arrives must not carry ids of the addressee's archive, nor of others here if it is from afar.

        What is from here may have theirs.
        """
        if event.stanza.has(ns.STANZA_ID, "stanza-id"):
            sender, is_local = event.stanza.sender, self.context.registry.is_local
            from_here = sender is not None and is_local(sender.domain)
            ours = (event.account.jid, self.context.domain)
            event.stanza = without_ids(
                event.stanza, lambda by: by.bare in ours if from_here else is_local(by.domain)
            )
