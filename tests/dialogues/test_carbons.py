"""Carbons through the whole server: with the archive, with stream management, with errors."""

from __future__ import annotations

import re

from tests.dialogues.case import ServerCase
from tests.modules.conversation import Conversation, User
from xmppd.core import ns

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
SM = "urn:xmpp:sm:3"


def stanza_id(text: str) -> str:
    """The id that Romeo's archive gave."""
    found = re.findall(rf"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROMEO}' id='([^']+)'/>", text)
    assert len(found) == 1, text
    return str(found[0])


class CarbonsDialogue(Conversation):
    def setUp(self) -> None:
        self.begin()
        self.juliet = self.user("juliet/balcony")
        self.orchard = self.user("romeo/orchard")
        self.garden = self.with_carbons("garden")
        self.orchard.take()

    def with_carbons(self, resource: str) -> User:
        user = self.user(f"romeo/{resource}")
        (answer,) = user.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.assertIn("type='result'", answer)
        return user

    def history(self, user: User) -> list[str]:
        """The results of a query for all of an archive."""
        return user.ask("<iq type='set' id='h'><query xmlns='urn:xmpp:mam:2'/></iq>")[:-1]

    def test_sent(self) -> None:
        """CARBONS K5, K9: the copy has the sender's id, which the addressee does not see"""
        self.orchard.send(f"<message to='{JULIET}' type='chat' id='1'><body>Neither</body></message>")
        (copy,) = self.garden.take()
        self.assertRegex(
            copy,
            f"^<message from='{ROMEO}' to='{ROMEO}/garden' type='chat'><sent xmlns='urn:xmpp:carbons:2'>"
            f"<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{ROMEO}/orchard'"
            f" to='{JULIET}' type='chat' id='1'[^>]*><body>Neither</body><stanza-id [^>]*/>"
            "</message></forwarded></sent></message>$",
        )
        (original,) = self.juliet.take()
        self.assertNotIn(f"by='{ROMEO}'", original)
        (kept,) = self.history(self.garden)
        self.assertIn(f" id='{stanza_id(copy)}'", kept.partition("<forwarded")[0])

    def test_received(self) -> None:
        """CARBONS K5, K9: the copy has the id that the original has"""
        self.juliet.send(f"<message to='{ROMEO}/orchard' type='chat' id='1'><body>What man</body></message>")
        (original,), (copy,) = self.orchard.take(), self.garden.take()
        self.assertIn("<received xmlns='urn:xmpp:carbons:2'>", copy)
        self.assertEqual(stanza_id(copy), stanza_id(original))

    def test_one_row_for_each_side(self) -> None:
        """CARBONS K8"""
        self.with_carbons("home")
        self.orchard.send(f"<message to='{JULIET}' type='chat'><body>a</body></message>")
        self.juliet.send(f"<message to='{ROMEO}/orchard' type='chat'><body>b</body></message>")
        for user in (self.garden, self.juliet):
            user.take()
            self.assertEqual(len(self.history(user)), 2)

    def test_a_message_to_oneself(self) -> None:
        """CARBONS K5: one original and one copy at most, one row"""
        home = self.with_carbons("home")
        for user in (self.orchard, self.garden):
            user.take()
        self.orchard.send(f"<message to='{ROMEO}/home' type='chat'><body>note</body></message>")
        self.assertEqual([len(user.take()) for user in (self.orchard, self.garden, home)], [0, 1, 1])
        self.assertEqual(len(self.history(home)), 1)

    def test_resumption(self) -> None:
        """CARBONS K8"""
        self.garden.client.close()
        self.orchard.take()
        phone = self.with_carbons("phone")
        (enabled,) = phone.ask(f"<enable xmlns='{SM}' resume='true'/>")
        token = enabled.partition(" id='")[2].partition("'")[0]
        phone.client.cut()
        self.orchard.send(f"<message to='{JULIET}' type='chat'><body>while away</body></message>")
        client = self.server.connect()
        client.authenticate(ROMEO, "secret")
        answer = client.ask(f"<resume xmlns='{SM}' h='0' previd='{token}'/>")
        self.assertIn("<resumed ", answer)
        self.assertIn("while away", answer)
        self.orchard.send(f"<message to='{JULIET}' type='chat'><body>and back</body></message>")
        self.assertIn("and back", client.take())

    def test_copies_that_were_never_acknowledged(self) -> None:
        """CARBONS K8: they are dropped; nobody is told, nothing is stored, nothing comes twice"""
        self.garden.client.close()
        phone = self.with_carbons("phone")
        phone.ask(f"<enable xmlns='{SM}' resume='true'/>")
        phone.client.cut()
        self.orchard.take()
        self.orchard.send(f"<message to='{JULIET}' type='chat'><body>a</body></message>")
        self.juliet.take()
        self.server.advance(10_000)
        self.server.settle()
        self.assertNotIn("<body>", "".join(self.orchard.take() + self.juliet.take()))
        again = User(self.server.login(f"{ROMEO}/phone", presence=False))
        self.assertNotIn("<body>", "".join(again.ask("<presence/>")))
        self.assertEqual(len(self.history(again)), 1)

    def test_the_error_of_a_copy(self) -> None:
        """CARBONS K7"""
        self.orchard.send(f"<message to='{JULIET}' type='chat' id='1'><body>a</body></message>")
        for user in (self.garden, self.juliet):
            user.take()
        error = (
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        )
        self.assertEqual(self.garden.ask(f"<message to='{ROMEO}' type='error' id='1'>{error}</message>"), [])
        self.assertEqual(self.orchard.take() + self.juliet.take(), [])

    def test_the_servers_own_error(self) -> None:
        """CARBONS K3: it answers a message that was copied"""
        (error,) = self.orchard.ask(f"<message to='{JULIET}/gone' id='1'><body>a</body></message>")
        sent, received = self.garden.take()
        self.assertIn("<sent ", sent)
        self.assertIn("<received xmlns='urn:xmpp:carbons:2'><forwarded ", received)
        self.assertIn(error.partition("<error ")[2], received)

    def test_the_error_of_an_addressee(self) -> None:
        """CARBONS K3"""
        self.orchard.send(f"<message to='{JULIET}/balcony' type='chat' id='1'><body>a</body></message>")
        self.garden.take()
        error = (
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        )
        self.juliet.send(f"<message to='{ROMEO}/orchard' type='error' id='1'>{error}</message>")
        self.assertEqual(len(self.orchard.take()), 1)
        (received,) = self.garden.take()
        self.assertIn(" type='error'><received ", received)

    def test_negative_priority(self) -> None:
        """CARBONS K5"""
        self.garden.send("<presence><priority>-1</priority></presence>")
        self.orchard.take()
        self.garden.take()
        self.juliet.send(f"<message to='{ROMEO}' type='chat'><body>a</body></message>")
        self.assertNotIn("carbons", "".join(self.orchard.take()))
        (copy,) = self.garden.take()
        self.assertIn("<received xmlns='urn:xmpp:carbons:2'>", copy)

    def test_forged_ids_do_not_travel_in_copies(self) -> None:
        """CARBONS K9"""
        forged = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROMEO}' id='forged'/>"
        self.orchard.send(f"<message to='{JULIET}' type='chat'><body>a</body>{forged}</message>")
        self.juliet.send(f"<message to='{ROMEO}/orchard' type='chat'><body>b</body>{forged}</message>")
        for copy in self.garden.take():
            self.assertNotEqual(stanza_id(copy), "forged")


class DeadSessionTests(ServerCase):
    """S9: what a session that dies has not acknowledged."""

    def test_device_that_has_a_copy(self) -> None:
        """It was given the original as well, without an id by which its client could tell"""
        alice, pad = self.login("alice/home"), self.login("bob/pad")
        phone = self.login("bob/phone", presence="5")
        pad.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.enable(phone)
        pad.take()
        hint = f"<no-store xmlns='{ns.HINTS}'/>"
        self.tell(alice, f"<message to='bob@localhost' type='chat' id='m'><body>hi</body>{hint}</message>")
        self.assertEqual(self.bodies(pad), ["hi"])
        phone.cut()
        for _ in range(70):
            self.world.advance(10)
            pad.send(" ")
        self.assertEqual(len(self.account("bob").sessions), 1)
        self.assertEqual(self.bodies(pad), [])
        self.assertNotIn("type='error'", alice.take())
