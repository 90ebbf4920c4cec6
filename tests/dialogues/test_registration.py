"""Accounts in-band: made by strangers where the domain is open, changed and removed by their users."""

from __future__ import annotations

import base64
from typing import Any

from tests.modules.conversation import Conversation, split
from xmppd.core.jid import JID
from xmppd.storage import accounts
from xmppd.storage.errors import StorageError
from xmppd.testing import Client

REGISTER = "jabber:iq:register"


def query(content: str, kind: str = "set", to: str = "") -> str:
    addressee = f" to='{to}'" if to else ""
    return f"<iq type='{kind}' id='r1'{addressee}><query xmlns='{REGISTER}'>{content}</query></iq>"


def filled_in(name: str, password: str = "Calliope") -> str:
    return query(f"<username>{name}</username><password>{password}</password>")


class OpenDomain(Conversation):
    settings = ('domains."example.org".registration=true', "limits.registrations_per_address=2")

    def stranger(self) -> Client:
        client = self.server.connect()
        self.header = client.open("example.org")
        return client

    def test_from_the_offer_to_the_login(self) -> None:
        stranger = self.stranger()
        self.assertIn("<register xmlns='http://jabber.org/features/iq-register'/>", self.header)
        form = stranger.ask(query("", "get"))
        self.assertIn("<username/><password/>", form)
        self.assertEqual(stranger.ask(filled_in("bill")), "<iq type='result' id='r1'/>")
        self.server.login("bill@example.org/globe", "Calliope")

    def test_on_the_same_stream(self) -> None:
        stranger = self.stranger()
        stranger.ask(filled_in("bill"))
        secret = base64.b64encode(b"\0bill\0Calliope").decode()
        answer = stranger.ask(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        )
        self.assertIn("<success ", answer)
        stranger.open("example.org")
        self.assertEqual(stranger.bind("globe"), "bill@example.org/globe")

    def test_a_name_that_is_taken(self) -> None:
        self.account("bill")
        answer = self.stranger().ask(filled_in("Bill"))
        self.assertIn("<error type='cancel'><conflict ", answer)
        self.assertNotIn("Calliope", answer)

    def test_a_database_that_stores_nothing(self) -> None:
        stranger = self.stranger()

        async def broken(*_: object) -> None:
            raise StorageError("disk full")

        self.patch(self.server.server.accounts, "create", broken)
        self.assertIn("<error type='cancel'><internal-server-error ", stranger.ask(filled_in("bill")))
        self.assertEqual(len(self.flushLoggedErrors(StorageError)), 1)
        self.assertIn("<instructions>", stranger.ask(query("", "get")))

    def test_a_name_that_was_removed_is_not_given_out_again(self) -> None:
        self.account("bill")
        directory = self.server.server.accounts
        self.server.wait_for(directory.remove(JID.parse("bill@example.org")))
        self.assertIn("<conflict ", self.stranger().ask(filled_in("bill")))
        self.server.wait_for(directory.release(JID.parse("bill@example.org")))
        self.assertIn("type='result'", self.stranger().ask(filled_in("bill")))

    def test_bad_passwords(self) -> None:
        self.assertIn("<not-acceptable ", self.stranger().ask(filled_in("bill", "")))
        self.assertIn("<not-acceptable ", self.stranger().ask(filled_in("bill", "x" * 1025)))

    def test_too_many(self) -> None:
        for name in ("a", "b"):
            self.assertIn("type='result'", self.stranger().ask(filled_in(name)))
        self.assertIn("<error type='wait'><resource-constraint ", self.stranger().ask(filled_in("c")))


class ClosedDomain(Conversation):
    def test_strangers_are_turned_away(self) -> None:
        """XEP-0077, section 3.1: as by a host that does not have it"""
        client = self.server.connect()
        self.assertNotIn("iq-register", client.open("example.org"))
        for kind in ("get", "set"):
            self.assertIn("<error type='cancel'><service-unavailable ", client.ask(query("", kind)))

    def test_another_password(self) -> None:
        bill = self.user("bill/globe")
        self.assertEqual(
            bill.ask(query("<username>bill</username><password>newpass</password>", to="example.org")),
            ["<iq from='example.org' to='bill@example.org/globe' type='result' id='r1'/>"],
        )
        self.server.login("bill@example.org/other", "newpass")
        self.assertRaises(AssertionError, self.server.login, "bill@example.org/old", "secret")

    def test_removal(self) -> None:
        """The answer comes, then the streams of all resources end."""
        self.befriend("bill", "juliet")
        bill, other, juliet = self.user("bill/globe"), self.user("bill/home"), self.user("juliet/balcony")
        for user in (bill, other, juliet):
            user.take()
        bill.send(query("<remove/>"))
        self.server.settle()
        sent = bill.client.take()
        self.assertIn("<iq from='bill@example.org' to='bill@example.org/globe' type='result' id='r1'/>", sent)
        self.assertLess(sent.index("type='result'"), sent.index("<not-authorized "))
        self.assertIn("<not-authorized ", other.client.take())
        self.assertTrue(bill.client.closed)
        self.assertIsNone(self.server.server.registry.account(JID.parse("bill@example.org")))
        self.assertIn("type='unsubscribed'", "".join(juliet.take()))
        self.assertRaises(AssertionError, self.server.login, "bill@example.org/globe", "secret")

    def test_nothing_is_left_of_a_removed_account(self) -> None:
        """Also where the client counts stanzas, and has sent more behind its request"""
        self.befriend("bill", "juliet")
        bill, juliet = self.user("bill/globe"), self.user("juliet/balcony")
        number = self.account("bill").id
        bill.ask("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        bill.send("<message to='juliet@example.org' type='chat'><body>a</body></message>")
        bill.ask(
            "<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='a.example'/></block></iq>"
        )
        juliet.take()
        bill.send(
            query("<remove/>")
            + "<message to='juliet@example.org' type='chat'><body>b</body></message>"
            + "<presence to='juliet@example.org' type='subscribe'/>"
            + "<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='a.example'/></query></iq>"
        )
        self.server.advance(2)
        got = "".join(juliet.take())
        self.assertIn("type='unsubscribed'", got)
        self.assertNotIn("type='subscribe'", got)
        self.assertNotIn("<body>", got)

        def left(cursor: Any) -> list[str]:
            tables = (*accounts.OWNED, "archive")
            return [table for table in tables if self.rows(cursor, table, number)]

        self.assertEqual(self.server.wait_for(self.server.database.read("left", left)), [])
        self.server.wait_for(self.server.server.accounts.release(JID.parse("bill@example.org")))
        self.server.add_user("bill@example.org")

    @staticmethod
    def rows(cursor: Any, table: str, number: int | None) -> int:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE account = ?", (number,))
        return int(cursor.fetchone()[0])

    def test_what_is_registered(self) -> None:
        (answer,) = self.user("bill/globe").ask(query("", "get"))
        self.assertIn("<registered/><username>bill</username>", answer)
        self.assertEqual(len(split(answer)), 1)
