"""MAM A42 and A5: retracted messages leave a tombstone in both archives (XEP-0424)."""

from __future__ import annotations

from tests.modules.archives import ArchiveConversation
from tests.modules.conversation import User
from xmppd.modules import retraction
from xmppd.modules.retraction import MOST_OF_A_NAME, RETRY
from xmppd.storage import database
from xmppd.storage.archive import TOMBSTONE
from xmppd.storage.archive_book import arrived
from xmppd.storage.errors import FaultError
from xmppd.stream.session import ClientSession

RETRACT = "urn:xmpp:message-retract:1"
SM = "urn:xmpp:sm:3"


class RetractionConversation(ArchiveConversation):
    def begin(self, database: str | None = None) -> None:
        super().begin(database)
        self.romeo, self.juliet = self.user("romeo/orchard"), self.user("juliet/balcony")

    def retract(self, user: User, to: str, wanted: str, number: str = "r1", more: str = "") -> None:
        """Send a retraction of the message that had this id."""
        address = to if "@" in to else f"{to}@example.org"
        user.send(
            f"<message to='{address}' type='chat' id='{number}'>"
            f"<retract xmlns='{RETRACT}' id='{wanted}'/><body>fallback</body>{more}</message>"
        )

    def archived(self, name: str) -> list[str]:
        """The stored messages of an archive."""
        return [row.stanza.decode() for row in self.rows(name)]


class TombstoneTests(RetractionConversation):
    """MAM A42: the author's own messages."""

    def test_both_archives_have_a_tombstone_and_the_retraction(self) -> None:
        self.chat(self.romeo, "juliet", "secret", "<x xmlns='urn:x'>too</x>")
        before = {name: self.rows(name)[0] for name in ("romeo", "juliet")}
        self.retract(self.romeo, "juliet", "secret")
        for name in ("romeo", "juliet"):
            tombstone, retraction = self.rows(name)
            self.assertEqual(tombstone[:7], before[name][:7])
            self.assertEqual((tombstone.deliver, tombstone.kind), (0, TOMBSTONE))
            text = tombstone.stanza.decode()
            self.assertIn(
                f"type='chat' id='secret'><retracted xmlns='{RETRACT}' stamp='2026-01-01T00:0", text
            )
            self.assertTrue(text.endswith(" id='r1'/></message>"), text)
            self.assertIn("<body>fallback</body>", retraction.stanza.decode())

    def test_a_query_shows_the_tombstone_at_its_place(self) -> None:
        """MAM A5: id and time stay."""

        def page() -> list[str]:
            return self.romeo.ask("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")

        self.chat(self.romeo, "juliet", "secret")
        (before, _) = page()
        self.retract(self.romeo, "juliet", "secret")
        after = page()
        self.assertEqual(len(after), 3)
        self.assertEqual(after[0].partition("<message xmlns=")[0], before.partition("<message xmlns=")[0])
        self.assertNotIn("<body>", after[0])
        self.assertIn("<retracted ", after[0])

    def test_nobody_retracts_what_others_wrote(self) -> None:
        self.chat(self.romeo, "juliet", "a")
        self.retract(self.juliet, "romeo", "a")
        nurse = self.user("nurse/hall")
        self.retract(nurse, "juliet", "a")
        self.retract(nurse, "romeo", "a")
        self.assertEqual(self.history("romeo"), ["a", "fallback", "fallback"])
        self.assertEqual(self.history("juliet"), ["a", "fallback", "fallback"])

    def test_another_resource_of_the_author_may(self) -> None:
        self.chat(self.romeo, "juliet", "a")
        self.retract(self.user("romeo/street"), "juliet", "a")
        self.assertEqual(self.history("juliet"), ["", "fallback"])

    def test_the_conversation_must_be_the_same(self) -> None:
        self.chat(self.romeo, "juliet", "a")
        self.account("nurse")
        self.retract(self.romeo, "nurse", "a")
        self.assertEqual((self.history("romeo"), self.history("juliet")), (["a", "fallback"], ["a"]))

    def test_occupants_of_a_room_are_different_authors(self) -> None:
        def from_room(nick: str, inner: str, number: str) -> None:
            self.from_abroad(
                f"<message from='room@rooms.example/{nick}' to='romeo@example.org/orchard' type='chat'"
                f" id='{number}'>{inner}<x xmlns='http://jabber.org/protocol/muc#user'/></message>"
            )

        from_room("one", "<body>a</body>", "a")
        from_room("two", f"<retract xmlns='{RETRACT}' id='a'/><body>no</body>", "r1")
        self.assertEqual(self.history("romeo"), ["a", "no"])
        from_room("one", f"<retract xmlns='{RETRACT}' id='a'/><body>yes</body>", "r2")
        self.assertEqual(self.history("romeo"), ["", "no", "yes"])

    def test_notes_to_oneself(self) -> None:
        self.chat(self.romeo, "romeo", "a")
        self.retract(self.romeo, "romeo", "a")
        self.assertEqual(self.history("romeo"), ["", "fallback"])

    def test_what_comes_later_is_not_meant(self) -> None:
        self.retract(self.romeo, "juliet", "a")
        self.chat(self.romeo, "juliet", "a")
        self.assertEqual(self.history("juliet"), ["fallback", "a"])

    def test_what_comes_later_in_the_same_moment_is_not_meant(self) -> None:
        """Both are written together, before the archive is searched."""
        inner = f"<retract xmlns='{RETRACT}' id='a'/><body>fallback</body>"
        for number, content in (("r1", inner), ("a", "<body>a</body>")):
            self.romeo.client.send(f"<message to='juliet@example.org' id='{number}'>{content}</message>")
        self.assertEqual(self.history("juliet"), ["fallback", "a"])

    def test_a_retraction_stays(self) -> None:
        """MAM A42; section 5: whoever was away learns of it from the archive; so it is not retracted"""
        self.chat(self.romeo, "juliet", "a")
        self.retract(self.romeo, "juliet", "a", "r1")
        self.retract(self.romeo, "juliet", "r1", "r2")
        self.retract(self.romeo, "juliet", "r3", "r3")
        self.assertEqual(self.history("juliet"), ["", "fallback", "fallback", "fallback"])
        self.assertEqual(self.history("romeo"), ["", "fallback", "fallback", "fallback"])

    def test_the_newest_of_that_name_is_meant_and_only_once(self) -> None:
        self.chat(self.romeo, "juliet", "a")
        self.chat(self.romeo, "juliet", "a")
        self.retract(self.romeo, "juliet", "a")
        self.retract(self.romeo, "juliet", "a", "r2")
        self.assertEqual(self.history("juliet"), ["a", "", "fallback", "fallback"])
        self.assertTrue(self.archived("juliet")[1].endswith(" id='r1'/></message>"))

    def test_names_that_need_escapes(self) -> None:
        self.romeo.send("<message to='juliet@example.org' id='a&amp;&apos;b'><body>x</body></message>")
        self.retract(self.romeo, "juliet", "a&amp;&apos;b", "r&lt;1")
        self.assertEqual(self.history("juliet"), ["", "fallback"])
        self.assertTrue(self.archived("juliet")[0].endswith(" id='r&lt;1'/></message>"))

    def test_retractions_that_name_nothing(self) -> None:
        self.chat(self.romeo, "juliet", "a")
        self.romeo.send(f"<message to='juliet@example.org' id='1'><retract xmlns='{RETRACT}'/></message>")
        self.romeo.send(f"<message to='juliet@example.org'><retract xmlns='{RETRACT}' id='a'/></message>")
        self.romeo.send(f"<message to='juliet@example.org' id='2'><body>{RETRACT}</body></message>")
        self.assertEqual(self.history("juliet")[0], "a")
        self.assertEqual(len(self.history("juliet")), 4)

    def test_what_waits_is_not_delivered_any_more(self) -> None:
        self.chat(self.romeo, "mercutio@example.org", "nobody there")
        self.account("mercutio")
        self.chat(self.romeo, "mercutio", "a")
        self.retract(self.romeo, "mercutio", "a")
        mercutio = User(self.server.login("mercutio@example.org/street", presence=False))
        mercutio.send("<presence/>")
        got = [each for each in mercutio.take() if each.startswith("<message")]
        self.assertEqual(len(got), 1)
        self.assertIn("<retract ", got[0])

    def test_a_retraction_that_is_not_archived_is_not_followed(self) -> None:
        self.account("mercutio")
        preferences = "<prefs xmlns='urn:xmpp:mam:2' default='never'/>"
        self.user("mercutio/street", presence=False).ask(f"<iq type='set' id='p'>{preferences}</iq>")
        self.account("mercutio").sessions[0].close()
        self.chat(self.romeo, "mercutio", "a")
        self.assertEqual(self.waiting("mercutio"), ["a"])
        # It must be in the archive for those who have seen the message.
        self.retract(self.romeo, "mercutio", "a")
        self.assertEqual(self.waiting("mercutio"), ["a", "fallback"])

    def test_database_that_cannot_be_asked(self) -> None:
        """It is made when it can; before that the retraction is not acknowledged"""
        self.romeo.ask(f"<enable xmlns='{SM}'/>")
        self.chat(self.romeo, "juliet", "a")
        read = self.server.database.read

        async def fail(name: str, *args: object, **more: object) -> object:
            if name == "retracted message":
                raise FaultError("gone")
            return await read(name, *args, **more)  # type: ignore[arg-type]

        undo = self.patch(self.server.database, "read", fail)
        self.retract(self.romeo, "juliet", "a")
        self.assertEqual(self.history("juliet"), ["a", "fallback"])
        self.romeo.client.ask(f"<r xmlns='{SM}'/>")
        self.pass_time(0.2)
        self.assertIn(" h='1'", self.romeo.client.take())
        undo.restore()
        self.pass_time(RETRY)
        self.assertEqual(
            (self.history("romeo"), self.history("juliet")), (["", "fallback"], ["", "fallback"])
        )
        self.assertIn(" h='2'", self.romeo.client.ask(f"<r xmlns='{SM}'/>"))

    def test_message_that_waits_to_be_written(self) -> None:
        """While the database is faulted; the content stayed in the author's archive"""
        self.patch(self.server.database._writer, "faulted", True)
        self.chat(self.romeo, "juliet", "a")
        self.retract(self.romeo, "juliet", "a")
        self.server.database._writer.faulted = False
        self.pass_time(RETRY)
        self.assertEqual(self.history("romeo"), ["", "fallback"])

    def test_thousand_retractions_of_one_name(self) -> None:
        """Each further one read them all: seconds, for 150 bytes"""
        parsed: list[object] = []
        self.patch(retraction, "arrived", lambda stored: (parsed.append(stored), arrived(stored))[1])
        for _ in range(30):
            self.retract(self.romeo, "juliet", "none", "x")
        self.chat(self.romeo, "juliet", "y", "<other id='x'/>")
        del parsed[:]
        self.retract(self.romeo, "juliet", "x", "r")
        self.assertLessEqual(len(parsed), 2 * MOST_OF_A_NAME)

    def test_what_others_retract_takes_nobody_else_s_turn(self) -> None:
        lane = self.server.database.lane
        owners: list[object] = []
        run = lane.run

        async def note(owner: object, *args: object) -> object:
            owners.append(owner)
            return await run(owner, *args)  # type: ignore[arg-type]

        self.patch(type(lane), "run", lambda _, *args: note(*args))
        self.retract(self.romeo, "juliet", "x", "r")
        self.assertEqual(owners, [self.account("romeo").id, (self.account("juliet").id, "romeo@example.org")])

    def test_no_file_has_the_content_for_long(self) -> None:
        """Not the table, not a free page, not the log."""
        self.chat(self.romeo, "juliet", "secret")
        self.assertTrue(self.files_with(b"<body>secret"))
        self.retract(self.romeo, "juliet", "secret")
        self.pass_time(database.SCRUB_AFTER)
        self.assertEqual(self.files_with(b"<body>secret"), [])

    def test_many_retractions_are_wiped_in_one_go(self) -> None:
        scrubs: list[object] = []
        self.patch(self.server.database.dialect, "scrub", lambda _: bool(scrubs.append(1)) or True)
        for number in range(5):
            self.chat(self.romeo, "juliet", str(number))
            self.retract(self.romeo, "juliet", str(number))
        self.pass_time(database.SCRUB_AFTER)
        self.assertEqual(len(scrubs), 1)
        self.pass_time(10 * database.SCRUB_AFTER)
        self.assertEqual(len(scrubs), 1)

    def test_it_is_advertised(self) -> None:
        for to in ("example.org", "romeo@example.org"):
            query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
            (answer,) = self.romeo.ask(f"<iq type='get' id='d' to='{to}'>{query}</iq>")
            self.assertIn(f"<feature var='{RETRACT}'/>", answer)
            self.assertIn(f"<feature var='{RETRACT}#tombstone'/>", answer)


class QueueTests(RetractionConversation):
    """The content goes from what waits for clients, too."""

    def managed(self, name: str, *, carbons: bool = False) -> User:
        """A client with stream management that never acknowledges."""
        user = self.user(name)
        if carbons:
            user.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        (enabled,) = user.ask(f"<enable xmlns='{SM}' resume='true'/>")
        self.token = enabled.partition(" id='")[2].partition("'")[0]
        return user

    def queued(self, name: str) -> bytes:
        """All that is kept for the clients of an account."""
        sessions = [each for each in self.account(name).sessions if isinstance(each, ClientSession)]
        queues = [each.outbox.queue.entries for each in sessions if each.outbox.queue is not None]
        return b"".join(entry.stanza.wire for queue in queues for entry in queue if entry.stanza)

    def resume(self, name: str) -> list[str]:
        """Come back; what is sent again."""
        client = self.server.connect()
        client.authenticate(f"{name}@example.org", "secret")
        answer = User(client).ask(f"<resume xmlns='{SM}' previd='{self.token}' h='0'/>")
        return [each for each in answer if each.startswith("<message")]

    def test_what_a_hibernating_session_has_not_acknowledged(self) -> None:
        mercutio = self.managed("mercutio/street")
        mercutio.client.cut()
        self.chat(self.romeo, "mercutio", "secret")
        self.assertIn(b"secret</body>", self.queued("mercutio"))
        self.retract(self.romeo, "mercutio", "secret")
        self.assertNotIn(b"secret</body>", self.queued("mercutio"))
        again = self.resume("mercutio")
        self.assertEqual(len(again), 2)
        self.assertIn("<retracted ", again[0])
        self.assertIn("<retract ", again[1])
        self.assertNotIn("secret</body>", "".join(again))

    def test_copies_of_what_the_user_sent(self) -> None:
        street = self.managed("romeo/street", carbons=True)
        street.client.cut()
        self.chat(self.romeo, "juliet", "secret")
        self.assertIn(b"secret</body>", self.queued("romeo"))
        self.retract(self.romeo, "juliet", "secret")
        self.assertNotIn(b"secret</body>", self.queued("romeo"))
        again = self.resume("romeo")
        self.assertEqual(len(again), 2)
        self.assertIn("type='headline'", again[0])
        self.assertIn("<retract ", again[1])

    def test_copies_of_what_the_user_received(self) -> None:
        hall = self.managed("juliet/hall", carbons=True)
        hall.client.cut()
        self.chat(self.romeo, "juliet/balcony", "secret")
        self.assertIn(b"secret</body>", self.queued("juliet"))
        self.retract(self.romeo, "juliet", "secret")
        self.assertNotIn(b"secret</body>", self.queued("juliet"))
        self.assertEqual(len(self.resume("juliet")), 2)

    def test_results_of_the_archive(self) -> None:
        self.chat(self.romeo, "juliet/balcony", "secret")
        self.chat(self.romeo, "juliet/balcony", "harmless")
        hall = self.managed("juliet/hall")
        hall.ask("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        hall.client.cut()
        self.assertIn(b"secret</body>", self.queued("juliet"))
        self.retract(self.romeo, "juliet", "secret")
        self.assertNotIn(b"secret</body>", self.queued("juliet"))
        again = self.resume("juliet")
        self.assertEqual(len(again), 3)
        self.assertIn("type='headline'", again[0])
        self.assertIn("<body>harmless</body>", again[1])
        self.assertIn("<retract ", again[2])

    def test_what_is_held_for_an_inactive_client(self) -> None:
        mercutio = self.managed("mercutio/street")
        mercutio.send("<inactive xmlns='urn:xmpp:csi:0'/>")
        mercutio.client.cut()
        self.chat(self.romeo, "mercutio", "secret")
        self.retract(self.romeo, "mercutio", "secret")
        self.assertNotIn(b"secret</body>", self.queued("mercutio"))
