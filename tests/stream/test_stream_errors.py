"""Every stream error that a client can provoke (RFC 6120, section 4.9), and how streams begin and end."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace

from tests.dialogues.case import ServerCase, attribute
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.testing import Client, InProcessServer

HEADER = f"<stream:stream to='localhost' version='1.0' xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>"
OUR_HEADER = re.compile(
    rf"<\?xml version='1\.0'\?><stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'"
    r" id='[0-9a-f]{16,}' version='1\.0' xml:lang='en'[^>]*>"
)

NO_TLS = f"<failure xmlns='{ns.TLS}'/><stream:error>"


def auth(mechanism: str = "PLAIN", data: str = "") -> str:
    """The start of an authentication."""
    return f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{data}</auth>"


def plain(name: str = "alice", password: str = "secret") -> str:
    """A login."""
    return auth(data=base64.b64encode(f"\0{name}\0{password}".encode()).decode())


class StreamCase(ServerCase):
    def assert_error(self, client: Client, sent: str | bytes, condition: str) -> str:
        """Sending this ends the stream with that error, said once, behind our header."""
        client.take()
        client.send(sent)
        self.world.settle()
        answer = client.take()
        error = rf"<stream:error><{condition} xmlns='{ns.STREAM_ERRORS}'/>.*</stream:error></stream:stream>"
        self.assertRegex(answer, f"{error}$", sent)
        self.assertEqual(answer.count("<stream:error>"), 1)
        self.assertEqual(answer.count("</stream:stream>"), 1)
        self.assertTrue(client.closed)
        self.assert_deaf(client)
        return answer

    def assert_deaf(self, client: Client) -> None:
        """Nothing is answered any more."""
        client.send(f"{HEADER}<iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.world.settle()
        self.assertEqual(client.take(), "")
        self.world.advance(5)
        self.assertTrue(client.transport.aborted)
        client.cut()
        self.assertNotIn(client.stream, self.world.server.services.streams)

    def opened(self) -> Client:
        """A stream before authentication."""
        client = self.world.connect()
        client.open()
        return client

    def authenticated(self) -> Client:
        """A stream before binding."""
        client = self.world.connect()
        client.authenticate("alice@localhost", "secret")
        return client

    def bound(self) -> Client:
        """A stream with a resource."""
        return self.login("alice/home", presence=False)

    @property
    def stages(self) -> tuple[Callable[[], Client], ...]:
        return self.opened, self.authenticated, self.bound


class HeaderTests(StreamCase):
    """How a stream begins."""

    def header(self, **changed: str | None) -> str:
        attributes = {
            "to": "localhost",
            "version": "1.0",
            "xmlns": ns.CLIENT,
            "xmlns:stream": ns.STREAMS,
        } | changed
        written = "".join(f" {name}='{value}'" for name, value in attributes.items() if value is not None)
        return f"<stream:stream{written}>"

    def test_our_header(self) -> None:
        """RFC 6120, 4.7: id, version, from, to, xml:lang; then features"""
        client = self.world.connect()
        client.send(self.header(**{"from": "Alice@localhost/x", "xml:lang": "de"}))
        answer = client.take()
        match = OUR_HEADER.match(answer)
        assert match is not None
        self.assertIn(" from='localhost' to='alice@localhost'>", match[0])
        self.assertTrue(answer[match.end() :].startswith("<stream:features>"))

    def test_ids_are_unique(self) -> None:
        """4.7.3, 6.4.6: also that of the stream behind the login"""
        answers = [self.opened_with(self.header()) for _ in range(5)]
        client = self.world.connect()
        answers.append(client.open())
        client.ask(plain())
        answers.append(client.open())
        self.assertEqual(len({attribute(answer, "id") for answer in answers}), 7)

    def opened_with(self, header: str) -> str:
        client = self.world.connect()
        client.send(header)
        return client.take()

    def test_accepted(self) -> None:
        """Later versions, other prefixes, names that normalise, a declaration, an odd 'from'"""
        for header in (
            self.header(version="1.1"),
            self.header(version="2.0"),
            self.header(to="LOCALHOST"),
            self.header(**{"from": "@@"}),
            f"<s:stream to='localhost' version='1.0' xmlns='{ns.CLIENT}' xmlns:s='{ns.STREAMS}'>",
            "<?xml version='1.0' encoding='UTF-8'?>" + self.header(),
            "\n " + self.header(),
        ):
            self.assertIn("<stream:features>", self.opened_with(header), header)

    def test_namespaces(self) -> None:
        """4.9.3.10: of the stream, and of its content"""
        for header in (
            self.header(**{"xmlns:stream": "test:x"}),
            self.header(xmlns=None),
            self.header(xmlns=ns.SERVER),
            self.header(xmlns="test:x"),
            f"<stream xmlns='{ns.CLIENT}'>",
            "<html>",
        ):
            self.assert_error(self.world.connect(), header, "invalid-namespace")

    def test_name(self) -> None:
        """4.9.3.1"""
        header = self.header().replace("<stream:stream", "<stream:flow")
        self.assert_error(self.world.connect(), header, "bad-format")

    def test_version(self) -> None:
        """4.9.3.25"""
        for version in (None, "", "0.9", "0", "x", "-1.0", "٣.0", "1" * 5000):
            header = self.header(version=version)
            if version == "1" * 5000:
                self.assertIn("<stream:features>", self.opened_with(header))
            else:
                self.assert_error(self.world.connect(), header, "unsupported-version")

    def test_host(self) -> None:
        """4.9.3.6: a domain that is not served, or no domain; one that is answers (4.9.1.2)"""
        for domain in ("example.org", "alice@localhost", "localhost/x", "&lt;", "@", "x" * 1100):
            answer = self.assert_error(self.world.connect(), self.header(to=domain), "host-unknown")
            header = OUR_HEADER.match(answer)
            assert header is not None
            self.assertIn(" from='localhost'", header[0])

    def test_no_host(self) -> None:
        """4.9.3.7"""
        for domain in (None, ""):
            self.assert_error(self.world.connect(), self.header(to=domain), "improper-addressing")

    def serve_two(self) -> None:
        """Serve another domain, too, which has guests."""
        self.world.stop()
        config = self.world.config
        guests = replace(config.domains["localhost"], anonymous=True)
        domains = {**config.domains, "example.org": guests}
        self.world = InProcessServer(config=replace(config, domains=domains))
        self.addCleanup(self.world.stop)

    def test_another_host_behind_tls(self) -> None:
        """5.4.3.3: what was said in plaintext does not count"""
        self.serve_two()
        client = self.world.connect(tls=False)
        client.start_tls()
        answer = client.open("example.org")
        self.assertIn(" from='example.org'>", answer)
        self.assertIn("<mechanism>ANONYMOUS</mechanism>", answer)

    def test_another_host_after_the_login(self) -> None:
        """CVE-2018-10847: the domain is fixed by the first header behind TLS"""
        self.serve_two()
        client = self.world.connect()
        client.open()
        self.assertIn("<success ", client.ask(plain()))
        self.assert_error(client, self.header(to="example.org"), "host-unknown")

    def test_from_somebody_else(self) -> None:
        """4.9.3.9: whoever has logged in is nobody else"""
        for claimed in ("bob@localhost", "localhost", "@@"):
            client = self.opened()
            client.ask(plain())
            self.assert_error(client, self.header(**{"from": claimed}), "invalid-from")
        client = self.opened()
        client.ask(plain())
        client.send(self.header(**{"from": "alice@localhost/any"}))
        self.assertIn("<bind ", client.take())

    def test_from_another_domain(self) -> None:
        """XEP-0388, 2.1; what is no JID says nothing"""
        for claimed in ("alice@example.org", "example.org", "alice@localhost.example.org/x"):
            answer = self.assert_error(self.world.connect(), self.header(**{"from": claimed}), "invalid-from")
            self.assertNotIn("<stream:features>", answer)
        for claimed in ("", "@@", "alice@LOCALHOST.", "localhost"):
            self.assertIn("<stream:features>", self.opened_with(self.header(**{"from": claimed})), claimed)

    def test_addresses_that_are_long(self) -> None:
        """Parser CPU: what a stranger may send without any effort is not normalised"""
        parsed: list[str] = []
        parse = JID.parse

        def watched(text: str) -> JID:
            parsed.append(text)
            return parse(text)

        self.patch(JID, "parse", staticmethod(watched))
        self.assert_error(self.world.connect(), self.header(to="\u0628." * 500), "host-unknown")
        self.opened_with(self.header(**{"from": "\u0628." * 500}))
        self.assertNotIn("\u0628", "".join(parsed))

    def test_second_header(self) -> None:
        """A stream begins once"""
        for stage in self.stages:
            self.assert_error(stage(), self.header() + "</stream:stream>", "unsupported-stanza-type")


class XmlTests(StreamCase):
    """What is no XML, or not the XML of XMPP."""

    def test_no_xml(self) -> None:
        """4.9.3.13, with our header before the error"""
        for sent in ("GET / HTTP/1.1\r\n\r\n", "<", "<a b>", "</x>", "\x16\x03\x01\x02", "<a/><b/>"):
            client = self.world.connect()
            client.send(sent)
            answer = client.take()
            if sent == "<":
                self.assertEqual(answer, "")
                continue
            self.assertRegex(answer, OUR_HEADER)
            self.assertIn(" from='localhost'>", answer)
            self.assertRegex(answer, "<(not-well-formed|invalid-namespace|restricted-xml) ", sent)
            self.assertTrue(client.closed, sent)

    def test_another_protocol(self) -> None:
        """Whoever looks for the reason is told what it was"""
        for sent, text in (
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "That is TLS at once"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "That is HTTP"),
            (b"EHLO there\r\n", "Text outside of stanzas"),
        ):
            client = self.world.connect(tls=False)
            client.send(sent)
            self.assertIn(text, client.take())
            self.assertTrue(client.closed)

    def test_not_well_formed(self) -> None:
        """4.9.3.13, in every state"""
        for stage in self.stages:
            for sent in (
                "<message></presence>",
                "<message a='1' a='2'/>",
                "<message to=x/>",
                "<a:b/>",
                "<m<",
            ):
                self.assert_error(stage(), sent, "not-well-formed")

    def test_restricted(self) -> None:
        """4.9.3.18, 11.1: comments, processing instructions, document types, entities"""
        for sent in (
            "<!-- x -->",
            "<?x?>",
            "<?xml version='1.0'?>",
            "<!DOCTYPE x>",
            "<message><body>&nbsp;</body></message>",
            "<message><!-- x --></message>",
            "<message><?x?></message>",
        ):
            for stage in self.stages:
                self.assert_error(stage(), sent, "restricted-xml")
        for sent in ("<!DOCTYPE x [<!ENTITY a 'b'>]>", "<!-- x -->"):
            self.assert_error(self.world.connect(), sent + HEADER, "restricted-xml")

    def test_encoding(self) -> None:
        """4.9.3.22, 11.6: nothing but UTF-8"""
        for sent in (
            b"<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER.encode(),
            HEADER.encode("utf-16"),
            HEADER.encode("utf-16-le"),
        ):
            self.assert_error(self.world.connect(), sent, "unsupported-encoding")

    def test_bad_utf_8(self) -> None:
        """4.9.3.22: strictly, with tails, surrogates and overlong forms"""
        for wrong in (b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xe2\x82"):
            for stage in self.stages:
                sent = b"<message><body>" + wrong + b"</body></message>"
                self.assert_error(stage(), sent, "(unsupported-encoding|not-well-formed)")

    def test_text_between_stanzas(self) -> None:
        """4.9.3.1"""
        for stage in self.stages:
            self.assert_error(stage(), "x<iq/>", "bad-format")

    def test_white_space_keeps_alive(self) -> None:
        """4.6.1: any amount, in every state"""
        for stage in self.stages:
            client = stage()
            client.take()
            for _ in range(50):
                client.send(" \n\t\r" * 1000)
            self.assertEqual((client.take(), client.closed), ("", False))

    def test_unknown_elements(self) -> None:
        """4.9.3.24: what is neither a stanza nor negotiation"""
        for stage in self.stages:
            for sent in ("<foo/>", "<message xmlns='test:x'/>", f"<features xmlns='{ns.STREAMS}'/>"):
                self.assert_error(stage(), sent, "unsupported-stanza-type")

    def test_long_names(self) -> None:
        """What is told of them, and logged, is short"""
        lines = self.watch_log()
        answer = self.assert_error(self.bound(), f"<{'x' * 100_000}/>", "unsupported-stanza-type")
        self.assertLess(len(answer), 500)
        self.assertLess(max(map(len, lines())), 500)

    def test_error_of_the_client(self) -> None:
        """4.9.1.1: a client that reports an error has ended the stream; an error is not answered with one"""
        lines = self.watch_log()
        error = f"<stream:error><not-well-formed xmlns='{ns.STREAM_ERRORS}'/></stream:error>"
        for stage in (self.in_a_login, *self.stages):
            for sent in (error, error + "</stream:stream>", "<stream:error/>"):
                client = stage()
                client.take()
                client.send(sent)
                self.assertEqual(client.take(), "</stream:stream>")
                self.assert_deaf(client)
        self.assertIn("<stranger from 192.168.1.1>: the client ends it: not-well-formed", lines())
        self.assertEqual(self.account("alice").sessions, [])

    def in_a_login(self) -> Client:
        client = self.opened()
        client.ask(auth())
        return client


class SizeTests(StreamCase):
    """4.9.3.14: bounds of one element, each named in the error."""

    def too_much(self, client: Client, sent: str, limit: str) -> None:
        self.assertIn(f"({limit})", self.assert_error(client, sent, "policy-violation"))

    def test_header(self) -> None:
        header = HEADER.replace("to=", f"x='{'y' * 11_000}' to=")
        self.too_much(self.world.connect(), header, "stream_header_bytes")

    def test_strangers(self) -> None:
        text = "x" * 8_200
        self.too_much(
            self.opened(), f"<message><body>{text}</body></message>", "unauthenticated_stanza_bytes"
        )
        self.too_much(self.opened(), f"<message>{'<a/>' * 32}</message>", "unauthenticated_elements")
        self.too_much(self.opened(), "<a>" * 64 + "</a>" * 64, "unauthenticated_elements")

    def test_strangers_with_unfinished_elements(self) -> None:
        for unfinished in ("<message x='" + "y" * 9_000, "<message>" + "y" * 9_000, "<" + "m" * 9_000):
            self.too_much(self.opened(), unfinished, "unauthenticated_stanza_bytes")

    def test_members(self) -> None:
        for stage in (self.authenticated, self.bound):
            body = "x" * (256 << 10)
            self.too_much(stage(), f"<message><body>{body}</body></message>", "stanza_bytes")
            self.too_much(stage(), f"<message>{'<a/>' * 1000}</message>", "stanza_elements")
            self.too_much(stage(), "<message>" + "<a>" * 64 + "</a>" * 64 + "</message>", "stanza_depth")
            attributes = "".join(f" a{number}=''" for number in range(257))
            self.too_much(stage(), f"<message{attributes}/>", "stanza_attributes")

    def test_just_small_enough(self) -> None:
        client = self.bound()
        body = "x" * ((256 << 10) - 100)
        self.tell(client, f"<message type='headline'><body>{body}</body></message>")
        self.tell(client, f"<message>{'<a/>' * 999}</message>")
        self.tell(client, "<message>" + "<a>" * 63 + "</a>" * 63 + "</message>")
        self.assertFalse(client.closed)


class OrderTests(StreamCase):
    """What is too early, too late, or twice."""

    def test_stanzas_before_authentication(self) -> None:
        """4.9.3.12, 6.4"""
        for sent in (
            "<message to='bob@localhost'><body>x</body></message>",
            "<presence/>",
            "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            f"<iq type='set' id='1'><bind xmlns='{ns.BIND}'/></iq>",
        ):
            self.assert_error(self.opened(), sent, "not-authorized")
            plaintext = self.world.connect(tls=False)
            plaintext.open()
            self.assert_error(plaintext, sent, "not-authorized")

    def test_stanzas_before_binding(self) -> None:
        """4.9.3.12, 7.1"""
        for sent in (
            "<message to='bob@localhost'><body>x</body></message>",
            "<presence/>",
            "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        ):
            self.assert_error(self.authenticated(), sent, "not-authorized")

    def test_before_the_header(self) -> None:
        for sent in (plain(), "<message xmlns='jabber:client'/>", f"<starttls xmlns='{ns.TLS}'/>"):
            self.assert_error(self.world.connect(), sent, "invalid-namespace")

    def test_no_login_in_plaintext(self) -> None:
        """5.3.1: nothing is offered but TLS, and passwords are not taken"""
        client = self.world.connect(tls=False)
        features = client.open()
        self.assertIn(f"<starttls xmlns='{ns.TLS}'><required/></starttls></stream:features>", features)
        self.assertNotIn("<mechanism", features)
        client.send(plain())
        self.world.advance(2)
        self.assertIn("<encryption-required/>", client.take())
        self.assertIs(client.stream.account, None)

    def test_starttls(self) -> None:
        """5.4.3.3: a new stream with a new id begins inside"""
        client = self.world.connect(tls=False)
        before = client.open()
        client.send(f"<starttls xmlns='{ns.TLS}'/>")
        client.stream.handshakeCompleted()
        answer = client.open()
        self.assertNotIn("<starttls", answer)
        self.assertNotEqual(attribute(answer, "id"), attribute(before, "id"))
        self.assertIn("<success ", client.ask(plain()))

    def test_pipelined_behind_starttls(self) -> None:
        """CVE-2011-0411: nothing sent in plaintext is delivered after it"""
        starttls = f"<starttls xmlns='{ns.TLS}'/>"
        for rest in (HEADER, plain(), "<", "x", HEADER + plain()):
            client = self.world.connect(tls=False)
            client.open()
            answer = self.assert_error(client, starttls + rest, "policy-violation")
            self.assertTrue(answer.startswith(NO_TLS))
            self.assertFalse(client.transport.tls)

    def test_white_space_behind_starttls(self) -> None:
        """It belongs to no stanza"""
        client = self.world.connect(tls=False)
        client.open()
        client.send(f"<starttls xmlns='{ns.TLS}'/>\n")
        self.assertTrue(client.transport.tls)

    def test_starttls_twice(self) -> None:
        """5.4.2.2: what is not offered fails"""
        for stage in self.stages:
            answer = self.assert_error(stage(), f"<starttls xmlns='{ns.TLS}'/>", "policy-violation")
            self.assertTrue(answer.startswith(NO_TLS))

    def test_authentication_twice(self) -> None:
        """6.4: whoever has logged in cannot become somebody else"""
        for stage in (self.authenticated, self.bound):
            self.assert_error(stage(), plain("bob"), "policy-violation")

    def test_binding_twice(self) -> None:
        """One resource a stream"""
        client = self.bound()
        answer = client.ask(f"<iq type='set' id='1'><bind xmlns='{ns.BIND}'/></iq>")
        self.assertIn("type='error'", answer)
        self.assertEqual(len(self.account("alice").sessions), 1)

    def test_pipelined_login(self) -> None:
        """What follows <auth/> belongs to the new stream"""
        client = self.world.connect()
        client.open()
        client.send(
            plain()
            + HEADER
            + f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'><resource>x</resource></bind></iq>"
            "<presence/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        self.world.settle()
        answer = client.take()
        self.assertIn("<jid>alice@localhost/x</jid>", answer)
        self.assertIn("<iq from='alice@localhost' to='alice@localhost/x' type='result' id='p'/>", answer)


class SaslTests(StreamCase):
    """6.4, 6.5: misuse of SASL; failures are slow, and few."""

    settings = ("limits.auth_failures_per_stream=3",)

    def assert_failure(self, client: Client, sent: str, condition: str, delay: float = 1.0) -> None:
        client.take()
        client.send(sent)
        if delay:
            self.world.advance(delay - 0.01)
            self.assertEqual(client.take(), "", "a failure comes late")
            self.world.advance(0.02)
        self.world.settle()
        self.assertRegex(client.take(), f"^<failure xmlns='{ns.SASL}'><{condition}/>")

    def test_conditions(self) -> None:
        for sent, condition in (
            (plain(password="wrong"), "not-authorized"),
            (plain("nobody"), "not-authorized"),
            (plain("@"), "not-authorized"),
            (auth("NONSENSE"), "invalid-mechanism"),
            (auth(""), "invalid-mechanism"),
            (f"<auth xmlns='{ns.SASL}'/>", "invalid-mechanism"),
            (auth("ANONYMOUS"), "invalid-mechanism"),
            (auth("SCRAM-SHA-1-PLUS", "biws"), "invalid-mechanism"),
            (auth(data="!!!!"), "incorrect-encoding"),
            (auth(data="AGFs!!aWNl"), "incorrect-encoding"),
            (auth(data=" AA=="), "incorrect-encoding"),
            (auth(data="AB=="), "incorrect-encoding"),
            (auth(data=base64.b64encode(b"no nulls").decode()), "malformed-request"),
            (auth(data=base64.b64encode(b"\0\xff\0x").decode()), "malformed-request"),
            (auth(data=base64.b64encode(b"bob@localhost\0alice\0secret").decode()), "invalid-authzid"),
            (auth("SCRAM-SHA-1", "="), "malformed-request"),
        ):
            self.assert_failure(self.opened(), sent, condition)

    def test_own_authorization_identity(self) -> None:
        """6.3.8: the own bare JID is no impersonation"""
        identity = base64.b64encode(b"alice@localhost\0alice\0secret").decode()
        self.assertIn("<success ", self.opened().ask(auth(data=identity)))

    def test_login_without_initial_response(self) -> None:
        client = self.opened()
        self.assertEqual(client.ask(auth()), f"<challenge xmlns='{ns.SASL}'>=</challenge>")
        secret = base64.b64encode(b"\0alice\0secret").decode()
        self.assertIn("<success ", client.ask(f"<response xmlns='{ns.SASL}'>{secret}</response>"))

    def test_challenge_says_nothing_of_who_exists(self) -> None:
        """The salt of nobody is as long as others, stays the same, and survives a restart"""
        before = {name: self.salt(name) for name in ("alice", "nobody")}
        self.restart()
        for name, salt in before.items():
            self.assertEqual(self.salt(name), salt)
        self.assertNotEqual(before["alice"], before["nobody"])
        self.assertEqual(len(before["alice"]), len(before["nobody"]))

    def salt(self, name: str) -> str:
        answer = self.opened().ask(
            auth("SCRAM-SHA-256", base64.b64encode(f"n,,n={name},r=abc".encode()).decode())
        )
        challenge = base64.b64decode(answer.partition(">")[2].partition("<")[0]).decode()
        return challenge.partition(",s=")[2].partition(",")[0]

    def test_two_at_once(self) -> None:
        client = self.opened()
        client.ask(auth("SCRAM-SHA-1", base64.b64encode(b"n,,n=alice,r=abc").decode()))
        self.assert_failure(client, plain(), "malformed-request")
        self.assertIn("<success ", client.ask(plain()))

    def test_abort(self) -> None:
        """6.4.4: the answer comes at once, and another try is possible"""
        client = self.opened()
        client.ask(auth("SCRAM-SHA-1", base64.b64encode(b"n,,n=alice,r=abc").decode()))
        self.assert_failure(client, f"<abort xmlns='{ns.SASL}'/>", "aborted", delay=0)
        self.assertIn("<success ", client.ask(plain()))

    def test_nothing_under_way(self) -> None:
        for name in ("response", "abort"):
            self.assert_error(self.opened(), f"<{name} xmlns='{ns.SASL}'/>", "not-authorized")

    def test_failures_get_slower_and_end(self) -> None:
        client = self.opened()
        for delay in (1, 2):
            self.assert_failure(client, plain(password="wrong"), "not-authorized", delay)
        client.take()
        client.send(plain(password="wrong"))
        self.world.advance(4)
        answer = client.take()
        self.assertTrue(answer.startswith(f"<failure xmlns='{ns.SASL}'><not-authorized/>"), answer)
        self.assertIn("<policy-violation ", answer)
        self.assertIn("(auth_failures_per_stream)", answer)
        self.assertTrue(client.closed)

    def test_nothing_is_tried_while_an_answer_waits(self) -> None:
        """Pipelined guesses are as slow as others"""
        client = self.opened()
        client.take()
        client.send(plain(password="a") + plain(password="b") + plain())
        self.world.advance(1)
        self.assertEqual(client.take().count("<failure"), 1)
        self.world.advance(1.5)
        self.assertEqual(client.take(), "")
        self.world.advance(0.6)
        self.world.settle()
        answer = client.take()
        self.assertEqual((answer.count("<failure"), answer.count("<success")), (1, 1))

    def test_gone_while_an_answer_waits(self) -> None:
        client = self.opened()
        client.send(plain(password="wrong"))
        client.cut()
        self.world.advance(10)

    def test_throttle(self) -> None:
        """Too many wrong passwords for one account: the right one has to wait as well"""
        self.start("limits.auth_failures_per_account=2")
        self.world.add_user("alice@localhost")
        for _ in range(2):
            self.assert_failure(self.opened(), plain(password="wrong"), "not-authorized")
        self.assert_failure(self.opened(), plain(), "temporary-auth-failure")
        self.world.advance(3600)
        self.assertIn("<success ", self.opened().ask(plain()))


class TimeTests(StreamCase):
    """Deadlines, which traffic does not move."""

    def assert_too_slow(self, client: Client, limit: str) -> None:
        answer = client.take()
        self.assertIn("<stream:error><connection-timeout ", answer)
        self.assertIn(f"({limit})", answer)
        self.assertTrue(client.closed)

    def test_negotiation(self) -> None:
        """60 seconds from the connection to a bound resource"""
        silent, busy = self.world.connect(), self.authenticated()
        busy.take()
        start = self.world.reactor.seconds()
        for second in range(1, 59):
            self.world.advance(start + second - self.world.reactor.seconds())
            busy.send(" ")
        self.assertFalse(silent.closed)
        self.assertFalse(busy.closed)
        self.world.advance(2)
        self.assert_too_slow(silent, "negotiation_timeout")
        self.assert_too_slow(busy, "negotiation_timeout")

    def test_bound_in_time(self) -> None:
        client = self.bound()
        self.world.advance(100)
        self.assertFalse(client.closed)

    def test_handshake(self) -> None:
        """20 seconds for TLS, direct or not"""
        direct = self.world.connect(tls=False)
        direct.open()
        direct.ask(f"<starttls xmlns='{ns.TLS}'/>")
        self.assertTrue(direct.transport.tls)
        self.world.advance(19)
        self.assertFalse(direct.closed)
        self.world.advance(1)
        self.assertTrue(direct.closed)

    def test_handshake_does_not_move_the_deadline(self) -> None:
        client = self.world.connect(tls=False)
        client.open()
        self.world.advance(55)
        client.ask(f"<starttls xmlns='{ns.TLS}'/>")
        self.world.advance(5)
        self.assertTrue(client.closed)

    def test_registration(self) -> None:
        """10 minutes, once: asking again does not move it"""
        self.start("domains.localhost.registration=true")
        client = self.world.connect()
        client.open()
        for _ in range(10):
            client.ask(f"<iq type='get' id='1'><query xmlns='{ns.REGISTER}'/></iq>")
            self.world.advance(59)
        self.assertFalse(client.closed)
        client.take()
        self.world.advance(20)
        self.assert_too_slow(client, "registration_timeout")


class EndTests(StreamCase):
    """4.4: how a stream ends."""

    def test_client_closes(self) -> None:
        """Whoever says goodbye hears goodbye"""
        for stage in (self.world.connect, *self.stages):
            client = stage()
            client.take()
            if stage == self.world.connect:
                client.send(HEADER)
                client.take()
            client.send("</stream:stream>")
            self.assertEqual(client.take(), "</stream:stream>")
            self.assertTrue(client.closed)
            self.assert_deaf(client)

    def test_behind_the_end(self) -> None:
        client = self.bound()
        client.send("</stream:stream><iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.assertEqual(client.take(), "</stream:stream>")

    def test_what_came_before_is_done(self) -> None:
        client, bob = self.bound(), self.login("bob/desk")
        client.send("<message to='bob@localhost'><body>last</body></message></stream:stream>")
        self.world.settle()
        self.assertEqual(self.bodies(bob), ["last"])

    def test_peer_that_does_not_close(self) -> None:
        """4.4: after 5 seconds the connection is cut"""
        client = self.bound()
        client.send("</stream:stream>")
        self.world.advance(4.9)
        self.assertFalse(client.transport.aborted)
        self.world.advance(0.1)
        self.assertTrue(client.transport.aborted)

    def test_peer_that_closes(self) -> None:
        client = self.bound()
        client.close()
        self.world.advance(10)
        self.assertFalse(client.transport.aborted)

    def test_shutdown(self) -> None:
        """4.9.3.20"""
        clients = [stage() for stage in self.stages]
        for client in clients:
            client.take()
        self.world.stop()
        for client in clients:
            answer = client.transport.value().decode()
            self.assertIn("<stream:error><system-shutdown ", answer)
            self.assertTrue(answer.endswith("</stream:stream>"))

    def test_closing_stream_reads_on(self) -> None:
        """TLS ends with a handshake: a paused transport would never see it"""
        client = self.opened()
        client.send(plain(password="wrong"))
        client.send(" ")
        self.assertTrue(client.transport.paused)
        client.stream.end(None)
        self.assertFalse(client.transport.paused)
