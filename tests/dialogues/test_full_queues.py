"""SM S18: queues are bounded, and no session is killed, no user locked out, nothing lost because of it."""

from __future__ import annotations

import re

from tests.dialogues.case import ServerCase
from tests.dialogues.test_stream_management import NO_STORE, R, SmCase, a, failed
from xmppd.core import ns
from xmppd.storage import archive
from xmppd.stream.unacknowledged import Unacknowledged
from xmppd.testing import Client


class FullQueueCase(SmCase):
    settings: tuple[str, ...] = ("limits.sm_queue=10",)

    def noise(self, number: int) -> None:
        for _ in range(number):
            self.tell(self.alice, "<presence to='bob@localhost/phone'/>")

    @property
    def queue(self) -> Unacknowledged:
        queue: Unacknowledged = self.account("bob").sessions[0].outbox.queue  # type: ignore[attr-defined]
        return queue

    def waiting(self) -> list[str]:
        """What the next client gets."""
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        return self.bodies(later)


class OverflowTests(FullQueueCase):
    """Too much that is not in the archive."""

    def test_acknowledgements_go_on(self) -> None:
        """But the session cannot be resumed any more"""
        lines = self.watch_log()
        token = self.enable(self.phone)
        self.noise(30)
        self.assertFalse(self.phone.closed)
        self.acknowledge(self.phone, 25)
        self.assertEqual(self.phone.ask(R), a(0))
        self.assertTrue(any("(sm_queue)" in line for line in lines()))
        self.phone.cut()
        _, got = self.reconnect("bob", token, 25)
        self.assertEqual(got, [failed("item-not-found", 0)])

    def test_lies_are_noticed_all_the_same(self) -> None:
        """SM S14: also of what is no longer in memory the number is known"""
        self.enable(self.phone)
        self.noise(300)
        self.acknowledge(self.phone, 300)
        self.assertFalse(self.phone.closed)
        self.assertIn("h='301' send-count='300'/>", self.phone.ask(a(301)))

    def test_while_nobody_is_there(self) -> None:
        """A session that waits and cannot be resumed any more is over"""
        token = self.enable(self.phone)
        self.phone.cut()
        self.write("one")
        self.noise(30)
        self.assertEqual(self.account("bob").sessions, [])
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(got, [failed("item-not-found", 0)])
        self.assertEqual(self.waiting(), ["one"])

    def test_what_it_never_acknowledged(self) -> None:
        """SM S9: nothing is dropped before it ends, the oldest neither"""
        self.enable(self.phone)
        self.tell(self.phone, "<presence to='alice@localhost/home'/>")
        self.phone.cut()
        self.tell(self.alice, "<iq to='bob@localhost/phone' type='get' id='i'><x xmlns='test:x'/></iq>")
        self.write("back", to="bob@localhost/phone", content=NO_STORE)
        self.assertEqual(self.take(self.alice), [])
        self.noise(30)
        answers = self.take(self.alice)
        self.assertEqual([xml.partition(" ")[0] for xml in answers], ["<iq", "<message"])
        for xml in answers:
            self.assertIn("<service-unavailable ", xml)

    def test_acknowledged_messages_are_not_delivered_again(self) -> None:
        """Also of what is no longer in memory it is known what it was"""
        self.enable(self.phone, resume=False)
        self.write("one", "two")
        self.noise(100)
        self.write("three")
        self.assertLessEqual(self.queue.kept, 10)
        self.acknowledge(self.phone, 102)
        self.phone.cut()
        self.assertEqual(self.waiting(), ["three"])

    def test_client_that_never_acknowledges(self) -> None:
        """What is kept for it is bounded all the same"""
        self.enable(self.phone, resume=False)
        self.noise(500)
        queue = self.queue
        self.assertEqual(len(queue), 500)
        self.assertLessEqual(queue.kept, 10)
        self.assertLessEqual(len(queue.entries), 200)
        self.acknowledge(self.phone, 500)
        self.assertEqual(len(queue), 0)


class ArchivedTests(FullQueueCase):
    """What is in the archive takes no room."""

    def test_read_again(self) -> None:
        """At resumption, in order with the rest"""
        token = self.enable(self.phone)
        self.write(*map(str, range(8)))
        self.noise(5)
        self.phone.cut()
        self.write(*map(str, range(8, 16)))
        self.assertLessEqual(self.queue.kept, 10)
        phone, got = self.reconnect("bob", token, 0)
        found = [re.search("<body>(.*?)</body>", xml) for xml in got[1:-1]]
        expected = [*map(str, range(8)), *[None] * 5, *map(str, range(8, 16))]
        self.assertEqual([match and match[1] for match in found], expected)
        self.assertTrue(all("<delay " in xml for xml in got[1:-1]))
        self.assertEqual(sum("<stanza-id " in xml for xml in got), 16)
        self.acknowledge(phone, 21)
        phone.close()
        self.assertEqual(self.waiting(), [])

    def test_number_stays(self) -> None:
        """SM S11: what was acknowledged before is not sent again"""
        token = self.enable(self.phone)
        self.phone.cut()
        self.write(*map(str, range(30)))
        self.noise(3)
        for h in (0, 7, 29, 31, 33):
            phone, got = self.reconnect("bob", token, h)
            self.assertEqual(len([xml for xml in got if not xml.startswith(("<resumed ", "<r "))]), 33 - h)
            self.assertEqual(
                re.findall("<body>(.*?)</body>", "".join(got)), [str(number) for number in range(h, 30)]
            )
            phone.cut()

    def test_acknowledged_by_another_device(self) -> None:
        """Found by the model: what is no part of the history went when one device had it, and another one,
        which had kept its position, was resumed without it"""
        desk = self.login("bob/desk")
        token, _ = self.enable(self.phone), self.enable(desk)
        self.phone.cut()
        self.write(*map(str, range(20)), content="<no-permanent-store xmlns='urn:xmpp:hints'/>")
        self.acknowledge(desk, 20)
        self.world.advance(2)
        for restart in (False, True):
            if restart:
                self.restart()
            phone, got = self.reconnect("bob", token, 0)
            self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), [*map(str, range(20))])
            phone.cut()
        phone, _ = self.reconnect("bob", token, 20)
        self.world.advance(2)
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.waiting(), [])

    def kept(self) -> list[int]:
        """The rows on the disk of what waits for Bob."""
        account = self.account("bob")
        return [
            row.seq for row in self.world.wait_for(self.world.database.read("rows", archive.rows, account.id))
        ]

    def test_erased_meanwhile(self) -> None:
        """It keeps its number, and has no content"""
        token = self.enable(self.phone)
        self.phone.cut()
        self.write(*map(str, range(20)))
        retract = "<message to='bob@localhost' type='chat' id='r'><retract xmlns='{}' id='gone'/></message>"
        self.tell(
            self.alice,
            "<message to='bob@localhost' type='chat' id='gone'><body>secret</body></message>",
            retract.format("urn:xmpp:message-retract:1"),
        )
        self.queue.fits(0, 0)
        phone, got = self.reconnect("bob", token, 0)
        messages = [xml for xml in got if xml.startswith("<message")]
        self.assertEqual(len(messages), 22)
        self.assertIn("<retracted ", messages[20])
        self.assertNotIn("secret", "".join(got))
        self.acknowledge(phone, 22)
        self.assertFalse(phone.closed)

    def test_deleted_meanwhile(self) -> None:
        """A row that is gone altogether is made up for by a headline without content"""
        token = self.enable(self.phone)
        self.phone.cut()
        self.write(*map(str, range(20)))
        self.world.wait_for(
            self.world.database.write("delete", lambda cursor: cursor.execute("DELETE FROM archive"))
        )
        phone, got = self.reconnect("bob", token, 0)
        self.assertEqual(len(got), 22)
        for xml in got[1:11]:
            self.assertIn("<message from='bob@localhost' to='bob@localhost/phone' type='headline'>", xml)
        self.acknowledge(phone, 20)
        self.assertFalse(phone.closed)

    def test_work_does_not_grow_with_the_queue(self) -> None:
        """With room for one more in memory, each message looks at what is new, not at thousands again"""
        self.start("limits.sm_queue=100", "limits.offline_messages=none")
        for name in self.users:
            self.world.add_user(f"{name}@localhost")
        self.alice, self.phone = self.login("alice/home"), self.login("bob/phone")
        self.enable(self.phone)
        self.phone.cut()
        self.noise(99)
        queue, looked = self.queue, []
        let_go = queue._let_go
        queue_type = type(queue)
        self.patch(queue_type, "_let_go", lambda this, place: (looked.append(place), let_go(place)))
        for number in range(300):
            self.alice.send(f"<message to='bob@localhost' type='chat'><body>{number}</body></message>")
        self.world.settle()
        self.assertEqual(len(queue.entries), 399)
        self.assertLessEqual(len(looked), 600)


class HeldTests(FullQueueCase):
    """What was held for somebody who did not look comes on top of what is not acknowledged."""

    def setUp(self) -> None:
        super().setUp()
        self.token = self.enable(self.phone)
        self.noise(8)
        self.tell(self.phone, f"<inactive xmlns='{ns.CSI}'/>")
        quiet = f"<message to='bob@localhost/phone' type='chat'><x xmlns='test:x'/>{NO_STORE}</message>"
        self.tell(self.alice, *[quiet] * 7)
        self.phone.cut()

    def come_back(self, number: int = 15) -> Client:
        self.alice.take()
        phone, (resumed, *got) = self.reconnect("bob", self.token, 0)
        self.assertIn("<resumed ", resumed)
        self.assertEqual(len([xml for xml in got if xml != R]), number)
        self.world.settle()
        self.assertFalse(phone.closed or phone.transport.aborted)
        return phone

    def test_it_does_not_end_the_session(self) -> None:
        """It was cut right behind <resumed/>, and senders got errors for what the client had read"""
        phone = self.come_back()
        self.acknowledge(phone, 15)
        phone.cut()
        _, got = self.reconnect("bob", self.token, 15)
        self.assertIn("<resumed ", got[0])
        self.assertEqual(self.take(self.alice), [])

    def test_client_that_answers_at_once(self) -> None:
        """It was no longer resumable once it had said that it has nothing yet, or only some"""
        for h in (0, 1):
            phone, _ = self.reconnect("bob", self.token, h)
            self.acknowledge(phone, h)
            self.noise(1)
            self.acknowledge(phone, h)
            self.noise(1)
            phone.cut()
        _, got = self.reconnect("bob", self.token, 19)
        self.assertIn("<resumed ", got[0])

    def test_bound(self) -> None:
        """Nor is it more than that: whoever reads and never acknowledges cannot be resumed"""
        phone = self.come_back()
        self.noise(6)
        phone.cut()
        _, got = self.reconnect("bob", self.token, 15)
        self.assertEqual(got, [failed("item-not-found", 0)])

    def test_restart(self) -> None:
        """It was written down as if its time were over"""
        self.restart(after=5)
        self.alice = self.login("alice/home")
        # Alice's end at the stop was told as well.
        self.noise(1)
        self.acknowledge(self.come_back(17), 17)


class BytesTests(FullQueueCase):
    """The same for bytes."""

    settings = ("limits.sm_queue_bytes=4 KiB",)

    def large(self, *bodies: str, content: str = "") -> None:
        self.write(*bodies, content=f"<x xmlns='test:x'>{'x' * 1000}</x>{content}")

    def test_archived_messages(self) -> None:
        token = self.enable(self.phone)
        self.phone.cut()
        self.large(*map(str, range(10)))
        self.assertLessEqual(self.queue.kept_bytes, 4096)
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), [*map(str, range(10))])

    def test_others(self) -> None:
        lines = self.watch_log()
        self.enable(self.phone)
        self.large(*map(str, range(10)), content=NO_STORE)
        self.assertLessEqual(self.queue.kept_bytes, 4096)
        self.assertTrue(any("(sm_queue_bytes)" in line for line in lines()))
        self.assertEqual(len(self.bodies(self.phone)), 10)
        self.acknowledge(self.phone, 10)
        self.assertFalse(self.phone.closed)


class ManyTests(ServerCase):
    """Many sessions that wait, all of them full."""

    settings = ("limits.sm_queue=2",)
    users = tuple(f"u{number}" for number in range(80))

    def test_one_ends_after_the_other(self) -> None:
        """Each end is told to the others, which are full as well"""
        clients = [self.login(f"{name}/x") for name in self.users]
        keeper = self.world.server.hosts["localhost"].modules["roster"].keeper  # type: ignore[attr-defined]
        for name in self.users:
            roster = keeper.get(self.account(name))
            roster.audience = tuple(self.account(other) for other in self.users if other != name), ()
        live, *others = clients
        self.enable(live)
        live.take()
        for client in others:
            self.enable(client)
            client.cut()
        for status in ("one", "two", "three"):
            self.tell(live, f"<presence><status>{status}</status></presence>")
        self.assertEqual([name for name in self.users if self.account(name).sessions], ["u0"])
        self.assertEqual(live.take().count(" type='unavailable'"), 79)
        self.assertFalse(live.closed)
        self.assertIn(f"<a xmlns='{ns.SM}' h='3'/>", live.ask(R))
