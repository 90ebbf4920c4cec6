"""Service discovery of the domain and of accounts (XEP-0030), with forms (XEP-0128)."""

from __future__ import annotations

from typing import Any

from xmppd.core import ns
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
        self._account_info: dict[str, bytes] = {}
        self._domain_items = b""

    def domain_info(self) -> Any:
        """What the domain is and can do, as wokkel's DiscoInfo."""
        if self._domain_info is None:
            info = _info("server", "im", self._all("features"))
            for module in self.context.host.modules.values():
                for form in module.domain_forms():
                    info.append(forms.result_form(form.form_type, form.fields))
            self._domain_info = info
        return self._domain_info

    def _all(self, attribute: str) -> set[str]:
        modules = self.context.host.modules.values()
        return {feature for module in modules for feature in getattr(module, attribute)}

    @iq("get", ns.DISCO_INFO, "query")
    def info(self, request: IqRequest) -> Payload:
        """What an entity is and can do."""
        node = self._node(request)
        if request.account is not None:
            kind = "anonymous" if request.account.is_guest else "registered"
            return ns.DISCO_INFO, "query", self._info_of_account(kind)
        info = self.domain_info()
        info.nodeIdentifier = node
        return ns.DISCO_INFO, "query", tree.write(info.toElement())

    def _info_of_account(self, kind: str) -> bytes:
        if kind not in self._account_info:
            info = _info("account", kind, self._all("account_features"))
            self._account_info[kind] = tree.write(info.toElement())
        return self._account_info[kind]

    @iq("get", ns.DISCO_ITEMS, "query")
    def items(self, request: IqRequest) -> Payload:
        """What belongs to an entity: the services of the domain, the available resources of an account."""
        if self._node(request):
            raise StanzaError("item-not-found")
        if request.account is None:
            self._domain_items = self._domain_items or self._services()
            return ns.DISCO_ITEMS, "query", self._domain_items
        available = [(session.jid.text, "") for session in request.account.sessions if session.available]
        return ns.DISCO_ITEMS, "query", _items(available)

    def _services(self) -> bytes:
        return _items(
            [item for module in self.context.host.modules.values() for item in module.domain_items()]
        )

    def _node(self, request: IqRequest) -> str:
        """The node that is asked for, ``''`` for none.

        An account that is not there and one that is not for the asker's eyes answer the same, at any node
        (XEP-0030, section 10; RFC 6121, section 8.5.1, where the two differ about items).

        :raises StanzaError: ``service-unavailable`` for a stranger, ``item-not-found`` for a node.
        """
        account = request.account
        if account is not None and not may_see_presence(self.context.host, account, request.sender):
            raise StanzaError("service-unavailable")
        payload = tree.child(request.stanza, request.child[0], "query")
        assert payload is not None
        node: str = payload.getAttribute("node", "")
        if node and (account is not None or node not in self.aliases):
            raise StanzaError("item-not-found")
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
