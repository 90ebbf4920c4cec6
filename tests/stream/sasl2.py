"""Clients that speak SASL2, for dialogues."""

from __future__ import annotations

import base64
import hmac

from tests.dialogues.case import ServerCase, attribute, split
from xmppd.core import ns
from xmppd.testing import Client
from xmppd.xml import tree

__all__ = [
    "AGENT",
    "CARBONS",
    "ENABLE",
    "NONE",
    "OTHER_AGENT",
    "Answer",
    "Sasl2Case",
    "authenticate",
    "bind",
    "header",
    "plain",
    "proof",
]

AGENT = "d4565fa7-4d72-4749-b3d3-740edbf87770"
OTHER_AGENT = "9b2a4f36-1111-4aaa-8bbb-0123456789ab"
NONE = "HT-SHA-256-NONE"
ENABLE = f"<enable xmlns='{ns.SM}' resume='true'/>"
CARBONS = f"<enable xmlns='{ns.CARBONS}'/>"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def plain(name: str, password: str = "secret") -> str:
    """An initial response of PLAIN."""
    return _base64(f"\0{name}\0{password}".encode())


def proof(name: str, token: str, binding: bytes = b"") -> str:
    """An initial response of HT-SHA-256-*."""
    signature = hmac.digest(token.encode(), b"Initiator" + binding, "sha256")
    return _base64(name.encode() + b"\0" + signature)


def bind(*inline: str, tag: str = "") -> str:
    """A request for a resource."""
    wanted = f"<tag>{tag}</tag>" if tag else ""
    return f"<bind xmlns='{ns.BIND2}'>{wanted}{''.join(inline)}</bind>"


def authenticate(mechanism: str, response: str | None, *parts: str, agent: str = AGENT) -> str:
    """A request to log in.

    :param response: in base64; None to wait for a challenge.
    :param agent: the id of the client installation, '' for none.
    """
    initial = "" if response is None else f"<initial-response>{response}</initial-response>"
    who = f"<user-agent id='{agent}'><software>Test</software></user-agent>" if agent else ""
    return (
        f"<authenticate xmlns='{ns.SASL2}' mechanism='{mechanism}'>{initial}{who}{''.join(parts)}"
        "</authenticate>"
    )


def header(domain: str = "localhost", sender: str = "") -> str:
    """A stream header."""
    who = f" from='{sender}'" if sender else ""
    return (
        f"<?xml version='1.0'?><stream:stream to='{domain}'{who} version='1.0' xmlns='{ns.CLIENT}'"
        f" xmlns:stream='{ns.STREAMS}'>"
    )


class Answer:
    """What a server sent after ``<authenticate/>``, element by element.

    :ivar rest: what came behind ``<success/>`` and the features.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = split(text.replace("stream:features", "features"))
        self.success = self.parts[0] if self.parts else ""
        self.features = next((part for part in self.parts if part.startswith("<features>")), "")
        self.rest = [part for part in self.parts if part not in (self.success, self.features)]

    def element(self, namespace: str, name: str, inside: tree.Element | None = None) -> tree.Element | None:
        """The element of that name in ``<success/>``, or in an element of it."""
        parent = tree.parse(self.success.encode()) if inside is None else inside
        return next((part for part in parent.elements() if (part.uri, part.name) == (namespace, name)), None)

    def bound(self, namespace: str, name: str) -> tree.Element | None:
        """The element of that name in ``<bound/>``."""
        bound = self.element(ns.BIND2, "bound")
        assert bound is not None, self.success
        return self.element(namespace, name, bound)

    @property
    def jid(self) -> str:
        """Who the client is now."""
        element = self.element(ns.SASL2, "authorization-identifier")
        return "" if element is None else str(element)

    @property
    def token(self) -> str:
        """The token of FAST that came with it."""
        element = self.element(ns.FAST, "token")
        return "" if element is None else element["token"]


class Sasl2Case(ServerCase):
    """Dialogues of clients with SASL2."""

    def opened(self, sender: str = "") -> Client:
        """A client that has opened a stream and read what is offered."""
        client = self.world.connect()
        client.ask(header(sender=sender))
        return client

    def enter(self, name: str, *parts: str, agent: str = AGENT, password: str = "secret") -> Answer:
        """Log in with a password on a new connection; the client is `self.client`."""
        self.client = self.opened()
        return self.say(authenticate("PLAIN", plain(name, password), *parts, agent=agent))

    def say(self, text: str, client: Client | None = None) -> Answer:
        """Send; the answer of the server."""
        return Answer((client or self.client).ask(text))

    def sm_token(self, answer: Answer) -> str:
        """The id that resumes the session that an answer has made."""
        return attribute(answer.success.partition("<enabled")[2], "id")

    def fails(self, text: str, client: Client | None = None) -> str:
        """Send what fails; the answer, which takes its time."""
        talker = client or self.client
        self.assertEqual(talker.ask(text), "")
        for _ in range(17):
            self.world.advance(1)
            answer = talker.take()
            if answer:
                return answer
        raise AssertionError("no answer")
