"""Service discovery of the domain and of accounts (XEP-0030), with forms (XEP-0128)."""

from __future__ import annotations

from typing import Any

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context
from xmppd.core.errors import StanzaError
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq
from xmppd.core.stanza import escape_attribute
from xmppd.core.visibility import may_see_presence
from xmppd.xml import forms, tree
from xmppd.xml.wokkel import DiscoFeature, DiscoIdentity, DiscoInfo

__all__ = ["Disco"]


class Disco(Module):
    """Answers what the domain and its accounts are and can do.

    What the modules declare is gathered at the first request and kept.

    :ivar aliases: nodes at which the domain answers disco#info as it does without (XEP-0115).
    """

    name = "disco"
    xeps = (
        Xep("0030", "2.5.0", "Service Discovery"),
        Xep("0128", "1.0.1", "Service Discovery Extensions"),
    )
    features = (ns.DISCO_INFO, ns.DISCO_ITEMS)
    account_features = (ns.DISCO_INFO, ns.DISCO_ITEMS)

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self.aliases: set[str] = set()
        self._domain_info: Any = None
        self._domain_items = b""
        self._account_info: dict[str, bytes] = {}

    def _all(self, attribute: str) -> set[str]:
        modules = self.context.host.modules.values()
        return {feature for module in modules for feature in getattr(module, attribute)}

    # -- the domain

    def domain_info(self) -> Any:
        """What the domain is and can do, as wokkel's DiscoInfo."""
        if self._domain_info is None:
            info = _info("server", "im", self._all("features"))
            for module in self.context.host.modules.values():
                for form in module.domain_forms():
                    info.append(forms.result_form(form.form_type, form.fields))
            self._domain_info = info
        return self._domain_info

    @iq("get", ns.DISCO_INFO, "query", "domain")
    def info(self, request: IqRequest) -> Payload:
        """What the domain is and can do."""
        node = _node(request)
        if node and node not in self.aliases:
            raise StanzaError("item-not-found")
        info = self.domain_info()
        info.nodeIdentifier = node
        return ns.DISCO_INFO, "query", tree.write(info.toElement())

    @iq("get", ns.DISCO_ITEMS, "query", "domain")
    def items(self, request: IqRequest) -> Payload:
        """The services of the domain."""
        if _node(request):
            raise StanzaError("item-not-found")
        if not self._domain_items:
            modules = self.context.host.modules.values()
            self._domain_items = _items([item for module in modules for item in module.domain_items()])
        return ns.DISCO_ITEMS, "query", self._domain_items

    # -- accounts

    @iq("get", ns.DISCO_INFO, "query", "account")
    async def account_info(self, request: IqRequest) -> Payload:
        """What an account is, and what the server does for it."""
        account = await self._account(request)
        kind = "anonymous" if account.is_guest else "registered"
        if kind not in self._account_info:
            info = _info("account", kind, self._all("account_features"))
            self._account_info[kind] = tree.write(info.toElement())
        return ns.DISCO_INFO, "query", self._account_info[kind]

    @iq("get", ns.DISCO_ITEMS, "query", "account")
    async def account_items(self, request: IqRequest) -> Payload:
        """The available resources of an account."""
        account = await self._account(request)
        available = [(session.jid.text, "") for session in account.sessions if session.available]
        return ns.DISCO_ITEMS, "query", _items(available)

    async def _account(self, request: IqRequest) -> Account:
        """The account that is asked about.

        One that is not there and one that is not for the asker's eyes answer the same, at any node
        (XEP-0030, section 10; RFC 6121, section 8.5.1, where the two differ about items).

        :raises StanzaError: ``service-unavailable`` for a stranger, ``item-not-found`` for a node.
        """
        account = request.account
        assert account is not None
        if not await may_see_presence(self.context.host, account, request.sender):
            raise StanzaError("service-unavailable")
        if _node(request):
            raise StanzaError("item-not-found")
        return account


def _node(request: IqRequest) -> str:
    """The node that is asked for, ``''`` for none."""
    payload = tree.child(request.stanza, request.child[0], "query")
    assert payload is not None
    node: str = payload.getAttribute("node", "")
    return node


def _info(category: str, kind: str, features: set[str]) -> Any:
    info = DiscoInfo()
    info.append(DiscoIdentity(category, kind))
    for feature in sorted(features):
        info.append(DiscoFeature(feature))
    return info


def _items(items: list[tuple[str, str]]) -> bytes:
    """Items by address and name.  Not by wokkel: it takes Twisted's addresses, which know less Unicode."""
    text = "".join(_item(address, name) for address, name in items)
    return f"<query xmlns='{ns.DISCO_ITEMS}'>{text}</query>".encode()


def _item(address: str, name: str) -> str:
    named = f" name='{escape_attribute(name)}'" if name else ""
    return f"<item jid='{escape_attribute(address)}'{named}/>"
