"""slixmpp, with its own modules for the archive and for stream management."""

from tests.interop.case import ClientTests, InteropCase


class SlixmppTests(ClientTests, InteropCase):
    library = "slixmpp"
    partner = "aioxmpp"

    async def logs_in_with(self, mechanism: str) -> None:
        jid, password = self.account()
        remote = self.remote(self.library)
        how = {"port": self.server.port, "mechanism": mechanism}
        session = await remote.call("connect", jid=jid, password=password, **how)
        self.assertEqual(session["mechanism"], mechanism)

    async def test_logs_in_with_scram_sha_1(self) -> None:
        await self.logs_in_with("SCRAM-SHA-1")

    async def test_logs_in_with_scram_sha_256(self) -> None:
        await self.logs_in_with("SCRAM-SHA-256")

    async def test_logs_in_with_scram_sha_512(self) -> None:
        await self.logs_in_with("SCRAM-SHA-512")

    async def test_logs_in_with_plain(self) -> None:
        await self.logs_in_with("PLAIN")
