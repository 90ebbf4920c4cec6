"""What the documents say is true: unit, scripts, configuration, limits, commands, links, examples."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from xmppd.admin.cli import _parser, main
from xmppd.config import Config, validate_options
from xmppd.config.sample import limits_table
from xmppd.modules import entity_time
from xmppd.tap import Options

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

# What the unit uses, in the sections where systemd.unit(5), systemd.service(5) and systemd.exec(5) have it.
DIRECTIVES = {
    "Unit": "Description Documentation Wants After StartLimitIntervalSec StartLimitBurst",
    "Service": (
        "Type ExecStart ExecReload Restart RestartSec TimeoutStopSec User Group UMask StateDirectory "
        "StateDirectoryMode WorkingDirectory LimitNOFILE NoNewPrivileges CapabilityBoundingSet ProtectSystem "
        "ProtectHome PrivateTmp PrivateDevices ProtectClock ProtectControlGroups ProtectHostname "
        "ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc RestrictAddressFamilies "
        "RestrictNamespaces RestrictRealtime RestrictSUIDSGID LockPersonality SystemCallArchitectures "
        "SystemCallFilter"
    ),
    "Install": "WantedBy",
}


def read_unit(text: str) -> dict[str, dict[str, str]]:
    """Read a unit file: sections of KEY=VALUE; raises ValueError for any other line."""
    sections: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            sections[match[1]] = current = {}
        elif match := re.fullmatch(r"(\w+)=(.*)", line):
            current[match[1]] = match[2]
        else:
            raise ValueError(line)
    return sections


class UnitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = (DOCS / "xmppd.service").read_text(encoding="utf-8")
        self.unit = read_unit(self.text)

    def test_syntax(self) -> None:
        """Every line is a directive that systemd knows, and systemd itself, where it is, finds no fault."""
        found = {name: list(keys) for name, keys in self.unit.items()}
        self.assertEqual(found, {name: names.split() for name, names in DIRECTIVES.items()})
        analyze = shutil.which("systemd-analyze")
        if analyze is not None:
            self.assertEqual(self.verify(analyze), (0, ""))

    def verify(self, analyze: str) -> tuple[int, str]:
        """Let systemd read the unit, with a program that is installed in the place of the server."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "xmppd.service"
            path.write_text(self.text.replace(self.program, "/bin/true"), encoding="utf-8")
            found = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
        return found.returncode, found.stderr

    @property
    def program(self) -> str:
        return self.unit["Service"]["ExecStart"].split()[0]

    def test_command_line(self) -> None:
        """What it starts is a command line of the server."""
        options = Options()
        options.parseOptions(self.unit["Service"]["ExecStart"].split()[1:])
        self.assertEqual(options["config"], "/etc/xmppd/xmppd.toml")
        self.assertEqual(self.program, "/opt/xmppd/bin/xmppd")

    def test_no_memory_protection(self) -> None:
        """With MemoryDenyWriteExecute no server starts: cffi makes its callbacks in such memory."""
        self.assertNotIn("MemoryDenyWriteExecute", self.unit["Service"])


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = (DOCS / "operations.md").read_text(encoding="utf-8")

    def block(self, language: str) -> str:
        """Give the only block of a language."""
        (found,) = re.findall(rf"```{language}\n(.*?)```", self.text, re.DOTALL)
        return str(found)

    def test_limits(self) -> None:
        """The table is what the program says: `xmppd.config.sample.limits_table` writes it."""
        self.assertTrue(self.text.endswith(f"\n\n{limits_table()}\n"))

    def test_configuration(self) -> None:
        """The configuration is valid, and its folders are those that the unit lets the server write to."""
        config = validate_options(Config, tomllib.loads(self.block("toml")))
        unit = read_unit((DOCS / "xmppd.service").read_text(encoding="utf-8"))["Service"]
        state = Path("/var/lib") / unit["StateDirectory"]
        self.assertEqual((config.server.data, config.server.certs), (state, state / "certs"))

    def test_hook(self) -> None:
        """The script for certbot is one, and puts the files where they are found."""
        hook = self.block("sh")
        found = subprocess.run(["/bin/sh", "-n"], input=hook, capture_output=True, text=True, check=False)
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        for name in ('certs/$domain"', '"$folder/fullchain.pem"', '"$folder/privkey.pem"'):
            self.assertIn(name, hook)

    def test_keys(self) -> None:
        """The keys that are named in running text exist."""
        keys = set(re.findall(r"`server\.(\w+)`", self.text))
        self.assertGreaterEqual(set(vars(Config().server)), keys)
        self.assertIn("log_level", keys)


class AllDocumentsTests(SynchronousTestCase):
    """What every document has to keep to."""

    def setUp(self) -> None:
        paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]
        self.texts = {path: path.read_text(encoding="utf-8") for path in paths}

    def test_commands(self) -> None:
        """Every line that calls xmppctl is a command line of it."""
        lines = [
            line
            for text in self.texts.values()
            for line in re.findall(r"(?m)^    (?:runuser .* -- |\.venv/bin/)?(xmppctl .*?)(?: > .*)?$", text)
        ]
        self.assertGreater(len(lines), 20)
        for line in lines:
            arguments = shlex.split(line, comments=True)[1:]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                try:
                    _parser().parse_args(arguments)
                except SystemExit as error:
                    self.assertEqual((error.code, arguments), (0, ["--help"]), line)

    def test_names_of_commands(self) -> None:
        """Those that are named in running text exist."""
        names = {
            name
            for text in self.texts.values()
            for name in re.findall(r"`xmppctl ((?:archive )?[a-z]+)(?: [A-Z<>.a-z]+)*`", text)
        }
        self.assertGreaterEqual(names, {"check", "sample", "migrate"})
        for name in names:
            with contextlib.redirect_stdout(io.StringIO()):
                error = self.assertRaises(SystemExit, main, [*name.split(), "--help"])
            self.assertEqual(error.code, 0, name)

    def test_targets_of_make(self) -> None:
        """They are in the Makefile, with the variables that stand behind them."""
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        found = set()
        for text in self.texts.values():
            for target, variable in re.findall(r"(?:`|(?m:^)    )make ([a-z]+)(?: ([A-Z]+)=)?", text):
                found.add(target)
                self.assertRegex(makefile, rf"(?m)^{target}:", target)
                self.assertIn(f"$({variable})" if variable else "", makefile)
        self.assertGreaterEqual(found, {"run", "test", "lint", "playground"})

    def test_links(self) -> None:
        """Links within the project lead somewhere."""
        for path, text in self.texts.items():
            for target in re.findall(r"\]\(([^)#]+)\)", text):
                self.assertTrue("://" in target or (path.parent / target).exists(), target)

    def test_example_of_a_module(self) -> None:
        """The module of write-a-module.md is the one of the package, and its test passes."""
        module, test = re.findall(r"```python\n(.*?)```", self.texts[DOCS / "write-a-module.md"], re.DOTALL)
        names: dict[str, Any] = {}
        exec(module, names)
        for name in ("name", "xeps", "features"):
            self.assertEqual(getattr(names["EntityTime"], name), getattr(entity_time.EntityTime, name))
        exec(f"from xmppd.testing import InProcessServer\n{test}", names)
        self.addCleanup(names["server"].stop)
        self.assertIn("type='result'", names["answer"])
