"""What is checked and stamped on every stanza of a client, and what a fault of the program does."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from tests.dialogues.case import ServerCase, split
from xmppd.core import ns
from xmppd.core.events import IqSending, MessageArriving, MessageSending, PresenceSending, SessionEnded
from xmppd.core.hooks import Stage
from xmppd.core.stanza import Stanza
from xmppd.stream.features import Feature
from xmppd.testing import Client

PING = "<ping xmlns='urn:xmpp:ping'/>"


class StanzaCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/home")
        self.bob = self.login("bob/desk")
        self.alice.take()

    def ask(self, xml: str) -> list[str]:
        """Alice sends; what she gets."""
        self.tell(self.alice, xml)
        return self.take(self.alice)

    def assert_refused(self, xml: str, condition: str) -> str:
        (answer,) = split(self.alice.ask(xml))
        self.assertIn("type='error'", answer)
        self.assertIn(f"<{condition} xmlns='{ns.STANZA_ERRORS}'/>", answer)
        return answer

    def assert_alive(self) -> None:
        self.assertEqual(len(self.ask(f"<iq type='get' id='p'>{PING}</iq>")), 1)


class IqTests(StanzaCase):
    """RFC 6120, 8.2.3"""

    def test_form(self) -> None:
        for xml in (
            f"<iq type='get'>{PING}</iq>",
            f"<iq type='get' id=''>{PING}</iq>",
            "<iq type='get' id='1'/>",
            f"<iq type='set' id='1'>{PING}{PING}</iq>",
            f"<iq id='1'>{PING}</iq>",
            f"<iq type='put' id='1'>{PING}</iq>",
            "<iq/>",
        ):
            answer = self.assert_refused(xml, "bad-request")
            self.assertEqual(" id='1'" in answer, " id='1'" in xml)
        self.assert_alive()

    def test_answers_are_not_answered(self) -> None:
        """8.2.3, 8.3.1"""
        for xml in (
            "<iq type='result'/>",
            f"<iq type='result' id='1'>{PING}{PING}</iq>",
            "<iq type='error'/>",
            "<iq type='result' id='1' to='@@'/>",
            "<iq type='error' id='1' to='nobody@localhost'/>",
        ):
            self.assertEqual(self.ask(xml), [])
        self.assert_alive()

    def test_unknown_payloads(self) -> None:
        """8.4: service-unavailable, from whom it was sent to"""
        for to in ("", " to='localhost'", " to='alice@localhost'", " to='bob@localhost'"):
            for kind in ("get", "set"):
                answer = self.assert_refused(
                    f"<iq type='{kind}' id='1'{to}><x xmlns='t:x'/></iq>", "service-unavailable"
                )
                sender = to.removeprefix(" to=") or "'alice@localhost'"
                self.assertIn(f"from={sender} to='alice@localhost/home'", answer)

    def test_content_namespace(self) -> None:
        self.assert_refused("<iq type='get' id='1'><query/></iq>", "service-unavailable")

    def test_ids_come_back_as_they_were(self) -> None:
        name = "&apos;&lt;&#10;&#x1F600;"
        (answer,) = self.ask(f"<iq type='get' id='{name}'>{PING}</iq>")
        self.assertIn(" id='&apos;&lt;&#10;\U0001f600'", answer)


class AddressTests(StanzaCase):
    """RFC 6120, 8.1"""

    def test_malformed(self) -> None:
        """8.3.3.8"""
        for to in (
            "",
            "@",
            "@localhost",
            "bob@",
            "localhost/",
            "bob@localhost/",
            "a b@localhost",
            "x" * 1100,
        ):
            for xml in (
                f"<message to='{to}' id='1'><body>x</body></message>",
                f"<presence to='{to}' id='1'/>",
                f"<iq to='{to}' id='1' type='get'>{PING}</iq>",
            ):
                self.assert_refused(xml, "jid-malformed")
            self.assertEqual(self.ask(f"<message to='{to}' type='error'/>"), [])
        self.assert_alive()

    def test_normalised(self) -> None:
        self.tell(self.alice, "<message to='BOB@LOCALHOST/desk'><body>x</body></message>")
        self.assertIn(" to='bob@localhost/desk'", self.take(self.bob)[0])

    def test_sender_is_stamped(self) -> None:
        """8.1.2.1: whatever of its own the client claims"""
        for claimed in (
            "",
            " from='alice@localhost/home'",
            " from='alice@localhost'",
            " from='ALICE@localhost'",
        ):
            self.tell(self.alice, f"<message to='bob@localhost'{claimed}><body>x</body></message>")
            self.assertIn("from='alice@localhost/home'", self.take(self.bob)[0])

    def test_spoofed_sender(self) -> None:
        """4.9.3.9"""
        for claimed in ("bob@localhost", "alice@localhost/other", "localhost", "", "@", "x@y/z"):
            for xml in (
                "<message to='bob@localhost' from='{}'/>",
                "<presence from='{}'/>",
                "<iq from='{}'/>",
            ):
                client = self.login("alice/spoofer")
                self.assertIn("<stream:error><invalid-from ", client.ask(xml.format(claimed)))
                self.assertTrue(client.closed)
        self.assertEqual(self.take(self.bob), [])

    def test_nobody_is_reached_by_prefix(self) -> None:
        """Attributes in a namespace are no addresses"""
        self.tell(
            self.alice, "<message to='bob@localhost' x:from='eve@localhost' xmlns:x='t:x'><body/></message>"
        )
        (got,) = self.take(self.bob)
        self.assertIn("<message from='alice@localhost/home' to='bob@localhost'", got)
        self.assertIn(":from='eve@localhost'", got)


class LanguageTests(StanzaCase):
    """RFC 6120, 8.1.5: the language of the stream is that of its stanzas"""

    def client(self, lang: str) -> Client:
        client = self.world.connect()
        header = (
            f"<stream:stream to='localhost' version='1.0' xml:lang='{lang}' xmlns='{ns.CLIENT}'"
            f" xmlns:stream='{ns.STREAMS}'>"
        )
        client.send(header)
        secret = base64.b64encode(b"\0alice\0secret").decode()
        client.ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{secret}</auth>")
        client.ask(header)
        client.bind()
        return client

    def test_stamped(self) -> None:
        client = self.client("de-AT")
        self.tell(client, "<message to='bob@localhost'><body>x</body></message>")
        self.assertIn(" xml:lang='de-AT'", self.take(self.bob)[0])

    def test_own_language_stays(self) -> None:
        client = self.client("de")
        self.tell(client, "<message to='bob@localhost' xml:lang='fr'><body>x</body></message>")
        (got,) = self.take(self.bob)
        self.assertIn(" xml:lang='fr'", got)
        self.assertNotIn("'de'", got)

    def test_none(self) -> None:
        self.tell(self.alice, "<message to='bob@localhost'><body>x</body></message>")
        self.assertNotIn("xml:lang", self.take(self.bob)[0])

    def test_too_long(self) -> None:
        client = self.client("x" * 36)
        self.tell(client, "<message to='bob@localhost'><body>x</body></message>")
        self.assertNotIn("xml:lang", self.take(self.bob)[0])


class FormTests(StanzaCase):
    """What a stanza looks like to others."""

    def relay(self, xml: str) -> str:
        self.tell(self.alice, xml)
        (got,) = self.take(self.bob)
        return got

    def test_text_between_children_is_dropped(self) -> None:
        """It means nothing, and could make something of two children"""
        got = self.relay("<message to='bob@localhost'> ]] <body>x</body> > <thread>t</thread></message>")
        self.assertIn("><body>x</body><thread>t</thread><stanza-id ", got)

    def test_prefixes_do_not_leak(self) -> None:
        got = self.relay(
            "<message to='bob@localhost' xmlns:p='t:p'><p:a p:b='1'><p:c/></p:a><body>x</body></message>"
        )
        element = split(got)[0]
        self.assertIn("t:p", element)
        self.assertNotIn("xmlns:p=", element.partition(">")[0])

    def test_children_stay_as_they_are(self) -> None:
        child = '<x xmlns="t:x" a="1\'2"><![CDATA[<&>]]>&#13;&amp;<y/></x>'
        got = ElementTree.fromstring(
            self.relay(f"<message to='bob@localhost'><body>x</body>{child}</message>")
        )
        element = got.find("{t:x}x")
        assert element is not None
        self.assertEqual((element.get("a"), element.text), ("1'2", "<&>\r&"))
        self.assertIsNotNone(element.find("{t:x}y"))


class FaultTests(StanzaCase):
    """No traceback ever reaches a peer: a handler that fails harms its stanza only."""

    def setUp(self) -> None:
        super().setUp()
        self.host = self.world.server.hosts["localhost"]
        self.token = self.enable(self.alice)

    def break_hook(self, event: type, stage: Stage = Stage.BLOCK) -> None:
        def fail(_: Any) -> None:
            raise RuntimeError("broken in a test")

        self.addCleanup(self.host.hooks.add(event, fail, stage))

    def break_iq(self, handler: Callable[[Any], Any]) -> None:
        for target in ("account", "domain"):
            self.host._iq["get", "t:x", "x", target] = handler

    def assert_broken(self, xml: str, *, errors: int = 1) -> None:
        (answer,) = split(self.alice.ask(xml))
        self.assertIn("type='error'", answer)
        self.assertIn("<error type='cancel'><internal-server-error ", answer)
        self.assertNotIn("broken", answer)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), errors)

    def assert_counted(self, h: int) -> None:
        self.assertIn(f"<a xmlns='{ns.SM}' h='{h}'/>", self.alice.ask(f"<r xmlns='{ns.SM}'/>"))

    def test_messages(self) -> None:
        for event in (MessageSending, MessageArriving):
            for stage in Stage:
                self.setUp()
                self.break_hook(event, stage)
                self.assert_broken("<message to='bob@localhost' id='1'><body>x</body></message>")
                self.assert_counted(1)
                self.assertFalse(self.bob.closed)

    def test_presence(self) -> None:
        self.break_hook(PresenceSending)
        self.assert_broken("<presence id='1'/>")
        self.assert_counted(1)

    def test_iq_on_the_way(self) -> None:
        self.break_hook(IqSending)
        self.assert_broken(f"<iq type='get' id='1'>{PING}</iq>")

    def test_iq(self) -> None:
        def fail(_: Any) -> None:
            raise RuntimeError("broken in a test")

        self.break_iq(fail)
        for to in ("", " to='localhost'", " to='bob@localhost'"):
            self.assert_broken(f"<iq type='get' id='1'{to}><x xmlns='t:x'/></iq>")
        self.assert_counted(3)

    def test_iq_that_waits(self) -> None:
        async def fail(_: Any) -> None:
            await self.world.database.read("nothing", lambda cursor: None)
            raise RuntimeError("broken in a test")

        self.break_iq(fail)
        self.assert_broken("<iq type='get' id='1'><x xmlns='t:x'/></iq>")
        self.assert_alive()
        self.assert_counted(2)

    def test_what_follows_waits_for_its_turn(self) -> None:
        """The failure of one stanza does not stop those behind it"""
        self.break_hook(PresenceSending)
        self.alice.send(f"<presence id='1'/><iq type='get' id='2'>{PING}</iq>")
        self.world.settle()
        answers = self.take(self.alice)
        self.assertIn("id='2'", answers[-1])
        self.flushLoggedErrors(RuntimeError)

    def test_nonzas(self) -> None:
        """What is no stanza has no error of its own: the stream ends"""

        def fail(*_: Any) -> None:
            raise RuntimeError("broken in a test")

        self.alice.stream.features = (Feature(nonzas={("t:x", "x"): fail}),)
        self.assertIn("<stream:error><internal-server-error ", self.alice.ask("<x xmlns='t:x'/>"))
        self.assertTrue(self.alice.closed)
        self.flushLoggedErrors(RuntimeError)

    def test_end_of_a_session(self) -> None:
        """A session ends whatever its handlers do"""
        self.break_hook(SessionEnded)
        self.alice.close()
        self.assertEqual(self.account("alice").sessions, [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_error_is_never_answered(self) -> None:
        self.break_hook(MessageSending)
        self.assertEqual(self.ask("<message to='bob@localhost' type='error'/>"), [])
        self.flushLoggedErrors(RuntimeError)


class LogTests(StanzaCase):
    """One line with the session and the reason, and no secrets."""

    SECRETS = ("secret", "hunter2", base64.b64encode(b"\0alice\0hunter2").decode(), "Rosebud")

    def lines_about(self, *actions: Callable[[], object]) -> list[str]:
        lines = self.watch_log()
        for action in actions:
            action()
        for line in lines():
            for word in self.SECRETS:
                self.assertNotIn(word, line)
        return lines()

    def test_stream_errors(self) -> None:
        found = self.lines_about(lambda: self.tell(self.alice, "<message><body>Rosebud</b></message>"))
        (line,) = [line for line in found if "not-well-formed" in line]
        self.assertIn("alice@localhost/home", line)

    def test_logins(self) -> None:
        def wrong() -> None:
            client = self.world.connect()
            client.open()
            client.send(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{self.SECRETS[2]}</auth>")
            self.world.advance(2)
            client.send("<message><body>Rosebud</body></message>")

        found = self.lines_about(wrong, lambda: self.login("alice/other"))
        self.assertTrue(any("not-authorized" in line for line in found))

    def test_faults(self) -> None:
        def fail(_: Any) -> None:
            raise RuntimeError("broken in a test")

        self.world.server.hosts["localhost"].hooks.add(MessageSending, fail)
        found = self.lines_about(
            lambda: self.tell(self.alice, "<message to='bob@localhost' id='1'><body>Rosebud</body></message>")
        )
        self.assertTrue(any("alice@localhost/home" in line and "message" in line for line in found))
        self.flushLoggedErrors(RuntimeError)

    def test_names_of_stanzas(self) -> None:
        """What may stand in a line: kind, type, id, addresses, names of children"""
        stanza = Stanza("message", {"type": "chat", "id": "1"}).adding(
            ns.CLIENT, "body", b"<body>Rosebud</body>"
        )
        self.assertEqual(repr(stanza), "<Stanza message chat id=1 None->None [body]>")
