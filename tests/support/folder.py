"""A folder with a configuration, for programs that are started in it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.server import ENVIRONMENT, PATIENCE

CONFIGURATION = """\
[listen]
interfaces = ["127.0.0.1"]
c2s = [{port}]
c2s_direct_tls = [0]
[domains.localhost]
"""


class FolderCase(SynchronousTestCase):
    """With a folder that has a configuration, and is the current one of programs."""

    port = 0

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="xmppd-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "xmppd.toml"
        self.configure(CONFIGURATION.format(port=self.port))

    def configure(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a program; what it writes, errors too, is its output."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        return process

    def wait_for_the_daemon(self) -> None:
        """The command in the background ends a moment after the one that started it."""
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            daemon = os.pidfd_open(int((self.folder / "twistd.pid").read_text()))
            select.select([daemon], [], [], PATIENCE)
            os.close(daemon)

    def output(self, process: subprocess.Popen[str]) -> str:
        return process.communicate(timeout=PATIENCE)[0]
