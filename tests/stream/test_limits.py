"""The limits of a stream, as the client that runs into them sees them."""

from __future__ import annotations

import base64
import gc
import weakref
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from tests.stream.sasl2 import NONE, authenticate, bind, plain, proof
from xmppd.core.context import Ticket
from xmppd.core.counters import hits
from xmppd.core.stanza import Stanza
from xmppd.stream.c2s import MOST_BEFORE_BINDING, ClientStream, State
from xmppd.stream.inbox import SLICE
from xmppd.stream.session import ClientSession
from xmppd.testing import Client, InProcessServer

PING = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
REGISTER = "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>"
ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"


class World(TestCase):
    settings: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.world = InProcessServer(*self.settings)
        self.addCleanup(self.world.stop)
        for name in ("alice", "bob"):
            self.world.add_user(f"{name}@localhost")

    def login(self, jid: str = "alice@localhost/a") -> Client:
        return self.world.login(jid)


class Slices(World):
    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.login(), self.login("bob@localhost/b")
        self.handled: list[str] = []
        keeper = self.world.server.keeper
        receive = keeper.receive

        def watched(stanza: Stanza, session: ClientSession, ticket: Ticket) -> Deferred[Any] | None:
            self.handled.append(f"{session.jid.local} {stanza.id}")
            return receive(stanza, session, ticket)

        self.patch(keeper, "receive", watched)

    def send(self, client: Client, *numbers: int) -> None:
        pings = [PING.replace("'p'", f"'{number}'") for number in numbers]
        client.stream.dataReceived("".join(pings).encode())

    def test_a_long_chunk_is_handled_in_turns(self) -> None:
        self.send(self.alice, *range(3 * SLICE))
        self.assertEqual(len(self.handled), SLICE)
        self.send(self.alice, 3 * SLICE)
        self.assertTrue(self.alice.transport.paused)
        self.world.advance()
        self.assertEqual(self.handled, [f"alice {number}" for number in range(3 * SLICE + 1)])
        self.assertFalse(self.alice.transport.paused)

    def test_a_slice_that_ends_with_the_chunk(self) -> None:
        self.send(self.alice, *range(SLICE))
        self.assertFalse(self.alice.transport.paused)

    def test_what_comes_later_stays_behind(self) -> None:
        self.send(self.alice, *range(2 * SLICE))
        self.send(self.alice, 2 * SLICE)
        self.world.advance()
        self.assertEqual(self.handled, [f"alice {number}" for number in range(2 * SLICE + 1)])

    def test_others_have_their_turn(self) -> None:
        self.send(self.alice, *range(10 * SLICE))
        self.send(self.bob, 7)
        self.assertEqual(self.handled[SLICE:], ["bob 7"])

    def test_the_connection_is_lost_between_slices(self) -> None:
        self.send(self.alice, *range(2 * SLICE))
        self.alice.cut()
        self.world.advance()
        self.assertEqual(len(self.handled), SLICE)
        self.assertIs(self.alice.stream.state, State.CLOSED)


class Answers(World):
    """Slow readers and floods: whoever does not read answers gets no more of them."""

    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.login(), self.login("bob@localhost/b")
        self.producer = self.alice.transport.producer

    def ping(self, *numbers: int) -> None:
        self.alice.send("".join(PING.replace("'p'", f"'{number}'") for number in numbers))

    def answers(self) -> int:
        return self.alice.take().count("type='result'")

    def test_one_answer_is_kept_for_a_client_that_does_not_read(self) -> None:
        self.producer.pauseProducing()
        self.ping(*range(9))
        self.ping(9)
        self.assertTrue(self.alice.transport.paused)
        self.assertEqual(self.answers(), 0)
        self.producer.resumeProducing()
        self.assertEqual(self.answers(), 10)
        self.assertFalse(self.alice.transport.paused)

    def test_one_answer_that_fills_the_transport(self) -> None:
        """The transport says that it is full while it takes the first one."""
        roster = self.alice.stream.services.keeper.receive
        asked = []

        def receive(stanza: Stanza, session: ClientSession, ticket: Ticket) -> Deferred[Any] | None:
            asked.append(stanza.id)
            self.producer.pauseProducing()
            return roster(stanza, session, ticket)

        self.patch(self.world.server.keeper, "receive", receive)
        self.ping(*range(3))
        self.assertEqual(asked, ["0"])
        self.producer.resumeProducing()
        self.assertEqual(asked, ["0", "1"])

    def test_an_answer_that_is_given_by_a_coroutine(self) -> None:
        self.producer.pauseProducing()
        self.alice.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>" * 3)
        self.world.settle()
        session = self.alice.stream.session
        assert session is not None
        self.assertLess(session.outbox.pending_bytes, 200)
        self.producer.resumeProducing()
        self.assertEqual(self.answers(), 3)

    def test_what_others_send_does_not_silence_a_slow_client(self) -> None:
        self.producer.pauseProducing()
        self.bob.send(f"<message type='headline' to='{self.alice.jid}'><body>1</body></message>")
        self.alice.send("<message type='headline' to='bob@localhost'><body>2</body></message>" * 2)
        self.assertEqual(self.bob.take().count("<body>2"), 2)
        self.assertFalse(self.alice.transport.paused)

    def test_acknowledgements_pass(self) -> None:
        self.alice.ask(ENABLE)
        self.producer.pauseProducing()
        self.ping(1)
        session = self.alice.stream.session
        assert session is not None
        self.assertEqual(len(session.outbox.queue), 1)
        self.alice.send("<a xmlns='urn:xmpp:sm:3' h='1'/>")
        self.assertEqual(len(session.outbox.queue), 0)

    def test_a_connection_that_is_lost_meanwhile(self) -> None:
        self.producer.pauseProducing()
        self.ping(1, 2)
        self.alice.cut()
        self.assertTrue(self.alice.stream.is_closed)


class Rate(World):
    settings = ("limits.rate=1000", "limits.rate_burst=20000")

    def test_reading_pauses_and_nothing_is_lost(self) -> None:
        alice, bob = self.login(), self.login("bob@localhost/b")
        before = hits.of("rate")
        message = f"<message to='bob@localhost/b'><body>{'x' * 1000}</body></message>"
        for _ in range(25):
            alice.send(message)
        self.assertTrue(alice.transport.paused)
        self.assertEqual(hits.of("rate"), before + 1)
        self.assertEqual(bob.take().count("<message "), 25)
        self.world.advance(5)
        self.assertTrue(alice.transport.paused)
        self.world.advance(5)
        self.assertFalse(alice.transport.paused)

    def test_whoever_waited_may_burst_again(self) -> None:
        alice = self.login()
        for _ in range(3):
            alice.send(" " * 19_000)
            self.assertFalse(alice.transport.paused)
            self.world.advance(20)

    def test_work_counts_as_well(self) -> None:
        """Presence floods: a few bytes that go to hundreds are paid for by who sends them."""
        alice = self.login()
        receive = self.world.server.keeper.receive

        def hard(stanza: Stanza, session: ClientSession, ticket: Ticket) -> Deferred[Any] | None:
            self.world.reactor.rightNow += 0.5
            return receive(stanza, session, ticket)

        self.patch(self.world.server.keeper, "receive", hard)
        before = hits.of("rate")
        for _ in range(5):
            alice.send("<presence/>")
        self.assertTrue(alice.transport.paused)
        self.assertEqual(hits.of("rate"), before + 1)
        self.world.advance(6)
        self.assertFalse(alice.transport.paused)

    def test_a_stranger_is_slowed_down_too(self) -> None:
        client = self.world.connect()
        client.send(" " * 30_000)
        self.assertTrue(client.transport.paused)

    def test_a_handler_that_waits_does_not_end_the_pause(self) -> None:
        alice = self.login()
        waiting: Deferred[None] = Deferred()
        self.patch(self.world.server.keeper, "receive", lambda *_: waiting)
        alice.send("<message><body>1</body></message>")
        self.assertFalse(alice.transport.paused)
        alice.send(" " * 30_000)
        waiting.callback(None)
        self.assertTrue(alice.transport.paused)
        self.world.advance(20)
        self.assertFalse(alice.transport.paused)

    def test_the_pause_does_not_end_while_a_handler_waits(self) -> None:
        alice = self.login()
        waiting: Deferred[None] = Deferred()
        self.patch(self.world.server.keeper, "receive", lambda *_: waiting)
        alice.send("<message><body>1</body></message>" + " " * 30_000)
        self.world.advance(20)
        self.assertTrue(alice.transport.paused)
        waiting.callback(None)
        self.assertFalse(alice.transport.paused)

    def test_a_lost_connection_leaves_no_timer(self) -> None:
        alice = self.login()
        alice.send(" " * 30_000)
        alice.cut()
        self.assertEqual([call for call in self.world.reactor.calls if "_rested" in repr(call)], [])


class Deadlines(World):
    settings = (
        "limits.tls_handshake_timeout=20",
        "limits.negotiation_timeout=60",
        "limits.registration_timeout=600",
        "domains.localhost.registration=true",
    )

    def goodbye_of(self, client: Client) -> str:
        said: str = client.take()
        self.assertTrue(client.closed)
        self.assertIn("<connection-timeout ", said)
        return said

    def test_a_login_that_never_ends(self) -> None:
        client = self.world.connect()
        before = hits.of("negotiation_timeout")
        for _ in range(59):
            client.send(" ")
            self.world.advance(1)
        self.assertFalse(client.closed)
        self.world.advance(1)
        self.assertIn("(negotiation_timeout)", self.goodbye_of(client))
        self.assertEqual(hits.of("negotiation_timeout"), before + 1)

    def test_a_handshake_that_never_ends(self) -> None:
        before = hits.of("tls_handshake_timeout")
        self.patch(ClientStream, "handshakeCompleted", lambda _: None)
        client = self.world.connect()
        self.world.advance(19.9)
        self.assertFalse(client.closed)
        self.world.advance(0.2)
        self.assertIn("(tls_handshake_timeout)", self.goodbye_of(client))
        self.assertEqual(hits.of("tls_handshake_timeout"), before + 1)

    def test_a_handshake_that_ends_too_late(self) -> None:
        """It brought the stream back to life, until its connection was given up"""
        self.patch(ClientStream, "handshakeCompleted", lambda _: None)
        client = self.world.connect()
        self.world.advance(21)
        self.assertIs(client.stream.state, State.CLOSED)
        completed = self._completed
        completed(client.stream)
        self.assertIs(client.stream.state, State.CLOSED)

    _completed = staticmethod(ClientStream.handshakeCompleted)

    def test_a_registration_that_never_ends(self) -> None:
        client = self.world.connect()
        client.open()
        client.ask(REGISTER)
        self.world.advance(500)
        self.assertFalse(client.closed)
        self.world.advance(101)
        self.assertIn("(registration_timeout)", self.goodbye_of(client))


class Advertisement(World):
    """XEP-0478, section 3.1: what is taken now, in the features of each stage."""

    settings = (
        "limits.unauthenticated_stanza_bytes=4096",
        "limits.stanza_bytes=65536",
        "limits.idle_timeout=100",
    )
    before = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>4096</max-bytes></limits>"
    afterwards = (
        "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>65536</max-bytes>"
        "<idle-seconds>100</idle-seconds></limits>"
    )

    def test_without_tls(self) -> None:
        """Nothing stands beside STARTTLS, which is required (RFC 6120, section 5.3.1)."""
        self.assertNotIn("<limits", self.world.connect(tls=False).open())

    def test_with_a_new_stream(self) -> None:
        self.assertIn(self.before, self.world.connect().open())
        client = self.world.connect()
        client.authenticate("alice@localhost", "secret")
        self.assertIn(self.afterwards, client.stream.offered().decode())

    def test_without_a_new_stream(self) -> None:
        for inline in ("", bind()):
            client = self.world.connect()
            client.open()
            self.assertIn(self.afterwards, client.ask(authenticate("PLAIN", plain("alice"), inline)))

    def test_is_kept(self) -> None:
        client = self.world.connect()
        client.open()
        fits = "<iq type='get' id='1'><query xmlns='jabber:iq:register'>{}</query></iq>"
        client.ask(fits.format("x" * (4096 - len(fits) + 2)))
        self.assertFalse(client.closed)
        client.ask(fits.format("x" * (4096 - len(fits) + 3)))
        self.assertTrue(client.closed)


class BeforeBinding(World):
    settings = ("domains.localhost.registration=true",)

    def test_answers_are_bounded(self) -> None:
        client = self.world.connect()
        client.open()
        sent = 0
        while not client.closed:
            client.send(REGISTER)
            sent += len(client.take())
            self.assertLess(sent, 2 * MOST_BEFORE_BINDING)
        self.assertGreater(sent, MOST_BEFORE_BINDING // 2)

    def test_the_header(self) -> None:
        client = self.world.connect()
        said = client.ask(f"<stream:stream a='{'x' * 11_000}'")
        self.assertIn("<policy-violation ", said)
        self.assertIn("(stream_header_bytes)", said)

    def test_a_stanza(self) -> None:
        client = self.world.connect()
        client.open()
        before = hits.of("unauthenticated_stanza_bytes")
        said = client.ask(f"<iq><a>{'x' * 9_000}")
        self.assertIn("(unauthenticated_stanza_bytes)", said)
        self.assertEqual(hits.of("unauthenticated_stanza_bytes"), before + 1)

    def test_elements(self) -> None:
        client = self.world.connect()
        client.open()
        self.assertIn("(unauthenticated_elements)", client.ask(f"<iq>{'<a/>' * 32}</iq>"))


class Memory(World):
    def test_nothing_of_a_stranger_waits_for_the_garbage_collector(self) -> None:
        gc.disable()
        self.addCleanup(gc.enable)
        for said in ("", "<stream:stream", "<message><body>" + "x" * 500, "<!DOCTYPE a>", "<unknown/>"):
            client = self.world.connect()
            if said.startswith("<m"):
                client.open()
            client.send(said)
            stream = weakref.ref(client.stream)
            client.cut()
            client.stream = client.transport = None  # type: ignore[assignment]
            self.world.advance(600)
            self.assertIsNone(stream(), said)


class Sessions(World):
    settings = ("limits.sm_detached_per_account=2", "limits.sessions_per_account=4")

    def away(self, resource: str) -> Any:
        client = self.login(f"alice@localhost/{resource}")
        client.ask(ENABLE)
        session = client.stream.session
        client.cut()
        return session

    def test_the_one_with_the_least_time_left_makes_room(self) -> None:
        before = hits.of("sm_detached_per_account")
        first, second = self.away("1"), self.away("2")
        self.world.advance(1)
        self.assertEqual(hits.of("sm_detached_per_account"), before)
        third = self.away("3")
        self.assertEqual([first.ended, second.ended, third.ended], [True, False, False])
        self.assertEqual(hits.of("sm_detached_per_account"), before + 1)

    def test_other_accounts_do_not_count(self) -> None:
        first = self.away("1")
        for resource in "12":
            bob = self.login(f"bob@localhost/{resource}")
            bob.ask(ENABLE)
            bob.cut()
        self.assertFalse(first.ended)

    def test_whoever_is_there_comes_before_whoever_is_away(self) -> None:
        before = hits.of("sessions_per_account")
        away = self.away("away")
        for resource in "123":
            self.login(f"alice@localhost/{resource}")
        self.assertFalse(away.ended)
        self.login("alice@localhost/4")
        self.assertTrue(away.ended)
        client = self.world.connect()
        client.authenticate("alice@localhost", "secret")
        said = client.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        self.assertIn("<resource-constraint ", said)
        self.assertIn("(sessions_per_account)", said)
        self.assertEqual(hits.of("sessions_per_account"), before + 2)


class Guessing(World):
    settings = ("limits.auth_failures_per_account=2", "limits.auth_failures_per_address=3")

    def attempt(self, name: str) -> str:
        client = self.world.connect()
        client.open()
        secret = base64.b64encode(f"\0{name}\0wrong".encode()).decode()
        client.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        self.world.advance(2)
        said = client.take()
        client.cut()
        return said

    def test_the_limit_is_named(self) -> None:
        before = hits.of("auth_failures_per_account"), hits.of("auth_failures_per_address")
        self.assertIn("<not-authorized/>", self.attempt("alice"))
        self.assertIn("<not-authorized/>", self.attempt("alice"))
        self.assertIn("(auth_failures_per_account)", self.attempt("alice"))
        self.assertIn("<not-authorized/>", self.attempt("nobody"))
        self.assertIn("(auth_failures_per_address)", self.attempt("bob"))
        after = hits.of("auth_failures_per_account"), hits.of("auth_failures_per_address")
        self.assertEqual(after, (before[0] + 1, before[1] + 1))

    def test_all_ways_to_log_in_count_together(self) -> None:
        """SASL, SASL2 and tokens: whoever has guessed too often one way is held back the others, too."""
        guesses = (
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain('alice', 'x')}</auth>",
            authenticate("PLAIN", plain("alice", "x")),
            authenticate(NONE, proof("alice", "x"), "<fast xmlns='urn:xmpp:fast:0'/>"),
        )
        for guess in guesses:
            self.begin()
            for _ in range(2):
                self.assertIn("<not-authorized", self.say(guess))
            for other in guesses:
                self.assertIn("(auth_failures_per_account)", self.say(other))

    def begin(self) -> None:
        self.world.stop()
        self.world = InProcessServer(*self.settings)
        self.addCleanup(self.world.stop)
        self.world.add_user("alice@localhost")

    def say(self, text: str, address: str = "192.0.2.1") -> str:
        client = self.world.connect()
        client.stream.address = address
        client.open()
        client.send(text)
        self.world.settle()
        self.world.advance(1)
        said = client.take()
        client.cut()
        return said

    def test_strangers_do_not_lock_out_whoever_was_there_before(self) -> None:
        login = authenticate("PLAIN", plain("alice"))
        self.assertIn("<success ", self.say(login, "192.0.2.2"))
        for _ in range(3):
            self.say(authenticate("PLAIN", plain("alice", "x")))
        self.assertIn("(auth_failures_per_account)", self.say(login))
        self.assertIn("<success ", self.say(login, "192.0.2.2"))


class Log(World):
    def setUp(self) -> None:
        super().setUp()
        self.events = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def lines(self) -> list[str]:
        return [
            event["log_format"].format(**event)
            for event in self.events
            if event.get("log_namespace", "").startswith("xmppd")
        ]

    def test_strangers_cannot_flood_it(self) -> None:
        for _ in range(200):
            self.world.connect().send("<!DOCTYPE x>")
        self.assertEqual(len(self.lines()), 10)
        self.world.advance(60)
        self.assertEqual(len(self.lines()), 11)
        self.assertIn("190 more lines about ", self.lines()[-1])

    def fail(self, name: str, mechanism: str = "PLAIN") -> None:
        client = self.world.connect()
        client.open()
        secret = base64.b64encode(f"\0{name}\0hunter2".encode()).decode()
        client.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{secret}</auth>")
        self.world.advance(1)

    def test_failed_logins(self) -> None:
        """With the account where there is one: what somebody typed in its place may be a password."""
        for name in ("Alice", "letmein", "a b"):
            self.fail(name)
        self.fail("x", "EXTERNAL")
        who = "<stranger from 192.168.1.1>: login"
        self.assertEqual(
            self.lines(),
            [
                f"{who} as alice@localhost failed: not-authorized",
                f"{who} failed: not-authorized",
                f"{who} failed: not-authorized",
                f"{who} failed: invalid-mechanism: It was not offered",
            ],
        )
        self.assertNotIn("hunter2", repr(self.events))
        for _ in range(20):
            self.fail("alice")
        self.assertEqual(len(self.lines()), 10)

    def test_login_that_could_not_be_checked(self) -> None:
        """The client learns that it shall try again, the operator why."""
        accounts = self.world.server.hosts["localhost"].directory.accounts
        self.patch(type(accounts), "credential", lambda *_: 1 / 0)
        self.fail("alice")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.lines(), ["<stranger from 192.168.1.1>: a login could not be checked"])

    def test_nor_can_users_who_have_found_a_fault(self) -> None:
        """Each stanza is answered, whatever is logged, and nothing else is harmed."""
        alice, bob = self.login(), self.login("bob@localhost/b")
        host = self.world.server.hosts["localhost"]
        key = ("get", "urn:xmpp:ping", "ping", "account")
        self.patch(host, "_iq", {**host._iq, key: lambda _: 1 / 0})
        answers = alice.ask(PING * 100)
        self.assertEqual(answers.count("<internal-server-error "), 100)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 10)
        self.assertFalse(alice.closed or bob.closed)

    def test_a_fault_of_the_program_ends_one_stream(self) -> None:
        alice, bob = self.login(), self.login("bob@localhost/b")
        self.patch(self.world.server.keeper, "receive", lambda *_: 1 / 0)
        self.assertIn("<internal-server-error ", alice.ask("<message><body>1</body></message>"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((alice.closed, bob.closed), (True, False))
