"""What every real client has to manage; each has a test file that adds what it alone can do."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.interop.remote import Remote, RemoteError
from tests.support.proxy import Proxy
from tests.support.server import shared_server

_numbers = count(1)


class InteropCase(TestCase):
    """Clients against the real server; ``library`` is the one under test, ``partner`` the other side."""

    library: str
    partner: str
    timeout = 90

    def setUp(self) -> None:
        self.server = shared_server()

    def account(self) -> tuple[str, str]:
        """A new account: its bare JID and its password."""
        name = f"user{next(_numbers)}"
        self.server.add_account(name, f"secret of {name}")
        return f"{name}@localhost", f"secret of {name}"

    def remote(self, library: str) -> Remote:
        remote = Remote(reactor, library, self.server)
        self.addCleanup(remote.stop)
        return remote

    async def online(self, library: str, **how: Any) -> tuple[Remote, str]:
        """A client of that library, logged in to a new account, and the account's bare JID."""
        jid, password = self.account()
        remote = self.remote(library)
        await remote.call("connect", **{"jid": jid, "password": password, "port": self.server.port, **how})
        await remote.event("bound")
        return remote, jid

    async def proxied(self, library: str) -> tuple[Remote, str, Proxy]:
        """The same behind a relay that can cut its connection."""
        proxy = await Proxy(reactor, self.server.port).start()
        self.addCleanup(proxy.stop)
        return *(await self.online(library, port=proxy.port)), proxy

    async def expect(self, remote: Remote, *bodies: str) -> None:
        """Check that messages with these bodies come, each once, in this order, and no other."""
        found = []
        while not found or found[-1] != bodies[-1]:
            found.append((await remote.event("message"))["body"])
        self.assertEqual(found, list(bodies))
        await remote.call("ping")
        self.assertEqual(remote.waiting("message"), 0)


class ClientTests:
    """The tests that all clients have in common, for an InteropCase."""

    async def test_logs_in_over_starttls(self) -> None:
        jid, password = self.account()
        remote = self.remote(self.library)
        session = await remote.call("connect", jid=jid, password=password, port=self.server.port)
        self.assertEqual(session["jid"].partition("/")[0], jid)
        self.assertNotEqual(session["jid"].partition("/")[2], "")

    async def test_logs_in_over_direct_tls(self) -> None:
        jid, password = self.account()
        remote = self.remote(self.library)
        port = self.server.direct_tls_port
        session = await remote.call("connect", jid=jid, password=password, port=port, direct_tls=True)
        self.assertEqual(session["jid"].partition("/")[0], jid)

    async def test_gets_the_resource_it_asks_for(self) -> None:
        jid, password = self.account()
        remote = self.remote(self.library)
        session = await remote.call(
            "connect", jid=f"{jid}/tea kitchen", password=password, port=self.server.port
        )
        self.assertEqual(session["jid"], f"{jid}/tea kitchen")

    async def test_is_told_that_its_password_is_wrong(self) -> None:
        jid, _ = self.account()
        remote = self.remote(self.library)
        with self.assertRaises(RemoteError) as caught:
            await remote.call("connect", jid=jid, password="wrong", port=self.server.port)
        self.assertIn("not-authorized", caught.exception.said)

    async def test_exchanges_messages_both_ways(self) -> None:
        ours, our_jid = await self.online(self.library)
        theirs, their_jid = await self.online(self.partner)
        await ours.call("send", to=their_jid, body="Möchtest du <Tee> & Kuchen? \N{TEACUP WITHOUT HANDLE}")
        there = await theirs.event("message")
        self.assertEqual(there["body"], "Möchtest du <Tee> & Kuchen? \N{TEACUP WITHOUT HANDLE}")
        self.assertEqual(there["from"].partition("/")[0], our_jid)
        await theirs.call("send", to=there["from"], body="Gern!")
        here = await ours.event("message")
        self.assertEqual((here["body"], here["from"].partition("/")[0]), ("Gern!", their_jid))

    async def test_finds_what_was_sent_while_it_was_offline(self) -> None:
        jid, password = self.account()
        theirs, _ = await self.online(self.partner)
        for body in ("first", "second"):
            await theirs.call("send", to=jid, body=body)
        await theirs.call("ping")
        ours = self.remote(self.library)
        await ours.call("connect", jid=jid, password=password, port=self.server.port)
        messages = [await ours.event("message") for _ in range(2)]
        self.assertEqual(
            [(each["body"], each["delayed"]) for each in messages], [("first", True), ("second", True)]
        )

    async def test_pages_through_its_history_both_ways(self) -> None:
        ours, our_jid = await self.online(self.library)
        theirs, their_jid = await self.online(self.partner)
        expected = []
        for number in range(6):
            expected += [f"question {number}", f"answer {number}"]
            await ours.call("send", to=their_jid, body=expected[-2])
            await self.expect(theirs, expected[-2])
            await theirs.call("send", to=our_jid, body=expected[-1])
            await self.expect(ours, expected[-1])
        pages = await ours.call("history", peer=their_jid, page=5, backwards=False)
        self.assertEqual(pages["pages"], [expected[:5], expected[5:10], expected[10:]])
        pages = await ours.call("history", peer=their_jid, page=5, backwards=True)
        self.assertEqual(pages["pages"], [expected[7:], expected[2:7], expected[:2]])

    async def test_resumes_and_gets_what_came_meanwhile_once(self) -> None:
        ours, our_jid, proxy = await self.proxied(self.library)
        theirs, _ = await self.online(self.partner)
        proxy.stall()
        proxy.cut()
        await ours.event("lost")
        await theirs.call("send", to=our_jid, body="meanwhile")
        await theirs.call("ping")
        proxy.release()
        await ours.event("resumed")
        await theirs.call("send", to=our_jid, body="afterwards")
        await self.expect(ours, "meanwhile", "afterwards")
        self.assertEqual(ours.waiting("bound"), 0)

    async def test_resumes_and_gets_what_was_lost_on_the_way_once(self) -> None:
        ours, our_jid, proxy = await self.proxied(self.library)
        theirs, _ = await self.online(self.partner)
        await theirs.call("send", to=our_jid, body="before")
        await self.expect(ours, "before")
        proxy.stall()
        await theirs.call("send", to=our_jid, body="lost")
        await theirs.call("ping")
        proxy.cut()
        proxy.release()
        await ours.event("resumed")
        await theirs.call("send", to=our_jid, body="afterwards")
        await self.expect(ours, "lost", "afterwards")

    async def test_resumes_and_sends_what_was_lost_on_the_way_once(self) -> None:
        ours, _, proxy = await self.proxied(self.library)
        theirs, their_jid = await self.online(self.partner)
        await ours.call("send", to=their_jid, body="before")
        await self.expect(theirs, "before")
        proxy.stall()
        await ours.call("send", to=their_jid, body="lost")
        proxy.cut()
        proxy.release()
        await ours.event("resumed")
        await ours.call("send", to=their_jid, body="afterwards")
        await self.expect(theirs, "lost", "afterwards")

    async def test_resumes_while_its_old_connection_looks_alive(self) -> None:
        ours, our_jid, proxy = await self.proxied(self.library)
        theirs, _ = await self.online(self.partner)
        proxy.cut(server_notices=False)
        await theirs.call("send", to=our_jid, body="into the void")
        await ours.event("resumed")
        await theirs.call("send", to=our_jid, body="afterwards")
        await self.expect(ours, "into the void", "afterwards")
