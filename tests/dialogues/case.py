"""What dialogues with the whole server have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.modules.conversation import split
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.jid import JID
from xmppd.testing import Client, InProcessServer

__all__ = ["ServerCase", "SlowDatabase", "attribute", "split"]


def attribute(xml: str, name: str) -> str:
    """The value of the first attribute of that name."""
    found = re.search(rf"\b{name}='([^']*)'", xml)
    assert found is not None, f"no {name} in {xml}"
    return found[1]


class ServerCase(SynchronousTestCase):
    """A server for ``localhost`` with some users.

    :cvar settings: like ``--set`` on the command line.
    :cvar users: local parts of the accounts.
    """

    settings: tuple[str, ...] = ()
    users: tuple[str, ...] = ("alice", "bob")

    def setUp(self) -> None:
        self.start(*self.settings)
        for name in self.users:
            self.world.add_user(f"{name}@localhost")

    def start(self, *settings: str, database: str | None = None, elapsed: float = 0.0) -> None:
        """Start a server; it is stopped at the end of the test."""
        self.world = InProcessServer(*settings, database=database, elapsed=elapsed)
        self.addCleanup(self.world.stop)

    def restart(self, after: float = 60.0) -> None:
        """Stop the server and start it again on the same database.

        :param after: seconds between the two.
        """
        old = self.world
        old.stop()
        self.start(*self.settings, database=old.url, elapsed=old.reactor.seconds() + after)

    def kill(self, after: float = 60.0) -> None:
        """Start another server with what the disk has, as after ``kill -9``; the old one is left as it is."""
        old = self.world
        self.start(*self.settings, database=old.copy_of_database(), elapsed=old.reactor.seconds() + after)

    def login(self, name: str, *, presence: bool | str = True) -> Client:
        """A client; ``alice/phone`` is logged in as ``alice@localhost/phone``.

        :param presence: whether it becomes available; a text is its priority.
        """
        local, _, resource = name.partition("/")
        client = self.world.login(f"{local}@localhost/{resource}", presence=presence is True)
        if isinstance(presence, str):
            self.tell(client, f"<presence><priority>{presence}</priority></presence>")
            client.take()
        return client

    def tell(self, client: Client, *stanzas: str) -> None:
        """Send, and let everything that follows happen, the disk included."""
        for stanza in stanzas:
            client.send(stanza)
        self.world.settle()

    def take(self, client: Client) -> list[str]:
        """What a client got since the last call, element by element, presence of others left out."""
        return [xml for xml in split(client.take()) if not xml.startswith("<presence")]

    def bodies(self, client: Client) -> list[str]:
        """The bodies of the messages that a client got since the last call."""
        return re.findall("<body>([^<]*)</body>", client.take())

    def account(self, name: str) -> Account:
        """The account of that name."""
        account = self.world.server.registry.account(JID.parse(f"{name}@localhost"))
        assert account is not None
        return account

    # -- stream management

    def enable(self, client: Client, *, resume: bool = True, attributes: str = "") -> str:
        """Enable stream management; the answer is the token for resumption, if it has one."""
        wish = " resume='true'" if resume else ""
        answer = client.ask(f"<enable xmlns='{ns.SM}'{wish}{attributes}/>")
        self.assertIn("<enabled ", answer)
        return attribute(answer, "id") if " id='" in answer else ""

    def acknowledge(self, client: Client, h: int) -> None:
        """The client has handled so many stanzas."""
        self.tell(client, f"<a xmlns='{ns.SM}' h='{h}'/>")

    def reconnect(self, name: str, token: str, h: int) -> tuple[Client, list[str]]:
        """Resume on a new connection; what the server sent, element by element."""
        client = self.world.connect()
        client.authenticate(f"{name}@localhost", "secret")
        answer = client.ask(f"<resume xmlns='{ns.SM}' previd='{token}' h='{h}'/>")
        return client, split(answer)

    # -- the archive

    def archived(self, client: Client, query: str = "") -> list[str]:
        """The bodies of what a query of the client's own archive finds."""
        answer = client.ask(f"<iq type='set' id='mam'><query xmlns='{ns.MAM}'>{query}</query></iq>")
        self.assertIn("<fin ", answer)
        return re.findall("<body>([^<]*)</body>", answer)

    # -- logs

    def watch_log(self) -> Callable[[], list[str]]:
        """From now on keep the lines of the log; call the answer to get them."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        return lambda: [formatEvent(event) for event in events]


class SlowDatabase:
    """A database that stores nothing inside its block, until it is released."""

    def __init__(self, case: ServerCase) -> None:
        self._world = case.world
        self._writer: Any = case.world.database._writer

    def __enter__(self) -> Callable[[], None]:
        self._writer._start = lambda: None
        return self.release

    def release(self) -> None:
        """Store what has come."""
        del self._writer._start
        self._writer._start()
        self._world.advance()

    def __exit__(self, *_: object) -> None:
        if "_start" in vars(self._writer):
            self.release()
