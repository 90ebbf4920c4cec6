"""aioxmpp, with plain IQs for the archive, and the one client here that can bind SCRAM to TLS."""

from tests.interop.case import ClientTests, InteropCase


class AioxmppTests(ClientTests, InteropCase):
    library = "aioxmpp"
    partner = "xmpp.js"

    async def logs_in_bound_by(self, binding: str, **how: object) -> None:
        jid, password = self.account()
        remote = self.remote(self.library)
        arguments = {"port": self.server.port, "binding": binding, **how}
        session = await remote.call("connect", jid=jid, password=password, **arguments)
        self.assertEqual(session["mechanism"], "SCRAM-SHA-256-PLUS")

    async def test_logs_in_bound_by_tls_exporter(self) -> None:
        await self.logs_in_bound_by("tls-exporter")

    async def test_logs_in_bound_by_tls_exporter_over_direct_tls(self) -> None:
        await self.logs_in_bound_by("tls-exporter", port=self.server.direct_tls_port, direct_tls=True)

    async def test_logs_in_bound_by_tls_server_end_point(self) -> None:
        await self.logs_in_bound_by("tls-server-end-point")
