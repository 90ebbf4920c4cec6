"""Account enumeration: nothing tells a stranger who exists or is there, neither answers nor their time."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import TestCase

from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.testing import Client, InProcessServer

ENABLE = f"<enable xmlns='{ns.SM}'/>"
ASK = f"<r xmlns='{ns.SM}'/>"
NO_PERMANENT = f"<no-permanent-store xmlns='{ns.HINTS}'/>"
#: Somebody who has never been there, somebody who is, somebody who was, and nobody.
NAMES = ("absent", "online", "asleep", "nobody")
#: Requests that need something in them to come as far as those that are handled.
CONTENT = {
    (ns.BLOCKING, "block"): "<item jid='a@b'/>",
    (ns.REGISTER, "query"): "<remove/>",
    (ns.ROSTER, "query"): "<item jid='a@b'/>",
}
MESSAGES = (
    "<message type='chat' to='{to}'><body>x</body></message>",
    f"<message type='chat' to='{{to}}'><body>x</body>{NO_PERMANENT}</message>",
    "<message type='chat' to='{to}'><x xmlns='u'/></message>",
    "<message to='{to}'><body>x</body></message>",
    f"<message to='{{to}}'><body>x</body>{NO_PERMANENT}</message>",
    "<message type='headline' to='{to}'><body>x</body></message>",
    "<message type='chat' to='{to}/r'><body>x</body></message>",
    "<message type='normal' to='{to}/r'><body>x</body></message>",
)


class Strangers(TestCase):
    def setUp(self) -> None:
        self.world = InProcessServer()
        self.addCleanup(self.world.stop)
        for name in ("mallory", *NAMES[:-1]):
            self.world.add_user(f"{name}@localhost")
        self.world.login("online@localhost/here")
        asleep = self.world.login("asleep@localhost/here")
        asleep.close()
        self.mallory = self.world.login("mallory@localhost/m")
        self.reads: list[str] = []
        self.watch_reads()

    def watch_reads(self) -> None:
        """What the database is asked for: a question that needs it takes longer than one that does not."""
        read = self.world.database.read

        async def watched(name: str, *args: Any, **keywords: Any) -> Any:
            self.reads.append(name)
            return await read(name, *args, **keywords)

        self.patch(self.world.database, "read", watched)

    def account_requests(self) -> list[tuple[str, str, str]]:
        host = self.world.server.hosts["localhost"]
        return sorted(key[:3] for key in host._iq if key[3] == "account")

    def ask(self, client: Client, kind: str, to: str, payload: str) -> str:
        said = client.ask(f"<iq type='{kind}' id='1' to='{to}'>{payload}</iq>")
        return said.replace(JID.parse(to).local, "NAME")


class Requests(Strangers):
    def outcomes(self, kind: str, payload: str, resource: str = "") -> set[tuple[str, ...]]:
        """The answers about all of them, with what the database was asked for."""
        found = set()
        for name in NAMES:
            self.reads.clear()
            answer = self.ask(self.mallory, kind, f"{name}@localhost{resource}", payload)
            found.add((answer, *self.reads))
        return found

    def test_every_request(self) -> None:
        requests = self.account_requests()
        self.assertGreater(len(requests), 15)
        for kind, namespace, name in requests:
            content = CONTENT.get((namespace, name), "") if kind == "set" else ""
            payload = f"<{name} xmlns='{namespace}'>{content}</{name}>"
            outcomes = self.outcomes(kind, payload)
            self.assertEqual(len(outcomes), 1, outcomes)
            (outcome,) = outcomes
            self.assertIn("type='error'", outcome[0])

    def test_nodes(self) -> None:
        for namespace in (ns.DISCO_INFO, ns.DISCO_ITEMS):
            for node in ("x", ns.COMMANDS, ns.MAM_CONFIGURE):
                outcomes = self.outcomes("get", f"<query xmlns='{namespace}' node='{node}'/>")
                self.assertEqual(len(outcomes), 1, outcomes)

    def test_what_nobody_handles(self) -> None:
        for kind in ("get", "set"):
            for resource in ("", "/here", "/elsewhere"):
                outcomes = self.outcomes(kind, "<vCard xmlns='vcard-temp'/>", resource)
                self.assertEqual(len(outcomes), 1, outcomes)


class Acknowledgements(Strangers):
    """How long stream management takes to acknowledge what was sent to somebody."""

    def setUp(self) -> None:
        super().setUp()
        self.mallory.send(ENABLE)
        self.mallory.take()
        self.sent = 0

    def acknowledged_after(self, stanza: str) -> int:
        """Milliseconds until it is acknowledged."""
        self.mallory.send(stanza + ASK)
        self.sent += 1
        said = ""
        for passed in range(200):
            said += self.mallory.take()
            if re.search(rf"<a [^>]*h='{self.sent}'/>", said):
                self.world.settle()
                return passed
            self.world.advance(0.001)
        raise AssertionError(f"it is not acknowledged: {said}")

    def times(self, stanza: str) -> dict[str, int]:
        return {name: self.acknowledged_after(stanza.format(to=f"{name}@localhost")) for name in NAMES}

    def test_messages(self) -> None:
        for message in MESSAGES:
            times = self.times(message)
            # Whoever is there and whoever is not may be told apart by what the message is for.
            self.assertLessEqual(abs(times["absent"] - times["nobody"]), 1, (message, times))

    def test_presence(self) -> None:
        for kind in ("subscribe", "subscribe", "unsubscribe", "unsubscribe", "subscribed", "probe", "probe"):
            times = self.times(f"<presence type='{kind}' to='{{to}}'/>")
            self.assertLessEqual(max(times.values()) - min(times.values()), 1, (kind, times))
