"""One served domain: its modules, and the tables made from their marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from twisted.logger import Logger

from xmppd.auth.accounts import Directory
from xmppd.auth.fast import Tokens
from xmppd.core.account import Account
from xmppd.core.hooks import Hooks
from xmppd.core.jid import JID
from xmppd.core.module import Inlined, IqHandler, Module
from xmppd.stream.services import Registrar

__all__ = ["Host"]

_log = Logger()


class Host:
    """A served domain (see `xmppd.routing.router.Domain` and `xmppd.stream.services.Served`).

    :param jid: the domain.
    :param directory: its accounts, as authentication sees them.
    :param mechanisms: names of the SASL mechanisms that it allows.
    :param tokens: where clients' tokens are kept (XEP-0484).
    """

    def __init__(
        self, jid: JID, directory: Directory, mechanisms: Iterable[str], tokens: Tokens | None = None
    ) -> None:
        self.jid = jid
        self.directory = directory
        self.tokens = tokens
        self.mechanisms = tuple(mechanisms)
        self.hooks = Hooks()
        self.modules: dict[str, Module] = {}
        self.registrar: Registrar | None = None
        self._iq: dict[tuple[str, str, str, str], IqHandler] = {}
        self._undo: dict[str, list[Callable[[], object]]] = {}
        self._offered: bytes | None = None

    def load(self, module: Module) -> None:
        """Register all that a module has marked."""
        undo = self._undo[module.name] = []
        self.modules[module.name] = module
        self._offered = None
        its_class: type = type(module)
        for name, marked in _marked(its_class):
            for event, stage in getattr(marked, "_event_marks", ()):
                undo.append(self.hooks.add(event, getattr(module, name), stage))
            for kind, namespace, element, targets in getattr(marked, "_iq_marks", ()):
                for target in targets:
                    undo.append(self._add_iq((kind, namespace, element, target), getattr(module, name)))

    def _add_iq(self, key: tuple[str, str, str, str], handler: IqHandler) -> Callable[[], object]:
        if key in self._iq:
            raise ValueError(f"two handlers for {key}")
        self._iq[key] = handler
        return lambda: self._iq.pop(key)

    def unload(self, name: str) -> None:
        """Undo all that `load` did."""
        for undo in self._undo.pop(name):
            undo()
        del self.modules[name]
        self._offered = None

    async def start(self) -> None:
        """Start the modules, in order."""
        for module in self.modules.values():
            await module.start()

    async def stop(self) -> None:
        """Stop the modules, the last one first; one that fails does not keep the others."""
        for module in reversed(self.modules.values()):
            try:
                await module.stop()
            except Exception:
                _log.failure("module {name} did not stop cleanly", name=module.name)

    def iq_handler(self, kind: str, namespace: str, name: str, target: str) -> IqHandler | None:
        """Who answers such a request."""
        return self._iq.get((kind, namespace, name, target))

    def offered(self) -> bytes:
        """What the modules offer in the stream features after authentication."""
        if self._offered is None:
            self._offered = b"".join(b"".join(module.offered()) for module in self.modules.values())
        return self._offered

    def inlined(self) -> tuple[Inlined, ...]:
        """What clients may ask the modules for while a resource is bound."""
        return tuple(inlined for module in self.modules.values() for inlined in module.inlined())

    async def told_when_bound(self, account: Account) -> bytes:
        """What the modules tell a client whose resource has been bound."""
        return b"".join([await module.told_when_bound(account) for module in self.modules.values()])

    def hook(self, event: type[Any], handler: Callable[[Any], bool | None], stage: Any) -> None:
        """Register a handler of the server itself."""
        self.hooks.add(event, handler, stage)


@cache
def _marked(kind: type) -> tuple[tuple[str, Any], ...]:
    """The methods that modules of a class have marked, by name."""
    methods = [(name, getattr(kind, name)) for name in dir(kind)]
    return tuple(
        (name, method)
        for name, method in methods
        if hasattr(method, "_event_marks") or hasattr(method, "_iq_marks")
    )
