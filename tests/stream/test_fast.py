"""FAST (XEP-0484) over the whole server, and a client that is back in one round trip."""

from __future__ import annotations

import base64
import hmac
import sqlite3
from pathlib import Path
from unittest.mock import patch

from tests.dialogues.case import attribute
from tests.stream.sasl2 import (
    AGENT,
    CARBONS,
    ENABLE,
    NONE,
    OTHER_AGENT,
    Answer,
    Sasl2Case,
    authenticate,
    bind,
    header,
    plain,
    proof,
)
from xmppd.auth.channel_binding import TLS_EXPORTER, TLS_SERVER_END_POINT
from xmppd.auth.fast import LIFETIME, ROTATE_AFTER
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.storage.errors import FaultError
from xmppd.testing import Client

ENDP, EXPR = "HT-SHA-256-ENDP", "HT-SHA-256-EXPR"
FAST = f"<fast xmlns='{ns.FAST}'/>"
INVALIDATE = f"<fast xmlns='{ns.FAST}' invalidate='true'/>"
BINDINGS = {TLS_EXPORTER: b"key of this connection", TLS_SERVER_END_POINT: b"hash of the certificate"}


def request_token(mechanism: str = NONE) -> str:
    return f"<request-token xmlns='{ns.FAST}' mechanism='{mechanism}'/>"


def with_token(
    token: str, *parts: str, mechanism: str = NONE, binding: bytes = b"", agent: str = AGENT
) -> str:
    """A request to log in as Alice with a token."""
    return authenticate(mechanism, proof("alice", token, binding), *(parts or (FAST,)), agent=agent)


class FastCase(Sasl2Case):
    def setUp(self) -> None:
        super().setUp()
        self.token = self.enter("alice", request_token()).token
        self.client.close()

    def come_back(self, token: str, *parts: str, mechanism: str = NONE, agent: str = AGENT) -> Answer:
        """Log in with a token on a new connection."""
        self.client = self.opened()
        return self.say(with_token(token, *parts, mechanism=mechanism, agent=agent))

    def refused(self, token: str, *parts: str, agent: str = AGENT, mechanism: str = NONE) -> str:
        """The condition with which such a login fails."""
        client = self.opened()
        answer = self.fails(with_token(token, *parts, agent=agent, mechanism=mechanism), client)
        client.close()
        return answer.partition(f"<failure xmlns='{ns.SASL2}'><")[2].partition(" ")[0]


class OfferTests(FastCase):
    def test_mechanisms_follow_from_the_connection(self) -> None:
        """Section 3.1: with a channel binding where there is one."""
        self.assertEqual(self.offered(), f"<mechanism>{NONE}</mechanism>")
        with patch("xmppd.stream.features.fast.available_bindings", lambda stream: BINDINGS):
            names = "".join(f"<mechanism>{name}</mechanism>" for name in (EXPR, ENDP, NONE))
            self.assertEqual(self.offered(), names)

    def offered(self) -> str:
        text = self.world.connect().open()
        return text.partition(f"<fast xmlns='{ns.FAST}'>")[2].partition("</fast>")[0]

    def test_early_data_is_not_offered(self) -> None:
        """SM S20, section 3.1: without ``tls-0rtt`` nobody may send it (`EarlyDataTests` shows the rest)."""
        self.assertNotIn("tls-0rtt", self.world.connect().open())

    def test_not_in_the_old_profile(self) -> None:
        client = self.opened()
        answer = self.fails(
            f"<auth xmlns='{ns.SASL}' mechanism='{NONE}'>{proof('alice', self.token)}</auth>", client
        )
        self.assertIn("<invalid-mechanism", answer)


class TokenTests(FastCase):
    def test_logs_in(self) -> None:
        answer = self.come_back(self.token)
        self.assertEqual(answer.jid, "alice@localhost")
        data = answer.element(ns.SASL2, "additional-data")
        expected = hmac.digest(self.token.encode(), b"Responder", "sha256")
        self.assertEqual(base64.b64decode(str(data)), expected)
        self.assertEqual(answer.token, "")

    def test_logs_in_again_and_again(self) -> None:
        for _ in range(3):
            self.assertEqual(self.come_back(self.token).jid, "alice@localhost")

    def test_survives_a_restart(self) -> None:
        self.restart()
        self.assertEqual(self.come_back(self.token).jid, "alice@localhost")

    def test_says_when_it_expires(self) -> None:
        answer = self.enter("alice", request_token())
        element = answer.element(ns.FAST, "token")
        assert element is not None
        self.assertTrue(element["expiry"].startswith("2026-01-22T00:00:0"), element["expiry"])
        self.assertTrue(element["expiry"].endswith("Z"))

    def test_bound_to_client_account_and_mechanism(self) -> None:
        self.assertEqual(self.refused(self.token, agent=OTHER_AGENT), "not-authorized")
        client = self.opened()
        answer = self.fails(authenticate(NONE, proof("bob", self.token), FAST), client)
        self.assertIn("<not-authorized", answer)
        with patch("xmppd.stream.features.fast.available_bindings", lambda stream: BINDINGS):
            self.assertEqual(self.refused(self.token, mechanism=ENDP), "not-authorized")

    def test_channel_binding(self) -> None:
        with patch("xmppd.stream.features.fast.available_bindings", lambda stream: BINDINGS):
            for mechanism, kind in ((ENDP, TLS_SERVER_END_POINT), (EXPR, TLS_EXPORTER)):
                token = self.enter("alice", request_token(mechanism)).token
                self.client = self.opened()
                answer = self.say(with_token(token, mechanism=mechanism, binding=BINDINGS[kind]))
                self.assertEqual(answer.jid, "alice@localhost")
                self.assertEqual(self.refused(token, mechanism=mechanism), "not-authorized")
                # Without the binding it is worth nothing (section 3.4).
                self.assertEqual(self.refused(token), "not-authorized")

    def test_mechanism_that_was_not_offered_gets_no_token(self) -> None:
        for name in (EXPR, "SCRAM-SHA-1", ""):
            self.assertEqual(self.enter("alice", request_token(name)).token, "", name)

    def test_client_without_an_id_gets_no_token(self) -> None:
        self.assertEqual(self.enter("alice", request_token(), agent="").token, "")
        self.assertEqual(self.enter("alice", request_token(), agent="x" * 65).token, "")

    def test_needs_fast_and_the_id_of_the_client(self) -> None:
        self.assertEqual(self.refused(self.token, bind()), "malformed-request")
        self.assertEqual(self.refused(self.token, agent=""), "malformed-request")

    def test_count_has_no_use_without_early_data(self) -> None:
        for count in ("2", "1"):
            fast = f"<fast xmlns='{ns.FAST}' count='{count}'/>"
            self.assertEqual(self.come_back(self.token, fast).jid, "alice@localhost")

    def test_token_itself_is_not_stored(self) -> None:
        self.world.settle()
        path = Path(self.world.config.server.database.removeprefix("sqlite:"))
        with sqlite3.connect(path) as database:
            self.assertTrue(database.execute("SELECT count(*) FROM token").fetchone()[0])
        for file in path.parent.glob(f"{path.name}*"):
            stored = file.read_bytes()
            self.assertNotIn(self.token.encode(), stored)
            self.assertNotIn(self.token.encode().hex().encode(), stored.lower())

    def test_token_is_not_logged(self) -> None:
        lines = self.watch_log()
        answer = self.enter("alice", request_token())
        self.refused("wrong" + answer.token)
        self.assertNotIn(answer.token, "\n".join(lines()))


class RotationTests(FastCase):
    """Section 3.5"""

    def test_new_one_when_it_is_time(self) -> None:
        self.world.advance(ROTATE_AFTER - 60)
        self.assertEqual(self.come_back(self.token).token, "")
        self.world.advance(60)
        self.assertNotIn(self.come_back(self.token).token, ("", self.token))

    def test_old_one_is_good_until_the_new_one_is_used(self) -> None:
        self.come_back(self.token)
        self.world.advance(ROTATE_AFTER)
        newer = self.come_back(self.token).token
        self.assertEqual(self.come_back(newer).jid, "alice@localhost")
        self.assertEqual(self.refused(self.token), "not-authorized")

    def test_new_one_that_never_arrived(self) -> None:
        self.come_back(self.token)
        self.world.advance(ROTATE_AFTER)
        lost = self.come_back(self.token).token
        newer = self.come_back(self.token).token
        self.assertNotIn(newer, ("", lost))
        self.assertEqual(self.refused(lost), "not-authorized")
        self.assertEqual(self.come_back(newer).jid, "alice@localhost")

    def test_new_one_for_the_asking(self) -> None:
        newer = self.come_back(self.token, FAST, request_token()).token
        self.assertNotIn(newer, ("", self.token))

    def test_expires(self) -> None:
        self.world.advance(LIFETIME + 1)
        self.assertEqual(self.refused(self.token), "credentials-expired")
        self.assertEqual(self.enter("alice", bind()).jid.partition("/")[0], "alice@localhost")

    def test_each_client_has_its_own(self) -> None:
        other = self.enter("alice", request_token(), agent=OTHER_AGENT).token
        self.assertEqual(self.come_back(self.token).jid, "alice@localhost")
        self.assertEqual(self.come_back(other, agent=OTHER_AGENT).jid, "alice@localhost")


class RevocationTests(FastCase):
    def set_password(self, password: str) -> None:
        accounts = self.world.server.accounts
        self.world.wait_for(accounts.set_password(JID.parse("alice@localhost"), password))

    def test_client_revokes_its_token(self) -> None:
        """Section 3.6; and it gets no other one, though it is time."""
        self.world.advance(ROTATE_AFTER)
        answer = self.come_back(self.token, INVALIDATE)
        self.assertEqual((answer.jid, answer.token), ("alice@localhost", ""))
        self.assertEqual(self.refused(self.token), "not-authorized")

    def test_unless_it_asks_for_another_one(self) -> None:
        newer = self.come_back(self.token, INVALIDATE, request_token()).token
        self.assertEqual(self.refused(self.token), "not-authorized")
        self.assertEqual(self.come_back(newer).jid, "alice@localhost")

    def test_login_with_a_password_revokes_nothing(self) -> None:
        self.enter("alice", INVALIDATE)
        self.assertEqual(self.come_back(self.token).jid, "alice@localhost")

    def test_wrong_token_revokes_nothing(self) -> None:
        self.assertEqual(self.refused("wrong", INVALIDATE), "not-authorized")
        self.assertEqual(self.come_back(self.token).jid, "alice@localhost")

    def test_new_password_revokes_all(self) -> None:
        self.set_password("new")
        self.assertEqual(self.refused(self.token), "not-authorized")

    def test_password_that_changes_while_the_token_is_made(self) -> None:
        """The new token must not outlive the old password."""
        tokens = self.world.server.hosts["localhost"].tokens
        assert tokens is not None
        change = tokens.change

        async def slowly(*args: object, **more: object) -> None:
            await self.world.server.accounts.set_password(JID.parse("alice@localhost"), "new")
            await change(*args, **more)  # type: ignore[arg-type]

        client = self.opened()
        with patch.object(tokens, "change", slowly):
            client.send(authenticate("PLAIN", plain("alice"), request_token()))
            for _ in range(30):
                self.world.advance(0.1)
        self.assertIn("<credentials-expired", client.take())
        self.assertEqual(self.world.wait_for(tokens.find("alice", AGENT)), [])

    def test_disabled_account(self) -> None:
        accounts = self.world.server.accounts
        self.world.wait_for(accounts.set_enabled(JID.parse("alice@localhost"), False))
        self.assertEqual(self.refused(self.token), "account-disabled")

    def test_removed_account(self) -> None:
        self.world.wait_for(self.world.server.accounts.remove(JID.parse("alice@localhost")))
        self.assertEqual(self.refused(self.token), "not-authorized")


class StoreTests(FastCase):
    def test_store_that_fails(self) -> None:
        """No success without the token that was promised, and nothing inline is done."""
        tokens = self.world.server.hosts["localhost"].tokens

        async def fail(*args: object, **more: object) -> None:
            raise FaultError("disk full")

        for name, request in (
            ("change", authenticate("PLAIN", plain("alice"), request_token(), bind())),
            ("find", with_token(self.token, FAST, bind())),
        ):
            with patch.object(tokens, name, fail):
                answer = self.fails(request, self.opened())
            self.assertIn("<temporary-auth-failure", answer)
            self.assertNotIn("disk", answer)
            self.assertEqual(len(self.flushLoggedErrors(FaultError)), 1)
        self.assertEqual(self.account("alice").sessions, [])


class OneRoundTripTests(FastCase):
    """SM S16: all that a client says at once, and all that it is answered."""

    def setUp(self) -> None:
        super().setUp()
        answer = self.come_back(self.token, FAST, bind(ENABLE, CARBONS, tag="App"))
        self.jid, self.previous = answer.jid, self.sm_token(answer)
        self.client.ask("<presence/>")
        self.bob = self.login("bob/desk")

    def back(self, h: int, *parts: str, previous: str = "") -> Answer:
        """Everything in one write; the answer behind the header and the first features."""
        self.client = self.world.connect()
        resume = f"<resume xmlns='{ns.SM}' previd='{previous or self.previous}' h='{h}'/>"
        text = header(sender="alice@localhost")
        self.client.send(text + with_token(self.token, FAST, resume, *parts))
        self.world.settle()
        return Answer(self.client.take().partition("</stream:features>")[2])

    def message(self, body: str) -> None:
        self.tell(self.bob, f"<message to='alice@localhost' type='chat'><body>{body}</body></message>")

    def test_resumed(self) -> None:
        """No features follow, the stream goes on: what was lost, then what is new."""
        self.client.cut()
        self.message("1")
        answer = self.back(1)
        self.assertEqual(answer.jid, self.jid)
        resumed = answer.element(ns.SM, "resumed")
        assert resumed is not None
        self.assertEqual((resumed["previd"], resumed["h"]), (self.previous, "1"))
        self.assertEqual(answer.features, "")
        self.assertEqual([part.split(" ")[0] for part in answer.rest], ["<message", "<r"])
        self.message("2")
        self.assertEqual(self.bodies(self.client), ["2"])

    def test_binding_is_ignored_when_resumed(self) -> None:
        self.client.cut()
        answer = self.back(1, bind(ENABLE, tag="New"))
        self.assertEqual(answer.jid, self.jid)
        self.assertIsNone(answer.element(ns.BIND2, "bound"))
        self.assertEqual(len(self.account("alice").sessions), 1)

    def test_stanza_behind_the_request_is_the_sessions(self) -> None:
        self.client.cut()
        self.client = self.world.connect()
        resume = f"<resume xmlns='{ns.SM}' previd='{self.previous}' h='1'/>"
        request = with_token(self.token, FAST, resume)
        behind = "<message to='bob@localhost' type='chat'><body>Back</body></message>"
        self.client.send(header() + request + behind + f"<r xmlns='{ns.SM}'/>")
        self.world.settle()
        self.assertTrue(self.client.take().endswith(f"<a xmlns='{ns.SM}' h='2'/>"))
        self.assertEqual(self.bodies(self.bob), ["Back"])

    def test_token_comes_along_with_a_resumption(self) -> None:
        self.world.advance(ROTATE_AFTER)
        answer = self.enter("alice", bind(ENABLE))
        previous = self.sm_token(answer)
        self.client.cut()
        answer = self.back(0, previous=previous)
        self.assertIsNotNone(answer.element(ns.SM, "resumed"))
        self.assertNotIn(answer.token, ("", self.token))

    def test_resumption_that_fails(self) -> None:
        """``<failed/>`` stands in ``<success/>``, with ``h``, and the binding follows."""
        self.client.cut()
        self.world.advance(601)
        answer = self.back(1, bind(ENABLE, tag="App"))
        failed = answer.element(ns.SM, "failed")
        assert failed is not None
        self.assertEqual((failed["h"], [part.name for part in failed.elements()]), ("1", ["item-not-found"]))
        self.assertEqual(answer.jid, self.jid)
        enabled = answer.bound(ns.SM, "enabled")
        assert enabled is not None
        self.assertNotEqual(enabled["id"], self.previous)
        self.assertNotEqual(answer.features, "")

    def test_resumption_that_fails_without_binding(self) -> None:
        answer = self.back(1, previous="unknown")
        self.assertEqual(answer.jid, "alice@localhost")
        self.assertIn("<item-not-found", answer.success)
        self.assertIn(f"<bind xmlns='{ns.BIND}'/>", answer.features)

    def test_h_that_is_no_number(self) -> None:
        self.client.cut()
        resume = f"<resume xmlns='{ns.SM}' previd='{self.previous}' h='x'/>"
        answer = self.come_back(self.token, FAST, resume)
        self.assertIn(f"<failed xmlns='{ns.SM}'><bad-request ", answer.success)

    def test_more_acknowledged_than_sent(self) -> None:
        """SM S14; the session stays."""
        self.client.cut()
        client = self.opened()
        resume = f"<resume xmlns='{ns.SM}' previd='{self.previous}' h='99'/>"
        answer = client.ask(with_token(self.token, FAST, resume, bind()))
        self.assertIn("<handled-count-too-high", answer)
        self.assertNotIn("<success", answer)
        self.assertTrue(client.closed)
        self.assertEqual(len(self.account("alice").sessions), 1)

    def test_session_of_somebody_else(self) -> None:
        """SM S17"""
        self.client.cut()
        resume = f"<resume xmlns='{ns.SM}' previd='{self.previous}' h='0'/>"
        answer = self.enter("bob", resume)
        self.assertIn("<item-not-found", answer.success)
        self.assertEqual(answer.jid, "bob@localhost")

    def test_connection_that_still_looks_alive(self) -> None:
        """SM S12: it ends with ``conflict``."""
        old: Client = self.client
        answer = self.back(1)
        self.assertIsNotNone(answer.element(ns.SM, "resumed"))
        self.assertIn("<conflict", old.take())
        self.message("1")
        self.assertEqual(self.bodies(self.client), ["1"])

    def test_client_state_begins_anew(self) -> None:
        """XEP-0352 section 5.2"""
        self.client.ask(f"<inactive xmlns='{ns.CSI}'/>")
        self.client.cut()
        self.back(1)
        self.tell(self.bob, f"<presence to='{self.jid}' id='p'/>")
        self.assertEqual(attribute(self.client.take(), "id"), "p")
