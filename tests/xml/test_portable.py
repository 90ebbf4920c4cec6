"""Archives in the format of XEP-0227: written, and read in pieces through the gate and the limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from xmppd.core.jid import JID
from xmppd.core.stanza import escape_text
from xmppd.xml import portable
from xmppd.xml.items import Limits
from xmppd.xml.portable import ArchivedMessage, PortableError, PortableReader

ROMEO = JID.parse("romeo@example.org")
MESSAGE = (
    b"<message xmlns='jabber:client' from='a@b.example/c' to='romeo@example.org' type='chat'>%b</message>"
)
RESULT = (
    "<result xmlns='urn:xmpp:mam:2' id='x'><forwarded xmlns='urn:xmpp:forward:0'>"
    "<delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/>{}</forwarded></result>"
)
WHEN = 1278803305000000


def document(inner: str, host: str = "example.org", user: str = "romeo") -> bytes:
    """A file with one archive."""
    return (
        f"<?xml version='1.0' encoding='UTF-8'?><server-data xmlns='urn:xmpp:pie:0'><host jid='{host}'>"
        f"<user name='{user}'><archive xmlns='urn:xmpp:pie:0#mam'>{inner}</archive></user></host>"
        "</server-data>"
    ).encode()


def read(data: bytes, size: int = 1 << 20, limits: Limits | None = None) -> list[ArchivedMessage]:
    """All messages of a file that comes in pieces of this size."""
    reader = PortableReader(limits or Limits())
    found = [each for at in range(0, len(data), size) for each in reader.feed(data[at : at + size])]
    reader.close()
    return found


class WritingTests(SynchronousTestCase):
    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))), max_size=4))
    def test_what_is_written_is_read(self, texts: list[str]) -> None:
        bodies = [f"<body>{escape_text(text)}</body>" if text else "<body/>" for text in texts]
        stored = [MESSAGE % body.encode() for body in bodies]
        data = portable.begin(ROMEO)
        for number, each in enumerate(stored):
            data += portable.write(f"id{number}", WHEN + number, each)
        found = read(data + portable.END, size=50)
        self.assertEqual([each.received for each in found], [WHEN + number for number in range(len(stored))])
        self.assertEqual({each.account for each in found}, {ROMEO} if stored else set())
        self.assertEqual([each.message.standing_alone() for each in found], stored)


class ReadingTests(SynchronousTestCase):
    def test_the_example_of_the_xep(self) -> None:
        """Section 4.12: white space, several archives, and other data around."""
        message = (
            "<message xmlns='jabber:client' to='a@b/c' from='d@e/f' id='1'>\n <body>x</body>\n</message>"
        )
        data = (
            "<?xml version='1.0'?>\n<server-data xmlns='urn:xmpp:pie:0'>\n <host jid='b'>\n  <user name='a'>"
            "\n<query xmlns='jabber:iq:roster'><item jid='x@y'/></query>"
            f"<archive xmlns='urn:xmpp:pie:0#mam'>\n{RESULT.format(message)}\n</archive></user>"
            f"<user name='A2'><archive xmlns='urn:xmpp:pie:0#mam'>{RESULT.format(message)}</archive></user>"
            "</host>\n</server-data>\n"
        ).encode()
        for size in (1, 7, 1 << 20):
            found = read(data, size)
            self.assertEqual([str(each.account) for each in found], ["a@b", "a2@b"])
            (first, _) = found
            self.assertEqual(first.received, WHEN)
            self.assertEqual(
                first.message.wire, b"<message from='d@e/f' to='a@b/c' id='1'><body>x</body></message>"
            )

    def test_prefixes_are_written_anew(self) -> None:
        inner = "<c:body>x</c:body><y:z xmlns:y='urn:y'/>"
        message = f"<c:message xmlns:c='jabber:client' from='a@b'>{inner}</c:message>"
        (found,) = read(document(RESULT.format(message)))
        self.assertEqual(found.message.inner, b"<body>x</body><z xmlns='urn:y'/>")

    def test_results_that_say_nothing_are_skipped(self) -> None:
        good = "<message xmlns='jabber:client' from='a@b'/>"
        reader = PortableReader(Limits())
        inner = (
            "<result xmlns='urn:xmpp:mam:2'/>"
            + RESULT.format("")
            + RESULT.replace("2010-07", "some day").format(good)
            + RESULT.format("<message xmlns='jabber:client' from='@'/>")
            + RESULT.format(good)
        )
        self.assertEqual(len(reader.feed(document(inner))), 1)
        self.assertEqual(reader.skipped, 4)

    def test_accounts_that_are_none(self) -> None:
        (found,) = read(document(RESULT.format("<message xmlns='jabber:client'/>"), user="@"))
        self.assertIsNone(found.account)


class RefusalTests(SynchronousTestCase):
    def refuse(self, data: bytes, about: str, limits: Limits | None = None) -> None:
        for size in (1, 1 << 20):
            problem = self.assertRaises(PortableError, read, data, size, limits)
            self.assertIn(about, str(problem))

    def test_what_is_no_such_file(self) -> None:
        self.refuse(b"<html/>", "another element")
        self.refuse(b"<server-data xmlns='urn:x'/>", "another element")
        self.refuse(b"", "the end is missing")
        self.refuse(document("")[:-3], "the end is missing")
        self.refuse(b"<server-data xmlns='urn:xmpp:pie:0'><a></b></server-data>", "not well-formed")

    def test_what_the_gate_refuses(self) -> None:
        start = b"<server-data xmlns='urn:xmpp:pie:0'>"
        self.refuse(b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + start, "DTD")
        self.refuse(start + b"<!-- x --></server-data>", "No comments")
        self.refuse(start + b"<a>\xff</a></server-data>", "UTF-8")
        self.refuse(start + b"<a xmlns='" + b"x" * 600 + b"'/></server-data>", "namespace")

    def test_other_files(self) -> None:
        include = b"<include xmlns='http://www.w3.org/2001/XInclude' href='/etc/passwd'/>"
        self.refuse(b"<server-data xmlns='urn:xmpp:pie:0'>" + include + b"</server-data>", "includes")

    def test_the_limits_of_stanzas_hold(self) -> None:
        def message(inner: str) -> bytes:
            return document(RESULT.format(f"<message xmlns='jabber:client' from='a@b'>{inner}</message>"))

        limits = Limits(stanza_bytes=10_000, elements=10, depth=5, attributes=10)
        self.assertEqual(len(read(message("<a/>" * 9), limits=limits)), 1)
        self.refuse(message("<a/>" * 10), "stanza_elements", limits)
        self.assertEqual(len(read(message("<a>" * 4 + "</a>" * 4), limits=limits)), 1)
        self.refuse(message("<a>" * 5 + "</a>" * 5), "stanza_depth", limits)
        self.refuse(
            message("<a b='' c='' d='' e='' f='' g='' h='' i='' j='' k='' l=''/>"), "attributes", limits
        )
        self.refuse(message("x" * 20_000), "stanza_bytes", limits)
        self.refuse(message("<a>" + "x" * 11_000 + "</a>"), "stanza_bytes", limits)

    def test_depth_outside_of_archives(self) -> None:
        deep = b"<a>" * 100 + b"</a>" * 100
        self.refuse(b"<server-data xmlns='urn:xmpp:pie:0'>" + deep + b"</server-data>", "stanza_depth")
