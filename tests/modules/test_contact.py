"""Contact addresses."""

from twisted.trial.unittest import TestCase

from tests.modules.fakes import World
from xmppd.config import Contact as Addresses
from xmppd.config import DomainConfig
from xmppd.modules.contact import Contact
from xmppd.modules.disco import Disco

ASK = (
    "<iq from='romeo@example.net/o' to='example.org' type='get' id='1'>"
    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
)


class ContactTests(TestCase):
    async def ask(self, addresses: Addresses) -> str:
        world = World(settings=DomainConfig(contact=addresses))
        world.load(Disco)
        world.load(Contact)
        return await world.ask(ASK)

    async def test_addresses_of_all_roles(self) -> None:
        answer = await self.ask(
            Addresses(
                admin=("mailto:admin@example.org", "xmpp:admin@example.org"),
                abuse=("https://example.org/?a=1&b=2",),
            )
        )
        self.assertIn(
            "<x xmlns='jabber:x:data' type='result'>"
            "<field type='hidden' var='FORM_TYPE'><value>http://jabber.org/network/serverinfo</value></field>"
            "<field var='abuse-addresses'><value>https://example.org/?a=1&amp;b=2</value></field>"
            "<field var='admin-addresses'><value>mailto:admin@example.org</value>"
            "<value>xmpp:admin@example.org</value></field></x></query></iq>",
            answer,
        )

    async def test_the_names_are_those_of_the_registry(self) -> None:
        roles = ("abuse", "admin", "feedback", "sales", "security", "status", "support")
        answer = await self.ask(Addresses(**dict.fromkeys(roles, ("mailto:x@example.org",))))
        for role in roles:
            self.assertIn(f"<field var='{role}-addresses'>", answer)

    async def test_no_form_without_addresses(self) -> None:
        self.assertNotIn("jabber:x:data", await self.ask(Addresses()))
