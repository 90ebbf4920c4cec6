from twisted.trial.unittest import SynchronousTestCase

from bench.load.options import parse
from bench.load.registry import SCENARIOS
from bench.load.scenarios import __all__ as modules
from bench.plan import CASES, OURS, QUICK, TARGETS, UnknownCaseError, choose, rivals
from bench.servers import SERVERS


class PlanTests(SynchronousTestCase):
    def test_all_scenarios_are_there(self) -> None:
        self.assertEqual(len(SCENARIOS), len(modules) + 2, "prepare has three")

    def test_every_case_is_a_command_line_of_the_load(self) -> None:
        for case in CASES:
            name, _ = parse([*case.load.split(), *QUICK.split()])
            self.assertEqual(name, case.load.split()[0])
            self.assertLessEqual(set(case.needs), set(SCENARIOS))

    def test_the_quick_form_overrides_what_a_case_says(self) -> None:
        case = next(case for case in CASES if case.name == "memory-5000")
        _, options = parse([*case.load.split(), *QUICK.split()])
        self.assertEqual(options.clients, 30)

    def test_every_target_names_a_case_and_a_server(self) -> None:
        names = [case.name for case in CASES]
        for target in TARGETS:
            self.assertIn(target.case, names)
            self.assertIn(target.against, SERVERS)

    def test_names_are_unique(self) -> None:
        self.assertEqual(len({case.name for case in CASES}), len(CASES))
        self.assertEqual(len({case.title for case in CASES}), len(CASES))


class ChooseTests(SynchronousTestCase):
    def test_without_names_the_usual_ones(self) -> None:
        self.assertEqual([case.name for case in choose()], [case.name for case in CASES if case.usual])

    def test_names_pick_in_the_order_of_the_plan(self) -> None:
        self.assertEqual([case.name for case in choose("login, chat")], ["chat", "login"])

    def test_a_name_is_the_whole_name(self) -> None:
        self.assertEqual([case.name for case in choose("memory")], ["memory"])

    def test_a_star_stands_for_letters(self) -> None:
        self.assertEqual(
            [case.name for case in choose("chat*")], ["chat", "chat-20", "chat-carbons", "chat-sm"]
        )

    def test_a_name_that_picks_nothing(self) -> None:
        self.assertRaises(UnknownCaseError, choose, "chat,nothing")

    def test_rivals_are_those_of_the_targets(self) -> None:
        chat, neighbour = choose("chat,neighbour")
        self.assertEqual(rivals(chat), [OURS, "prosody", "ejabberd-noarchive"])
        self.assertEqual(rivals(neighbour), [OURS])
