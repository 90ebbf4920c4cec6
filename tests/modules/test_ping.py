"""XMPP Ping."""

from twisted.trial.unittest import TestCase

from tests.modules.fakes import World
from xmppd.modules.ping import Ping


class PingTests(TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.world.load(Ping)
        self.world.account("juliet")

    async def test_the_server(self) -> None:
        self.assertEqual(
            await self.world.ask(
                "<iq from='juliet@example.org/b' to='example.org' id='1' type='get'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>"
            ),
            "<iq from='example.org' to='juliet@example.org/b' type='result' id='1'/>",
        )

    async def test_the_own_account(self) -> None:
        self.assertEqual(
            await self.world.ask(
                "<iq from='juliet@example.org/b' id='2' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
            "<iq from='juliet@example.org' to='juliet@example.org/b' type='result' id='2'/>",
        )

    async def test_accounts_of_others_answer_as_if_they_did_not_exist(self) -> None:
        answers = [
            await self.world.ask(
                f"<iq from='romeo@example.net/o' to='{name}@example.org' id='3' type='get'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>"
            )
            for name in ("juliet", "nobody")
        ]
        self.assertIn("<service-unavailable ", answers[0])
        self.assertEqual(answers[0].replace("juliet", "nobody"), answers[1])
