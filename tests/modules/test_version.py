"""Software version."""

from twisted.trial.unittest import TestCase

from tests.modules.fakes import World
from xmppd import __version__
from xmppd.modules.version import Version


class VersionTests(TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.world.load(Version)
        self.world.account("juliet")

    async def ask(self, to: str) -> str:
        return await self.world.ask(
            f"<iq from='juliet@example.org/b' to='{to}' type='get' id='1'>"
            "<query xmlns='jabber:iq:version'/></iq>"
        )

    async def test_of_the_server(self) -> None:
        self.assertEqual(
            await self.ask("example.org"),
            "<iq from='example.org' to='juliet@example.org/b' type='result' id='1'>"
            "<query xmlns='jabber:iq:version'>"
            f"<name>xmppd</name><version>{__version__}</version></query></iq>",
        )

    async def test_accounts_have_none(self) -> None:
        self.assertIn("<service-unavailable ", await self.ask("juliet@example.org"))
