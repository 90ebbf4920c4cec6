"""Who is bound to what: conflicts, limits, guests, and what a session that ends leaves behind."""

from __future__ import annotations

import gc
import re

from tests.dialogues.case import ServerCase, attribute, split
from xmppd.core import ns
from xmppd.core.events import SessionEnded
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.sessions import MOST_REMEMBERED
from xmppd.storage.statement import Cursor
from xmppd.testing import Client

BIND = f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'>{{}}</bind></iq>"


class BindingTests(ServerCase):
    """RFC 6120, section 7"""

    def authenticated(self) -> Client:
        client = self.world.connect()
        client.authenticate("alice@localhost", "secret")
        return client

    def test_resource_of_the_client(self) -> None:
        answer = self.authenticated().ask(BIND.format("<resource>home</resource>"))
        jid = "<jid>alice@localhost/home</jid>"
        self.assertEqual(answer, f"<iq type='result' id='b'><bind xmlns='{ns.BIND}'>{jid}</bind></iq>")

    def test_resource_of_the_server(self) -> None:
        """7.6: unpredictable, and different each time"""
        jids = {self.authenticated().bind() for _ in range(5)}
        self.assertEqual(len(jids), 5)
        for jid in jids:
            self.assertRegex(jid, r"^alice@localhost/[\w-]{8,}$")
        for empty in ("<resource/>", "<resource></resource>"):
            self.assertIn("<jid>alice@localhost/", self.authenticated().ask(BIND.format(empty)))

    def test_resource_is_normalised(self) -> None:
        self.assertEqual(
            self.authenticated().bind("&lt;a b&gt; \u00e9"), "alice@localhost/&lt;a b&gt; \u00e9"
        )

    def test_impossible_resource(self) -> None:
        """7.7.2.1: bad-request, and another try is possible"""
        client = self.authenticated()
        for resource in ("x" * 1024, "\u200b\x7f"):
            answer = client.ask(BIND.format(f"<resource>{resource}</resource>"))
            self.assertIn("<error type='modify'><bad-request ", answer)
        self.assertEqual(client.bind("ok"), "alice@localhost/ok")

    def test_bad_requests(self) -> None:
        client = self.authenticated()
        bind = f"<bind xmlns='{ns.BIND}'/>"
        for xml in (f"<iq type='set'>{bind}</iq>", f"<iq type='set' id='b'>{bind}{bind}</iq>"):
            self.assertIn("<bad-request ", client.ask(xml))
        self.assertFalse(client.closed)

    def test_conflict(self) -> None:
        """7.7.2.2: the newer connection wins, 4.9.3.3"""
        old, new = self.login("alice/home"), self.login("alice/home")
        self.assertIn("<stream:error><conflict ", old.take())
        self.assertTrue(old.closed)
        old.cut()
        (session,) = self.account("alice").sessions
        self.assertIs(session.stream, new.stream)

    def test_messages_go_on_after_a_conflict(self) -> None:
        """What the older connection had not confirmed goes to the newer one"""
        bob = self.login("bob/desk")
        self.login("alice/home")
        self.tell(bob, "<message to='alice@localhost'><body>one</body></message>")
        new = self.login("alice/home", presence=False)
        self.tell(new, "<presence/>")
        self.assertEqual(self.bodies(new), ["one"])

    def test_account_that_is_gone_meanwhile(self) -> None:
        """Disabled, removed, or another one of that name by now"""
        accounts, alice = self.world.server.accounts, JID.parse("alice@localhost")
        clients = [self.authenticated() for _ in range(3)]
        self.world.wait_for(accounts.set_enabled(alice, False))
        self.assertIn("<not-allowed ", clients[0].ask(BIND.format("")))
        self.assertEqual(self.account("alice").sessions, [])
        self.world.wait_for(accounts.remove(alice))
        self.assertIn("<not-allowed ", clients[1].ask(BIND.format("")))
        self.world.wait_for(accounts.release(alice))
        self.world.wait_for(accounts.create(alice, "other"))
        self.assertIn("<not-allowed ", clients[2].ask(BIND.format("")))
        self.assertEqual(self.account("alice").sessions, [])


class EndTests(ServerCase):
    """A session ends once, and for everyone who wants to know."""

    def test_handler_that_fails(self) -> None:
        """It does not keep the others: nothing is lost"""

        def fail(_: object) -> None:
            raise RuntimeError("broken in a test")

        hooks = self.world.server.hosts["localhost"].hooks
        undo = hooks.add(SessionEnded, fail, Stage.BLOCK)
        bob, alice = self.login("bob/desk"), self.login("alice/home")
        self.tell(bob, "<message to='alice@localhost'><body>one</body></message>")
        alice.cut()
        undo()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        later = self.login("alice/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), ["one"])

    def test_once(self) -> None:
        ended: list[str] = []
        hooks = self.world.server.hosts["localhost"].hooks
        hooks.add(SessionEnded, lambda event: ended.append(event.session.jid.resource))
        alice = self.login("alice/home")
        (session,) = self.account("alice").sessions
        session.close()
        session.close()
        alice.cut()
        self.world.server.keeper.end(session)  # type: ignore[arg-type]
        self.assertEqual(ended, ["home"])
        session.send(Stanza("message", {}))
        self.assertNotIn("<message", alice.take())


class LimitTests(ServerCase):
    """Sessions of one account."""

    settings = ("limits.sessions_per_account=3",)

    def test_too_many(self) -> None:
        """7.7.2.2: resource-constraint; nobody who is there is sent away"""
        clients = [self.login(f"alice/{name}") for name in "abc"]
        late = self.world.connect()
        late.authenticate("alice@localhost", "secret")
        answer = late.ask(BIND.format(""))
        self.assertIn("<error type='wait'><resource-constraint ", answer)
        self.assertIn("(sessions_per_account)", answer)
        self.assertFalse(any(client.closed for client in clients))
        clients[0].close()
        self.assertIn("<jid>", late.ask(BIND.format("")))

    def test_whoever_is_gone_makes_room(self) -> None:
        """A session that only waits for its client ends for one who is there"""
        clients = [self.login(f"alice/{name}") for name in "abc"]
        self.enable(clients[1])
        clients[1].cut()
        self.login("alice/d")
        names = [session.jid.resource for session in self.account("alice").sessions]
        self.assertEqual(names, ["a", "c", "d"])

    def test_the_one_with_the_least_time_left_makes_room(self) -> None:
        clients = [self.login(f"alice/{name}") for name in "abc"]
        for client, seconds in ((clients[0], 60), (clients[1], 30), (clients[2], 90)):
            self.enable(client, attributes=f" max='{seconds}'")
            client.cut()
        self.login("alice/d")
        names = [session.jid.resource for session in self.account("alice").sessions]
        self.assertEqual(names, ["a", "c", "d"])

    def test_the_same_resource_needs_no_room(self) -> None:
        for name in "abcc":
            self.login(f"alice/{name}")
        self.assertEqual(len(self.account("alice").sessions), 3)


class GuestTests(ServerCase):
    """SASL ANONYMOUS (XEP-0175), for a domain that is configured for it."""

    settings = ("domains.localhost.anonymous=true",)

    def guest(self, *, bind: bool = True) -> Client:
        client = self.world.connect()
        self.assertIn("<mechanism>ANONYMOUS</mechanism>", client.open())
        self.assertIn("<success ", client.ask(f"<auth xmlns='{ns.SASL}' mechanism='ANONYMOUS'/>"))
        client.open()
        if bind:
            client.bind("any")
        return client

    def accounts(self) -> set[str]:
        return {account.jid.local for account in self.world.server.registry.accounts()}

    def rows(self) -> int:
        def count(cursor: object) -> int:
            total = 0
            for table in ("account", "archive", "session", "roster_item", "private"):
                cursor.execute(f"SELECT count(*) FROM {table}")  # type: ignore[attr-defined]
                total += cursor.fetchone()[0]  # type: ignore[attr-defined]
            return total

        self.world.settle()
        return self.world.wait_for(self.world.database.read("rows", count))

    def test_name(self) -> None:
        """A name that nobody can guess, another one each time"""
        names = {self.guest().jid.partition("@")[0] for _ in range(3)}
        self.assertEqual(len(names), 3)
        self.assertTrue(all(re.fullmatch("[0-9a-f-]{36}", name) for name in names))

    def test_guests_talk(self) -> None:
        one, two = self.guest(), self.guest()
        for client in (one, two):
            self.tell(client, "<presence/>")
        self.tell(one, f"<message to='{two.jid}' type='chat'><body>Hi</body></message>")
        (got,) = self.take(two)
        self.assertEqual(
            got, f"<message from='{one.jid}' to='{two.jid}' type='chat'><body>Hi</body></message>"
        )
        bob = self.login("bob/desk")
        self.tell(one, "<message to='bob@localhost'><body>Hi Bob</body></message>")
        self.assertEqual(self.bodies(bob), ["Hi Bob"])

    def test_no_trace(self) -> None:
        """Not in memory, not on the disk"""
        before = self.rows()
        for way_out in (Client.close, Client.cut):
            guest = self.guest()
            self.tell(guest, "<presence/>", "<message to='x@localhost'><body>Hi</body></message>")
            item = f"<query xmlns='{ns.ROSTER}'><item jid='bob@localhost'/></query>"
            self.tell(guest, f"<iq type='set' id='1'>{item}</iq>", "<presence to='x@y' type='subscribe'/>")
            self.enable(guest)
            way_out(guest)
        self.assertEqual(self.accounts(), {"alice", "bob"})
        self.assertEqual(self.rows(), before)

    def test_no_trace_without_binding(self) -> None:
        guest = self.guest(bind=False)
        self.assertEqual(self.accounts(), {"alice", "bob"})
        guest.cut()
        self.assertEqual(self.accounts(), {"alice", "bob"})

    def test_what_a_guest_agreed_on_ends_with_it(self) -> None:
        """XEP-0175, 3: subscriptions to and from others, and what was asked for"""
        bob, alice = self.login("bob/desk"), self.login("alice/home")
        for way_out in (Client.close, Client.cut):
            guest = self.guest()
            name = guest.jid.partition("/")[0]
            self.tell(guest, "<presence/>", "<presence to='bob@localhost' type='subscribe'/>")
            for kind in ("subscribed", "subscribe"):
                self.tell(bob, f"<presence to='{name}' type='{kind}'/>")
            self.tell(guest, "<presence to='bob@localhost' type='subscribed'/>")
            self.tell(guest, "<presence to='alice@localhost' type='subscribe'/>")
            bob.take()
            way_out(guest)
            self.world.settle()
            got = [attribute(xml, "type") for xml in split(bob.take()) if xml.startswith("<presence")]
            self.assertEqual(got, ["unavailable", "unsubscribe", "unsubscribed"])
            roster = f"<iq type='get' id='1'><query xmlns='{ns.ROSTER}'/></iq>"
            self.assertIn(f"jid='{name}' subscription='none'/>", bob.ask(roster))
            alice.take()
            self.tell(alice, "<presence type='unavailable'/>", "<presence/>")
            self.assertNotIn("type='subscribe'", alice.take())

    def test_no_resumption(self) -> None:
        """Nobody could prove to be the same guest"""
        (answer,) = split(self.guest().ask(f"<enable xmlns='{ns.SM}' resume='true'/>"))
        self.assertEqual(answer, f"<enabled xmlns='{ns.SM}'/>")

    def test_what_guests_do_not_have(self) -> None:
        """No archive"""
        guest = self.guest()
        for kind, name in (("set", "query"), ("get", "query"), ("get", "metadata")):
            answer = guest.ask(f"<iq type='{kind}' id='1'><{name} xmlns='{ns.MAM}'/></iq>")
            self.assertIn("type='error'", answer)
        self.assertFalse(guest.closed)

    def test_messages_for_a_guest_who_is_gone(self) -> None:
        """They are answered as for anyone who does not exist"""
        guest = self.guest()
        name = guest.jid
        guest.close()
        bob = self.login("bob/desk")
        self.tell(bob, f"<message to='{name}'><body>Hi</body></message>")
        (answer,) = self.take(bob)
        self.assertIn("<service-unavailable ", answer)

    def test_other_domains(self) -> None:
        self.start()
        self.assertNotIn("ANONYMOUS", self.world.connect().open())


class RememberedTests(ServerCase):
    """What is remembered of sessions that have ended."""

    def count(self) -> int:
        def rows(cursor: Cursor) -> int:
            cursor.execute("SELECT count(*) FROM session")
            return int(cursor.fetchone()[0])

        self.world.settle()
        return self.world.wait_for(self.world.database.read("rows", rows))

    def test_of_an_account_that_is_removed(self) -> None:
        """Nothing is kept in memory for ever"""
        keeper = self.world.server.keeper
        client = self.login("alice/x")
        self.enable(client)
        client.close()
        self.assertEqual(len(keeper._ended), 1)
        self.world.wait_for(self.world.server.accounts.remove(JID.parse("alice@localhost")))
        del client
        self.world.settle()
        gc.collect()
        self.assertEqual(len(keeper._ended), 0)

    def test_those_of_one_account_are_bounded(self) -> None:
        """A client may come and go as fast as it likes, and each time a row would be kept for 30 days."""
        for number in range(MOST_REMEMBERED + 10):
            client = self.login(f"alice/{number}")
            token = self.enable(client)
            client.close()
        self.assertEqual(self.count(), MOST_REMEMBERED)
        client = self.world.connect()
        client.authenticate("alice@localhost", "secret")
        failed = client.ask(f"<resume xmlns='{ns.SM}' previd='{token}' h='0'/>")
        self.assertEqual(attribute(failed, "h"), "0")
