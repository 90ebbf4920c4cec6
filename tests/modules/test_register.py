"""In-band registration."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.modules.fakes import World
from xmppd.config import DomainConfig, Limits
from xmppd.core.account import Account
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID
from xmppd.modules.register import Options, Register, Registrar
from xmppd.xml import tree


class FakeAccounts:
    """Takes note of what is asked for; `problem` is raised, and `wait` waited for."""

    def __init__(self) -> None:
        self.log: list[tuple[str, ...]] = []
        self.problem: StanzaError | None = None
        self.wait: Deferred[None] | None = None

    async def _do(self, *what: str) -> None:
        if self.wait is not None:
            await self.wait
        if self.problem is not None:
            raise self.problem
        self.log.append(what)

    async def create(self, jid: JID, password: str) -> None:
        await self._do("create", jid.text, password)

    async def set_password(self, jid: JID, password: str) -> None:
        await self._do("set_password", jid.text, password)

    async def remove(self, jid: JID, asked_by: Any = None) -> None:
        await self._do("remove", jid.text, asked_by.jid.text)


def world(**settings: object) -> tuple[World, Register, FakeAccounts]:
    accounts = FakeAccounts()
    limits = Limits(registrations_per_address=2, registrations_period=3600.0)
    made = World(accounts=accounts, settings=DomainConfig(**settings), limits=limits)  # type: ignore[arg-type]
    return made, made.load(Register, Options()), accounts


def query(content: str) -> tree.Element:
    return tree.parse(f"<query xmlns='jabber:iq:register'>{content}</query>".encode())


def filled_in(name: str = "bill", password: str = "Calliope") -> tree.Element:
    return query(f"<username>{name}</username><password>{password}</password>")


class StrangerTests(TestCase):
    """Before authentication."""

    def setUp(self) -> None:
        admins = (JID.parse("boss@example.org"), JID.parse("chief@example.net"))
        self.world, module, self.accounts = world(registration=True, admins=admins)
        assert module.registrar is not None
        self.registrar: Registrar = module.registrar

    async def refuse(self, condition: str, payload: tree.Element, address: str = "192.0.2.1") -> None:
        problem = await self.assertFailure(
            Deferred.fromCoroutine(self.registrar.register(payload, address)), StanzaError
        )
        self.assertEqual(problem.condition, condition)

    def test_a_closed_domain_has_no_registrar(self) -> None:
        self.assertIsNone(world()[1].registrar)

    def test_form(self) -> None:
        self.assertEqual(
            self.registrar.registration_form(),
            b"<query xmlns='jabber:iq:register'><instructions>Choose a name and a password.</instructions>"
            b"<username/><password/></query>",
        )

    async def test_a_new_account(self) -> None:
        await self.registrar.register(filled_in("Bill", "a &amp; b"), "192.0.2.1")
        self.assertEqual(self.accounts.log, [("create", "bill@example.org", "a & b")])

    async def test_fields_that_nobody_asked_for_mean_nothing(self) -> None:
        payload = query("<username>bill</username><password>x</password><email>a@example.net</email>")
        await self.registrar.register(payload, "192.0.2.1")
        self.assertEqual(self.accounts.log, [("create", "bill@example.org", "x")])

    async def test_missing_fields(self) -> None:
        for content in (
            "",
            "<username>bill</username>",
            "<username>bill</username><password/>",
            "<username/><password>Calliope</password>",
            "<username xmlns='urn:example'>bill</username><password>Calliope</password>",
        ):
            await self.refuse("not-acceptable", query(content))
        self.assertEqual(self.accounts.log, [])

    async def test_names_that_are_none(self) -> None:
        for name in ("a b", "a@b", "a/b", "x" * 1024, "a&amp;b"):
            await self.refuse("not-acceptable", filled_in(name))
        self.assertEqual(self.accounts.log, [])

    async def test_a_field_twice(self) -> None:
        payload = query("<username>a</username><username>b</username><password>x</password>")
        await self.refuse("bad-request", payload)

    async def test_removal_needs_a_login(self) -> None:
        await self.refuse("unexpected-request", query("<remove/>"))

    async def test_a_name_that_is_taken(self) -> None:
        self.accounts.problem = StanzaError("conflict")
        await self.refuse("conflict", filled_in())

    async def test_reserved_names(self) -> None:
        for name in ("admin", "ADMIN", "postmaster"):
            await self.refuse("conflict", filled_in(name))
        self.assertEqual(self.accounts.log, [])

    async def test_the_name_of_an_admin_cannot_be_taken_before_the_admin_does(self) -> None:
        await self.refuse("conflict", filled_in("boss"))
        await self.registrar.register(filled_in("chief"), "192.0.2.1")
        self.assertEqual(self.accounts.log, [("create", "chief@example.org", "Calliope")])

    async def test_too_many_from_one_address(self) -> None:
        for name in ("a", "b"):
            await self.registrar.register(filled_in(name), "192.0.2.1")
        await self.refuse("resource-constraint", filled_in("c"))
        await self.registrar.register(filled_in("d"), "192.0.2.2")
        self.world.clock.advance(1800)
        await self.registrar.register(filled_in("e"), "192.0.2.1")
        await self.refuse("resource-constraint", filled_in("f"))

    async def test_a_network_of_ipv6_is_one_address(self) -> None:
        for end in ("1", "2"):
            await self.registrar.register(filled_in("a" + end), f"2001:db8::{end}")
        await self.refuse("resource-constraint", filled_in("a3"), "2001:db8::3")

    async def test_names_cannot_be_tried_without_end(self) -> None:
        self.accounts.problem = StanzaError("conflict")
        for _ in range(20):
            await self.refuse("conflict", filled_in())
        await self.refuse("resource-constraint", filled_in())

    async def test_one_at_a_time(self) -> None:
        """Many at once would all pass the limit before the first is counted."""
        self.accounts.wait = Deferred()
        first = Deferred.fromCoroutine(self.registrar.register(filled_in("a"), "192.0.2.1"))
        await self.refuse("resource-constraint", filled_in("b"))
        self.accounts.wait.callback(None)
        await first
        self.accounts.wait = None
        await self.registrar.register(filled_in("b"), "192.0.2.1")
        self.assertEqual([entry[1] for entry in self.accounts.log], ["a@example.org", "b@example.org"])

    async def test_a_failure_of_the_store_is_passed_on_and_blocks_nothing(self) -> None:
        self.accounts.problem = StanzaError("internal-server-error")
        await self.refuse("internal-server-error", filled_in())
        self.accounts.problem = None
        await self.registrar.register(filled_in(), "192.0.2.1")


class UserTests(TestCase):
    """After authentication."""

    def setUp(self) -> None:
        self.world, _, self.accounts = world()
        self.session = self.world.session("bill/globe")
        self.world.account("juliet")

    async def ask(self, kind: str, content: str, to: str = "example.org", sender: str = "") -> str:
        return await self.world.ask(
            f"<iq from='{sender or 'bill@example.org/globe'}' to='{to}' id='1' type='{kind}'>"
            f"<query xmlns='jabber:iq:register'>{content}</query></iq>"
        )

    async def change(self, content: str, to: str = "example.org") -> str:
        return await self.ask("set", content, to)

    async def test_the_present_registration(self) -> None:
        for to in ("example.org", "bill@example.org"):
            self.assertIn(
                "<query xmlns='jabber:iq:register'><registered/><username>bill</username><password/>"
                "<instructions>",
                await self.ask("get", "", to),
            )

    async def test_another_password(self) -> None:
        for to in ("example.org", "bill@example.org"):
            self.assertEqual(
                await self.change("<username>Bill</username><password>newpass</password>", to),
                f"<iq from='{to}' to='bill@example.org/globe' type='result' id='1'/>",
            )
        self.assertEqual(self.accounts.log, [("set_password", "bill@example.org", "newpass")] * 2)

    async def test_a_password_is_never_set_to_nothing(self) -> None:
        for content in (
            "<username>bill</username>",
            "<username>bill</username><password/>",
            "<password>newpass</password>",
            "",
        ):
            self.assertIn("<error type='modify'><bad-request ", await self.change(content))
        self.assertEqual(self.accounts.log, [])

    async def test_the_password_of_somebody_else(self) -> None:
        answer = await self.change("<username>juliet</username><password>newpass</password>")
        self.assertIn("<error type='cancel'><not-allowed ", answer)
        self.assertEqual(self.accounts.log, [])

    async def test_the_answer_does_not_repeat_the_password(self) -> None:
        answer = await self.change("<username>juliet</username><password>newpass</password>")
        self.assertNotIn("newpass", answer)

    async def test_removal(self) -> None:
        """Section 3.2: the answer, then the end of the stream, with nothing between."""
        await self.change("<remove/>")
        self.assertEqual(
            self.session.take(),
            ["<iq from='example.org' to='bill@example.org/globe' type='result' id='1'/>"],
        )
        assert self.session.error is not None
        self.assertEqual(self.session.error.condition, "not-authorized")
        self.assertEqual(self.accounts.log, [("remove", "bill@example.org", "bill@example.org/globe")])

    async def test_removal_beside_something_else(self) -> None:
        for other in ("<username>bill</username>", "<x xmlns='jabber:x:data' type='submit'/>"):
            answer = await self.change("<remove/>" + other)
            self.assertIn("<error type='modify'><bad-request ", answer)
        self.assertEqual(self.accounts.log, [])

    async def test_strangers_get_the_answer_of_accounts_that_do_not_exist(self) -> None:
        for kind in ("get", "set"):
            for to in ("bill@example.org", "nobody@example.org", "example.org"):
                answer = await self.ask(kind, "<remove/>", to, "tybalt@example.net/x")
                self.assertIn("<error type='cancel'><service-unavailable ", answer)
        self.assertEqual(self.accounts.log, [])

    async def test_nobody_removes_the_account_of_somebody_else(self) -> None:
        answer = await self.change("<remove/>", "juliet@example.org")
        self.assertIn("<service-unavailable ", answer)
        self.assertEqual(self.accounts.log, [])

    async def test_guests_have_nothing_to_change(self) -> None:
        guest = JID.parse("guest@example.org")
        self.world.registry.accounts[guest] = Account(None, guest, None)
        self.world.session("guest/1")
        for kind in ("get", "set"):
            answer = await self.ask(kind, "<remove/>", sender="guest@example.org/1")
            self.assertIn("<error type='cancel'><not-allowed ", answer)
        self.assertEqual(self.accounts.log, [])
