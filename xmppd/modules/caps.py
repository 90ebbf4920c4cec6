"""Entity capabilities of the server, among the stream features (XEP-0115)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from typing import Any, cast

from xmppd.core import ns
from xmppd.core.context import Context
from xmppd.core.module import Module, Xep
from xmppd.modules.disco import Disco

__all__ = ["Caps", "verification_string"]

#: Identifies the software (XEP-0115, section 4).
NODE = "urn:xmppd"


class Caps(Module):
    """Offers a hash of what disco#info of the domain says, so that clients need not ask each time."""

    name = "caps"
    xeps = (Xep("0115", "1.6.0", "Entity Capabilities"),)
    features = (ns.CAPS,)

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._offered: tuple[bytes, ...] = ()

    def offered(self) -> tuple[bytes, ...]:
        """``<c/>``, computed when it is first offered; its node can be asked for from then on."""
        if not self._offered:
            disco = cast(Disco, self.context.host.modules["disco"])
            ver = verification_string(disco.domain_info())
            disco.aliases.add(f"{NODE}#{ver}")
            self._offered = (f"<c xmlns='{ns.CAPS}' hash='sha-1' node='{NODE}' ver='{ver}'/>".encode(),)
        return self._offered


def verification_string(info: Any) -> str:
    """The hash over service discovery information (XEP-0115, section 5.1).

    Python orders texts as the bytes of their UTF-8 (i;octet).

    :param info: as wokkel's DiscoInfo.
    """
    parts = [f"{category}/{kind}//{name or ''}" for (category, kind), name in info.identities.items()]
    parts = sorted(parts) + sorted(info.features)
    for form_type in sorted(info.extensions):
        parts += [form_type, *_fields(info.extensions[form_type])]
    text = "".join(f"{part}<" for part in parts)
    # The XEP fixes the function; nothing secret hangs on it.
    return b64encode(sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _fields(form: Any) -> Iterable[str]:
    for name in sorted(form.fields):
        yield name
        yield from sorted(form.fields[name].values)
