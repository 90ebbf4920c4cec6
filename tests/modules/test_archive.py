"""Queries of a user's message archive (XEP-0313), row by row, through the whole server."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tests.dialogues.case import ServerCase, split
from xmppd.core import ns
from xmppd.core.counters import hits
from xmppd.storage import archive as store
from xmppd.testing import Client
from xmppd.xml.delay import stamp

ALICE = "alice@localhost"
UNKNOWN = "0" * 32


def form(**fields: str | list[str]) -> str:
    """A submitted form; underscores stand for hyphens."""
    text = f"<field var='FORM_TYPE' type='hidden'><value>{ns.MAM}</value></field>"
    for name, values in fields.items():
        listed = [values] if isinstance(values, str) else values
        inner = "".join(f"<value>{value}</value>" for value in listed)
        text += f"<field var='{name.rstrip('_').replace('_', '-')}'>{inner}</field>"
    return f"<x xmlns='{ns.DATA}' type='submit'>{text}</x>"


def page(**elements: object) -> str:
    """A request for a page."""
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in elements.items())
    return f"<set xmlns='{ns.RSM}'>{inner}</set>"


class Answer:
    """What a query gave."""

    def __init__(self, text: str) -> None:
        *results, end = split(text)
        self.results = results
        self.end = ElementTree.fromstring(end)
        self.ids = [re.findall(" id='([0-9a-f]{32})'", xml)[0] for xml in results]
        self.bodies = [re.findall("<body>(.*?)</body>", xml)[0] for xml in results]
        self.stamps = [re.findall("stamp='(.*?)'", xml)[0] for xml in results]

    @property
    def error(self) -> str:
        """The condition, if it is an error."""
        found = self.end.find("error")
        return "" if found is None else found[0].tag.partition("}")[2]

    @property
    def fin(self) -> ElementTree.Element:
        found = self.end.find(f"{{{ns.MAM}}}fin")
        assert found is not None
        return found

    @property
    def complete(self) -> bool:
        return self.fin.get("complete") == "true"

    def rsm(self, name: str) -> str | None:
        """An element of the page's description."""
        return self.fin.findtext(f"{{{ns.RSM}}}set/{{{ns.RSM}}}{name}")


class ArchiveCase(ServerCase):
    """Alice has talked to Bob and Carol: bodies are numbered, a second apart."""

    users = ("alice", "bob", "carol")

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/home")
        self.bob = self.login("bob/desk")
        self.carol = self.login("carol/pad")

    def say(self, client: Client, to: str, *bodies: str, kind: str = "chat") -> None:
        for body in bodies:
            self.tell(client, f"<message to='{to}' type='{kind}'><body>{body}</body></message>")
            self.world.advance(1)

    def talk(self) -> None:
        """Seven messages with both."""
        self.say(self.alice, "bob@localhost", "1")
        self.say(self.bob, ALICE, "2")
        self.say(self.carol, ALICE, "3")
        self.say(self.alice, "bob@localhost/desk", "4")
        self.say(self.alice, "carol@localhost", "5")
        self.say(self.bob, f"{ALICE}/home", "6")
        self.say(self.alice, "bob@localhost", "7")

    def query(
        self, content: str = "", *, to: str = "", attributes: str = "", client: Client | None = None
    ) -> Answer:
        to = f" to='{to}'" if to else ""
        text = f"<iq type='set' id='q'{to}><query xmlns='{ns.MAM}'{attributes}>{content}</query></iq>"
        return Answer((client or self.alice).ask(text))

    def get(self, name: str, to: str = "", client: Client | None = None) -> str:
        to = f" to='{to}'" if to else ""
        (answer,) = split(
            (client or self.alice).ask(f"<iq type='get' id='g'{to}><{name} xmlns='{ns.MAM}'/></iq>")
        )
        return answer


class StorageTests(ArchiveCase):
    """Section 3 and 6.1: what is in an archive."""

    def test_whole_stanza(self) -> None:
        """MAM A1: with addresses, type, id and everything in it"""
        self.tell(
            self.alice,
            "<message to='bob@localhost' type='chat' id='i'><body>x</body><thread>t</thread>"
            "<y xmlns='t:y' z='1'><a/></y></message>",
        )
        for client in (self.alice, self.bob):
            (result,) = self.query(client=client).results
            self.assertIn(
                "<message xmlns='jabber:client' from='alice@localhost/home' to='bob@localhost' type='chat'"
                " id='i'><body>x</body><thread>t</thread><y xmlns='t:y' z='1'><a/></y></message></forwarded>",
                result,
            )

    def test_ids(self) -> None:
        """MAM A2, A36; I1: unique in all archives, unpredictable, saying nothing"""
        self.talk()
        ids = self.query().ids + self.query(client=self.bob).ids + self.query(client=self.carol).ids
        self.assertEqual(len(set(ids)), 7 + 5 + 2)
        for name in ids:
            self.assertRegex(name, "^[0-9a-f]{32}$")
        self.assertNotEqual(sorted(ids[:7]), ids[:7])

    def test_order_of_reception(self) -> None:
        """MAM A3: also when the clock is set back"""
        self.say(self.alice, "bob@localhost", "1")
        clock = self.world.reactor
        clock.rightNow -= 100
        self.say(self.bob, ALICE, "2")
        answer = self.query()
        self.assertEqual(answer.bodies, ["1", "2"])
        self.assertLess(answer.stamps[0], answer.stamps[1])

    def test_live_messages_carry_their_id(self) -> None:
        """MAM A7, A8; I4: the addressee's own, not the sender's"""
        self.say(self.alice, "bob@localhost", "1")
        (got,) = self.take(self.bob)
        (name,) = self.query(client=self.bob).ids
        self.assertEqual(
            re.findall("<stanza-id [^>]*>", got),
            [f"<stanza-id xmlns='{ns.STANZA_ID}' by='bob@localhost' id='{name}'/>"],
        )

    def test_what_is_archived(self) -> None:
        """MAM A30"""
        self.say(self.alice, "bob@localhost", "chat", kind="chat")
        self.say(self.alice, "bob@localhost", "normal", kind="normal")
        for kind in ("headline", "groupchat", "error"):
            self.say(self.alice, "bob@localhost/desk", kind, kind=kind)
        for client in (self.alice, self.bob):
            self.assertEqual(self.query(client=client).bodies, ["chat", "normal"])

    def test_hint_to_store(self) -> None:
        """MAM A41: whatever the type, but errors; rooms have archives of their own"""
        hint = f"<store xmlns='{ns.HINTS}'/>"
        for kind in ("headline", "groupchat", "error"):
            to = "bob@localhost/desk"
            self.tell(self.alice, f"<message to='{to}' type='{kind}'><body>{kind}</body>{hint}</message>")
        for client in (self.alice, self.bob):
            self.assertEqual(self.query(client=client).bodies, ["headline"])

    def test_once_whatever_is_copied(self) -> None:
        """MAM A31"""
        for name in ("alice/pad", "bob/pad"):
            self.login(name).ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.say(self.alice, "bob@localhost", "1")
        for client in (self.alice, self.bob):
            self.assertEqual(self.query(client=client).bodies, ["1"])

    def test_rejected_messages(self) -> None:
        """MAM A32: what is not delivered is not in the addressee's archive"""
        self.tell(
            self.bob,
            f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{ALICE}'/></block></iq>",
        )
        self.say(self.alice, "bob@localhost", "1")
        self.say(self.alice, "bob@localhost/gone", "2", kind="normal")
        self.assertEqual(self.query(client=self.bob).bodies, [])

    def test_notes_to_oneself(self) -> None:
        """MAM A14, A31: once, and found by the own bare JID"""
        self.say(self.alice, ALICE, "note")
        self.say(self.alice, f"{ALICE}/home", "memo")
        self.say(self.bob, ALICE, "1")
        self.assertEqual(self.query().bodies, ["note", "memo", "1"])
        self.assertEqual(self.query(form(with_=ALICE)).bodies, ["note", "memo"])


class FilterTests(ArchiveCase):
    """Section 4.1"""

    def setUp(self) -> None:
        super().setUp()
        self.talk()
        self.all = self.query()

    def assert_found(self, bodies: str, **fields: str | list[str]) -> None:
        self.assertEqual(self.query(form(**fields)).bodies, list(bodies), fields)

    def test_with(self) -> None:
        """MAM A13: to or from; a full JID is that resource only"""
        self.assert_found("12467", with_="bob@localhost")
        self.assert_found("35", with_="carol@localhost")
        self.assert_found("246", with_="bob@localhost/desk")
        self.assert_found("", with_="bob@localhost/other")
        self.assert_found("", with_="nobody@localhost")
        self.assert_found("12467", with_="BOB@Localhost")

    def test_own_addresses(self) -> None:
        """MAM A13, A14"""
        self.assert_found("", with_=ALICE)
        self.assert_found("14567", with_=f"{ALICE}/home")

    def test_time(self) -> None:
        """MAM A16: both inclusive, in XEP-0082, any zone"""
        stamps = self.all.stamps
        self.assert_found("34567", start=stamps[2])
        self.assert_found("123", end=stamps[2])
        self.assert_found("345", start=stamps[2], end=stamps[4])
        self.assert_found("3", start=stamps[2], end=stamps[2])
        self.assert_found("", start=stamps[4], end=stamps[2])
        self.assert_found("34567", start=stamps[2].replace("T00:", "T02:").replace("Z", "+02:00"))
        self.assert_found("1234567", start="1970-01-01T00:00:00Z", end="9999-12-31T23:59:59Z")

    def test_ids(self) -> None:
        """MAM A10: before-id, after-id, ids; chronological whatever the order of asking"""
        ids = self.all.ids
        self.assert_found("4567", after_id=ids[2])
        self.assert_found("12", before_id=ids[2])
        self.assert_found("45", after_id=ids[2], before_id=ids[5])
        self.assert_found("257", ids=[ids[6], ids[1], ids[4], ids[1]])

    def test_together(self) -> None:
        """MAM A10"""
        ids, stamps = self.all.ids, self.all.stamps
        self.assert_found("46", with_="bob@localhost", after_id=ids[1], end=stamps[5])
        self.assert_found("2", ids=[ids[1], ids[2]], with_="bob@localhost")

    def test_unknown_ids(self) -> None:
        """MAM A17: in any field, and also those of other archives"""
        other = self.query(client=self.bob).ids[0]
        for name in ("", UNKNOWN, "x", other, self.all.ids[0].upper(), "0" * 33):
            self.assert_unknown(name)

    def assert_unknown(self, name: str) -> None:
        for content in (
            form(before_id=name),
            form(after_id=name),
            form(ids=[name]),
            form(ids=[self.all.ids[1], name]),
            form(with_="carol@localhost", after_id=name),
        ):
            self.assertEqual(self.query(content).error, "item-not-found", (name, content))
        for content in (page(after=name), page(before=name), form() + page(max=0, after=name)):
            if name:
                self.assertEqual(self.query(content).error, "item-not-found", (name, content))

    def test_ids_without_a_message(self) -> None:
        """MAM A17, A24: well-formed ids of this archive, of what has expired, is no history, or never was"""
        account, archive = self.account("alice"), self.world.server.archive
        number = account.id or 0
        seq = int(self.world.reactor.now() * 1_000_000)
        stanza = b"<message xmlns='jabber:client'><body>8</body></message>"
        row = store.ArchiveRow(number, seq, "bob@localhost", "", "", 0, 0, 1, 0, stanza)
        self.world.database.append(store.APPEND, row)
        self.world.wait_for(self.world.database.write("expire", store.erase_some, number, 1))
        for name in (self.all.ids[0], archive.id_of(account, seq), archive.id_of(account, 1)):
            self.assert_unknown(name)

    def test_ids_of_what_was_erased(self) -> None:
        """MAM A5, A17: they stay known, and keep their place"""
        ids = self.all.ids
        for name in (ids[2], ids[4]):
            seq = self.world.server.archive.row_of(self.account("alice"), name)
            write = self.world.database.write
            gone = b"<message xmlns='jabber:client'><body>-</body></message>"
            self.world.wait_for(write("redact", store.redact, self.account("alice").id, seq, gone))
        self.assert_found("4-67", after_id=ids[2])
        self.assert_found("12-4", before_id=ids[4])
        self.assert_found("--", ids=[ids[2], ids[4]])
        self.assertEqual(self.query(page(after=ids[4])).bodies, ["6", "7"])
        self.assertEqual(self.query(page(before=ids[2])).bodies, ["1", "2"])

    def test_ids_outside_the_other_filters(self) -> None:
        """MAM A17: no error"""
        ids, stamps = self.all.ids, self.all.stamps
        self.assert_found("35", with_="carol@localhost", after_id=ids[1], end=stamps[4])
        self.assert_found("", ids=[ids[0]], with_="carol@localhost")
        self.assert_found("67", start=stamps[5], after_id=ids[0])

    def test_nothing_found(self) -> None:
        """MAM A12: success without results"""
        answer = self.query(form(with_="nobody@localhost"))
        self.assertEqual((answer.results, answer.complete, answer.rsm("first")), ([], True, None))
        self.assertEqual(answer.rsm("count"), "0")

    def test_unknown_fields(self) -> None:
        """MAM A20"""
        self.assertEqual(self.query(form(nonsense="x")).error, "feature-not-implemented")

    def test_malformed_fields(self) -> None:
        for fields in (
            form(start="yesterday"),
            form(end="2026-01-01"),
            form(start="2026-01-01T00:00:00"),
            form(with_=["bob@localhost", "carol@localhost"]),
            form(include_groupchat="perhaps"),
        ):
            self.assertEqual(self.query(fields).error, "bad-request", fields)
        self.assertEqual(self.query(form(with_="@")).error, "jid-malformed")
        self.assertEqual(self.query(form(ids=[UNKNOWN] * 501)).error, "policy-violation")

    def test_malformed_forms(self) -> None:
        for content in (
            form() + form(),
            form().replace("submit", "result"),
            form().replace(ns.MAM, "urn:xmpp:mam:1"),
            f"<x xmlns='{ns.DATA}' type='submit'/>",
        ):
            self.assertEqual(self.query(content).error, "bad-request", content)

    def test_groupchat_field(self) -> None:
        """MAM A38: understood, whatever it says"""
        for value in ("true", "1", "false", "0"):
            self.assert_found("1234567", include_groupchat=value)

    def test_groupchat_is_excluded(self) -> None:
        """MAM A38: false excludes what an archive may have of rooms"""
        number = self.account("alice").id or 0
        seq = int(self.world.reactor.now() * 1_000_000)
        stanza = b"<message xmlns='jabber:client' type='groupchat'><body>8</body></message>"
        row = store.ArchiveRow(number, seq, "room@x", "nick", "", 0, 1, 0, store.GROUPCHAT, stanza)
        self.world.database.append(store.APPEND, row)
        self.world.settle()
        self.assert_found("12345678")
        self.assert_found("12345678", include_groupchat="true")
        self.assert_found("1234567", include_groupchat="false")

    def test_no_form_needed(self) -> None:
        """MAM A19"""
        self.assertEqual(self.all.bodies, list("1234567"))


class ResultTests(ArchiveCase):
    """Section 4.2"""

    def test_form_of_results(self) -> None:
        """MAM A6, A9, A21: results first, from the account; then the end"""
        before = self.world.reactor.now()
        self.say(self.bob, ALICE, "1")
        answer = self.query(attributes=" queryid='a&apos;b'")
        self.assertRegex(
            answer.results[0],
            f"^<message from='{ALICE}' to='{ALICE}/home'><result xmlns='{ns.MAM}' queryid='a&apos;b'"
            f" id='{answer.ids[0]}'><forwarded xmlns='{ns.FORWARD}'><delay xmlns='{ns.DELAY}' stamp='[^']*'/>"
            "<message xmlns='jabber:client' .*</message></forwarded></result></message>$",
        )
        self.assertEqual(
            answer.end.attrib, {"from": ALICE, "to": f"{ALICE}/home", "type": "result", "id": "q"}
        )
        self.assertEqual(answer.stamps[0][:23], stamp(int(before * 1_000_000))[:23])

    def test_queryid(self) -> None:
        """MAM A21: if and only if the query had one"""
        self.say(self.bob, ALICE, "1")
        self.assertNotIn("queryid", self.query().results[0])
        self.assertIn(" queryid=''", self.query(attributes=" queryid=''").results[0])

    def test_own_bare_address(self) -> None:
        """MAM A6"""
        self.say(self.bob, ALICE, "1")
        self.assertEqual(self.query(to=ALICE).bodies, ["1"])

    def test_not_delayed_by_the_disk(self) -> None:
        """Everyone reads what they wrote"""
        self.alice.take()
        self.alice.send(
            "<message to='bob@localhost' type='chat'><body>1</body></message>"
            f"<iq type='set' id='q'><query xmlns='{ns.MAM}'/></iq>"
        )
        self.world.settle()
        self.assertEqual(Answer(self.alice.take()).bodies, ["1"])

    def test_unstable(self) -> None:
        """MAM A26: what waits to be written is not among the results"""
        self.assertIs(self.query().fin.get("stable"), None)
        self.world.database._writer.faulted = True
        self.assertEqual(self.query().fin.get("stable"), "false")
        self.world.database._writer.faulted = False

    def test_slow_reader(self) -> None:
        """Nobody is sent a page before the last one is on its way"""
        self.say(self.bob, ALICE, "1")
        self.alice.take()
        producer = self.alice.transport.producer
        producer.pauseProducing()
        self.alice.send(f"<iq type='set' id='q'><query xmlns='{ns.MAM}'/></iq>")
        self.world.settle()
        outbox = self.account("alice").sessions[0].outbox  # type: ignore[attr-defined]
        self.assertEqual(outbox.pending_bytes, 0)
        producer.resumeProducing()
        self.world.settle()
        self.assertEqual(Answer(self.alice.take()).bodies, ["1"])


class PageTests(ArchiveCase):
    """Section 4.3"""

    settings = ("limits.max_archive_query_results=5",)

    def setUp(self) -> None:
        super().setUp()
        self.talk()
        first = self.query()
        self.ids = first.ids + self.query(page(after=first.ids[-1])).ids

    def assert_page(self, answer: Answer, bodies: str, *, complete: bool) -> None:
        self.assertEqual((answer.bodies, answer.complete), (list(bodies), complete))
        first, last = answer.rsm("first"), answer.rsm("last")
        self.assertEqual((first, last), (answer.ids[0], answer.ids[-1]) if bodies else (None, None))

    def test_limit_of_the_server(self) -> None:
        """MAM A23"""
        for content in ("", page(), page(max=6), page(max=9_999_999_999)):
            self.assert_page(self.query(content), "12345", complete=False)
        before = hits.of("max_archive_query_results")
        self.query(page(max=5))
        self.query(page(max=6))
        self.assertEqual(hits.of("max_archive_query_results"), before + 1)

    def test_limit_in_bytes(self) -> None:
        """MAM A23: long messages make a page shorter, in either direction, but never empty"""
        self.patch(store, "PAGE_BYTES", len(self.stored("1")) * 5 // 2)
        self.assert_page(self.query(), "12", complete=False)
        self.assert_page(self.query(page(after=self.ids[1])), "34", complete=False)
        self.assert_page(self.query(page(before="")), "67", complete=False)
        self.assert_page(self.query(page(max=1)), "1", complete=False)
        self.assert_page(self.query(page(before=self.ids[1])), "1", complete=True)
        self.patch(store, "PAGE_BYTES", 1)
        self.assert_page(self.query(page(after=self.ids[4])), "6", complete=False)
        self.assert_page(self.query(page(after=self.ids[5])), "7", complete=True)

    def stored(self, body: str) -> str:
        """The first message with that body, as it stands in a result."""
        (result,) = [xml for xml in self.query().results if f"<body>{body}</body>" in xml]
        return result.partition("/><message")[2].partition("</forwarded>")[0]

    def test_place_of_the_first_result(self) -> None:
        """XEP-0059, section 2.2: told where it costs nothing to know"""
        for content, index in (
            (page(max=3), "0"),
            (page(max=3, after=self.ids[0]), None),
            (page(max=3, before=""), None),
            (page(max=3, before=self.ids[3]), "0"),
            (form(with_="carol@localhost") + page(before=""), "0"),
            (page(before=self.ids[3], after=self.ids[0]), None),
        ):
            first = self.query(content).fin.find(f"{{{ns.RSM}}}set/{{{ns.RSM}}}first")
            assert first is not None
            self.assertEqual(first.get("index"), index, content)

    def test_forwards(self) -> None:
        """MAM A22, A24, A25"""
        self.assert_page(self.query(page(max=3)), "123", complete=False)
        self.assert_page(self.query(page(max=3, after=self.ids[2])), "456", complete=False)
        self.assert_page(self.query(page(max=3, after=self.ids[5])), "7", complete=True)
        self.assert_page(self.query(page(max=3, after=self.ids[6])), "", complete=True)
        self.assert_page(self.query(page(max=4, after=self.ids[2])), "4567", complete=True)

    def test_backwards(self) -> None:
        """MAM A22, A27: the last page first, each in chronological order"""
        self.assert_page(self.query(page(max=3, before="")), "567", complete=False)
        self.assert_page(self.query(page(max=3, before=self.ids[4])), "234", complete=False)
        self.assert_page(self.query(page(max=3, before=self.ids[1])), "1", complete=True)
        self.assert_page(self.query(page(max=3, before=self.ids[0])), "", complete=True)
        self.assert_page(self.query(page(max=4, before=self.ids[4])), "1234", complete=True)

    def test_single(self) -> None:
        """A page of one item: first = last"""
        answer = self.query(page(max=1, after=self.ids[2]))
        self.assert_page(answer, "4", complete=False)
        self.assertEqual(answer.rsm("first"), answer.rsm("last"))

    def test_with_filters(self) -> None:
        """MAM A24: a page of what the filters leave"""
        bob = form(with_="bob@localhost")
        self.assert_page(self.query(bob + page(max=2)), "12", complete=False)
        self.assert_page(self.query(bob + page(max=2, after=self.ids[1])), "46", complete=False)
        self.assert_page(self.query(bob + page(max=2, after=self.ids[2])), "46", complete=False)
        self.assert_page(self.query(bob + page(max=2, before="")), "67", complete=False)
        self.assert_page(self.query(form(after_id=self.ids[1]) + page(max=2)), "34", complete=False)
        self.assert_page(self.query(form(before_id=self.ids[3]) + page(max=2)), "12", complete=False)
        self.assert_page(
            self.query(form(before_id=self.ids[3]) + page(max=2, before="")), "23", complete=False
        )

    def test_unknown_ids(self) -> None:
        """MAM A24"""
        for name in (UNKNOWN, "x", self.query(client=self.bob).ids[0]):
            for content in (page(after=name), page(before=name), form(with_="nobody@x") + page(after=name)):
                self.assertEqual(self.query(content).error, "item-not-found")

    def test_stateless(self) -> None:
        """MAM A24: a page goes on where it was, whatever has come meanwhile"""
        self.say(self.bob, ALICE, "8")
        self.assert_page(self.query(page(max=3, after=self.ids[4])), "678", complete=True)
        self.assert_page(self.query(page(max=3, before=self.ids[6])), "456", complete=False)

    def test_flipped(self) -> None:
        """MAM A28: only the order of transmission, with any page"""
        flip = "<flip-page/>"
        for content, bodies in (
            (page(max=3), "321"),
            (page(max=3, before=""), "765"),
            (page(max=3, after=self.ids[2]), "654"),
        ):
            plain, answer = self.query(content), self.query(content + flip)
            self.assertEqual(answer.bodies, list(bodies))
            for name in ("first", "last"):
                self.assertEqual(answer.rsm(name), plain.rsm(name))
            self.assertEqual(answer.complete, plain.complete)

    def test_count_alone(self) -> None:
        """XEP-0059, max=0: no results, no first and last; complete only if nothing matched"""
        answer = self.query(page(max=0))
        self.assert_page(answer, "", complete=False)
        self.assertEqual(answer.rsm("count"), "7")
        self.assertEqual(self.query(form(with_="carol@localhost") + page(max=0)).rsm("count"), "2")
        nothing = self.query(form(with_="nobody@localhost") + page(max=0))
        self.assert_page(nothing, "", complete=True)
        self.assertEqual(nothing.rsm("count"), "0")

    def test_count(self) -> None:
        """The size of the whole result, where the page is the whole of it"""
        self.assertEqual(self.query(form(with_="carol@localhost")).rsm("count"), "2")

    def test_bad_pages(self) -> None:
        for content in (
            page(max="x"),
            page(max=-1),
            page(max=1) + page(max=1),
            page(after=""),
            page(nonsense=1),
        ):
            self.assertEqual(self.query(content).error, "bad-request", content)
        self.assertEqual(self.query(page(index=3)).error, "feature-not-implemented")


class DiscoveryTests(ArchiveCase):
    """Sections 4.1.5, 5, 7 and 8.1"""

    def test_form(self) -> None:
        """MAM A10, A11, A18: all fields, none of them required"""
        answer = self.get("query")
        found = {var: kind for kind, var in re.findall("<field type='([^']*)' var='([^']*)'", answer)}
        self.assertEqual(
            found,
            {
                "FORM_TYPE": "hidden",
                "with": "jid-single",
                "start": "text-single",
                "end": "text-single",
                "before-id": "text-single",
                "after-id": "text-single",
                "ids": "list-multi",
                "include-groupchat": "boolean",
                "{urn:xmpp:fulltext:0}fulltext": "text-single",
            },
        )
        self.assertIn(f"<value>{ns.MAM}</value>", answer)
        self.assertIn(f"<validate xmlns='{ns.DATA_VALIDATE}' datatype='xs:string'><open/></validate>", answer)
        for word in ("<required", "<option"):
            self.assertNotIn(word, answer)

    def test_metadata(self) -> None:
        """MAM A29"""
        self.talk()
        everything = self.query()
        ends = [
            f"<{name} id='{everything.ids[place]}' timestamp='{everything.stamps[place]}'/>"
            for name, place in (("start", 0), ("end", -1))
        ]
        self.assertIn(f"<metadata xmlns='{ns.MAM}'>{''.join(ends)}</metadata>", self.get("metadata"))

    def test_metadata_of_an_empty_archive(self) -> None:
        """MAM A29; what only waits for delivery is no part of it"""
        self.tell(
            self.bob,
            f"<message to='{ALICE}'><body>x</body><no-permanent-store xmlns='{ns.HINTS}'/></message>",
        )
        self.assertIn(f"<metadata xmlns='{ns.MAM}'></metadata>", self.get("metadata"))

    def test_features(self) -> None:
        """MAM A37, A38; I5; XEP-0059, section 5: on accounts, and not on the server"""
        info = f"<query xmlns='{ns.DISCO_INFO}'/>"
        (account,) = split(self.alice.ask(f"<iq type='get' id='d' to='{ALICE}'>{info}</iq>"))
        (server,) = split(self.alice.ask(f"<iq type='get' id='d' to='localhost'>{info}</iq>"))
        for feature in (ns.MAM, f"{ns.MAM}#extended", f"{ns.MAM}#groupchat-field", ns.STANZA_ID, ns.RSM):
            self.assertIn(f"<feature var='{feature}'/>", account)
            self.assertNotIn(f"<feature var='{feature}'/>", server)
        self.assertNotIn("#groupchat-available", account)

    def test_guests(self) -> None:
        """MAM A37: what has no archive does not announce one, and is not asked"""
        self.start("domains.localhost.anonymous=true")
        guest = self.world.connect()
        guest.open("localhost")
        guest.ask(f"<auth xmlns='{ns.SASL}' mechanism='ANONYMOUS'/>")
        guest.open("localhost")
        jid = guest.bind().partition("/")[0]
        (info,) = split(guest.ask(f"<iq type='get' id='d' to='{jid}'><query xmlns='{ns.DISCO_INFO}'/></iq>"))
        self.assertIn("type='anonymous'", info)
        self.assertIn(f"<feature var='{ns.PING}'/>", info)
        for feature in (ns.MAM, ns.FULLTEXT, ns.RETRACT):
            self.assertNotIn(f"<feature var='{feature}", info)
        self.assertEqual(self.query(client=guest).error, "forbidden")
        for name in ("query", "metadata", "prefs"):
            self.assertIn("<forbidden ", self.get(name, client=guest))

    def test_archives_of_others(self) -> None:
        """MAM A39: forbidden, and nobody learns who exists"""
        self.talk()
        answers = set()
        for name in ("bob", "nobody"):
            address = f"{name}@localhost"
            self.assertEqual(self.query(to=address).error, "forbidden")
            for request in ("query", "metadata"):
                answers.add(self.get(request, to=address).replace(name, "x"))
        self.assertEqual(len(answers), 1)
        self.assertEqual(self.query(to="localhost").error, "service-unavailable")
