"""A connection that says whatever it likes, with nothing but sockets: no parser, no state."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
from dataclasses import dataclass
from html import unescape

PATIENCE = 10.0  # seconds to wait for an answer
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
PING = "<iq type='get' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>"

_stream_error = re.compile(r"<stream:error[^>]*>\s*<([a-z-]+)").search
_sasl_failure = re.compile(r"<failure[^>]*>\s*<([a-z-]+)").search
_sm_failure = re.compile(r"<failed[^>]*>\s*<([a-z-]+)").search
_stanza_error = re.compile(r"<error[^>]*>\s*<([a-z-]+)").search


def auth(mechanism: str, text: str | bytes) -> str:
    """An ``<auth/>`` with this initial response."""
    return f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{encoded(text)}</auth>"


def encoded(text: str | bytes) -> str:
    """Base 64."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@dataclass(frozen=True)
class Target:
    """A server to attack, and two of its accounts if there are any, as (bare JID, password)."""

    host: str
    port: int
    domain: str
    attacker: tuple[str, str] | None = None
    victim: tuple[str, str] | None = None


class Refused(Exception):
    """The server does not let an honest client come as far as the case needs."""


class NoAccounts(Exception):
    """A case needs accounts, and none were given."""


class Connection:
    """One connection to the target.

    :ivar seen: all that has come and was not taken yet, as text.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.seen = ""
        self.closed = False
        self.jid = ""
        self.socket = socket.create_connection((target.host, target.port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word."""
        self.socket.close()

    def accounts(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The attacker's account and the victim's.

        :raises NoAccounts: there are none.
        """
        if self.target.attacker is None or self.target.victim is None:
            raise NoAccounts
        return self.target.attacker, self.target.victim

    # -- bytes

    def send(self, data: str | bytes) -> None:
        """Send; a server that has hung up meanwhile is noticed when reading."""
        try:
            self.socket.sendall(data.encode() if isinstance(data, str) else data)
        except OSError:
            self._drain()
            self.closed = True

    def send_in_pieces(self, data: bytes, size: int) -> None:
        """Send bytes in so small pieces, without waiting in between."""
        for start in range(0, len(data), size):
            if self.closed:
                return
            self.send(data[start : start + size])

    def wait(self, *texts: str, patience: float = PATIENCE) -> str:
        """Read until one of these texts has come or the server has closed; take what came."""
        deadline = time.monotonic() + patience
        while not self.closed and not any(text in self.seen for text in texts):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._read(left)
        taken, self.seen = self.seen, ""
        return taken

    def read_now(self) -> None:
        """Read what is there, without waiting and without taking it."""
        self._read(0.0001)

    def _read(self, patience: float) -> None:
        self.socket.settimeout(patience)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return
        except OSError:
            data = b""
        self.closed = not data
        self.seen += data.decode("utf-8", "replace")
        self.socket.settimeout(PATIENCE)

    def _drain(self) -> None:
        """What the server said before it hung up."""
        while not self.closed:
            before = len(self.seen)
            self._read(1.0)
            if len(self.seen) == before:
                return

    # -- what an honest client does

    def header(self, *, to: str | None = None, more: str = "") -> str:
        """A stream header."""
        domain = self.target.domain if to is None else to
        return (
            f"<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client'"
            f" xmlns:stream='http://etherx.jabber.org/streams'{more}>"
        )

    def open(self) -> str:
        """Open a stream; the server's features."""
        self.send(self.header())
        answer = self.wait("</stream:features>", "<stream:features/>", "</stream:stream>")
        if "features" not in answer:
            raise Refused(f"no stream features but: {answer[-300:]}")
        return answer

    def start_tls(self) -> None:
        """Let TLS begin, whoever the server says it is."""
        self.open()
        self.send(f"<starttls xmlns='{TLS}'/>")
        if "<proceed" not in self.wait("<proceed", "<failure", "</stream:stream>"):
            raise Refused("no STARTTLS")
        self.wrap()

    def wrap(self) -> None:
        """Begin TLS now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname=self.target.domain)

    def authenticate(self, account: tuple[str, str]) -> None:
        """Log in with PLAIN."""
        jid, password = account
        self.send(auth("PLAIN", f"\0{jid.partition('@')[0]}\0{password}"))
        answer = self.wait("<success", "</failure>", "</stream:stream>")
        if "<success" not in answer:
            raise Refused(f"{jid} cannot log in: {answer[-300:]}")

    def bind(self, resource: str = "") -> None:
        """Bind a resource."""
        wanted = f"<resource>{resource}</resource>" if resource else ""
        self.send(f"<iq type='set' id='bind'><bind xmlns='{BIND}'>{wanted}</bind></iq>")
        answer = self.wait("</iq>", "</stream:stream>")
        if "<jid>" not in answer:
            raise Refused(f"no resource: {answer[-300:]}")
        self.jid = unescape(answer.partition("<jid>")[2].partition("</jid>")[0])

    def log_in(self, account: tuple[str, str], resource: str = "") -> None:
        """All the way to a bound resource that is available."""
        self.start_tls()
        self.open()
        self.authenticate(account)
        self.open()
        self.bind(resource)
        self.send("<presence/>")
        self.ping("here")

    def ping(self, number: str) -> str:
        """Everything that the server sends up to the answer to a ping."""
        self.send(PING.format(id=number))
        return self.wait(f"id='{number}'", f'id="{number}"', "</stream:stream>")

    # -- what the server made of it

    def outcome(self, *also: str) -> str:
        """Read to the next error, or to one of these texts; say which.

        :returns: ``stream:CONDITION``, ``sasl:CONDITION``, ``sm:CONDITION``, ``stanza:CONDITION``, one of
            the texts, ``closed`` or ``silence``.
        """
        ends = ("</stream:error>", "</failure>", "</failed>", "</error>", "</stream:stream>", *also)
        said = self.wait(*ends)
        for kind, search in (
            ("stream", _stream_error),
            ("sasl", _sasl_failure),
            ("sm", _sm_failure),
            ("stanza", _stanza_error),
        ):
            found = search(said)
            if found is not None:
                return f"{kind}:{found[1]}"
        for text in also:
            if text in said:
                return text
        return "closed" if self.closed or "</stream:stream>" in said else "silence"
