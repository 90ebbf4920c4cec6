"""Sessions that outlive the process: what is written down at a stop, and what becomes of it afterwards."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from tests.dialogues.case import ServerCase, SlowDatabase, split
from xmppd.core import ns
from xmppd.storage import accounts
from xmppd.storage.database import Database
from xmppd.storage.errors import FaultError
from xmppd.storage.group import Outcome
from xmppd.storage.threads import NoThreads
from xmppd.testing import Client

R = f"<r xmlns='{ns.SM}'/>"
PING = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
TYPING = (
    "<message to='alice@localhost/home' type='chat'>"
    "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
)
NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"


class RestartCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.bob = self.login("bob/desk")
        self.alice = self.login("alice/home")
        self.bob.take()

    def write(self, client: Client, *bodies: str, to: str = "alice@localhost", content: str = "") -> None:
        for body in bodies:
            message = f"<message to='{to}' type='chat' id='{body}'><body>{body}</body>{content}</message>"
            self.tell(client, message)

    def appear(self, name: str) -> Client:
        """Another client that becomes available."""
        client = self.login(name, presence=False)
        self.tell(client, "<presence/>")
        return client

    def resumed(self, name: str, token: str, h: int) -> tuple[Client, list[str]]:
        """Come back; what is sent again, without the question at its end."""
        client, (first, *again) = self.reconnect(name, token, h)
        self.assertIn("<resumed ", first)
        return client, [xml for xml in again if xml != R]

    def bodies_in(self, stanzas: list[str]) -> list[str]:
        return re.findall("<body>(.*?)</body>", "".join(stanzas))


class MessagesTests(RestartCase):
    """Nothing is lost, nothing is doubled."""

    def test_resumable_session(self) -> None:
        """Archived or not, before and after the restart, in order"""
        token = self.enable(self.alice)
        self.write(self.bob, "one")
        self.write(self.bob, "two", content=NO_STORE)
        self.restart()
        (session,) = self.account("alice").sessions
        self.assertEqual((session.jid.text, session.priority), ("alice@localhost/home", 0))
        self.write(self.login("bob/desk"), "three")
        alice, got = self.resumed("alice", token, 0)
        self.assertEqual(self.bodies_in(got), ["one", "two", "three"])
        self.acknowledge(alice, 3)
        self.restart()
        self.assertEqual(self.resumed("alice", token, 3)[1], [])
        self.account("alice").sessions[0].close()
        self.assertEqual(self.bodies(self.appear("alice/later")), [])

    def test_counters_go_on(self) -> None:
        """SM S11: h covers what was being stored when the server stopped"""
        token = self.enable(self.alice)
        self.alice.ask(PING)
        self.alice.send("<message to='bob@localhost' type='chat'><body>last</body></message>")
        self.restart()
        alice, (first, *_) = self.reconnect("alice", token, 1)
        self.assertIn(" h='2'", first)
        self.assertEqual(self.bodies(self.appear("bob/later")), ["last"])
        self.assertTrue(alice.ask(PING + R).endswith(f"<a xmlns='{ns.SM}' h='3'/>"))

    def test_questions_are_answered_as_before(self) -> None:
        """SM S6: when the commit under way is over"""
        token = self.enable(self.alice)
        self.restart()
        alice, _ = self.resumed("alice", token, 0)
        alice.send(f"<message to='bob@localhost'><body>Hi</body></message>{R}")
        self.assertEqual(alice.take(), "")
        self.world.advance(0.02)
        self.assertEqual(alice.take(), f"<a xmlns='{ns.SM}' h='1'/>")

    def test_confirmed_messages(self) -> None:
        self.write(self.bob, "one")
        self.tell(self.alice, " ")
        self.restart()
        self.assertEqual(self.bodies(self.appear("alice/home")), [])

    def test_waiting_messages(self) -> None:
        self.write(self.bob, "one")
        self.restart()
        self.assertEqual(self.bodies(self.appear("alice/home")), ["one"])

    def test_each_session_gets_its_own(self) -> None:
        """What one owes is not given to another that is taken up before it"""
        phone = self.login("alice/phone")
        tokens = self.enable(self.alice), self.enable(phone)
        for client in (self.alice, phone):
            client.cut()
        self.write(self.bob, "home", to="alice@localhost/home")
        self.write(self.bob, "phone", to="alice@localhost/phone")
        self.restart()
        got = [self.bodies_in(self.resumed("alice", token, 0)[1]) for token in tokens]
        self.assertEqual(got, [["home"], ["phone"]])

    def test_negative_priority(self) -> None:
        """RFC 6121, 8.5.2: what only such a session has got waits for another one, also after a restart"""
        self.alice.close()
        pad = self.login("alice/pad", presence="-1")
        token = self.enable(pad)
        self.write(self.bob, "one", to="alice@localhost/pad")
        self.restart()
        pad, got = self.resumed("alice", token, 0)
        self.assertEqual(self.bodies_in(got), ["one"])
        self.acknowledge(pad, len(got))
        self.restart()
        self.assertEqual(self.bodies(self.appear("alice/later")), ["one"])

    def test_priority_that_became_negative(self) -> None:
        """What it was sent before has arrived when it is acknowledged, also after a restart"""
        token = self.enable(self.alice)
        self.write(self.bob, "one")
        self.tell(self.alice, "<presence><priority>-1</priority></presence>")
        self.restart()
        alice, got = self.resumed("alice", token, 0)
        self.acknowledge(alice, len(got))
        self.assertEqual(self.bodies(self.appear("alice/later")), [])

    def test_priority_that_was_negative(self) -> None:
        """What it had then it is not sent once more"""
        self.alice.close()
        pad = self.login("alice/pad", presence="-1")
        token = self.enable(pad)
        self.write(self.bob, "one", to="alice@localhost/pad")
        self.acknowledge(pad, 1)
        self.restart()
        pad, _ = self.resumed("alice", token, 1)
        self.tell(pad, "<presence/>")
        self.assertEqual(self.bodies(pad), [])
        self.assertEqual(self.bodies(self.appear("alice/later")), [])

    def test_what_another_session_owes(self) -> None:
        """Whichever is taken up first: it is not given away, and sessions stay in their order"""
        tokens = {}
        for name in ("desk", "pad", "phone"):
            client = self.login(f"alice/{name}", presence="0")
            tokens[name] = self.enable(client)
            self.write(self.bob, name, to=f"alice@localhost/{name}")
            self.world.advance(1)
        self.restart()
        sessions = self.account("alice").sessions
        self.assertEqual([session.jid.resource for session in sessions], list(tokens))
        for name, token in tokens.items():
            _, got = self.resumed("alice", token, 0)
            self.assertEqual(self.bodies_in(got), [name])


class LongQueueTests(RestartCase):
    settings = ("limits.sm_queue=10",)

    def test_more_than_fits(self) -> None:
        """SM S18: a queue of which the first part was only in the archive already"""
        token = self.enable(self.alice)
        self.alice.cut()
        bodies = [str(number) for number in range(25)]
        self.write(self.bob, *bodies)
        self.write(self.bob, "not stored", content=NO_STORE)
        self.restart()
        self.write(self.login("bob/desk"), "last")
        _, got = self.resumed("alice", token, 0)
        self.assertEqual(self.bodies_in(got), [*bodies, "not stored", "last"])


class AgainTests(RestartCase):
    """What is sent again is what was sent."""

    def test_equal_messages_to_several_devices(self) -> None:
        """They were one after a restart: of the first session that expired it went to the other one again"""
        pad = self.login("alice/pad")
        self.alice.take()
        tokens = self.enable(self.alice), self.enable(pad, attributes=" max='120'")
        self.alice.cut()
        pad.cut()
        self.write(self.bob, "same", "same", content=NO_STORE)
        self.restart()
        self.world.advance(200)
        _, got = self.resumed("alice", tokens[0], 0)
        self.assertEqual(self.bodies_in(got), ["same", "same"])

    def test_time(self) -> None:
        """Of a message that had waited it was that of its delivery"""
        self.alice.close()
        self.write(self.bob, "old")
        self.world.advance(8 * 3600)
        alice = self.login("alice/phone", presence=False)
        token = self.enable(alice)
        self.tell(alice, "<presence/>")
        stamps = [re.findall("stamp='(.*?)'", alice.take())]
        self.restart()
        stamps.append(re.findall("stamp='(.*?)'", "".join(self.resumed("alice", token, 1)[1])))
        self.assertEqual(len(stamps[0]), 1)
        self.assertEqual(stamps[0], stamps[1])

    def test_id_of_what_is_in_no_archive(self) -> None:
        """XEP-0359: it had one, at which no query can begin"""
        token = self.enable(self.alice)
        self.write(self.bob, "passing", content=f"<no-permanent-store xmlns='{ns.HINTS}'/>")
        self.assertNotIn("<stanza-id ", self.alice.take())
        self.restart()
        _, got = self.resumed("alice", token, 0)
        self.assertEqual(self.bodies_in(got), ["passing"])
        self.assertNotIn("<stanza-id ", "".join(got))


class RoomTests(RestartCase):
    """How much may wait that is no part of the history."""

    settings = ("limits.offline_messages=10",)

    def test_history_takes_none_of_it(self) -> None:
        """After a restart what a session had been sent was counted, history or not"""
        self.enable(self.alice, attributes=" max='100'")
        self.alice.cut()
        self.write(self.bob, *map(str, range(12)))
        self.restart()
        self.world.advance(150)
        bob = self.login("bob/desk")
        self.write(bob, "passing", content=f"<no-permanent-store xmlns='{ns.HINTS}'/>")
        self.assertEqual(self.take(bob), [])
        self.assertEqual(self.bodies(self.appear("alice/later"))[-1], "passing")


class ReplayTests(RestartCase):
    """The server stops while somebody is being given what had waited."""

    def test_message_that_stands_nowhere_else(self) -> None:
        """It waited behind the replay, and was handled: it was gone"""
        self.alice.close()
        self.write(self.bob, *map(str, range(5)))
        alice = self.login("alice/phone", presence=False)
        token = self.enable(alice)
        database = self.world.database
        read = database.read
        self.patch(
            database, "read", lambda name, *args: Deferred() if name == "backlog" else read(name, *args)
        )
        self.tell(alice, "<presence/>")
        self.bob.take()
        self.write(self.bob, "only here", content=NO_STORE)
        self.write(self.bob, "kept")
        self.assertEqual(self.take(self.bob), [])
        self.restart()
        alice, got = self.resumed("alice", token, 0)
        self.world.settle()
        bodies = [*self.bodies_in(got), *self.bodies(alice)]
        self.assertCountEqual(bodies, ["only here", *map(str, range(5)), "kept"])


class StateTests(RestartCase):
    """What a session had it still has, and nobody sees it go."""

    users = ("alice", "bob", "carol")

    def setUp(self) -> None:
        super().setUp()
        self.tell(self.bob, "<presence to='alice@localhost' type='subscribe'/>")
        self.tell(self.alice, "<presence to='bob@localhost' type='subscribed'/>")

    def test_presence_does_not_flap(self) -> None:
        """SM S21: contacts that come back see no change"""
        tokens = self.enable(self.alice), self.enable(self.bob)
        self.bob.take()
        self.restart()
        _, got = self.resumed("bob", tokens[1], 0)
        alice, also_got = self.resumed("alice", tokens[0], 0)
        self.assertEqual([*got, *also_got], [])
        pad = self.appear("bob/pad")
        self.assertIn("<presence from='alice@localhost/home' to='bob@localhost/pad'", pad.take())
        self.assertFalse(alice.closed)

    def test_presence_of_those_that_do_not_come_back(self) -> None:
        """A session that cannot be resumed has gone, and who was to know that learns it"""
        token = self.enable(self.bob)
        self.restart()
        _, got = self.resumed("bob", token, 0)
        self.assertEqual([" type='unavailable'" in xml for xml in got], [True])
        self.assertIn("from='alice@localhost/home'", got[0])

    def test_carbons_and_roster(self) -> None:
        """Carbons stay on, roster pushes go on, directed presence is taken back in the end"""
        self.alice.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.alice.ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        token = self.enable(self.alice)
        self.tell(self.alice, "<presence to='carol@localhost/x'/>")
        self.restart()
        pad, carol = self.login("alice/pad"), self.login("carol/x")
        self.write(pad, "sent", to="bob@localhost")
        pad.ask("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>")
        _, got = self.resumed("alice", token, 0)
        self.assertTrue(any("<sent xmlns='urn:xmpp:carbons:2'>" in xml for xml in got), got)
        self.assertTrue(any("<item jid='x@y'" in xml for xml in got), got)
        for session in list(self.account("alice").sessions):
            session.close()
        self.assertIn("<presence from='alice@localhost/home' to='carol@localhost/x' type='una", carol.take())

    def test_client_state(self) -> None:
        """Found by the model: who did not look does not look afterwards either, until they come back"""
        token = self.enable(self.alice)
        self.alice.send(f"<inactive xmlns='{ns.CSI}'/>")
        self.tell(self.bob, "<presence to='alice@localhost/home' type='unavailable'/>")
        self.restart()
        bob = self.login("bob/desk")
        self.tell(bob, TYPING)
        for status in ("here", "there"):
            self.tell(bob, f"<presence to='alice@localhost/home'><status>{status}</status></presence>")
        alice, got = self.resumed("alice", token, 0)
        self.assertEqual(re.findall("<status>(.*?)</status>", "".join(got)), ["there"])
        self.assertNotIn("<composing ", "".join(got))
        self.tell(bob, TYPING)
        self.assertIn("<composing ", "".join(self.take(alice)))

    def test_end_of_another_session_while_nobody_looks(self) -> None:
        """What is held is written down, also what others' ends add to it at the stop"""
        token = self.enable(self.alice)
        self.alice.send(f"<inactive xmlns='{ns.CSI}'/>")
        self.tell(self.bob, "<presence to='alice@localhost/home'/>")
        self.restart()
        _, got = self.resumed("alice", token, 0)
        self.assertEqual([" type='unavailable'" in xml for xml in got], [True])

    def test_time_that_is_left(self) -> None:
        """The ten minutes begin when the connection was lost, or the server stopped"""
        tokens = self.enable(self.alice), self.enable(self.bob)
        self.alice.cut()
        self.world.advance(300)
        self.restart(after=200)
        self.world.advance(101)
        self.assertEqual(self.account("alice").sessions, [])
        self.assertEqual(self.resumed("bob", tokens[1], 0)[1][0].count("unavailable"), 1)


class ExpiredTests(RestartCase):
    """A session whose time was over before the server came back ends as it would have ended."""

    def setUp(self) -> None:
        super().setUp()
        self.tell(self.bob, "<presence to='alice@localhost' type='subscribe'/>")
        self.tell(self.alice, "<presence to='bob@localhost' type='subscribed'/>", PING)
        self.lost = self.enable(self.alice, attributes=" max='30'")
        self.alice.ask(PING)
        self.token = self.enable(self.bob)
        self.alice.cut()
        self.bob.take()

    def come_back(self) -> list[str]:
        self.restart()
        self.world.settle()
        return self.resumed("bob", self.token, 0)[1]

    def test_contacts_learn_it(self) -> None:
        (gone,) = self.come_back()
        self.assertIn("<presence from='alice@localhost/home' to='bob@localhost' type='unavailable'", gone)

    def test_what_it_never_acknowledged(self) -> None:
        """SM S9: requests and messages are answered, archived messages wait, once each"""
        to = "alice@localhost/home"
        self.tell(self.bob, f"<iq to='{to}' type='get' id='i'><x xmlns='test:x'/></iq>")
        self.write(self.bob, "lost", to=to, content=NO_STORE)
        self.write(self.bob, "kept", to=to)
        self.assertEqual(self.bob.take(), "")
        answers = [xml for xml in self.come_back() if "<service-unavailable " in xml]
        self.assertEqual([xml.partition(" ")[0] for xml in answers], ["<iq", "<message"])
        self.assertEqual(self.bodies(self.appear("alice/later")), ["kept"])
        self.restart()
        self.assertEqual(self.account("alice").sessions, [])

    def test_account_that_was_disabled_meanwhile(self) -> None:
        """Nobody comes back to its sessions, whatever time they had left"""
        self.write(self.bob, "lost", to="alice@localhost/home", content=NO_STORE)
        self.bob.take()
        self.tell(self.bob, PING)
        self.world.stop()
        self.world.database = Database(self.world.reactor, self.world.url, threads=NoThreads)
        self.world.wait_for(self.world.database.open())
        number, disabled = self.account("alice").id, accounts.AccountState.DISABLED
        self.world.wait_for(self.world.database.write("disable", accounts.set_state, number, disabled))
        self.world.wait_for(self.world.database.close())
        self.restart(after=1)
        self.world.settle()
        _, got = self.resumed("bob", self.token, 0)
        self.assertIn("<service-unavailable ", "".join(got))
        self.assertIn("<presence from='alice@localhost/home' to='bob@localhost' type='un", "".join(got))
        self.assertEqual(self.account("alice").sessions, [])

    def test_h_stays_known(self) -> None:
        """SM S10: long after it is gone, and after another restart"""
        self.restart()
        for _ in range(3):
            self.world.advance(3600)
            self.world.settle()
        self.restart(after=86400)
        _, (answer,) = self.reconnect("alice", self.lost, 0)
        self.assertIn("<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found ", answer)


class UnderWayTests(RestartCase):
    """What clients sent just before the server stopped."""

    def held_back(self, name: str) -> Deferred[None]:
        """Keep reads of that name from the database until this fires."""
        gate: Deferred[None] = Deferred()
        read = self.world.database.read

        async def wait(what: str, *args: Any) -> Any:
            if what == name:
                await gate
            return await read(what, *args)

        self.world.database.read = wait  # type: ignore[method-assign]
        return gate

    def test_requests_that_run_beside_are_answered(self) -> None:
        """They count as handled once they are taken: nobody asks again"""
        self.write(self.bob, "one", "two")
        pad = self.login("alice/pad", presence=False)
        token = self.enable(pad)
        gate = self.held_back("archive page")
        asked = pad.ask(f"<iq type='set' id='mam'><query xmlns='{ns.MAM}'/></iq>{R}")
        self.assertEqual(asked, f"<a xmlns='{ns.SM}' h='1'/>")
        self.world.reactor.callLater(1, gate.callback, None)
        self.restart()
        _, got = self.resumed("alice", token, 0)
        self.assertEqual(self.bodies_in(got), ["one", "two"])
        self.assertIn("<fin ", got[-1])

    def test_what_takes_too_long_is_sent_again(self) -> None:
        """The stop waits for handlers, but not for ever; h does not cover what is not done"""
        token = self.enable(self.alice)
        keeper = self.world.server.hosts["localhost"].modules["roster"].keeper  # type: ignore[attr-defined]
        keeper.forget(self.account("alice"))
        self.held_back("roster")
        item = "<query xmlns='jabber:iq:roster'><item jid='x@y'/></query>"
        self.alice.send(f"<iq type='set' id='r'>{item}</iq>")
        self.restart()
        _, (first, *_) = self.reconnect("alice", token, 0)
        self.assertIn(" h='0'", first)

    def test_stanza_that_is_stored_in_two_steps(self) -> None:
        """h covers it, or it is not done: a retraction that is looked up first is not archived twice"""
        token = self.enable(self.alice)
        self.write(self.alice, "one", to="bob@localhost")
        gate = self.held_back("retracted message")
        retract = "<retract xmlns='urn:xmpp:message-retract:1' id='one'/><body>-</body>"
        self.alice.send(f"<message to='bob@localhost' type='chat' id='r'>{retract}</message>")
        self.world.reactor.callLater(1, gate.callback, None)
        self.restart()
        alice, (first, *_) = self.reconnect("alice", token, 0)
        self.assertIn(" h='2'", first)
        self.assertEqual(self.archived(alice), ["-"])

    def test_database_that_cannot_be_written_to(self) -> None:
        """It is said, and the server stops all the same"""
        lines = self.watch_log()
        self.enable(self.alice)

        async def fail(units: object) -> Outcome:
            return Outcome(fault=FaultError("disk full"))

        self.world.database.run_group = fail  # type: ignore[method-assign]
        self.write(self.alice, "one", to="bob@localhost")
        self.assertTrue(self.world.database.faulted)
        self.world.running = False
        stopped = Deferred.fromCoroutine(self.world.server.stop())
        for _ in range(30):
            self.world.advance(1)
        self.successResultOf(stopped)
        self.assertIn("no session can be resumed after the next start: disk full", lines())


class KillTests(RestartCase):
    """After ``kill -9`` nobody can resume; `h` says how far the client got, where it is known (SM S10)."""

    def tell_and_wait(self, *stanzas: str) -> None:
        self.tell(self.alice, *stanzas)
        self.world.advance(1)
        self.world.settle()

    def h_after_kill(self, token: str) -> str:
        self.kill()
        client, (answer,) = self.reconnect("alice", token, 0)
        self.assertIn("<item-not-found ", answer)
        client.bind("home")
        self.tell(client, "<presence/>")
        self.assertFalse(client.closed)
        return re.findall("h='([0-9]+)'", answer)[0]

    def test_known(self) -> None:
        """Written down once a second"""
        token = self.enable(self.alice)
        self.tell_and_wait(PING, PING)
        self.assertEqual(self.h_after_kill(token), "2")

    def test_at_most_a_second_old(self) -> None:
        token = self.enable(self.alice)
        self.tell_and_wait(PING)
        self.tell(self.alice, PING)
        self.assertEqual(self.h_after_kill(token), "1")

    def test_never_ahead_of_what_is_durable(self) -> None:
        token = self.enable(self.alice)
        self.tell_and_wait(PING)
        with SlowDatabase(self):
            self.alice.send("<message to='bob@localhost'><body>Hi</body></message>" + PING)
            self.world.advance(3)
            killed = self.h_after_kill(token)
        self.assertEqual(killed, "1")

    def test_of_a_session_that_waited_for_its_client(self) -> None:
        """What was being stored when the connection was lost counts, however long ago that was"""
        token = self.enable(self.alice)
        self.tell_and_wait(PING)
        self.alice.send("<message to='bob@localhost' type='chat'><body>Hi</body></message>" * 3)
        self.alice.cut()
        self.world.settle()
        self.world.settle()
        self.assertEqual(self.h_after_kill(token), "4")

    def test_of_a_session_that_had_ended(self) -> None:
        token = self.enable(self.alice)
        self.tell_and_wait(PING)
        self.alice.send("<message to='bob@localhost' type='chat'><body>Hi</body></message></stream:stream>")
        self.world.settle()
        self.world.settle()
        self.assertEqual(self.h_after_kill(token), "2")

    def test_after_a_graceful_restart(self) -> None:
        """A session of the run before, killed hours after the start"""
        token = self.enable(self.alice)
        self.tell_and_wait(PING, PING)
        self.restart()
        self.kill(after=7200)
        self.world.advance(3600)
        self.world.settle()
        _, (answer,) = self.reconnect("alice", token, 0)
        self.assertEqual(split(answer)[0].partition(">")[0], "<failed xmlns='urn:xmpp:sm:3' h='2'")

    def test_messages_come_again(self) -> None:
        """What the client never acknowledged waits in the archive, and comes once"""
        token = self.enable(self.alice)
        self.write(self.bob, "one", "two")
        self.acknowledge(self.alice, 1)
        self.world.advance(1)
        self.world.settle()
        self.kill()
        client, _ = self.reconnect("alice", token, 1)
        client.bind("home")
        self.tell(client, "<presence/>")
        self.assertEqual(self.bodies(client), ["two"])
