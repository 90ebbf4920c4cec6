"""Every way of starting gives the same service, with ``xmppd.toml`` from the folder where it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.server import BIN, ENVIRONMENT, PATIENCE, Server

TAC = Path(__file__).resolve().parent.parent.parent / "xmppd.tac"


class StartTests(SynchronousTestCase):
    def serves(self, server: Server) -> None:
        """Its ports answer, and so does its socket for xmppctl."""
        server.wait_until_it_answers()
        server.add_account("alice", "secret")
        self.assertIn("alice@localhost", server.ctl("users"))

    def starts_with(self, *command: str | Path) -> None:
        server = Server(command=command)
        self.addCleanup(server.stop)
        server.start()
        self.serves(server)

    def test_twistd(self) -> None:
        self.starts_with(BIN / "twistd", "-n", "--pidfile=", "xmppd", "--config", "xmppd.toml")

    def test_twistd_without_a_name_of_the_configuration(self) -> None:
        self.starts_with(BIN / "twistd", "-n", "--pidfile=", "xmppd")

    def test_application_file(self) -> None:
        self.starts_with(BIN / "twistd", "--pidfile=", "-ny", TAC)

    def test_console_script(self) -> None:
        self.starts_with(BIN / "xmppd")

    def test_module(self) -> None:
        self.starts_with(sys.executable, "-m", "xmppd")

    def test_daemon(self) -> None:
        server = Server()
        self.addCleanup(server.stop)
        command = [BIN / "twistd", "xmppd", "--config", "xmppd.toml"]
        subprocess.run(command, cwd=server.root, env=ENVIRONMENT, check=True, timeout=PATIENCE)
        pid_file = server.root / "twistd.pid"
        self.addCleanup(self.end, pid_file)
        self.serves(server)

    def end(self, pid_file: Path) -> None:
        """SIGTERM ends a daemon, which then takes its file away."""
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while pid_file.exists():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
