"""A server under pressure: no file descriptors left, clients that do not read, clients that flood."""

from __future__ import annotations

import contextlib
import json
import socket

from twisted.trial.unittest import TestCase

from tests.hostile.case import serves
from tests.hostile.memory import leave, resident, visit
from tests.hostile.wire import PING, Connection, Refused, Target
from tests.support.server import BIN, Server
from xmppd.stream.admission import RESERVED_FILES

ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
LIMITS = """
[limits]
rate = "none"
write_buffer_bytes = "64 KiB"
unauthenticated_per_address = "none"
"""


class Pressure(TestCase):
    def serve(self, files: int | None = None) -> Target:
        command = None
        if files is not None:
            twistd = f"{BIN}/twistd -n --pidfile= xmppd"
            command = ["sh", "-c", f"ulimit -n {files}; exec {twistd}"]
        self.server = Server(command=command)
        self.addCleanup(self.server.stop)
        with self.server.configuration.open("a") as file:
            file.write(LIMITS)
        self.server.start()
        for name in ("alice", "bob"):
            self.server.add_account(name, "pw")
        return Target(
            "127.0.0.1", self.server.port, "localhost", ("alice@localhost", "pw"), ("bob@localhost", "pw")
        )

    def log_in(self, target: Target, name: str) -> Connection:
        peer = Connection(target)
        self.addCleanup(peer.close)
        peer.log_in((f"{name}@localhost", "pw"))
        return peer

    def stats(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.server.ctl("--json", "stats"))
        return found


class Files(Pressure):
    def crowd(self, target: Target, size: int) -> str:
        """Let so many strangers come while alice is there; what the last one is told."""
        alice = self.log_in(target, "alice")
        with contextlib.ExitStack() as crowd:
            for number in range(size):
                crowd.callback(visit(target.port, 2 + 11 * number).close)
                if number % 50 == 0:
                    # Those who come all at once are closed one by one, by the system.
                    alice.ping(f"n{number}")
            self.assertIn("type='result'", alice.ping("still"))
            last = crowd.enter_context(Connection(target))
            try:
                told = last.open()
            except (Refused, OSError) as problem:
                told = str(problem)
            self.figures = self.stats()
        self.assertTrue(serves(target))
        return told

    def test_some_are_left_for_the_server_itself(self) -> None:
        told = self.crowd(self.serve(files=400), 270)
        self.assertIn("<resource-constraint ", told)
        self.assertIn("no file descriptors left", told)
        self.assertEqual(self.figures["connections"], 400 - RESERVED_FILES)
        self.assertNotIn("EMFILE", self.server.log())

    def test_none_are_left(self) -> None:
        """Below the reserve the system itself refuses; whoever is in stays in."""
        target = self.serve(files=36)
        alice = self.log_in(target, "alice")
        crowd = [visit(target.port, 2 + 11 * number) for number in range(200)]
        self.assertIn("type='result'", alice.ping("still"))
        leave(crowd)
        self.assertTrue(serves(target))
        self.assertIn("type='result'", self.log_in(target, "bob").ping("served again"))
        self.assertLessEqual(self.server.log().count("EMFILE"), 10)


class Handshakes(Pressure):
    def test_more_are_half_open_than_may_be(self) -> None:
        target = self.serve()
        alice = self.log_in(target, "alice")
        crowd = []
        for number in range(1_100):
            source = (f"127.0.3.{1 + number % 50}", 0)
            crowd.append(socket.create_connection(("127.0.0.1", self.server.direct_tls_port), 30, source))
            with contextlib.suppress(OSError):
                crowd[-1].sendall(b"\x16\x03\x01")
        self.assertIn("type='result'", alice.ping("still"))
        figures = self.stats()
        self.assertEqual((figures["connections"], figures["hits_unauthenticated"]), (1025, 76))
        leave(crowd)
        self.assertTrue(serves(target))


class SlowReaders(Pressure):
    def drown(self, *, managed: bool) -> None:
        """Bob stops reading, and alice sends him more than fits."""
        target = self.serve()
        alice, bob = self.log_in(target, "alice"), self.log_in(target, "bob")
        if managed:
            bob.send(ENABLE)
            bob.wait("<enabled")
        kind = "chat" if managed else "headline"
        message = f"<message type='{kind}' to='{bob.jid}'><body>{'x' * 100_000}</body></message>"
        for number in range(30):
            alice.send(message * 5)
            self.assertIn("type='result'", alice.ping(f"n{number}"))
            if self.gone(managed):
                break
        self.assertTrue(self.gone(managed), self.stats())
        self.assertIn("write_buffer_bytes", self.server.log())

    def gone(self, managed: bool) -> bool:
        figures = self.stats()
        return figures["connections"] == 1 and (figures["hibernating"] == 1 or not managed)

    def test_is_closed(self) -> None:
        self.drown(managed=False)
        self.assertEqual(self.stats()["hits_write_buffer_bytes"], 1)

    def test_hibernates(self) -> None:
        """What waits stands in the archive, so the session can be resumed."""
        self.drown(managed=True)

    def test_does_not_read_the_answers_to_a_flood(self) -> None:
        """Whoever asks and does not read is not read from; the others do not notice."""
        target = self.serve()
        alice, bob = self.log_in(target, "alice"), self.log_in(target, "bob")
        flood = "".join(PING.format(id="x" * 900) for _ in range(64)).encode()
        for number in range(400):
            bob.socket.settimeout(0.5)
            try:
                bob.socket.send(flood)
            except TimeoutError:
                break
            self.assertIn("type='result'", alice.ping(f"n{number}"))
        self.assertIn("type='result'", alice.ping("after"))
        self.assertRaises(TimeoutError, bob.socket.send, flood)
        self.assertIn("type='result'", bob.wait("<never>", patience=1))
        self.assertIn("id='reads again'", bob.ping("reads again"))

    def test_asks_for_much_at_once(self) -> None:
        """3 KiB of requests for a large roster are no reason to hold all the answers (measured: 600 MiB)."""
        target = self.serve()
        alice, bob = self.log_in(target, "alice"), self.log_in(target, "bob")
        groups = "".join(f"<group>{number}{'g' * 1000}</group>" for number in range(4))
        for number in range(200):
            item = f"<item jid='{number}@x.example' name='{'n' * 1000}'>{groups}</item>"
            bob.send(f"<iq type='set' id='r{number}'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
            self.assertIn("type='result'", bob.wait(f"id='r{number}'"))
        assert self.server.process is not None
        before = resident(self.server.process.pid)
        bob.send("<iq type='get' id='all'><query xmlns='jabber:iq:roster'/></iq>" * 64)
        for number in range(5):
            self.assertIn("type='result'", alice.ping(f"n{number}"))
        self.assertLess(resident(self.server.process.pid) - before, 20 << 10)
