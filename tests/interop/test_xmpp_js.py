"""@xmpp/client, with plain IQs for the archive. It logs in by SASL2, binds by Bind 2, returns by FAST."""

from tests.interop.case import ClientTests, InteropCase


class XmppJsTests(ClientTests, InteropCase):
    library = "xmpp.js"
    partner = "slixmpp"

    async def test_gets_the_resource_it_asks_for(self) -> None:
        """What it asks for is a tag, with which the resource begins (XEP-0386, section 3.2)."""
        jid, password = self.account()
        remote = self.remote(self.library)
        session = await remote.call(
            "connect", jid=f"{jid}/tea kitchen", password=password, port=self.server.port
        )
        tag, _, suffix = session["jid"].partition("/")[2].rpartition("/")
        self.assertEqual(tag, "tea kitchen")
        self.assertNotEqual(suffix, "")

    async def test_finds_what_was_sent_while_it_was_offline(self) -> None:
        """It does in the archive: who binds by Bind 2 is not sent it (XEP-0386, section 3.2)."""
        jid, password = self.account()
        theirs, their_jid = await self.online(self.partner)
        for body in ("first", "second"):
            await theirs.call("send", to=jid, body=body)
        await theirs.call("ping")
        ours = self.remote(self.library)
        await ours.call("connect", jid=jid, password=password, port=self.server.port)
        history = await ours.call("history", peer=their_jid, page=5, backwards=False)
        self.assertEqual(history["pages"], [["first", "second"]])
        await theirs.call("send", to=jid, body="third")
        await self.expect(ours, "third")
