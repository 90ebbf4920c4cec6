"""What a client asks for when it has logged in."""

from __future__ import annotations

import base64
import re

from tests.modules.conversation import Conversation
from xmppd.modules.caps import verification_string
from xmppd.xml import tree
from xmppd.xml.wokkel import DiscoInfo

INFO = "http://jabber.org/protocol/disco#info"


class DiscoveryDialogue(Conversation):
    settings = ('domains."example.org".contact.admin=["mailto:admin@example.org"]',)

    def info(self, to: str = "", node: str = "") -> object:
        addressee = f" to='{to}'" if to else ""
        attribute = f" node='{node}'" if node else ""
        (answer,) = self.juliet.ask(
            f"<iq type='get'{addressee} id='1'><query xmlns='{INFO}'{attribute}/></iq>"
        )
        return DiscoInfo.fromElement(tree.parse(answer.encode()).firstChildElement())

    def setUp(self) -> None:
        super().setUp()
        self.juliet = self.user("juliet/balcony")

    def test_capabilities_in_the_stream_features(self) -> None:
        client = self.server.connect()
        self.assertNotIn("protocol/caps", client.open("example.org"))
        secret = base64.b64encode(b"\0juliet\0secret").decode()
        client.ask(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        features = client.open("example.org")
        found = re.search(
            r"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='([^']+)' ver='([^']+)'/>",
            features,
        )
        assert found is not None
        self.assertEqual(verification_string(self.info("example.org", f"{found[1]}#{found[2]}")), found[2])

    def test_the_server(self) -> None:
        info = self.info("example.org")
        self.assertEqual(info.identities, {("server", "im"): None})  # type: ignore[attr-defined]
        self.assertLessEqual(
            {
                INFO,
                "http://jabber.org/protocol/caps",
                "http://jabber.org/protocol/disco#items",
                "jabber:iq:last",
                "jabber:iq:register",
                "jabber:iq:roster",
                "jabber:iq:version",
                "msgoffline",
                "urn:xmpp:blocking",
                "urn:xmpp:carbons:2",
                "urn:xmpp:carbons:rules:0",
                "urn:xmpp:ping",
                "urn:xmpp:time",
            },
            info.features,  # type: ignore[attr-defined]
        )
        form = info.extensions["http://jabber.org/network/serverinfo"]  # type: ignore[attr-defined]
        self.assertEqual(form.fields["admin-addresses"].values, ["mailto:admin@example.org"])

    def test_the_own_account(self) -> None:
        info = self.info()
        self.assertEqual(info.identities, {("account", "registered"): None})  # type: ignore[attr-defined]
        self.assertLessEqual(
            {INFO, "urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0", "urn:xmpp:ping"},
            info.features,  # type: ignore[attr-defined]
        )

    def test_a_contact_who_is_offline(self) -> None:
        self.befriend("romeo", "nurse")
        nurse = self.user("nurse/room")
        (answer,) = nurse.ask(f"<iq type='get' to='romeo@example.org' id='1'><query xmlns='{INFO}'/></iq>")
        self.assertIn("<identity category='account' type='registered'/>", answer)

    def test_every_feature_is_there_once(self) -> None:
        """XEP-0115 calls anything else ill-formed."""
        (answer,) = self.juliet.ask(f"<iq type='get' to='example.org' id='1'><query xmlns='{INFO}'/></iq>")
        features = re.findall("<feature var='([^']+)'/>", answer)
        self.assertEqual(sorted(set(features)), features)
