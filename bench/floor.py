"""The floor: what it costs to move a message between two TLS connections, and nothing else.

    python -m bench.floor --port PORT --key FILE --certificate FILE [--rows FILE] [--stock]

It says just enough XMPP for the clients of bench/load, believes every name and password, and hands each
message to the last resource of its receiver, with the bytes that a server adds (``from`` and
``<stanza-id/>``).  It parses no XML and knows no limits: never let it listen where others can reach it.

With --rows each message becomes two rows in SQLite, written in groups and synced.  TLS and TCP are the
server's own (xmppd/stream/transport.py); with --stock they are Twisted's.
"""

from __future__ import annotations

import argparse
import base64
import queue
import re
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from xmppd.stream.certificates import CertificateFiles
from xmppd.stream.tls import TLSContexts
from xmppd.stream.transport import tune

loop: Any = reactor

#: Seconds after its first row that a group is written, as in the server.
GROUP_DELAY = 0.02
MANY_ROWS = 4000
Row = tuple[bytes, int, bytes, bytes]

SCHEMA = """
CREATE TABLE archive (
    account TEXT NOT NULL, seq INTEGER NOT NULL, peer TEXT NOT NULL, stanza BLOB NOT NULL,
    PRIMARY KEY (account, seq)
);
CREATE INDEX archive_peer ON archive (account, peer, seq);
"""

HEADER = (
    b"<?xml version='1.0'?><stream:stream from='localhost' id='floor' version='1.0' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams'><stream:features>%s</stream:features>"
)
FEATURES = {
    "tcp": b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
    "tls": b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>",
    "user": b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
}
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
SUCCESS = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
BOUND = b"<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>%s</jid></bind></iq>"
RESULT = b"<iq type='result' id='%s'/>"
STAMP = b"<stanza-id xmlns='urn:xmpp:sid:0' by='%s' id='%016x'/></message>"

ADDRESS = re.compile(rb" to='([^']*)'")
IQ = re.compile(rb"<iq [^>]*id='([^']*)'[^>]*>.*?</iq>", re.DOTALL)
RESOURCE = re.compile(rb"<resource>([^<]*)</resource>")
AUTH = re.compile(rb"<auth [^>]*>([^<]*)</auth>")


class Rows(threading.Thread):
    """Writes rows in groups, each synced, in a thread of its own.

    When too many wait, nobody's messages are read until there is room again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._rows: list[Row] = []
        self._groups: queue.SimpleQueue[list[Row]] = queue.SimpleQueue()
        self._waiting = 0
        self._stopped: list[Any] = []
        self._sequence = time.time_ns()

    def run(self) -> None:
        self._path.unlink(missing_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)
        while True:
            rows = self._groups.get()
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO archive VALUES (?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
            loop.callFromThread(self._written, len(rows))

    def add(self, sender: bytes, receiver: bytes, stanza: bytes) -> None:
        """Queue the rows of both sides."""
        if not self._rows:
            loop.callLater(GROUP_DELAY, self._flush)
        self._sequence = number = self._sequence + 1
        self._rows.append((sender, number, receiver, stanza))
        self._rows.append((receiver, number, sender, stanza))
        self._waiting += 2

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._groups.put(rows)

    def _written(self, number: int) -> None:
        self._waiting -= number
        if self._stopped and self._waiting <= MANY_ROWS // 2:
            stopped, self._stopped = self._stopped, []
            for transport in stopped:
                transport.resumeProducing()

    def stop_if_full(self, transport: Any) -> None:
        """Read no more from this sender for now, if too many rows wait."""
        if self._waiting > MANY_ROWS:
            transport.pauseProducing()
            self._stopped.append(transport)


class Relay(Protocol):
    """One connection."""

    factory: RelayFactory
    transport: Any

    def __init__(self) -> None:
        self.state = "tcp"
        self.name = self.jid = b""
        self.buffer = b""
        self.pending: list[bytes] = []

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def connectionLost(self, reason: Any = None) -> None:
        if self.factory.online.get(self.name) is self:
            del self.factory.online[self.name]

    def dataReceived(self, data: bytes) -> None:
        if self.state == "bound":
            self._relay(data)
        else:
            self.buffer += data
            self._negotiate()

    # -- negotiation

    def _negotiate(self) -> None:
        text, self.buffer = self.buffer, b""
        if b"<starttls" in text:
            self.transport.write(PROCEED)
            self.transport.startTLS(self.factory.tls.starttls)
            self.state = "tls"
        elif match := AUTH.search(text):
            self.name = base64.b64decode(match.group(1)).split(b"\0")[1] + b"@localhost"
            self.state = "user"
            self.transport.write(SUCCESS)
        elif b"<stream:stream" in text and text.endswith(b">"):
            self.transport.write(HEADER % FEATURES[self.state])
        elif match := IQ.search(text):
            self._bind(match)
        else:
            self.buffer = text

    def _bind(self, match: re.Match[bytes]) -> None:
        resource = RESOURCE.search(match.group())
        self.jid = self.name + b"/" + (resource.group(1) if resource else b"floor")
        self.factory.online[self.name] = self
        self.state = "bound"
        self.transport.write(BOUND % (match.group(1), self.jid))

    # -- messages

    def _relay(self, data: bytes) -> None:
        *stanzas, self.buffer = (self.buffer + data).split(b"</message>")
        touched = {self._forward(stanza) for stanza in stanzas}
        for receiver in touched:
            if receiver is not None:
                receiver.flush()
        if self.buffer:
            self._others()
        if self.factory.rows:
            self.factory.rows.stop_if_full(self.transport)

    def _forward(self, stanza: bytes) -> Relay | None:
        match = ADDRESS.search(stanza)
        assert match
        start, name, factory = stanza.index(b"<message"), match.group(1), self.factory
        factory.number += 1
        stamp = STAMP % (name, factory.number)
        whole = b"<message from='%s'%s%s" % (self.jid, stanza[start + len(b"<message") :], stamp)
        if factory.rows:
            factory.rows.add(self.name, name, whole)
        receiver = factory.online.get(name)
        if receiver:
            receiver.pending.append(whole)
        return receiver

    def flush(self) -> None:
        """Write what one read of a sender has brought, in one go."""
        self.transport.write(b"".join(self.pending))
        self.pending.clear()

    def _others(self) -> None:
        """Answer requests; presence is swallowed."""
        for match in IQ.finditer(self.buffer):
            self.transport.write(RESULT % match.group(1))
        if b"</stream:stream>" in self.buffer:
            self.transport.loseConnection()
        if self.buffer.endswith((b"</iq>", b"</presence>", b"</stream:stream>")):
            self.buffer = b""


class RelayFactory(Factory):
    """Who is connected."""

    protocol: Any = Relay
    noisy = False

    def __init__(self, tls: TLSContexts, rows: Rows | None) -> None:
        self.tls, self.rows = tls, rows
        self.online: dict[bytes, Relay] = {}
        self.number = 0


def main() -> None:
    """Read the command line and relay until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description="The floor for measurements.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--rows", type=Path, help="write two rows a message into this new SQLite database")
    parser.add_argument("--stock", action="store_true", help="TLS and TCP as Twisted has them")
    options = parser.parse_args()
    rows = Rows(options.rows) if options.rows else None
    if rows:
        rows.start()
    tls = TLSContexts({"localhost": CertificateFiles(options.certificate, options.key)})
    port = loop.listenTCP(options.port, RelayFactory(tls, rows), backlog=1024, interface="127.0.0.1")
    if not options.stock:
        tune(port)
    loop.run()


if __name__ == "__main__":
    main()
