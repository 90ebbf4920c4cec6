"""The laws of docs/architecture.md, over the syntax trees.  Imports for types alone do not count."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import xmppd
from tests.dialogues.case import ServerCase
from xmppd.core.events import MessageArriving, MessageSending
from xmppd.core.hooks import Stage
from xmppd.modules import all_modules

ROOT = Path(xmppd.__file__).parent

#: What may import what: each line only from the lines before it, and stream from auth beside it.
#: `config` knows the options of modules; what stands behind `admin` are the parts of the one process.
LAYERS = (
    ("core",),
    ("xml",),
    ("storage",),
    ("auth", "routing", "stream"),
    ("modules",),
    ("config",),
    ("services", "http", "admin"),
    ("host",),
    (
        "console",
        "directory",
        "hibernation",
        "logs",
        "operator",
        "pressure",
        "sessions",
        "tasks",
        "tokens",
        "watchdog",
    ),
    ("server",),
    ("console", "logs", "watchdog"),
    ("service",),
    ("tap", "testing", "xeps"),
    ("__main__",),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
BESIDE = {("stream", "auth")}

#: What takes the time from the system: the ends of the process, and programs of their own.
CLOCKS = {"service.py", "server.py", "watchdog.py", "admin/cli.py", "stream/certificates.py"}
#: What writes to a connection, and in which functions: before binding, and the frames of an outbox.
WRITERS = {
    "stream/c2s.py": {"write", "_say_goodbye"},
    "stream/framing.py": {"write"},
    "stream/admission.py": {"connectionMade"},
    "stream/transport.py": {"write_now", "write", "_write"},
}


class Source:
    """One file of the package."""

    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(ROOT).as_posix()
        self.part = self.name.partition("/")[0].removesuffix(".py")
        self.tree = ast.parse(path.read_text(), self.name)

    def nodes(self) -> Iterator[ast.AST]:
        """All of it that runs."""
        return _running(self.tree)

    def imports(self) -> Iterator[str]:
        """The names that it imports, in full."""
        for node in self.nodes():
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name}: relative imports hide where things are"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def calls(self) -> Iterator[tuple[str, str]]:
        """Names of what is called, as they stand there, each with the function that calls."""
        for node in self.nodes():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Call):
                        yield ast.unparse(inner.func), node.name

    def texts(self) -> Iterator[str]:
        """The strings in it that are no docstrings."""
        documented = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        for node in self.nodes():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                yield node.value


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _running(other)
        else:
            yield child
            yield from _running(child)


SOURCES = [Source(path) for path in sorted(ROOT.rglob("*.py"))]


class LawTests(SynchronousTestCase):
    def test_imports_go_one_way(self) -> None:
        """core, xml, storage, ..., tap"""
        wrong = []
        for source in SOURCES:
            for name in source.imports():
                parts = name.split(".")
                if parts[0] != "xmppd" or len(parts) < 2 or parts[1] == "__version__":
                    continue
                if not self.may_import(source.part, parts[1]):
                    wrong.append(f"{source.name} imports {name}")
        self.assertEqual(wrong, [])

    def may_import(self, part: str, other: str) -> bool:
        return part == other or RANKS[other] < RANKS[part] or (part, other) in BESIDE

    def test_every_part_has_its_place(self) -> None:
        self.assertEqual({source.part for source in SOURCES} - set(RANKS), {"__init__"})

    def test_reactor_is_an_argument(self) -> None:
        found = {source.name for source in SOURCES if "twisted.internet.reactor" in source.imports()}
        self.assertEqual(found, {"tap.py"})

    def test_wokkel_has_one_door(self) -> None:
        found = {source.name for source in SOURCES for name in source.imports() if name.startswith("wokkel")}
        self.assertLessEqual(found, {"xml/wokkel.py"})

    def test_sql_stays_in_storage(self) -> None:
        statement = re.compile(
            r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|PRAGMA|BEGIN|WITH)\b[^,]*\s"
        )
        drivers = ("sqlite3", "psycopg", "twisted.enterprise")
        found: set[str] = set()
        for source in SOURCES:
            if source.part == "storage":
                found.update(text for text in source.texts() if statement.match(text))
                continue
            self.assertEqual([text for text in source.texts() if statement.match(text)], [], source.name)
            self.assertEqual([name for name in source.imports() if name.startswith(drivers)], [], source.name)
        self.assertGreater(len(found), 50)

    def test_one_way_to_the_wire(self) -> None:
        """Stanzas are numbered, queued and written in one place"""
        framing = {
            source.name for source in SOURCES for call, _ in source.calls() if call.endswith("framer.write")
        }
        self.assertEqual(framing, {"stream/outbox.py"})
        writers: dict[str, set[str]] = {}
        for source in SOURCES:
            if source.part in ("stream", "routing", "modules", "core", "xml"):
                for call, function in source.calls():
                    if call.endswith("transport.write"):
                        writers.setdefault(source.name, set()).add(function)
        for name, functions in writers.items():
            self.assertLessEqual(functions, WRITERS.get(name, set()), name)

    def test_no_trees_on_the_wire(self) -> None:
        """domish.Element.toXml writes one accepted stanza as three"""
        for source in SOURCES:
            used = [ast.unparse(node) for node in source.nodes() if getattr(node, "attr", "") == "toXml"]
            self.assertEqual(used, [], source.name)

    def test_time_is_an_argument(self) -> None:
        now = re.compile(r"(^|\.)(time\.(time|sleep|monotonic)|(date|datetime)\.(now|utcnow|today))$")
        for source in SOURCES:
            if source.name not in CLOCKS:
                found = [f"{call} in {function}" for call, function in source.calls() if now.search(call)]
                self.assertEqual(found, [], source.name)

    def test_logs_not_prints(self) -> None:
        for source in SOURCES:
            if source.name == "admin/cli.py":
                continue
            found = [function for call, function in source.calls() if call == "print"]
            self.assertEqual(found, [], source.name)


class ModuleTests(ServerCase):
    def test_names_are_unique(self) -> None:
        names = [module.name for module in all_modules()]
        self.assertEqual(len(set(names)), len(names))

    def test_one_module_a_file(self) -> None:
        files = [module.__module__ for module in all_modules()]
        self.assertEqual(len(set(files)), len(files))

    def chain(self, event: type) -> list[str]:
        return self.world.server.hosts["localhost"].hooks.describe(event)

    def test_way_of_a_message(self) -> None:
        """BLOCK, STRIP, ARCHIVE, DELIVER, COPY, NOTIFY: who reads this sees what a message goes through"""
        order = [stage.name for stage in Stage]
        self.assertEqual(order, ["BLOCK", "STRIP", "ARCHIVE", "DELIVER", "COPY", "NOTIFY"])
        for event, landmarks in (
            (MessageSending, ["STRIP StanzaIds.", "ARCHIVE Archiving.", "COPY Carbons."]),
            (
                MessageArriving,
                [
                    "BLOCK Blocking.",
                    "STRIP StanzaIds.",
                    "ARCHIVE Archiving.",
                    "DELIVER LocalRouter.deliver",
                    "COPY Carbons.",
                ],
            ),
        ):
            chain = self.chain(event)
            text = "\n".join(chain)
            stages = [order.index(line.partition(" ")[0]) for line in chain]
            self.assertEqual(stages, sorted(stages), text)
            places = [next(n for n, line in enumerate(chain) if line.startswith(mark)) for mark in landmarks]
            self.assertEqual(places, sorted(places), text)

    def test_delivery_is_one_place(self) -> None:
        """Nobody else has a say in who gets the original"""
        delivering = [line for line in self.chain(MessageArriving) if line.startswith("DELIVER")]
        self.assertEqual(delivering, ["DELIVER LocalRouter.deliver"])
