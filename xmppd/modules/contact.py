"""Contact addresses of a domain, from its configuration (XEP-0157)."""

from __future__ import annotations

from dataclasses import asdict

from xmppd.core import ns
from xmppd.core.module import InfoForm, Module, Xep

__all__ = ["Contact"]


class Contact(Module):
    """Says in disco#info of the domain whom to write to."""

    name = "contact"
    xeps = (Xep("0157", "1.1.1", "Contact Addresses for XMPP Services"),)

    def domain_forms(self) -> tuple[InfoForm, ...]:
        """One form, unless no address is configured."""
        addresses = asdict(self.context.settings.contact)
        fields = tuple((f"{role}-addresses", tuple(uris)) for role, uris in sorted(addresses.items()) if uris)
        return (InfoForm(ns.SERVER_INFO, fields),) if fields else ()
