"""Real clients across a restart of the server: they resume after a graceful one, begin anew after a kill."""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from tests.interop.case import InteropCase
from tests.interop.remote import Remote
from tests.support.proxy import Proxy


class RestartTests:
    """For an InteropCase; the client under test is kept away while the other one sends."""

    async def pair(self) -> tuple[Remote, str, Proxy, Remote, str]:
        """Two clients of the library with their addresses; the first behind a relay, which is given too."""
        ours, our_jid, proxy = await self.proxied(self.library)
        theirs, their_jid = await self.online(self.library)
        await theirs.call("send", to=our_jid, body="before")
        await self.expect(ours, "before")
        return ours, our_jid, proxy, theirs, their_jid

    async def keep_away(self, remote: Remote, proxy: Proxy) -> None:
        proxy.stall()
        proxy.cut()
        await remote.event("lost")

    async def restart(self, kill: bool) -> None:
        await deferToThread(self.server.restart, kill)

    async def test_resumes_after_a_restart_with_nothing_lost_or_doubled(self) -> None:
        ours, our_jid, proxy, theirs, their_jid = await self.pair()
        await self.keep_away(ours, proxy)
        await theirs.call("send", to=our_jid, body="queued")
        await self.restart(kill=False)
        await theirs.event("lost")
        await theirs.event("resumed")
        proxy.release()
        await ours.event("resumed")
        await theirs.call("send", to=our_jid, body="afterwards")
        await self.expect(ours, "queued", "afterwards")
        await ours.call("send", to=their_jid, body="answer")
        await self.expect(theirs, "answer")
        self.assertEqual(ours.waiting("bound") + theirs.waiting("bound"), 0)

    async def test_sends_what_was_on_its_way_to_a_restarting_server_once(self) -> None:
        ours, _, proxy, theirs, their_jid = await self.pair()
        proxy.stall()
        await ours.call("send", to=their_jid, body="on its way")
        proxy.cut()
        await ours.event("lost")
        await self.restart(kill=False)
        proxy.release()
        await ours.event("resumed")
        await ours.call("send", to=their_jid, body="afterwards")
        await self.expect(theirs, "on its way", "afterwards")

    async def test_starts_anew_after_a_kill_and_gets_the_rest(self) -> None:
        ours, our_jid, proxy, theirs, their_jid = await self.pair()
        await self.keep_away(ours, proxy)
        await theirs.call("send", to=our_jid, body="queued")
        # What the archive shows is durable.
        history = await theirs.call("history", peer=our_jid, page=5, backwards=False)
        self.assertEqual(history["pages"], [["before", "queued"]])
        await self.restart(kill=True)
        await theirs.event("lost")
        await theirs.event("bound")
        proxy.release()
        await ours.event("bound")
        await self.gets_the_rest(ours, their_jid)
        await theirs.call("send", to=our_jid, body="afterwards")
        await self.expect(ours, "afterwards")
        self.assertEqual(ours.waiting("resumed") + theirs.waiting("resumed"), 0)

    async def gets_the_rest(self, ours: Remote, their_jid: str) -> None:
        """As a client does that is sent what it did not acknowledge."""
        found = [await ours.event("message")]
        while found[-1]["body"] != "queued":
            found.append(await ours.event("message"))
        # That it had the first one it may not have said before the kill.
        self.assertIn([each["body"] for each in found], (["queued"], ["before", "queued"]))
        self.assertTrue(all(each["delayed"] for each in found))


class SlixmppRestartTests(RestartTests, InteropCase):
    library = "slixmpp"
    partner = "slixmpp"


class XmppJsRestartTests(RestartTests, InteropCase):
    library = "xmpp.js"
    partner = "xmpp.js"

    async def gets_the_rest(self, ours: Remote, their_jid: str) -> None:
        """It finds it in the archive: who binds by Bind 2 is not sent it (XEP-0386, section 3.2)."""
        history = await ours.call("history", peer=their_jid, page=5, backwards=False)
        self.assertEqual(history["pages"], [["before", "queued"]])
