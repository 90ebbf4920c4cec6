"""Service discovery of the domain and of accounts (XEP-0030), with forms (XEP-0128)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Host
from xmppd.core.errors import StanzaError
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq
from xmppd.core.stanza import escape_attribute
from xmppd.xml import forms, tree
from xmppd.xml.wokkel import DiscoFeature, DiscoIdentity, DiscoInfo

__all__ = ["About", "AccountNodes", "Disco", "disco_of"]


@dataclass(frozen=True)
class About:
    """What a node is."""

    category: str
    kind: str
    name: str | None
    features: tuple[str, ...]


class AccountNodes(Protocol):
    """Who knows nodes of accounts; None stands for one that is not known, or not for that asker."""

    def info(self, account: Account, request: IqRequest, node: str) -> About | None:
        """What a node is."""
        ...

    def items(self, account: Account, request: IqRequest, node: str) -> Iterable[tuple[str, str]] | None:
        """The nodes below a node, with their names."""
        ...


def disco_of(host: Host) -> Disco | None:
    """Who answers for a domain."""
    return cast("Disco | None", host.modules.get("disco"))


class Disco(Module):
    """Answers what the domain and its accounts are and can do.

    What the modules declare is gathered at the first request and kept.

    :ivar aliases: nodes at which the domain answers disco#info as it does without (XEP-0115).
    :ivar account_nodes: who knows nodes of accounts.
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
        self.account_nodes: list[AccountNodes] = []
        self._domain_info: Any = None
        self._domain_items = b""
        self._account_info: dict[str, bytes] = {}

    # -- the domain

    def domain_info(self) -> Any:
        """What the domain is and can do, as wokkel's DiscoInfo."""
        if self._domain_info is None:
            modules = self.context.host.modules.values()
            info = _info("server", "im", {feature for module in modules for feature in module.features})
            for module in modules:
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

    # One that is not there and one that is not for the asker's eyes answer the same, at any node (XEP-0030,
    # section 10; RFC 6121, section 8.5.1, where the two differ about items).

    @iq("get", ns.DISCO_INFO, "query", "account", contacts=True)
    def account_info(self, request: IqRequest) -> Payload:
        """What an account is, and what the server does for it."""
        account = request.account
        assert account is not None
        if _node(request):
            return ns.DISCO_INFO, "query", self._node_info(account, request)
        kind = "anonymous" if account.is_guest else "registered"
        if kind not in self._account_info:
            info = _info("account", kind, self._account_features(guest=account.is_guest))
            self._account_info[kind] = tree.write(info.toElement())
        return ns.DISCO_INFO, "query", self._account_info[kind]

    @iq("get", ns.DISCO_ITEMS, "query", "account", contacts=True)
    def account_items(self, request: IqRequest) -> Payload:
        """The available resources of an account."""
        account = request.account
        assert account is not None
        if _node(request):
            return ns.DISCO_ITEMS, "query", self._node_items(account, request)
        available = [(session.jid.text, "") for session in account.sessions if session.available]
        return ns.DISCO_ITEMS, "query", _items(available)

    def _account_features(self, *, guest: bool) -> set[str]:
        modules = self.context.host.modules.values()
        return {
            feature
            for module in modules
            if module.serves_guests or not guest
            for feature in module.account_features
        }

    def _node_info(self, account: Account, request: IqRequest) -> bytes:
        """What is at a node of an account.

        :raises StanzaError: ``item-not-found``.
        """
        node = _node(request)
        for nodes in self.account_nodes:
            about = nodes.info(account, request, node)
            if about is not None:
                info = _info(about.category, about.kind, set(about.features), about.name)
                info.nodeIdentifier = node
                return tree.write(info.toElement())
        raise StanzaError("item-not-found")

    def _node_items(self, account: Account, request: IqRequest) -> bytes:
        """What is below a node of an account: other nodes of it.

        :raises StanzaError: ``item-not-found``.
        """
        node = _node(request)
        for nodes in self.account_nodes:
            below = nodes.items(account, request, node)
            if below is not None:
                return _nodes(account, node, below)
        raise StanzaError("item-not-found")


def _node(request: IqRequest) -> str:
    """The node that is asked for, ``''`` for none."""
    payload = tree.child(request.stanza, request.child[0], "query")
    assert payload is not None
    node: str = payload.getAttribute("node", "")
    return node


def _info(category: str, kind: str, features: set[str], name: str | None = None) -> Any:
    info = DiscoInfo()
    info.append(DiscoIdentity(category, kind, name))
    for feature in sorted(features):
        info.append(DiscoFeature(feature))
    return info


def _items(items: list[tuple[str, str]]) -> bytes:
    """Items by address and name.  Not by wokkel: it takes Twisted's addresses, which know less Unicode."""
    text = "".join(_item(address, name) for address, name in items)
    return f"<query xmlns='{ns.DISCO_ITEMS}'>{text}</query>".encode()


def _nodes(account: Account, node: str, below: Iterable[tuple[str, str]]) -> bytes:
    """Nodes of an account by node and name."""
    items = "".join(
        f"<item jid='{account.jid.xml}' node='{escape_attribute(each)}' name='{escape_attribute(name)}'/>"
        for each, name in below
    )
    return f"<query xmlns='{ns.DISCO_ITEMS}' node='{escape_attribute(node)}'>{items}</query>".encode()


def _item(address: str, name: str) -> str:
    named = f" name='{escape_attribute(name)}'" if name else ""
    return f"<item jid='{escape_attribute(address)}'{named}/>"
