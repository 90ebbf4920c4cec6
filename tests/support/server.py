"""The real server as a process of its own, for tests that talk to it over sockets."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

BIN = Path(sys.executable).parent
# Without what trial gives its workers to find modules: a program finds its own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
PATIENCE = 30  # seconds until a start, a stop or a command is given up

CONFIGURATION = """\
[server]
log_level = "debug"
{database}
[listen]
interfaces = ["127.0.0.1"]
c2s = [{port}]
c2s_direct_tls = [{direct_tls_port}]
[domains.localhost]
"""


def free_port() -> int:
    """A loopback port that nobody has, outside the range from which the system gives ports out."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """Serves the domain ``localhost`` from a new folder, which ``stop`` removes.

    :param programs: the folder that has ``twistd`` and ``xmppctl``; by default the one of this Python.
    :param command: another command that starts it in the foreground, with ``xmppd.toml`` in its folder.
    :param database: the address of another database than the one in its folder.
    """

    def __init__(
        self,
        programs: Path = BIN,
        command: Sequence[str | Path] | None = None,
        database: str | None = None,
    ) -> None:
        self.programs = programs
        # Not below the folder of the tests: the path of a unix socket has 107 bytes at most.
        self.root = Path(tempfile.mkdtemp(prefix="xmppd-"))
        self.port = free_port()
        self.direct_tls_port = free_port()
        self.configuration = self.root / "xmppd.toml"
        self.configuration.write_text(
            CONFIGURATION.format(
                port=self.port,
                direct_tls_port=self.direct_tls_port,
                database=f'database = "{database}"' if database else "",
            )
        )
        self.command = command or [programs / "twistd", "-n", "--pidfile=", "xmppd"]
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    @property
    def ca(self) -> Path:
        """The certificate that clients shall trust; the server makes it when it first starts."""
        return self.root / "certs" / "localhost.crt"

    def start(self) -> Server:
        """Start the process and wait until both ports answer."""
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.root,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wait_until_it_answers()
        return self

    def wait_until_it_answers(self) -> None:
        """Raises AssertionError when the process ends instead, or takes too long."""
        deadline = time.monotonic() + PATIENCE
        # The ports take connections before they are served; the socket for xmppctl comes last.
        while not _answers(self.root / "data" / "xmppctl.sock"):
            ended = self.process is not None and self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{self.log()}")
            time.sleep(0.05)

    def add_account(self, name: str, password: str) -> None:
        """Make the account ``name``@localhost."""
        self.ctl("adduser", f"{name}@localhost", given=f"{password}\n")

    def ctl(self, *arguments: str, given: str = "") -> str:
        """Run xmppctl with ``given`` as its standard input; returns what it prints."""
        done = subprocess.run(
            [self.programs / "xmppctl", "--config", self.configuration, *arguments],
            cwd=self.root,
            env=ENVIRONMENT,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"xmppctl {arguments[0]}: {done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout

    def log(self) -> str:
        """The end of what the server wrote."""
        logs = [self.root / name for name in ("log", "twistd.log")]
        return "".join(log.read_text(errors="replace")[-8000:] for log in logs if log.exists())

    def restart(self, kill: bool = False) -> None:
        """End the process, by SIGTERM or by SIGKILL, and start it anew on the same data and ports."""
        self.end(kill)
        self.start()

    def end(self, kill: bool = False) -> None:
        """End the process; its folder stays."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop:\n{self.log()}") from None
        finally:
            self.process = None

    def stop(self) -> None:
        """End the process and remove its folder."""
        atexit.unregister(self.stop)
        try:
            self.end()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        return attempt.connect_ex(str(path)) == 0


@cache
def shared_server() -> Server:
    """One running server for all tests of this process; each test makes accounts of its own on it."""
    return Server().start()
