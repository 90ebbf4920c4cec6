"""Nobody but this server gives ids in its name (XEP-0359)."""

from __future__ import annotations

import re

from tests.dialogues.case import ServerCase
from tests.modules.fakes import stanza
from xmppd.core import ns
from xmppd.modules import stanza_ids
from xmppd.modules.stanza_ids import MOST_IDS

BOB = "bob@localhost"


def given(by: str, name: str = "forged", more: str = "") -> str:
    """A stanza id of a client."""
    return f"<stanza-id xmlns='{ns.STANZA_ID}' by='{by}' id='{name}'{more}/>"


class StanzaIdTests(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.login("alice/home"), self.login("bob/desk")
        self.alice.take()

    def relay(self, content: str, kind: str = "chat", to: str = BOB) -> str:
        """What Bob gets when Alice sends that."""
        self.tell(self.alice, f"<message to='{to}' type='{kind}'><body>x</body>{content}</message>")
        (got,) = self.take(self.bob)
        return got

    def ids(self, got: str) -> dict[str, list[str]]:
        """The ids of a message by who gave them."""
        found: dict[str, list[str]] = {}
        for by, name in re.findall(f"<stanza-id xmlns='{ns.STANZA_ID}' by='([^']*)' id='([^']*)'", got):
            found.setdefault(by, []).append(name)
        return found

    def test_one_of_ours(self) -> None:
        """I2, I3: all forged ones go, whatever they look like; ours is there once"""
        for forged in (
            given(BOB),
            given(BOB) + given(BOB, "again"),
            given("BOB@LocalHost"),
            given("localhost"),
            given(BOB, more=" extra=''"),
            f"<p:stanza-id xmlns:p='{ns.STANZA_ID}' by='{BOB}' id='forged'/>",
            f"<stanza-id xmlns='{ns.STANZA_ID}' by='{BOB}' id='forged'>text<child/></stanza-id>",
            f"<stanza-id id='forged' by='{BOB}' xmlns='{ns.STANZA_ID}'/>",
            f'<stanza-id xmlns="{ns.STANZA_ID}" by="&#98;ob@localhost" id="forged"/>',
        ):
            got = self.relay(forged)
            self.assertNotIn("forged", got)
            self.assertEqual(list(self.ids(got)), [BOB])
            self.assertEqual(len(self.ids(got)[BOB]), 1)

    def test_more_than_anybody_gives(self) -> None:
        """Parser CPU: each may take milliseconds to normalise; too many go without being looked at"""
        few = "".join(given(f"far{number}.example") for number in range(MOST_IDS))
        self.assertEqual(self.relay(few).count("forged"), MOST_IDS)
        self.patch(stanza_ids, "_by", lambda *_: 1 / 0)
        got = self.relay(few + given("far.example") + f"<origin-id xmlns='{ns.STANZA_ID}' id='mine'/>")
        self.assertNotIn("forged", got)
        self.assertIn("id='mine'", got)

    def test_ids_without_meaning(self) -> None:
        """I3: without 'by', or by what is no address, nobody could be asked"""
        for forged in (f"<stanza-id xmlns='{ns.STANZA_ID}' id='forged'/>", given(""), given("@@")):
            self.assertNotIn("forged", self.relay(forged))

    def test_not_archived(self) -> None:
        """I2: also where no id of ours is given"""
        for kind, content in (("headline", ""), ("chat", f"<no-store xmlns='{ns.HINTS}'/>")):
            got = self.relay(given(BOB) + content, kind)
            self.assertEqual(self.ids(got), {})

    def test_full_address(self) -> None:
        """I2: the account gives the ids, whatever resource is addressed"""
        got = self.relay(given(BOB), to=f"{BOB}/desk")
        self.assertEqual(list(self.ids(got)), [BOB])
        self.assertNotIn("forged", got)

    def test_sender(self) -> None:
        """I2: nor does anyone send ids of the own archive; MAM A8: nor does the server"""
        got = self.relay(given("alice@localhost"))
        self.assertEqual(list(self.ids(got)), [BOB])

    def test_foreign_ids(self) -> None:
        """I4: they stay as they are"""
        got = self.relay(
            given("room@conference.example.org", "kept") + given("carol@example.org", "kept too")
        )
        self.assertEqual(self.ids(got)["room@conference.example.org"], ["kept"])
        self.assertEqual(self.ids(got)["carol@example.org"], ["kept too"])

    def test_others_here(self) -> None:
        """I2: no local user speaks for another one; what others here have given stays when it arrives"""
        got = self.relay(given("carol@localhost") + given("carol@localhost/x"))
        self.assertEqual(list(self.ids(got)), [BOB])
        room = stanza(
            f"<message from='room@localhost/nick' to='{BOB}' type='chat'><body>x</body>"
            f"{given('room@localhost', 'kept')}{given(BOB)}</message>"
        )
        self.world.server.router.arrive(room)
        (got,) = self.take(self.bob)
        self.assertEqual(self.ids(got)["room@localhost"], ["kept"])
        self.assertNotIn("forged", got)

    def test_strangers(self) -> None:
        """I2: from another server nothing carries ids of anybody here, whatever the type"""
        for kind, hint in (("chat", ""), ("chat", f"<no-store xmlns='{ns.HINTS}'/>"), ("headline", "")):
            for by in ("carol@localhost", "CAROL@LOCALHOST", BOB, f"{BOB}/desk", "localhost", "localhost/x"):
                forged = stanza(
                    f"<message from='eve@elsewhere.example/x' to='{BOB}' type='{kind}'><body>x</body>"
                    f"{given(by)}{given('room@elsewhere.example', 'kept')}{hint}</message>"
                )
                self.world.server.router.arrive(forged)
                (got,) = self.take(self.bob)
                self.assertNotIn("forged", got, by)
                self.assertEqual(self.ids(got)["room@elsewhere.example"], ["kept"])

    def test_resource_of_the_addressee(self) -> None:
        """I2: his archive has one address, with or without a resource"""
        room = stanza(
            f"<message from='room@localhost/nick' to='{BOB}' type='chat'><body>x</body>"
            f"{given(f'{BOB}/desk')}</message>"
        )
        self.world.server.router.arrive(room)
        (got,) = self.take(self.bob)
        self.assertNotIn("forged", got)

    def test_origin_id(self) -> None:
        """I4: preserved"""
        origin = f"<origin-id xmlns='{ns.STANZA_ID}' id='mine'/>"
        self.assertIn(origin, self.relay(origin + given(BOB)))

    def test_forwarded_messages(self) -> None:
        """I2: only direct children"""
        message = f"<message xmlns='jabber:client'>{given(BOB, 'kept')}</message>"
        inner = f"<forwarded xmlns='{ns.FORWARD}'>{message}</forwarded>"
        got = self.relay(inner)
        self.assertIn(inner, got)
        self.assertEqual(len(self.ids(got)[BOB]), 2)

    def test_archive_has_none(self) -> None:
        """What is stored is what came, without the forged ones"""
        self.relay(given(BOB) + given("alice@localhost") + given("room@x", "kept"))
        for client in (self.alice, self.bob):
            answer = client.ask(f"<iq type='set' id='q'><query xmlns='{ns.MAM}'/></iq>")
            self.assertEqual(self.ids(answer), {"room@x": ["kept"]})

    def test_same_id_everywhere(self) -> None:
        """I1: live, in the archive, late, and in copies"""
        pad = self.login("bob/pad", presence="-1")
        pad.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        live = self.ids(self.relay(""))[BOB]
        self.assertEqual(self.ids(pad.take())[BOB], live)
        answer = pad.ask(f"<iq type='set' id='q'><query xmlns='{ns.MAM}'/></iq>")
        self.assertIn(f"<result xmlns='{ns.MAM}' id='{live[0]}'>", answer)

    def test_late_messages(self) -> None:
        """I1: as in the archive"""
        self.bob.close()
        self.tell(self.alice, f"<message to='{BOB}' type='chat'><body>x</body></message>")
        desk = self.login("bob/desk", presence=False)
        self.tell(desk, "<presence/>")
        (late,) = self.ids(desk.take())[BOB]
        answer = desk.ask(f"<iq type='set' id='q'><query xmlns='{ns.MAM}'/></iq>")
        self.assertIn(f" id='{late}'", answer)
