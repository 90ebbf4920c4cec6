"""A client that returns is back in one round trip after TLS: over a real socket, against the real server."""

from __future__ import annotations

from itertools import count

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests.dialogues.case import attribute
from tests.stream.sasl2 import ENABLE, NONE, Answer, authenticate, bind, header, plain, proof
from tests.support.round_trip import PipeliningClient
from tests.support.server import shared_server
from xmppd.core import ns

FAST = f"<fast xmlns='{ns.FAST}'/>"
FEATURES_END = "</stream:features>"
MECHANISMS = ("HT-SHA-256-EXPR", "HT-SHA-256-ENDP", NONE)

_numbers = count(1)


class RoundTripTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = shared_server()
        self.name = f"returning{next(_numbers)}"
        self.server.add_account(self.name, "secret")

    def connect(self, version: int = SSL.TLS1_3_VERSION) -> PipeliningClient:
        client = PipeliningClient(self.server.direct_tls_port, version)
        self.addCleanup(client.cut)
        return client

    def first_time(self, mechanism: str) -> Answer:
        """Log in with a password, bind, and get a token."""
        client = self.connect()
        request = f"<request-token xmlns='{ns.FAST}' mechanism='{mechanism}'/>"
        client.send(header() + authenticate("PLAIN", plain(self.name), bind(ENABLE), request))
        client.read_until(FEATURES_END)
        answer = Answer(client.read_until(FEATURES_END))
        client.cut()
        return answer

    def token_login(self, client: PipeliningClient, token: str, mechanism: str, *parts: str) -> str:
        return authenticate(mechanism, proof(self.name, token, client.binding(mechanism)), FAST, *parts)

    def test_resumes(self) -> None:
        """SM S16: header, login with a token, resumption and a message in one flight; then the answers."""
        for mechanism in MECHANISMS:
            first = self.first_time(mechanism)
            previous = attribute(first.success.partition("<enabled")[2], "id")
            client = self.connect()
            resume = f"<resume xmlns='{ns.SM}' previd='{previous}' h='0'/>"
            message = f"<message to='{first.jid}' id='self'><body>Back</body></message>"
            client.send(
                header(sender=f"{self.name}@localhost")
                + self.token_login(client, first.token, mechanism, resume)
                + f"{message}<r xmlns='{ns.SM}'/>"
            )
            client.read_until(FEATURES_END)
            answer = Answer(client.read_until("h='1'/>"))
            self.assertEqual(answer.jid, first.jid)
            self.assertIsNotNone(answer.element(ns.SM, "resumed"))
            self.assertEqual(answer.features, "")
            self.assertIn("<body>Back</body>", answer.text)
            self.assertEqual(client.flights, 1)

    def test_binds_anew(self) -> None:
        """Also where the session is gone: up to the answer to the first request."""
        for mechanism in MECHANISMS:
            first = self.first_time(mechanism)
            client = self.connect()
            resume = f"<resume xmlns='{ns.SM}' previd='gone' h='0'/>"
            ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
            client.send(
                header()
                + self.token_login(client, first.token, mechanism, resume, bind(ENABLE))
                + f"{ping}<r xmlns='{ns.SM}'/>"
            )
            client.read_until(FEATURES_END)
            answer = Answer(client.read_until("h='1'/>"))
            self.assertEqual(answer.jid, first.jid)
            self.assertIsNotNone(answer.element(ns.SM, "failed"))
            self.assertIsNotNone(answer.bound(ns.SM, "enabled"))
            self.assertIn("id='p'", answer.rest[0])
            self.assertEqual(client.flights, 1)

    def test_proof_is_worth_nothing_on_another_connection(self) -> None:
        """With the exporter each connection has a proof of its own."""
        token = self.first_time("HT-SHA-256-EXPR").token
        replayed = self.token_login(self.connect(), token, "HT-SHA-256-EXPR", bind())
        client = self.connect()
        client.send(header() + replayed)
        client.read_until(FEATURES_END)
        self.assertIn("<not-authorized", client.read_until("</failure>", FEATURES_END))

    def test_exporter_needs_tls_1_3(self) -> None:
        client = self.connect(SSL.TLS1_2_VERSION)
        client.send(header())
        offered = client.read_until(FEATURES_END)
        self.assertIn("HT-SHA-256-ENDP", offered)
        self.assertNotIn("HT-SHA-256-EXPR", offered)
