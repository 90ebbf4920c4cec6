"""Service discovery."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.modules.fakes import World
from xmppd.core.account import Account
from xmppd.core.jid import JID
from xmppd.core.module import InfoForm, Module
from xmppd.modules.disco import Disco
from xmppd.modules.ping import Ping

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"


class Rooms(Module):
    """Something with a service of its own, and a form."""

    name = "rooms"
    features = ("urn:example:b", "urn:example:a")

    def domain_items(self) -> tuple[tuple[str, str], ...]:
        return (("rooms.example.org", "Romeo & Juliet's"),)

    def domain_forms(self) -> tuple[InfoForm, ...]:
        return (InfoForm("urn:example:form", (("x", ("1", "2")),)),)


class DiscoTests(TestCase):
    def setUp(self) -> None:
        self.world = World()
        for kind in (Disco, Ping):
            self.world.load(kind)
        self.world.subscribe("juliet", "romeo@example.net")
        self.world.session("juliet/balcony")
        self.world.session("juliet/hidden", priority=None)

    async def ask(self, sender: str, to: str, namespace: str = INFO, node: str = "") -> str:
        attribute = f" node='{node}'" if node else ""
        return await self.world.ask(
            f"<iq from='{sender}' to='{to}' type='get' id='1'><query xmlns='{namespace}'{attribute}/></iq>"
        )

    async def test_info_of_the_domain(self) -> None:
        self.assertEqual(
            await self.ask("romeo@example.net/orchard", "example.org"),
            "<iq from='example.org' to='romeo@example.net/orchard' type='result' id='1'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im'/>"
            "<feature var='http://jabber.org/protocol/disco#info'/>"
            "<feature var='http://jabber.org/protocol/disco#items'/>"
            "<feature var='urn:xmpp:ping'/></query></iq>",
        )

    async def test_features_and_forms_come_from_the_modules(self) -> None:
        self.world.load(Rooms)
        self.assertIn(
            "<feature var='urn:example:a'/><feature var='urn:example:b'/><feature var='urn:xmpp:ping'/>"
            "<x xmlns='jabber:x:data' type='result'>"
            "<field type='hidden' var='FORM_TYPE'><value>urn:example:form</value></field>"
            "<field var='x'><value>1</value><value>2</value></field></x></query>",
            await self.ask("romeo@example.net/orchard", "example.org"),
        )

    async def test_items_of_the_domain(self) -> None:
        self.world.load(Rooms)
        self.assertIn(
            "<item jid='rooms.example.org' name='Romeo &amp; Juliet&apos;s'/></query>",
            await self.ask("romeo@example.net/orchard", "example.org", ITEMS),
        )

    async def test_a_domain_without_items(self) -> None:
        self.assertIn(
            "type='result' id='1'><query xmlns='http://jabber.org/protocol/disco#items'></query></iq>",
            await self.ask("romeo@example.net/orchard", "example.org", ITEMS),
        )

    async def test_unknown_nodes_of_the_domain(self) -> None:
        for namespace in (INFO, ITEMS):
            answer = await self.ask("romeo@example.net/orchard", "example.org", namespace, "x")
            self.assertIn("<error type='cancel'><item-not-found ", answer)

    async def test_a_node_that_stands_for_the_domain_is_mirrored(self) -> None:
        self.world.host.modules["disco"].aliases.add("a&b")
        with_node = await self.ask("romeo@example.net/orchard", "example.org", INFO, "a&amp;b")
        without = await self.ask("romeo@example.net/orchard", "example.org")
        self.assertEqual(with_node.replace(" node='a&amp;b'", "", 1), without)
        self.assertIn(" node='a&amp;b'>", with_node)

    async def test_info_of_an_account(self) -> None:
        for sender in ("romeo@example.net/orchard", "juliet@example.org/balcony"):
            self.assertEqual(
                await self.ask(sender, "juliet@example.org"),
                f"<iq from='juliet@example.org' to='{sender}' type='result' id='1'>"
                "<query xmlns='http://jabber.org/protocol/disco#info'>"
                "<identity category='account' type='registered'/>"
                "<feature var='http://jabber.org/protocol/disco#info'/>"
                "<feature var='http://jabber.org/protocol/disco#items'/>"
                "<feature var='urn:xmpp:ping'/></query></iq>",
            )

    async def test_info_of_a_guest(self) -> None:
        guest = JID.parse("guest@example.org")
        self.world.registry.accounts[guest] = Account(None, guest, None)
        self.assertIn(
            "<identity category='account' type='anonymous'/>",
            await self.ask("guest@example.org/1", "guest@example.org"),
        )

    async def test_items_of_an_account_are_its_available_resources(self) -> None:
        self.assertIn(
            "<query xmlns='http://jabber.org/protocol/disco#items'>"
            "<item jid='juliet@example.org/balcony'/></query>",
            await self.ask("romeo@example.net/orchard", "juliet@example.org", ITEMS),
        )

    async def test_unknown_nodes_of_an_account(self) -> None:
        for namespace in (INFO, ITEMS):
            answer = await self.ask("romeo@example.net/orchard", "juliet@example.org", namespace, "x")
            self.assertIn("<error type='cancel'><item-not-found ", answer)

    async def test_strangers_cannot_tell_which_accounts_exist(self) -> None:
        for namespace in (INFO, ITEMS):
            for node in ("", "x"):
                there, missing = [
                    await self.ask("tybalt@example.net/x", f"{name}@example.org", namespace, node)
                    for name in ("juliet", "nobody")
                ]
                self.assertIn("<error type='cancel'><service-unavailable ", there)
                self.assertEqual(there.replace("juliet", "nobody"), missing)
