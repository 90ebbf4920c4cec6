"""A private PostgreSQL for tests: on a free port of the loopback interface, in a folder of its own, gone at
the end.
 PostgreSQL refuses to run as root; then it runs as Debian's user `postgres`. Where its programs are missing
they are installed from Debian's packages: a test that needs them never skips.
"""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path

import psycopg

USER = "xmppd"
_numbers = count(1)


def find_programs() -> Path | None:
    """The folder with `initdb` and `postgres`, of the newest version that is installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


@cache
def programs() -> Path:
    """As `find_programs`; installs them where they are missing.

    :raises RuntimeError: with the line that installs them, where that cannot be done from here.
    """
    folder = find_programs()
    for _ in range(3):  # another worker of the same run may be installing them just now
        if folder is None:
            install()
            folder = find_programs()
    if folder is None:
        raise RuntimeError("these tests need PostgreSQL: apt-get install -y postgresql")
    return folder


def install() -> None:
    """Install the programs from Debian's packages."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    for command in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
        subprocess.run([*prefix, "apt-get", *wait, *command], check=False, stdout=subprocess.DEVNULL)


def unprivileged() -> list[str]:
    """What to put before a command to run it as an ordinary user, and to end it when the tests end."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        command += ["--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    return [*command, "--"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgreSQLServer:
    """One server with a folder of its own; it is not started yet."""

    def __init__(self) -> None:
        programs()  # before anything needs the user that comes with them
        self.folder = Path(tempfile.mkdtemp(prefix="xmppd-postgres-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*unprivileged(), str(programs() / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "max_connections": 50,
            "logging_collector": "off",
            "log_min_messages": "panic",
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*unprivileged(), str(programs() / "postgres"), "-D", str(self.folder / "data"), *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        for _ in range(600):
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                assert self._process is not None
                if self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("PostgreSQL does not start")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT ends connections, SIGQUIT is as good as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stop and leave nothing behind."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, schema: str | None = None) -> str:
        """The address of the database, or of one schema in it as if it were a database of its own."""
        address = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"
        return address if schema is None else f"{address}?options=-csearch_path%3D{schema}"

    def make_url(self) -> str:
        """The address of a new, empty database."""
        schema = f"test_{next(_numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        return self.url(schema)


@cache
def server() -> PostgreSQLServer:
    """The server that all tests of this process share."""
    shared = PostgreSQLServer()
    atexit.register(shared.remove)
    shared.start()
    return shared
