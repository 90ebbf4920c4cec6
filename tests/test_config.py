"""The configuration: files, overrides, problems, and the sample."""

import errno
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import xmppd
from xmppd.config import (
    Config,
    ConfigError,
    Endpoint,
    default_config,
    explain_listen_error,
    load,
    module_options,
    override,
    socket_of,
)
from xmppd.config.sample import sample
from xmppd.core.jid import JID
from xmppd.core.kinds import Count


@dataclass(frozen=True)
class ArchiveOptions:
    """Options of a module."""

    page: Count = 50
    """How many."""
    names: tuple[str, ...] = tuple(f"a rather long name {number}" for number in range(20))
    search: bool = True

    def __post_init__(self) -> None:
        if self.search and self.page == 13:
            raise ValueError("no search with pages of 13")


@dataclass(frozen=True)
class PingOptions:
    """Options of another one, which has none."""


OPTIONS: dict[str, type] = {"archive": ArchiveOptions, "ping": PingOptions}


class ConfigTestCase(SynchronousTestCase):
    """Loads configurations from files in a folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "xmppd.toml"

    def load(self, text: str, overrides: Iterable[str] = ()) -> Config:
        self.path.write_text(text, encoding="utf-8")
        return load(self.path, OPTIONS, overrides)

    def problems(self, text: str, overrides: Iterable[str] = ()) -> list[str]:
        return self.assertRaises(ConfigError, self.load, text, overrides).problems


class LoadTests(ConfigTestCase):
    def test_smallest(self) -> None:
        """A file that names a domain is enough; all else has its default, and paths are absolute."""
        config = self.load('[domains."Example.ORG"]')
        self.assertEqual(list(config.domains), ["example.org"])
        self.assertEqual(config.file, self.path)
        self.assertEqual(config.server.data, self.folder / "data")
        self.assertEqual(config.server.database, f"sqlite:{self.folder}/data/xmppd.sqlite")
        self.assertEqual(config.server.socket, self.folder / "data/xmppctl.sock")
        self.assertEqual(config.server.certs, self.folder / "certs")
        self.assertEqual(config.limits.stanza_bytes, 262_144)
        self.assertFalse(config.domains["example.org"].registration)

    def test_paths_and_databases(self) -> None:
        """Absolute paths, PostgreSQL and a database in memory stay as they are."""
        config = self.load('[domains.a]\n[server]\ndata="/srv/x"\nadmin_socket="/run/x.sock"')
        self.assertEqual(config.server.database, "sqlite:/srv/x/xmppd.sqlite")
        self.assertEqual(config.server.socket, Path("/run/x.sock"))
        for database in ("sqlite::memory:", "postgresql://xmppd@db/xmppd"):
            config = self.load(f'[domains.a]\n[server]\ndatabase="{database}"')
            self.assertEqual(config.server.database, database)

    def test_socket_of_a_faulty_file(self) -> None:
        """The socket for xmppctl is found though the rest of the file is wrong."""
        self.path.write_text('[server]\ndata = "d"\n[limits]\nx = 1', encoding="utf-8")
        self.assertEqual(socket_of(self.path), self.folder / "d/xmppctl.sock")
        self.path.write_text("server = 3", encoding="utf-8")
        error = self.assertRaises(ConfigError, socket_of, self.path)
        self.assertEqual(error.problems, [f"{self.path}: server: 3 is not a table"])

    def test_several_domains(self) -> None:
        """Each domain has settings of its own."""
        config = self.load(
            '[domains.a]\nanonymous = true\n[domains."b.example"]\nadmins = ["me@b.example"]\n'
            '[domains."b.example".contact]\nabuse = ["mailto:abuse@b.example", "xmpp:me@b.example"]'
        )
        self.assertTrue(config.domains["a"].anonymous)
        self.assertEqual(config.domains["b.example"].admins, (JID.parse("me@b.example"),))
        self.assertEqual(len(config.domains["b.example"].contact.abuse), 2)

    def test_options_of_modules(self) -> None:
        """A domain's table stands over the one for all domains, key by key; a module can be left out."""
        config = self.load(
            '[modules.archive]\npage = 10\nsearch = false\n[domains.a]\nwithout = ["ping"]\n'
            "[domains.b.modules.archive]\npage = 20"
        )
        self.assertEqual(config.domains["a"].modules, {"archive": ArchiveOptions(10, search=False)})
        expected = {"archive": ArchiveOptions(20, search=False), "ping": PingOptions()}
        self.assertEqual(config.domains["b"].modules, expected)
        self.assertEqual(
            config.domains["b"].options("archive", ArchiveOptions), ArchiveOptions(20, search=False)
        )
        self.assertEqual(config.domains["a"].options("ping", PingOptions), PingOptions())

    def test_certificate_files(self) -> None:
        """A certificate of one's own is found relative to the file."""
        (self.folder / "c.pem").touch()
        (self.folder / "k.pem").touch()
        domain = self.load('[domains.a]\ncertificate = "c.pem"\nkey = "k.pem"').domains["a"]
        self.assertEqual((domain.certificate, domain.key), (self.folder / "c.pem", self.folder / "k.pem"))

    def test_all_modules_are_found(self) -> None:
        """The options classes of the modules come from the package."""
        found = module_options()
        self.assertIn("ping", found)
        self.assertEqual(list(default_config().domains["localhost"].modules), list(found))


class ProblemTests(ConfigTestCase):
    def test_missing_file(self) -> None:
        """A file that is not there is named, with what to do."""
        error = self.assertRaises(ConfigError, load, self.path, OPTIONS)
        remedy = f"write one (xmppctl sample > {self.path}) or name another with --config"
        self.assertEqual(error.problems, [f"{self.path}: no such file; {remedy}"])

    def test_unreadable_file(self) -> None:
        """Permission denied is one line that names the user."""
        self.path.touch()
        denied = PermissionError(errno.EACCES, "denied")
        self.patch(Path, "read_bytes", lambda path: (_ for _ in ()).throw(denied))
        error = self.assertRaises(ConfigError, load, self.path, OPTIONS)
        self.assertRegex(error.problems[0], r"xmppd\.toml: \S+ may not read it; .*chown")

    def test_not_a_file(self) -> None:
        """A folder is no file."""
        error = self.assertRaises(ConfigError, load, self.folder, OPTIONS)
        self.assertEqual(error.problems, [f"{self.folder}: cannot be read (Is a directory)"])

    def test_no_toml(self) -> None:
        """A syntax error is one line with its place."""
        (line,) = self.problems("[server]\ndata = \n")
        self.assertRegex(line, rf"{self.path}: no valid TOML: .*line 2")

    def test_nested_beyond_measure(self) -> None:
        """What the reader of TOML cannot follow is no TOML."""
        (line,) = self.problems("a = " + "[" * 9999)
        self.assertIn("no valid TOML: maximum recursion", line)

    def test_byte_order_mark(self) -> None:
        """Editors that put a mark in front of UTF-8 are forgiven."""
        self.assertEqual(list(self.load("\ufeff[domains.a]").domains), ["a"])

    def test_names_without_quotes(self) -> None:
        """A domain whose dots made tables is told how to be written, beside other problems."""
        lines = self.problems(
            "[domains.example.org]\n[domains.example.org.contact]\n[domains.chat.example.net]\n"
            "[domains.example.com.modules.archive]\n[domains.a]\nx = 1"
        )
        text = "a name with dots stands in quotes; write [domains."
        self.assertEqual(
            lines[:3],
            [
                f'{self.path}: domains.{name}: {text}"{name}"]'
                for name in ("example.org", "example.com", "chat.example.net")
            ],
        )
        self.assertEqual(len(lines), 4)
        self.assertIn("domains.a.x: unknown key", lines[3])

    def test_table_that_is_no_name(self) -> None:
        """A key that is only written wrongly is not taken for a part of a name."""
        (line,) = self.problems("[domains.a.contct]")
        self.assertIn("domains.a.contct: unknown key; did you mean contact?", line)
        (line,) = self.problems('[domains."b.example".x]')
        self.assertIn('domains."b.example".x: unknown key', line)

    def test_not_utf8(self) -> None:
        """Another encoding is named."""
        self.path.write_bytes(b'# \xe4\n[domains."x"]')
        error = self.assertRaises(ConfigError, load, self.path, OPTIONS)
        self.assertEqual(error.problems, [f"{self.path}: not UTF-8 at byte 2; save it as UTF-8"])

    def test_all_problems_at_once(self) -> None:
        """Every problem is a line with file and key."""
        lines = self.problems('[sever]\n[limits]\nsm_queue = "x"\n[listen]\nc2s = 5222')
        self.assertEqual(
            lines,
            [
                f"{self.path}: sever: unknown key; did you mean server?",
                f"{self.path}: listen.c2s: 5222 is not a list; write [5222]",
                f'{self.path}: limits.sm_queue: "x" is not a whole number, at least 1; the default is 500',
            ],
        )

    def test_what_needs_more_than_one_key(self) -> None:
        """What is wrong only beside another thing is found as well."""
        cases = {
            "[server]": 'domains: no domain is served; add a line [domains."example.org"]',
            '[domains."a b"]': 'domains."a b": no name of a domain',
            "[domains.A]\n[domains.a]": "domains.a: the same domain twice",
            '[domains.a]\ncertificate = "x"': "domains.a: certificate and key go together",
            '[domains.a]\ncertificate = "x"\nkey = "k"': f"domains.a.certificate: no file {self.folder}/x",
            '[domains.a]\nadmins = ["a"]': 'domains.a.admins: "a" is no account; write name@domain',
            '[domains.a]\nwithout = ["archiv"]': "domains.a.without: no module archiv; did you mean",
            "[domains.a.modules.pong]": "domains.a.modules.pong: no such module; did you mean ping?",
            "[domains.a.modules]\nping = 3": "domains.a.modules.ping: not a table",
            "[domains.a.modules.archive]\npage = -1": "domains.a.modules.archive.page: -1 is not",
            "[modules.archive]\npaje = 1\n[domains.a]": "modules.archive.paje: unknown key; did you mean",
            "[modules.archive]\npage = 13\n[domains.a]": "modules.archive: no search with pages of 13",
            '[domains.a.contact]\nabuse = ["me@a"]': 'domains.a.contact.abuse: "me@a" is no URI',
            "[domains.a]\n[listen]\nc2s = [5223]": "listen.c2s_direct_tls: 5223 is in c2s as well",
            "[domains.a]\n[listen]\nc2s = [5222, 5222]": "listen.c2s[1]: 5222 stands there twice",
            '[domains.a]\n[listen]\nc2s_direct_tls = ["5223"]': 'listen.c2s_direct_tls[0]: "5223" is no',
            '[domains.a]\n[listen]\nc2s = [""]': 'listen.c2s[0]: "" is no endpoint of Twisted; write "tcp:',
            '[domains.a]\n[listen]\ninterfaces = ["eth0"]': 'listen.interfaces[0]: "eth0" is no address',
            "[domains.a]\n[listen]\ninterfaces = []": "listen.interfaces: no address; write",
            '[domains.a]\n[listen]\ninterfaces = ["::", "0.0.0.0"]': 'listen.interfaces[1]: "0.0.0.0" is',
            '[domains.a]\n[listen]\ninterfaces = ["127.0.0.1", "0.0.0.0"]': "listen.interfaces[0]: ",
            '[domains.a]\n[listen]\ninterfaces = ["::1", "::1"]': 'listen.interfaces[1]: "::1" stands there',
            '[domains.a]\n[listen]\nlocation = "a b"': 'listen.location: "a b" is no host; write',
            '[domains.a]\n[listen]\nlocation = "a:70000"': 'listen.location: "a:70000" is no host; write',
            '[domains.a]\n[listen]\nlocation = "[1:2]:5"': 'listen.location: "[1:2]:5" is no host; write',
            '[domains.a]\n[server]\ndatabase = "x.sqlite"': "server.database: begins with neither",
        }
        for text, expected in cases.items():
            line = self.problems(text)[0]
            self.assertTrue(line.startswith(f"{self.path}: {expected}"), f"{text!r}: {line}")


class OverrideTests(ConfigTestCase):
    def test_values(self) -> None:
        """A value is TOML, or else a bare text."""
        table: dict[str, object] = {"limits": {"sm_queue": 1, "rate": 2}}
        for setting in (
            "limits.sm_queue=100",
            "limits.rate=64 KiB",
            'a."b.c".d=["x", 1]',
            "e=",
            "f=a=b",
            "g={h=1}",
        ):
            override(table, setting)
        expected = {
            "limits": {"sm_queue": 100, "rate": "64 KiB"},
            "a": {"b.c": {"d": ["x", 1]}},
            "e": "",
            "f": "a=b",
            "g": {"h": 1},
        }
        self.assertEqual(table, expected)

    def test_no_setting(self) -> None:
        """What has no key or no value is refused with an example."""
        for setting in ("limits.sm_queue", "=3", "a b=3", "[x]=1", ""):
            error = self.assertRaises(ConfigError, override, {}, setting)
            self.assertIn("limits.sm_queue=100", error.problems[0])

    def test_over_a_file(self) -> None:
        """What the command line sets stands over the file."""
        config = self.load("[domains.a]\n[limits]\nsm_queue = 7", ["limits.sm_queue=100", "limits.rate=none"])
        self.assertEqual((config.limits.sm_queue, config.limits.rate), (100, None))

    def test_problems_name_the_command_line(self) -> None:
        """A wrong setting of the command line is not blamed on the file."""
        lines = self.problems("[domains.a]\n[limits]\ncsi_queue = 0", ["limits.sm_queue=x", "limits.zz=1"])
        self.assertEqual(
            [line.split(": ")[0] for line in lines],
            ["--set limits.zz", "--set limits.sm_queue", str(self.path)],
        )


class DefaultTests(SynchronousTestCase):
    def test_without_a_file(self) -> None:
        """Without a file the current folder is where all is."""
        config = default_config("example.org", options=OPTIONS)
        self.assertIsNone(config.file)
        self.assertEqual(config.server.data, Path.cwd() / "data")
        self.assertEqual(list(config.domains), ["example.org"])

    def test_wrong_domain(self) -> None:
        """A name that is no domain is refused."""
        self.assertRaises(ConfigError, default_config, "a b", options=OPTIONS)


class EndpointTests(ConfigTestCase):
    def test_endpoints(self) -> None:
        """Every port is opened on every interface, and Twisted understands the descriptions."""
        listen = '[listen]\ninterfaces = ["::1", "127.0.0.1"]\nc2s = [5222, "unix:/run/x"]\nbacklog = 9'
        endpoints = self.load(f"[domains.a]\n{listen}").listen.endpoints()
        shown = [(endpoint.shown, endpoint.direct_tls) for endpoint in endpoints]
        self.assertEqual(
            shown,
            [
                ("[::1]:5222", False),
                ("127.0.0.1:5222", False),
                ("unix:/run/x", False),
                ("[::1]:5223", True),
                ("127.0.0.1:5223", True),
            ],
        )
        reactor = MemoryReactorClock()
        for endpoint in endpoints:
            self.successResultOf(serverFromString(reactor, endpoint.description).listen(None))
        listening = [(port, backlog, interface) for port, _, backlog, interface in reactor.tcpServers]
        expected = [(port, 9, host) for port in (5222, 5223) for host in ("::1", "127.0.0.1")]
        self.assertEqual(listening, expected)

    def test_location(self) -> None:
        """Where sessions are resumed is a host, with a port or without (RFC 6120, section 4.9.3.19)."""
        for location in ("chat.example.org", "chat.example.org:5222", "192.0.2.1:1", "[2001:db8::1]:5222"):
            config = self.load(f'[domains.a]\n[listen]\nlocation = "{location}"')
            self.assertEqual(config.listen.location, location)
        self.assertIsNone(self.load('[domains.a]\n[listen]\nlocation = "none"').listen.location)

    def test_listen_errors(self) -> None:
        """Why a place cannot be listened at is one line with key, place and remedy."""
        endpoint = Endpoint("tcp:5222", False, "[::]:5222")
        cases = {
            errno.EADDRINUSE: "another program has the port; stop it",
            errno.EACCES: "not permitted; take a port above 1023",
            errno.EADDRNOTAVAIL: "this machine has no such address; correct listen.interfaces",
            errno.EAFNOSUPPORT: "this machine has no IPv6; set listen.interfaces",
            errno.EIO: "[Errno 5] Input/output error; check [listen]",
        }
        for number, expected in cases.items():
            cause = OSError(number, os.strerror(number))
            for error in (cause, CannotListenError("::", 5222, cause)):
                line = explain_listen_error(error, endpoint)
                self.assertTrue(line.startswith(f"listen.c2s: cannot listen on [::]:5222: {expected}"), line)

    def test_other_errors(self) -> None:
        """What is no error of the system is shown as it is."""
        line = explain_listen_error(
            ValueError("Unknown endpoint type: 'tpc'"), Endpoint("tpc:1", True, "tpc:1")
        )
        self.assertTrue(
            line.startswith("listen.c2s_direct_tls: cannot listen on tpc:1: Unknown endpoint"), line
        )


class SampleTests(ConfigTestCase):
    def test_the_file_is_what_the_options_say(self) -> None:
        """The sample in the package is up to date: `xmppctl sample > xmppd/xmppd.toml` writes it anew."""
        path = Path(xmppd.__file__).with_name("xmppd.toml")
        self.assertEqual(path.read_text(encoding="utf-8"), sample(module_options()))

    def test_as_it_is(self) -> None:
        """The sample serves localhost with the defaults."""
        self.path.write_text(sample(module_options()), encoding="utf-8")
        found, expected = (
            load(self.path),
            default_config(data=self.folder / "data", certs=self.folder / "certs"),
        )
        self.assertEqual(
            (found.server, found.listen, found.limits), (expected.server, expected.listen, expected.limits)
        )
        self.assertEqual(found.domains, expected.domains)

    def test_uncommented(self) -> None:
        """With every setting uncommented, the sample gives the defaults, and all keys are there."""
        text = re.sub(r"(?m)^#(?=\S)", "", sample(OPTIONS))
        found, expected = self.load(text), self.load("[domains.localhost]")
        self.assertEqual(
            (found.server, found.listen, found.limits), (expected.server, expected.listen, expected.limits)
        )
        self.assertEqual(found.domains, expected.domains)
        table = tomllib.loads(text)
        self.assertEqual(set(table["limits"]), set(vars(expected.limits)))
        self.assertEqual(
            set(table["domains"]["localhost"]), set(vars(expected.domains["localhost"])) - {"modules"}
        )
        self.assertEqual(
            table["modules"], {"archive": vars(ArchiveOptions()) | {"names": list(ArchiveOptions.names)}}
        )

    def test_every_line_is_short(self) -> None:
        """No line of the sample is wider than 110 columns."""
        for options in (OPTIONS, module_options()):
            self.assertEqual([line for line in sample(options).splitlines() if len(line) > 110], [])
