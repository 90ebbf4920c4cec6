"""SASL2 (XEP-0388) over the whole server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.auth.helpers import Client as ScramClient
from tests.stream.pki import issue, save
from tests.stream.sasl2 import (
    AGENT,
    ENABLE,
    NONE,
    Answer,
    Sasl2Case,
    authenticate,
    bind,
    header,
    plain,
    proof,
)
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.stream.c2s import ClientStream
from xmppd.stream.listener import FEATURES
from xmppd.stream.tls import TLSContexts

LEGACY_BIND = f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'><resource>r</resource></bind></iq>"
REQUEST_TOKEN = f"<request-token xmlns='{ns.FAST}' mechanism='{NONE}'/>"


def failure(condition: str) -> str:
    return f"<failure xmlns='{ns.SASL2}'><{condition} xmlns='{ns.SASL}'/>"


class OfferTests(Sasl2Case):
    def test_offered_with_what_can_be_done_inline(self) -> None:
        """Section 2.1; SM S1 and S16: ``<sm/>`` stands inside before authentication, not beside."""
        offered = self.world.connect().open()
        inline = offered.partition(f"<authentication xmlns='{ns.SASL2}'>")[2].partition("</authentication>")[
            0
        ]
        self.assertTrue(inline.startswith("<mechanism>SCRAM-SHA-512</mechanism>"))
        self.assertIn(f"<bind xmlns='{ns.BIND2}'>", inline)
        self.assertIn(f"<sm xmlns='{ns.SM}'/>", inline)
        self.assertIn(f"<fast xmlns='{ns.FAST}'>", inline)
        self.assertNotIn("<sm ", offered.replace(inline, ""))

    def test_old_flow_stays(self) -> None:
        offered = self.world.connect().open()
        self.assertIn(f"<mechanisms xmlns='{ns.SASL}'>", offered)
        self.login("alice/old")

    def test_not_without_tls(self) -> None:
        """Section 4: it is not offered, and not taken."""
        stream, transport = self.without_tls()
        stream.dataReceived(header().encode())
        self.assertNotIn(ns.SASL2.encode(), transport.value())
        transport.clear()
        stream.dataReceived(authenticate("PLAIN", plain("alice")).encode())
        self.world.advance(1)
        self.assertIn(failure("encryption-required").encode(), transport.value())

    def without_tls(self) -> tuple[ClientStream, StringTransport]:
        stream, transport = ClientStream(self.world.server.services, FEATURES), StringTransport()
        transport.setTcpNoDelay = transport.setTcpKeepAlive = lambda enabled: None  # type: ignore[attr-defined]
        stream.makeConnection(transport)
        return stream, transport


class SuccessTests(Sasl2Case):
    def test_there_is_no_new_stream(self) -> None:
        """Section 2.6.1: features follow at once, and the client goes on in the same stream."""
        answer = self.enter("alice")
        self.assertEqual(answer.jid, "alice@localhost")
        self.assertNotIn("additional-data", answer.success)
        self.assertIn(f"<bind xmlns='{ns.BIND}'/>", answer.features)
        self.assertIn(f"<sm xmlns='{ns.SM}'/>", answer.features)
        self.assertNotIn("authentication", answer.features)
        self.assertEqual(answer.rest, [])
        self.assertIn("<jid>alice@localhost/r</jid>", self.client.ask(LEGACY_BIND))

    def test_stream_management_waits_for_a_resource(self) -> None:
        """SM S1: before authentication, and before a resource is bound, ``<enable/>`` fails."""
        failed = f"<failed xmlns='{ns.SM}'><unexpected-request xmlns='{ns.STANZA_ERRORS}'/></failed>"
        self.assertEqual(self.opened().ask(ENABLE), failed)
        self.enter("alice")
        self.assertEqual(self.client.ask(ENABLE), failed)
        self.client.ask(LEGACY_BIND)
        self.assertIn("<enabled ", self.client.ask(ENABLE))

    def test_limits_of_strangers_hold_no_longer(self) -> None:
        self.enter("alice", bind())
        body = "x" * 20_000
        self.client.send(
            f"<message to='alice@localhost' type='chat'><body>{body}</body></message><presence/>"
        )
        self.world.settle()
        self.assertFalse(self.client.closed)

    def test_scram_takes_two_steps(self) -> None:
        """With data in the success, and the hash of what was offered (XEP-0474).

        Tokens' mechanisms are none of those: a client that counts only what stands in ``<mechanism/>`` of
        ``<authentication/>`` would see an attack.
        """
        client = self.world.connect()
        offered = client.open().partition("<authentication")[2].partition("<inline>")[0]
        names = re.findall("<mechanism>([^<]*)</mechanism>", offered)
        scram = ScramClient("sha-256", "alice", "secret")
        initial = base64.b64encode(scram.first()).decode()
        answer = client.ask(authenticate("SCRAM-SHA-256", initial, bind(tag="t")))
        text = re.fullmatch(f"<challenge xmlns='{ns.SASL2}'>([^<]*)</challenge>", answer)
        assert text is not None, answer
        challenge = base64.b64decode(text[1])
        expected = hashlib.sha256("\x1e".join(sorted(names)).encode()).digest()
        self.assertEqual(scram.attributes(challenge)["h"], base64.b64encode(expected).decode())
        final = base64.b64encode(scram.final(challenge)).decode()
        success = Answer(client.ask(f"<response xmlns='{ns.SASL2}'>{final}</response>"))
        data = success.element(ns.SASL2, "additional-data")
        self.assertEqual(base64.b64decode(str(data)), scram.server_signature)
        self.assertTrue(success.jid.startswith("alice@localhost/t/"))

    def test_without_initial_response(self) -> None:
        """Section 2.2: an empty element stands for no bytes."""
        client = self.opened()
        self.assertEqual(
            client.ask(authenticate("PLAIN", None)), f"<challenge xmlns='{ns.SASL2}'></challenge>"
        )
        answer = Answer(client.ask(f"<response xmlns='{ns.SASL2}'>{plain('alice')}</response>"))
        self.assertEqual(answer.jid, "alice@localhost")

    def test_header_may_say_who_comes(self) -> None:
        for sender in ("alice@localhost/ignored", "ALICE@localhost"):
            client = self.opened(sender)
            self.assertEqual(Answer(client.ask(authenticate("PLAIN", plain("alice")))).jid, "alice@localhost")

    def test_empty_from_says_nothing(self) -> None:
        """Section 2.1"""
        client = self.world.connect()
        client.ask(header().replace(" to=", " from='' to="))
        self.assertEqual(Answer(client.ask(authenticate("PLAIN", plain("alice")))).jid, "alice@localhost")

    def test_second_login_on_a_stream_ends_it(self) -> None:
        """Section 5.7"""
        self.enter("alice")
        self.assertIn("<policy-violation", self.client.ask(authenticate("PLAIN", plain("alice"))))
        self.assertTrue(self.client.closed)


class GuestTests(Sasl2Case):
    settings = ("domains.localhost.anonymous=true",)

    def test_guest_gets_a_session_and_no_token(self) -> None:
        client = self.opened()
        answer = Answer(client.ask(authenticate("ANONYMOUS", None, bind(ENABLE), REQUEST_TOKEN)))
        self.assertTrue(answer.jid.endswith("@localhost" + answer.jid[answer.jid.index("/") :]))
        self.assertEqual(answer.token, "")
        self.assertIsNotNone(answer.bound(ns.SM, "enabled"))


class FailureTests(Sasl2Case):
    def setUp(self) -> None:
        super().setUp()
        self.client = self.opened()

    def test_nothing_inline_is_done(self) -> None:
        """Section 2.6.2; SM S20: inline features of a failed authentication are not processed."""
        old = self.login("alice/old")
        token = self.enable(old)
        parts = (f"<resume xmlns='{ns.SM}' previd='{token}' h='0'/>", bind(ENABLE), REQUEST_TOKEN)
        answer = self.fails(authenticate("PLAIN", plain("alice", "wrong"), *parts))
        self.assertTrue(answer.startswith(failure("not-authorized")), answer)
        self.assertTrue(answer.endswith("</failure>"))
        self.assertFalse(old.closed)
        self.assertEqual(len(self.account("alice").sessions), 1)
        tokens = self.world.server.hosts["localhost"].tokens
        assert tokens is not None
        self.assertEqual(self.world.wait_for(tokens.find("alice", AGENT)), [])

    def test_stream_goes_on_after_a_failure(self) -> None:
        self.fails(authenticate("PLAIN", plain("alice", "wrong")))
        answer = self.say(authenticate("PLAIN", plain("alice"), bind()))
        self.assertTrue(answer.jid.startswith("alice@localhost/"))

    def test_account_that_does_not_exist_answers_the_same(self) -> None:
        wrong = self.fails(authenticate("PLAIN", plain("alice", "wrong")))
        self.client = self.opened()
        self.assertEqual(self.fails(authenticate("PLAIN", plain("nobody", "wrong"))), wrong)

    def test_mechanism_that_was_not_offered(self) -> None:
        for name in ("X-NEW", "SCRAM-SHA-1-PLUS", "HT-SHA-256-EXPR", "ANONYMOUS", ""):
            client = self.opened()
            request = authenticate(name, proof("alice", "t"), f"<fast xmlns='{ns.FAST}'/>")
            self.assertIn(failure("invalid-mechanism"), self.fails(request, client), name)

    def test_response_that_is_no_base64(self) -> None:
        self.assertIn(failure("incorrect-encoding"), self.fails(authenticate("PLAIN", "=x=")))

    def test_somebody_else_opened_the_stream(self) -> None:
        """Section 2.3"""
        for sender in ("bob@localhost", "@"):
            client = self.opened(sender)
            answer = self.fails(authenticate("PLAIN", plain("alice"), bind()), client)
            self.assertIn(failure("invalid-authzid"), answer)
        self.assertEqual(self.account("alice").sessions, [])

    def test_failures_count_together_with_those_of_sasl(self) -> None:
        wrong = plain("alice", "wrong")
        self.assertIn(
            "<not-authorized", self.fails(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{wrong}</auth>")
        )
        token = authenticate(NONE, proof("alice", "wrong"), f"<fast xmlns='{ns.FAST}'/>")
        for request in (token, authenticate("PLAIN", wrong), token):
            self.assertFalse(self.client.closed)
            self.assertIn(failure("not-authorized"), self.fails(request))
        self.assertIn("auth_failures_per_stream", self.fails(authenticate("PLAIN", wrong)))
        self.assertTrue(self.client.closed)

    def test_abort(self) -> None:
        self.client.ask(authenticate("PLAIN", None))
        answer = self.client.ask(f"<abort xmlns='{ns.SASL2}'><text>No</text></abort>")
        self.assertIn(failure("aborted"), answer)
        self.assertEqual(self.say(authenticate("PLAIN", plain("alice"))).jid, "alice@localhost")

    def test_response_without_a_challenge_ends_the_stream(self) -> None:
        self.assertIn("<not-authorized", self.client.ask(f"<response xmlns='{ns.SASL2}'/>"))
        self.assertTrue(self.client.closed)

    def test_anything_else_in_between_ends_the_stream(self) -> None:
        """Section 2.4"""
        others = (
            "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
            LEGACY_BIND,
            "<message/>",
            f"<r xmlns='{ns.SM}'/>",
            ENABLE,
            f"<response xmlns='{ns.SASL}'>{plain('alice')}</response>",
            f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{plain('alice')}</auth>",
            authenticate("PLAIN", plain("alice")),
        )
        for other in others:
            client = self.opened()
            client.ask(authenticate("PLAIN", None))
            self.assertIn("<policy-violation", client.ask(other), other)
            self.assertTrue(client.closed)

    def test_old_response_does_not_answer_a_new_challenge(self) -> None:
        """And the other way round: each exchange belongs to one of the two."""
        self.client.ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'/>")
        self.assertIn(
            "<policy-violation", self.client.ask(f"<response xmlns='{ns.SASL2}'>{plain('alice')}</response>")
        )

    def test_password_that_was_changed_during_the_exchange(self) -> None:
        """Whoever keeps an exchange open must not come in with the old password afterwards."""
        for namespace, begin in (
            (ns.SASL2, authenticate("SCRAM-SHA-1", "{}", bind(), REQUEST_TOKEN)),
            (ns.SASL, f"<auth xmlns='{ns.SASL}' mechanism='SCRAM-SHA-1'>{{}}</auth>"),
        ):
            client, scram = self.opened(), ScramClient("sha-1", "alice", "secret")
            answer = client.ask(begin.replace("{}", base64.b64encode(scram.first()).decode()))
            challenge = base64.b64decode(answer.partition(">")[2].partition("<")[0])
            accounts = self.world.server.accounts
            self.world.wait_for(accounts.set_password(JID.parse("alice@localhost"), "new"))
            final = base64.b64encode(scram.final(challenge)).decode()
            answer = self.fails(f"<response xmlns='{namespace}'>{final}</response>", client)
            self.assertIn("<credentials-expired", answer)
            self.world.wait_for(accounts.set_password(JID.parse("alice@localhost"), "secret"))
            self.world.advance(1)

    def test_account_that_was_made_anew_during_the_exchange(self) -> None:
        """The password of the former account of that name is worth nothing, whenever the exchange began."""
        client, scram = self.opened(), ScramClient("sha-1", "alice", "secret")
        initial = base64.b64encode(scram.first()).decode()
        answer = client.ask(authenticate("SCRAM-SHA-1", initial, bind()))
        challenge = base64.b64decode(answer.partition(">")[2].partition("<")[0])
        accounts, alice = self.world.server.accounts, JID.parse("alice@localhost")
        for change in (accounts.remove(alice), accounts.release(alice), accounts.create(alice, "new")):
            self.world.wait_for(change)
        final = base64.b64encode(scram.final(challenge)).decode()
        answer = self.fails(f"<response xmlns='{ns.SASL2}'>{final}</response>", client)
        self.assertIn("<credentials-expired", answer)


class EarlyDataTests(SynchronousTestCase):
    def test_no_early_data(self) -> None:
        """SM S20, XEP-0388 section 4: what TLS 1.3 could replay is never accepted.

        A client may send early data only along with a ticket that allows it; those of this server do not.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        contexts = TLSContexts({"a.example": save(folder, "a.example", issue(["a.example"]))})
        self.assertEqual(self.early_data(contexts), 0)
        # It is seen where it is allowed.
        allow = SSL._lib.SSL_CTX_set_max_early_data  # type: ignore[attr-defined]
        allow(contexts.context()._context, 1000)
        self.assertEqual(self.early_data(contexts), 1000)

    def early_data(self, contexts: TLSContexts) -> int:
        """Bytes of early data that a ticket allows."""
        server = contexts.direct.serverConnectionForTLS(None)
        server.set_accept_state()
        client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        client.set_connect_state()
        self.talk(client, server)
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.3")
        session = client.get_session()
        assert session is not None
        allowed: int = SSL._lib.SSL_SESSION_get_max_early_data(session._session)  # type: ignore[attr-defined]
        return allowed

    def talk(self, client: SSL.Connection, server: SSL.Connection) -> None:
        """Shake hands, and let the tickets come."""
        for one, other in ((client, server), (server, client)) * 3:
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(1 << 16))
        with contextlib.suppress(SSL.WantReadError):
            client.recv(1)
