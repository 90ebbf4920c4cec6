"""What a measurement needs to know about a server."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

__all__ = ["DOMAIN", "ROOMS", "Population", "Server", "ServerError"]

DOMAIN = "localhost"
ROOMS = "conference.localhost"

_START_PATIENCE = 60.0
_STOP_PATIENCE = 30.0


class ServerError(Exception):
    """A server does not start."""


@dataclass(frozen=True)
class Population:
    """Who is to have an account.

    :ivar users: user0, user1, ..., all with the password ``pw``.
    :ivar rosters: local part -> bare JIDs of mutual contacts.
    """

    users: int = 0
    rosters: Mapping[str, Sequence[str]] = field(default_factory=dict)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed P-256 certificate, as public authorities issue them by default: key and certificate."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN},DNS:{ROOMS}"]
    files = ["-keyout", str(key), "-out", str(certificate), "-days", "30"]
    subprocess.run(["openssl", *request, *names, *files], check=True, capture_output=True)
    return key, certificate


def package_versions(*packages: str) -> str:
    """What Debian says about installed packages, in one line."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *packages]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip(", ")


def _frame(core: int | None) -> list[str]:
    """Programs of util-linux that set limits and core, and become what follows."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    pin = [] if core is None else ["taskset", "--cpu-list", str(core)]
    return [*pin, "prlimit", f"--nofile={files}:{files}"]


class Server:
    """One server in a folder of its own: configuration, data, log.

    It serves `DOMAIN` with STARTTLS on 127.0.0.1, and group chat at `ROOMS` if it can, without limits of
    rate; it makes the accounts itself, or allows in-band registration.

    :cvar name: what it is called in tables.
    :cvar mechanism: how its clients log in.
    :cvar registers: accounts are made by in-band registration, after the first start.
    :cvar rest: seconds after it listens until it has started.
    """

    name: ClassVar[str]
    mechanism: ClassVar[str] = "SCRAM-SHA-1"
    registers: ClassVar[bool] = True
    rest: ClassVar[float] = 2.0

    def __init__(self, folder: Path) -> None:
        self.root = folder / self.name
        self.data = self.root / "data"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    # -- for adapters

    def configure(self, population: Population) -> None:
        """Write the configuration, and what can be put in place before the first start."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """What starts it in the foreground."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Variables for it, beside those that are set."""
        return {}

    def version(self) -> str:
        """The server, its version and its runtime, in one line."""
        raise NotImplementedError

    # -- for measurements

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def reset(self, population: Population) -> None:
        """Begin with an empty folder."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.data.mkdir(parents=True)
        self.configure(population)

    def start(self, core: int | None = None) -> None:
        """Start it on a core, or on any, and wait until it accepts connections.

        :raises ServerError: it does not.
        """

        with open(self.root / "output.log", "ab") as output:
            self.process = subprocess.Popen(
                [*_frame(core), *self.command()],
                cwd=self.root,
                env={**os.environ, **self.environment()},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_it_listens()
        time.sleep(self.rest)

    def _wait_until_it_listens(self) -> None:
        assert self.process
        deadline = time.monotonic() + _START_PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        self.stop()
        tail = (self.root / "output.log").read_text(errors="replace")[-2000:]
        raise ServerError(f"{self.name} does not listen on port {self.port}:\n{tail}")

    def stop(self) -> None:
        """End it, gently at first."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
