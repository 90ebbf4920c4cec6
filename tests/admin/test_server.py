"""The server's end of the socket of xmppctl."""

import json
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.admin.operator import FakeOperator
from xmppd.admin.client import call
from xmppd.admin.commands import Arguments, Command, Report, Result, build
from xmppd.admin.server import AdminFactory, AdminSocketError
from xmppd.admin.wire import MAX_REQUEST
from xmppd.storage.errors import FaultError


class ProtocolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.operator = FakeOperator()
        self.gate: Deferred[None] = Deferred()

        async def slow(arguments: Arguments, report: Report) -> Result:
            report("Working", 1, 2)
            await self.gate
            return {"slow": True}

        commands = {**build(self.operator), "slow": Command("slow", (), slow)}
        self.protocol = AdminFactory(commands).buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def ask(self, *requests: object) -> list[Any]:
        """Send requests in one piece; gives the answers so far."""
        self.transport.clear()
        self.protocol.dataReceived(b"".join(json.dumps(request).encode() + b"\n" for request in requests))
        return self.answers()

    def answers(self) -> list[Any]:
        return [json.loads(line) for line in self.transport.value().splitlines()]

    def test_answer(self) -> None:
        """A command is answered with its result, in a line of ASCII."""
        request = {"command": "adduser", "arguments": {"jid": "ünal@a.example", "password": "x"}}
        self.assertEqual(self.ask(request), [{"result": {"jid": "ünal@a.example"}}])
        self.assertTrue(self.transport.value().isascii())

    def test_refusal(self) -> None:
        """A refusal has a word for programs and a sentence for people."""
        request = {"command": "passwd", "arguments": {"jid": "x@a.example", "password": "x"}}
        error = {"code": "item-not-found", "text": "There is no account x@a.example"}
        self.assertEqual(self.ask(request), [{"error": error}])

    def test_bad_requests(self) -> None:
        """What is no request is answered, and the connection goes on."""
        (answer,) = self.ask({"command": "addusr"})
        self.assertEqual(answer["error"]["code"], "unknown-command")
        self.assertIn("did you mean adduser?", answer["error"]["text"])
        self.assertEqual(self.ask([])[0]["error"]["code"], "usage")
        self.assertEqual(self.ask({})[0]["error"]["code"], "unknown-command")
        self.protocol.dataReceived(b"nonsense\n" + b"[" * 9999 + b"\n\xff\n")
        self.assertEqual([answer["error"]["code"] for answer in self.answers()[1:]], ["usage"] * 3)
        self.assertEqual(list(self.ask({"command": "stats"})[0]), ["result"])

    def test_too_long(self) -> None:
        """A request without end is cut off."""
        self.protocol.dataReceived(b"x" * (MAX_REQUEST + 2))
        self.assertEqual(self.answers()[0]["error"]["code"], "usage")
        self.assertTrue(self.transport.disconnecting)

    def test_one_after_the_other(self) -> None:
        """While a command runs its progress is told, and the next one waits unread."""
        answers = self.ask({"command": "slow"}, {"command": "stats"})
        self.assertEqual(answers, [{"progress": {"text": "Working", "done": 1, "total": 2}}])
        self.assertEqual(self.transport.producerState, "paused")
        self.gate.callback(None)
        self.assertEqual(self.answers()[1], {"result": {"slow": True}})
        self.assertEqual(self.answers()[2]["result"]["messages"], 12)
        self.assertEqual(self.transport.producerState, "producing")

    def test_fault(self) -> None:
        """A fault of the server is logged, and its text is not told."""
        self.operator.fault = KeyError("secret")
        request = {"command": "adduser", "arguments": {"jid": "x@a.example", "password": "x"}}
        (answer,) = self.ask(request)
        self.assertEqual(answer["error"]["code"], "internal-error")
        self.assertNotIn("secret", str(answer))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_database_that_is_away(self) -> None:
        """It is said in one line, here and in the log."""
        self.operator.fault = FaultError("connection refused")
        request = {"command": "adduser", "arguments": {"jid": "x@a.example", "password": "x"}}
        (answer,) = self.ask(request)
        text = "The database cannot be used now: connection refused"
        self.assertEqual(answer["error"], {"code": "database", "text": text})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_log(self) -> None:
        """Commands are logged, without passwords."""
        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(str(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.ask({"command": "adduser", "arguments": {"jid": "x@a.example", "password": "se-cret"}})
        self.ask({"command": "adduser", "arguments": {"jid": "x@a.example", "password": "se-cret", "z": 1}})
        self.assertTrue(any("'request': 'adduser x@a.example'" in line for line in lines))
        self.assertFalse(any("se-cret" in line for line in lines))


class ListenTests(TestCase):
    def setUp(self) -> None:
        # The name of a socket must be short, which the folder of a test need not be.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "xmppctl.sock"
        self.factory = AdminFactory(build(FakeOperator()))

    def refused(self, path: Path | None = None, on: Any = reactor) -> str:
        error = self.assertRaises(AdminSocketError, self.factory.listen, on, path or self.path)
        return str(error)

    async def test_socket(self) -> None:
        """The socket is for its owner alone, whatever the umask, and goes with the server."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        port = self.factory.listen(reactor, self.path)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(os.umask(0), 0)
        answer = await deferToThread(call, self.path, "stats", {}, print)
        self.assertEqual(answer["messages"], 12)
        await port.stopListening()
        self.assertFalse(self.path.exists())

    async def test_deep_folder(self) -> None:
        """A folder may have a path that is longer than the name of a socket can be."""
        folder = self.path.parent / ("d" * 100) / ("e" * 100)
        folder.mkdir(parents=True)
        path = folder / "xmppctl.sock"
        port = self.factory.listen(reactor, path)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        answer = await deferToThread(call, path, "stats", {}, print)
        self.assertEqual(answer["messages"], 12)
        self.assertIn("another server is running", self.refused(path))
        await port.stopListening()
        self.assertFalse(path.exists())

    async def test_never_open_to_others(self) -> None:
        """There is no moment in which the socket is there for others."""
        masks: list[int] = []

        class Reactor:
            def listenUNIX(self, path: str, factory: object, mode: int) -> None:
                masks.append(os.umask(0))
                os.umask(masks[0])

        self.factory.listen(Reactor(), self.path)
        self.assertEqual(masks, [0o177])

    async def test_left_behind(self) -> None:
        """What a killed server has left is no obstacle."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
        port = self.factory.listen(reactor, self.path)
        self.assertEqual((await deferToThread(call, self.path, "stats", {}, print))["messages"], 12)
        await port.stopListening()

    async def test_in_use(self) -> None:
        """The socket of a server that runs is left alone."""
        port = self.factory.listen(reactor, self.path)
        self.assertIn("another server is running there; stop it", self.refused())
        self.assertTrue(self.path.is_socket())
        await port.stopListening()

    def test_impossible_places(self) -> None:
        """A file in the way, a folder that is not there and a name that is too long are said."""
        self.path.write_text("mine")
        self.assertIn("is no socket; remove it", self.refused())
        self.assertEqual(self.path.read_text(), "mine")
        self.assertIn("no socket can be made there", self.refused(self.path.parent / "x" / "y.sock"))
        self.assertIn("may not be that long", self.refused(self.path.parent / ("x" * 108)))

    def test_failure_of_the_system(self) -> None:
        """The reason is in the line."""

        class Reactor(MemoryReactorClock):
            def listenUNIX(self, *arguments: object, **more: object) -> None:
                raise CannotListenError(None, "x", OSError(28, "No space left on device"))

        self.assertIn("No space left on device", self.refused(on=Reactor()))
