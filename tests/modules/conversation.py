"""Users who talk through the whole server, and others far away, for tests that read like the wire."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any
from xml.parsers import expat

from twisted.trial.unittest import TestCase

from tests.modules.fakes import stanza
from xmppd.core.account import Account
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.core.subscriptions import APPROVED, PENDING_IN, PENDING_OUT, subscription
from xmppd.modules.roster_keeper import keeper_of
from xmppd.storage import roster as store
from xmppd.testing import Client, InProcessServer

__all__ = ["Conversation", "User", "push", "split"]


def split(text: str) -> list[str]:
    """The elements that stand one after the other."""
    data = b"<all>" + text.encode()
    starts: list[int] = []
    open_elements = 0

    def begin(_name: str, _attrs: object) -> None:
        nonlocal open_elements
        if open_elements == 1:
            starts.append(parser.CurrentByteIndex)
        open_elements += 1

    def end(_name: str) -> None:
        nonlocal open_elements
        open_elements -= 1

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.Parse(data + b"</all>", True)
    return [data[a:b].decode() for a, b in pairwise([*starts, len(data)])]


def push(account: int, version: int, to: str, item: str) -> str:
    """A roster push, as it is sent.

    :param account: its number: the first one that was made is 1.
    :param item: the attributes of the item, or the whole of it.
    """
    local = to.partition("/")[0]
    jid = to.replace("/", "@example.org/", 1)
    element = item if item.startswith("<") else f"<item {item}/>"
    return (
        f"<iq from='{local}@example.org' to='{jid}' type='set' id='roster-{version}'>"
        f"<query xmlns='jabber:iq:roster' ver='{account}-{version}'>{element}</query></iq>"
    )


class User:
    """A client, stanza by stanza."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def send(self, xml: str) -> None:
        """Send, and let everything follow from it, the disk included."""
        self.client.send(xml)
        self.client.world.settle()

    def ask(self, xml: str) -> list[str]:
        """Send, and give what comes back."""
        self.take()
        self.send(xml)
        return self.take()

    def take(self) -> list[str]:
        """What has come since the last call."""
        return split(self.client.take())

    def get_roster(self, version: str | None = None) -> list[str]:
        """What answers a request for the roster."""
        ver = "" if version is None else f" ver='{version}'"
        return self.ask(f"<iq type='get' id='get'><query xmlns='jabber:iq:roster'{ver}/></iq>")

    def set_item(self, item: str) -> list[str]:
        """What answers a roster set."""
        return self.ask(f"<iq type='set' id='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>")

    def items(self) -> str:
        """The items of the whole roster."""
        (answer,) = self.get_roster()
        return answer.partition("'>")[2].partition("'>")[2].removesuffix("</query></iq>")


class Conversation(TestCase):
    """A server for ``example.org``; what it sends to other domains is in `abroad`."""

    settings: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.begin()

    def tearDown(self) -> None:
        self.server.stop()

    def begin(self, database: str | None = None) -> None:
        """Start a server."""
        self.server = InProcessServer(*self.settings, domain="example.org", database=database)
        self.place = database or self.server.config.server.database
        self.sent_abroad: list[Stanza] = []
        router = self.server.server.router
        self.arrive, self._arrive_here = router.arrive, router._arrive
        router._arrive = self._arrive  # type: ignore[method-assign]

    def restart(self) -> None:
        """Stop the server, and start it again on the same database."""
        self.server.stop()
        self.begin(self.place)

    def forget(self, name: str) -> None:
        """Take a roster out of memory."""
        keeper_of(self.server.server.hosts["example.org"]).forget(self.account(name))

    def offered_after_login(self) -> str:
        """The stream features of a client that has logged in."""
        self.account("romeo")
        client = self.server.connect()
        client.open("example.org")
        secret = base64.b64encode(b"\0romeo\0secret").decode()
        client.ask(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        return client.open("example.org")

    def _arrive(self, sent: Stanza, *how: Any) -> Any:
        assert sent.to is not None
        if sent.to.domain == "example.org":
            return self._arrive_here(sent, *how)
        self.sent_abroad.append(sent)
        return None

    def abroad(self) -> list[str]:
        """What was sent to other servers since the last call."""
        sent, self.sent_abroad = self.sent_abroad, []
        return [each.wire.decode() for each in sent]

    def from_abroad(self, xml: str) -> None:
        """Another server sends something."""
        self.arrive(stanza(xml))
        self.server.settle()

    def account(self, name: str) -> Account:
        """The account of that name, made if there is none."""
        jid = JID.make(name, "example.org")
        if self.server.server.registry.account(jid) is None:
            self.server.add_user(jid.text)
        account = self.server.server.registry.account(jid)
        assert account is not None
        return account

    def user(self, name: str, *, presence: bool = True, roster: bool = False) -> User:
        """A client of that name (``romeo/orchard``), logged in; with `roster` it has asked for it."""
        self.account(name.partition("/")[0])
        jid = name.replace("/", "@example.org/", 1)
        user = User(self.server.login(jid, presence=presence))
        if roster:
            user.get_roster()
        return user

    def know(self, name: str, *contacts: tuple[str, int]) -> None:
        """Put contacts and their states into the store; the account must not have been used before."""
        account = self.account(name)
        for jid, state in contacts:
            item = store.RosterItem(
                jid,
                subscription=subscription(state),  # type: ignore[arg-type]
                ask=bool(state & PENDING_OUT),
                approved=bool(state & APPROVED),
            )
            write = self.server.database.write
            if state != PENDING_IN:
                self.server.wait_for(write("roster", store.upsert, account.id, item))
            if state & PENDING_IN:
                asked = f"<presence xmlns='jabber:client' from='{jid}' to='{account.jid}' type='subscribe'/>"
                request = store.Request(jid, asked.encode())
                self.server.wait_for(write("roster", store.put_request, account.id, request))

    def befriend(self, *names: str) -> None:
        """All of them see each other."""
        for name in names:
            self.know(name, *((f"{other}@example.org", 3) for other in names if other != name))
