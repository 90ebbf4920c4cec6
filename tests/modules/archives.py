"""What archives have, for tests that talk through the whole server."""

from __future__ import annotations

import re
from pathlib import Path

from tests.modules.conversation import Conversation, User
from xmppd.storage import archive as store
from xmppd.storage.archive import ArchiveRow

__all__ = ["ArchiveConversation"]

_body = re.compile("<body>(.*?)</body>").findall


class ArchiveConversation(Conversation):
    """Users whose archives are looked into."""

    def chat(self, sender: User, to: str, body: str, more: str = "") -> None:
        """Send a message; `to` is ``romeo`` or ``romeo/orchard`` or an address elsewhere."""
        local, slash, resource = to.partition("/")
        address = to if "@" in to else f"{local}@example.org{slash}{resource}"
        sender.send(f"<message to='{address}' type='chat' id='{body}'><body>{body}</body>{more}</message>")

    def rows(self, name: str) -> list[ArchiveRow]:
        """All rows of an archive."""
        self.server.settle()
        return self.server.wait_for(
            self.server.database.read("rows", store.rows, self.account(name).id or 0, limit=10_000)
        )

    def history(self, name: str) -> list[str]:
        """The bodies in the history of an account, in order; one without body is ``''``."""
        found = [_body(row.stanza.decode()) for row in self.rows(name) if row.history]
        return [body[0] if body else "" for body in found]

    def waiting(self, name: str) -> list[str]:
        """The bodies of the rows that are no part of the history."""
        return [body for row in self.rows(name) if not row.history for body in _body(row.stanza.decode())]

    @property
    def path(self) -> Path:
        """The database."""
        return Path(self.place.partition(":")[2])

    def files_with(self, content: bytes) -> list[str]:
        """The files of the database that have something in them."""
        files = self.path.parent.glob(f"{self.path.name}*")
        return [each.name for each in files if content in each.read_bytes()]

    def pass_time(self, seconds: float, step: float = 60.0) -> None:
        """Let a long time pass, step by step; what begins in a step has time to end before the next one."""
        while seconds > 0:
            self.server.advance(min(step, seconds))
            for _ in range(10):
                self.server.advance(0.1)
            seconds -= step
