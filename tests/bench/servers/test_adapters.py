import json
import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.packages import wanted
from bench.servers import SERVERS
from bench.servers.base import Population, ServerError, free_port
from bench.servers.ejabberd import CONFIGURATION, roster_term
from bench.servers.floor import Floor
from bench.servers.prosody import Prosody, ProsodyNoArchive
from bench.servers.xmppd import Xmppd

PEOPLE = Population(3, {"user0": ["user1@localhost"], "user1": ["user0@localhost"]})


class Broken(Floor):
    """A server that ends at once."""

    name = "broken"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo a reason; exit 3"]


class AdapterTests(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def test_they_are_listed_by_name(self) -> None:
        for name, adapter in SERVERS.items():
            self.assertEqual(adapter(self.folder).root, self.folder / name)

    def test_prosody_is_told_what_to_serve(self) -> None:
        server = ProsodyNoArchive(self.folder)
        server.reset(PEOPLE)
        text = (server.root / "prosody.cfg.lua").read_text()
        self.assertIn(f"c2s_ports = {{ {server.port} }}", text)
        self.assertIn("default_archive_policy = false", text)
        self.assertIn('VirtualHost "localhost"', text)
        roster = (server.data / "localhost" / "roster" / "user0.dat").read_text()
        self.assertIn('["user1@localhost"] = { subscription = "both"', roster)

    def test_a_reset_forgets_what_was_there(self) -> None:
        server = Prosody(self.folder)
        server.reset(PEOPLE)
        server.reset(Population(1))
        self.assertEqual(os.listdir(server.data / "localhost" / "roster"), [])

    def test_ejabberd_gets_rows_of_its_table(self) -> None:
        self.assertEqual(
            roster_term("user0", "user1@localhost"),
            '{roster,{<<"user0">>,<<"localhost">>,{<<"user1">>,<<"localhost">>,<<>>}},'
            '{<<"user0">>,<<"localhost">>},{<<"user1">>,<<"localhost">>,<<>>},<<>>,both,none,[],<<>>,[]}.\n',
        )

    def test_ejabberds_configuration_has_no_gaps(self) -> None:
        names = ("domain", "root", "port", "sql", "mam", "default", "room_mam")
        text = CONFIGURATION.format(**{name: f"[{name}]" for name in names})
        self.assertIn("c2s: {allow: all}", text)
        for name in names:
            self.assertIn(f"[{name}]", text)

    def test_ours_is_started_by_serve_py(self) -> None:
        server = Xmppd(self.folder)
        server.reset(PEOPLE)
        command = server.command()
        self.assertTrue(command[1].endswith("bench/serve.py"), command)
        self.assertEqual(command[command.index("--users") + 1], "3")
        rosters = Path(command[command.index("--rosters") + 1])
        self.assertEqual(json.loads(rosters.read_text()), PEOPLE.rosters)

    def test_ports_are_free(self) -> None:
        self.assertNotEqual(free_port(), 0)

    def test_a_server_that_does_not_start_says_why(self) -> None:
        server = Broken(self.folder)
        server.reset(PEOPLE)
        error = self.assertRaises(ServerError, server.start)
        self.assertIn("a reason", str(error))
        self.assertIsNone(server.process)


class PackagesTests(SynchronousTestCase):
    def test_what_servers_need(self) -> None:
        self.assertEqual(wanted(["xmppd", "floor"]), [])
        self.assertEqual(
            wanted(["prosody-noarchive", "xmppd", "ejabberd", "prosody"]),
            ["prosody", "lua-dbi-sqlite3", "ejabberd", "erlang-p1-sqlite3"],
        )
