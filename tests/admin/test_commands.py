"""The commands behind xmppctl."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.admin.operator import FakeOperator, session
from xmppd.admin.commands import FoundRow, Result, StreamManagementRow, build
from xmppd.admin.wire import CommandError
from xmppd.core.errors import StanzaError

SM = StreamManagementRow(inbound=7, outbound=9, queue=2, resumable=True, hibernated=True)


class CommandsTestCase(SynchronousTestCase):
    """Runs commands against an operator in memory."""

    def setUp(self) -> None:
        self.operator = FakeOperator()
        self.commands = build(self.operator)

    def start(self, name: str, **arguments: Any) -> Deferred[Result]:
        command = self.commands[name]

        async def run() -> Result:
            return await command.handler(command.check(arguments), lambda text, done, total=None: None)

        return Deferred.fromCoroutine(run())

    def run_command(self, name: str, **arguments: Any) -> Any:
        return self.successResultOf(self.start(name, **arguments))

    def error(self, name: str, **arguments: Any) -> CommandError:
        error = self.failureResultOf(self.start(name, **arguments), CommandError).value
        assert isinstance(error, CommandError)
        return error


class AccountTests(CommandsTestCase):
    def test_life_of_an_account(self) -> None:
        """An account is made, changed, disabled, enabled, removed, and its name released."""
        jid = "alice@a.example"
        self.assertEqual(self.run_command("adduser", jid="Alice@A.example", password="x"), {"jid": jid})
        self.assertEqual(self.operator.passwords, {jid: "x"})
        self.run_command("passwd", jid=jid, password="y")
        self.assertEqual(self.operator.passwords, {jid: "y"})
        for command, state in (("disable", "disabled"), ("enable", "active"), ("deluser", "removed")):
            self.assertEqual(self.run_command(command, jid=jid), {"jid": jid})
            self.assertEqual(self.operator.states[jid], state)
        self.run_command("release", jid=jid)
        self.assertEqual(self.operator.states, {})

    def test_refusals_come_through(self) -> None:
        """What the server refuses stays the error that it is."""
        self.run_command("adduser", jid="alice@a.example", password="x")
        again = self.start("adduser", jid="alice@a.example", password="x")
        self.assertEqual(self.failureResultOf(again, StanzaError).value.condition, "conflict")

    def test_addresses(self) -> None:
        """Only addresses of accounts in domains of this server are taken, everywhere."""
        for command in self.commands.values():
            names = {argument.name for argument in command.arguments}
            if "jid" not in names:
                continue
            more = {name: "x" for name in ("password", "words") if name in names}
            self.assertEqual(self.error(command.name, jid="a b@a.example", **more).code, "invalid-jid")
            self.assertEqual(self.error(command.name, jid="alice@c.example", **more).code, "unknown-domain")
            if command.name not in {"kick", "sessions"}:
                for jid in ("a.example", "alice@a.example/phone"):
                    self.assertEqual(self.error(command.name, jid=jid, **more).code, "invalid-jid")


class ListTests(CommandsTestCase):
    def setUp(self) -> None:
        super().setUp()
        for jid in ("zoe@a.example", "bob@b.example", "alice@a.example"):
            self.run_command("adduser", jid=jid, password="x")
        self.operator.rows = [
            session("zoe@a.example/tablet"),
            session("alice@a.example/phone", sm=SM),
            session("bob@b.example/x"),
        ]

    def test_users(self) -> None:
        """Accounts are listed by domain and name, with their time in UTC."""
        rows = self.run_command("users")
        self.assertEqual([row["jid"] for row in rows], ["alice@a.example", "zoe@a.example", "bob@b.example"])
        expected = {
            "jid": "alice@a.example",
            "state": "active",
            "created": "2030-03-17T17:46:40Z",
            "sessions": 1,
        }
        self.assertEqual(rows[0], expected)

    def test_users_of_a_domain(self) -> None:
        """One domain can be asked for; another server's is an error."""
        self.assertEqual(
            [row["jid"] for row in self.run_command("users", domain="B.example")], ["bob@b.example"]
        )
        self.assertEqual(self.error("users", domain="c.example").code, "unknown-domain")
        self.assertEqual(self.error("users", domain="a b").code, "invalid-jid")
        error = self.error("users", domain="alice@b.example")
        self.assertEqual(
            (error.code, error.text), ("usage", "alice@b.example is more than a domain; write b.example")
        )

    def test_sessions(self) -> None:
        """Sessions are listed with all that is known of them."""
        rows = self.run_command("sessions")
        self.assertEqual(
            [row["jid"] for row in rows], ["alice@a.example/phone", "bob@b.example/x", "zoe@a.example/tablet"]
        )
        self.assertEqual(
            rows[0],
            {
                "jid": "alice@a.example/phone",
                "address": None,
                "client": "Gajim 2",
                "tls": None,
                "since": "2030-03-17T17:46:40Z",
                "priority": None,
                "sm": {
                    "inbound": 7,
                    "outbound": 9,
                    "queue": 2,
                    "resumable": True,
                    "hibernated": True,
                    "oldest": None,
                    "oldest_age": None,
                },
            },
        )

    def test_some_sessions(self) -> None:
        """Those of a domain, an account, or one alone."""
        cases = {
            "a.example": ["alice@a.example/phone", "zoe@a.example/tablet"],
            "zoe@a.example": ["zoe@a.example/tablet"],
            "bob@b.example/x": ["bob@b.example/x"],
            "bob@b.example/y": [],
        }
        for jid, expected in cases.items():
            self.assertEqual([row["jid"] for row in self.run_command("sessions", jid=jid)], expected)

    def test_kick(self) -> None:
        """Sessions of an account, or one, are ended; none is an error."""
        answer = self.run_command("kick", jid="zoe@a.example", reason="Go to bed")
        self.assertEqual(answer, {"jid": "zoe@a.example", "sessions": 1})
        self.run_command("kick", jid="bob@b.example/x")
        self.assertEqual(self.operator.kicked, [("zoe@a.example", "Go to bed"), ("bob@b.example/x", "")])
        self.assertEqual(self.error("kick", jid="bob@b.example/y").code, "item-not-found")

    def test_stats(self) -> None:
        """The figures come as they are."""
        self.assertEqual(self.run_command("stats")["accounts"], 3)


class ArchiveSearchTests(CommandsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.operator.states["alice@a.example"] = "active"
        self.operator.messages = [
            FoundRow(f"id{number}", 1_900_000_000.0 + number, "bob@b.example/x", "alice@a.example", "hi")
            for number in range(3)
        ]

    def test_messages(self) -> None:
        """Messages come with id, time in UTC, addresses and text."""
        answer = self.run_command("archive-search", jid="alice@a.example", words="hi", limit=2)
        self.assertEqual((answer["jid"], answer["complete"]), ("alice@a.example", False))
        self.assertEqual(
            answer["messages"][0],
            {
                "id": "id1",
                "time": "2030-03-17T17:46:41Z",
                "from": "bob@b.example/x",
                "to": "alice@a.example",
                "text": "hi",
            },
        )

    def test_limit(self) -> None:
        """The limit is sensible."""
        for limit in (0, -1, 100_000):
            error = self.error("archive-search", jid="alice@a.example", words="hi", limit=limit)
            self.assertEqual(error.code, "usage")

    def test_words_are_not_logged(self) -> None:
        """What is searched for is as private as messages."""
        words = next(each for each in self.commands["archive-search"].arguments if each.name == "words")
        self.assertTrue(words.secret)


class ArgumentTests(CommandsTestCase):
    def test_wrong_arguments(self) -> None:
        """Missing, unknown and mistyped arguments are named."""
        cases: list[tuple[object, str]] = [
            ({"jid": "a@a.example"}, "adduser needs the argument password"),
            ({"jid": "a@a.example", "password": 3}, "adduser: password is not of type str"),
            ({"jd": "a@a.example", "password": "x"}, "adduser has no argument jd; did you mean jid?"),
            ([], "The arguments are no JSON object"),
        ]
        for given, text in cases:
            error = self.assertRaises(CommandError, self.commands["adduser"].check, given)
            self.assertEqual((error.code, error.text), ("usage", text))
