"""Entity capabilities."""

import re

from twisted.trial.unittest import TestCase

from tests.modules.fakes import World
from xmppd.config import Contact as Addresses
from xmppd.config import DomainConfig
from xmppd.modules.caps import Caps, verification_string
from xmppd.modules.contact import Contact
from xmppd.modules.disco import Disco
from xmppd.xml import forms, tree
from xmppd.xml.wokkel import DiscoFeature, DiscoIdentity, DiscoInfo


class VerificationTests(TestCase):
    """The hash itself."""

    def test_simple_example(self) -> None:
        """XEP-0115, section 5.2."""
        info = DiscoInfo()
        info.append(DiscoIdentity("client", "pc", "Exodus 0.9.1"))
        for feature in ("disco#items", "caps", "muc", "disco#info"):
            info.append(DiscoFeature(f"http://jabber.org/protocol/{feature}"))
        self.assertEqual(verification_string(info), "QgayPKawpkPSDYmwT/WM94uAlu0=")

    def test_order_is_that_of_the_bytes(self) -> None:
        """U+FF5E comes before U+10000 in UTF-8, behind it in UTF-16; upper case before lower case."""
        info = DiscoInfo()
        for feature in ("\U00010000", "\uff5e", "b", "B"):
            info.append(DiscoFeature(feature))
        # SHA-1 of 'B<b<\uff5e<\U00010000<' in UTF-8
        self.assertEqual(verification_string(info), "pWOaoZGT4OMU/9SRad0GBbSgZlo=")

    def test_forms_count(self) -> None:
        """The values of section 5.3, without its identities in two languages."""
        info = DiscoInfo()
        fields = [("os", ("Mac",)), ("ip_version", ("ipv6", "ipv4"))]
        info.append(forms.result_form("urn:xmpp:dataforms:softwareinfo", fields))
        # SHA-1 of 'urn:xmpp:dataforms:softwareinfo<ip_version<ipv4<ipv6<os<Mac<'
        self.assertEqual(verification_string(info), "uuMmh9FMENhZOD/3LXBIwQ7rMnc=")


class CapsTests(TestCase):
    """The stream feature."""

    def setUp(self) -> None:
        settings = DomainConfig(contact=Addresses(admin=("mailto:admin@example.org",)))
        self.world = World(settings=settings)
        self.caps = self.world.load(Caps)
        for kind in (Disco, Contact):
            self.world.load(kind)

    async def test_the_hash_fits_what_the_node_answers(self) -> None:
        (offered,) = self.caps.offered()
        found = re.fullmatch(
            r"<c xmlns='http://jabber\.org/protocol/caps' hash='sha-1' node='(urn:xmppd)' ver='(.{27}=)'/>",
            offered.decode(),
        )
        assert found is not None
        node = "#".join(found.groups())
        answer = await self.world.ask(
            "<iq from='romeo@example.net/o' to='example.org' type='get' id='1'>"
            f"<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/></iq>"
        )
        query = tree.parse(answer.encode()).firstChildElement()
        self.assertEqual(query["node"], node)
        info = DiscoInfo.fromElement(query)
        self.assertIn("http://jabber.org/protocol/caps", info.features)
        self.assertIn("http://jabber.org/network/serverinfo", info.extensions)
        self.assertEqual(verification_string(info), found[2])

    def test_it_is_computed_once(self) -> None:
        self.assertIs(self.caps.offered(), self.caps.offered())
