"""What docs/operations.md says is true: unit, scripts, configuration, limits, commands."""

import contextlib
import io
import re
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from xmppd.admin.cli import main
from xmppd.config import Config, validate_options
from xmppd.config.sample import limits_table
from xmppd.tap import Options

DOCS = Path(__file__).parents[1] / "docs"

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

    def test_commands(self) -> None:
        """Every xmppctl command that stands there exists."""
        commands = set(re.findall(r"\bxmppctl (?:--\S+ )?([a-z]+)", self.text))
        self.assertGreaterEqual(commands, {"adduser", "check", "sample", "sessions"})
        for command in commands:
            with contextlib.redirect_stdout(io.StringIO()):
                error = self.assertRaises(SystemExit, main, [command, "--help"])
            self.assertEqual(error.code, 0, command)

    def test_links(self) -> None:
        """Links within the project lead somewhere."""
        for target in re.findall(r"\]\(([^)#]+)\)", self.text):
            self.assertTrue((DOCS / target).exists(), target)

    def test_keys(self) -> None:
        """The keys that are named in running text exist."""
        keys = set(re.findall(r"`server\.(\w+)`", self.text))
        self.assertGreaterEqual(set(vars(Config().server)), keys)
        self.assertIn("log_level", keys)
