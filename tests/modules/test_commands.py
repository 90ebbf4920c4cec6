"""Ad-hoc commands (XEP-0050): list, discovery, steps, sessions."""

from __future__ import annotations

from tests.modules.conversation import Conversation, User
from xmppd.core.errors import StanzaError
from xmppd.modules import commands
from xmppd.modules.commands import Command, Commands, Done, Step, Turn

NS = "http://jabber.org/protocol/commands"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
FORM = "<x xmlns='jabber:x:data' type='form'/>"


class CommandsConversation(Conversation):
    """An account with one command of two steps, which notes its turns."""

    def begin(self, database: str | None = None) -> None:
        super().begin(database)
        self.turns: list[tuple[int, str]] = []
        module = self.server.server.hosts["example.org"].modules["commands"]
        assert isinstance(module, Commands)
        self.module = module
        module.add(Command("urn:x:test", "Test & more", self.run_command))
        self.romeo = self.user("romeo/orchard")

    async def run_command(self, turn: Turn) -> Step | Done:
        text = "".join(str(child) for child in turn.payload.elements() for child in child.children)
        self.turns.append((turn.number, text))
        if text == "wrong":
            raise StanzaError("bad-request", app=(NS, "bad-payload"))
        if turn.number == 2:
            return Done("Done & dusted.", failed=text == "impossible")
        return Step(FORM.encode(), "next" if turn.number == 0 else "complete")

    def command(self, inner: str = "", user: User | None = None, **attributes: str) -> str:
        """Send a command; the answer."""
        given = {"node": "urn:x:test", **attributes}
        text = "".join(f" {name}='{value}'" for name, value in given.items() if value)
        (answer,) = (user or self.romeo).ask(
            f"<iq type='set' id='c'><command xmlns='{NS}'{text}>{inner}</command></iq>"
        )
        return answer

    def token(self, answer: str) -> str:
        return answer.partition(" sessionid='")[2].partition("'")[0]

    def fill(self, token: str, value: str = "x", **attributes: str) -> str:
        return self.command(f"<x xmlns='urn:x'>{value}</x>", sessionid=token, **attributes)

    def assert_problem(self, answer: str, condition: str, specific: str = "") -> None:
        self.assertIn(f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>", answer)
        if specific:
            self.assertIn(f"<{specific} xmlns='{NS}'/>", answer)


class DiscoveryTests(CommandsConversation):
    """Section 2: how commands are found."""

    def disco(self, namespace: str, node: str, user: User | None = None, to: str = "") -> str:
        query = f"<query xmlns='{namespace}' node='{node}'/>"
        address = to or "romeo@example.org"
        (answer,) = (user or self.romeo).ask(f"<iq type='get' id='d' to='{address}'>{query}</iq>")
        return answer

    def test_the_account_says_that_it_has_commands(self) -> None:
        (answer,) = self.romeo.ask(f"<iq type='get' id='d'><query xmlns='{INFO}'/></iq>")
        self.assertIn(f"<feature var='{NS}'/>", answer)

    def test_the_list(self) -> None:
        """Section 2.2."""
        answer = self.disco(ITEMS, NS)
        self.assertIn(f"<query xmlns='{ITEMS}' node='{NS}'>", answer)
        self.assertIn("<item jid='romeo@example.org' node='urn:x:test' name='Test &amp; more'/>", answer)
        self.assertIn("<item jid='romeo@example.org' node='urn:xmpp:mam#configure'", answer)

    def test_the_list_as_a_node(self) -> None:
        answer = self.disco(INFO, NS)
        self.assertIn(f"node='{NS}'", answer)
        self.assertIn("category='automation'", answer)
        self.assertIn("type='command-list'", answer)

    def test_a_command_as_a_node(self) -> None:
        """Section 2.3."""
        answer = self.disco(INFO, "urn:x:test")
        for part in ("type='command-node'", "name='Test &amp; more'", f"var='{NS}'", "var='jabber:x:data'"):
            self.assertIn(part, answer)
        self.assertIn(f"<query xmlns='{ITEMS}' node='urn:x:test'></query>", self.disco(ITEMS, "urn:x:test"))

    def test_unknown_nodes(self) -> None:
        for namespace in (INFO, ITEMS):
            self.assert_problem(self.disco(namespace, "urn:x:other"), "item-not-found")

    def test_they_are_for_the_owner(self) -> None:
        self.befriend("mercutio", "benvolio")
        benvolio = self.user("benvolio/street")
        to = "mercutio@example.org"
        self.assertIn(f"node='{NS}'></query>", self.disco(ITEMS, NS, benvolio, to))
        self.assert_problem(self.disco(INFO, "urn:x:test", benvolio, to), "forbidden")
        command = f"<command xmlns='{NS}' node='urn:x:test'/>"
        (answer,) = benvolio.ask(f"<iq type='set' id='c' to='{to}'>{command}</iq>")
        self.assert_problem(answer, "forbidden")
        self.assertEqual(self.turns, [])


class ExecutionTests(CommandsConversation):
    """Section 2.4 and 3.4: steps and actions."""

    def test_from_the_first_step_to_the_last(self) -> None:
        first = self.command()
        token = self.token(first)
        self.assertIn(
            f"<command xmlns='{NS}' node='urn:x:test' sessionid='{token}' status='executing'", first
        )
        self.assertIn(f"<actions execute='next'><next/></actions>{FORM}</command>", first)
        second = self.fill(token)
        self.assertIn("<actions execute='complete'><prev/><complete/></actions>", second)
        third = self.fill(token, "y", action="complete")
        self.assertIn(f"sessionid='{token}' status='completed'", third)
        self.assertIn("<note type='info'>Done &amp; dusted.</note></command>", third)
        self.assertEqual(self.turns, [(0, ""), (1, "x"), (2, "y")])

    def test_back(self) -> None:
        token = self.token(self.command(action="execute"))
        self.fill(token, action="next")
        self.assertIn(
            "<actions execute='next'><next/></actions>", self.command(sessionid=token, action="prev")
        )
        self.assert_problem(self.command(sessionid=token, action="prev"), "bad-request", "bad-action")
        self.fill(token, "other")
        self.assertEqual(self.turns, [(0, ""), (1, "x"), (1, "other")])

    def test_cancel(self) -> None:
        token = self.token(self.command())
        self.assertIn("status='canceled'", self.command(sessionid=token, action="cancel"))
        self.assert_problem(self.fill(token), "not-allowed", "session-expired")

    def test_a_failure_is_told_with_a_note(self) -> None:
        token = self.token(self.command())
        self.fill(token)
        self.assertIn("<note type='error'>", self.fill(token, "impossible"))

    def test_a_form_that_is_wrong_can_be_filled_in_again(self) -> None:
        token = self.token(self.command())
        self.assert_problem(self.fill(token, "wrong"), "bad-request", "bad-payload")
        self.assertIn("<complete/>", self.fill(token))

    def test_a_command_that_does_not_begin_leaves_no_session(self) -> None:
        self.assert_problem(self.command("<x xmlns='urn:x'>wrong</x>"), "bad-request", "bad-payload")
        self.assertEqual(len(self.module._sessions), 0)

    def test_actions_that_do_not_fit(self) -> None:
        token = self.token(self.command())
        for action, specific in (
            ("complete", "bad-action"),
            ("prev", "bad-action"),
            ("dance", "malformed-action"),
        ):
            self.assert_problem(self.fill(token, action=action), "bad-request", specific)
        for action in ("prev", "cancel"):
            self.assert_problem(self.command(action=action), "bad-request", "bad-action")

    def test_unknown_commands(self) -> None:
        self.assert_problem(self.command(node="urn:x:other"), "item-not-found")
        self.assert_problem(self.command(node=""), "item-not-found")


class SessionTests(CommandsConversation):
    """Section 3.3: how long sessions live, and whose they are."""

    def test_a_session_belongs_to_one_resource_and_one_command(self) -> None:
        token = self.token(self.command())
        street = self.user("romeo/street")
        self.assert_problem(self.command("", street, sessionid=token), "bad-request", "bad-sessionid")
        other = self.command(sessionid=token, node="urn:xmpp:mam#configure")
        self.assert_problem(other, "bad-request", "bad-sessionid")
        self.assert_problem(self.command(sessionid="none"), "bad-request", "bad-sessionid")

    def test_they_expire(self) -> None:
        token = self.token(self.command())
        self.server.advance(commands.LIFETIME - 60)
        self.fill(token)
        self.server.advance(commands.LIFETIME - 60)
        self.assertIn("status='completed'", self.fill(token))
        token = self.token(self.command())
        self.server.advance(commands.LIFETIME + 1)
        again = self.user("romeo/orchard")
        self.assert_problem(self.command("", again, sessionid=token), "not-allowed", "session-expired")
        self.assertEqual(len(self.module._sessions), 0)

    def test_their_number_is_bounded(self) -> None:
        tokens = [self.token(self.command()) for _ in range(commands.MOST_OF_ONE + 1)]
        self.assertEqual(len(self.module._sessions), commands.MOST_OF_ONE)
        self.assert_problem(self.fill(tokens[0]), "not-allowed", "session-expired")
        self.assertIn("<complete/>", self.fill(tokens[1]))

    def test_the_number_of_all_is_bounded(self) -> None:
        self.patch(commands, "MOST", 2)
        token = self.token(self.command())
        for number in range(2):
            self.command("", self.user(f"romeo/{number}"))
        self.assertEqual(len(self.module._sessions), 2)
        self.assert_problem(self.fill(token), "not-allowed", "session-expired")
