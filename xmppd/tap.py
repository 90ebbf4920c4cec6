"""The command lines ``twistd xmppd`` and ``xmppd``.  Nothing else imports the reactor."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from twisted.python import usage

from xmppd import __version__
from xmppd.config import FILE_NAME, Config, ConfigError, default_config, load
from xmppd.console import complain, give_up
from xmppd.service import XmppdService

__all__ = ["Options", "main", "makeService"]


class Options(usage.Options):
    """The command line of ``twistd xmppd``."""

    synopsis = "[options]"
    longdesc = "An XMPP server with a message archive.  Without a configuration it serves one domain."
    optParameters = [
        ["config", "c", None, f"configuration file (default: {FILE_NAME} in this folder, if there is one)"],
        ["domain", "d", None, "without a configuration file, the domain to serve (default: localhost)"],
        ["data", None, None, "without a configuration file, the folder for the database (default: data)"],
        ["certs", None, None, "without a configuration file, the folder for certificates (default: certs)"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["set"] = []

    def opt_set(self, setting: str) -> None:
        """change one setting of the configuration, for example --set limits.sm_queue=100"""
        self["set"].append(setting)

    def opt_version(self) -> NoReturn:
        """print the version and exit"""
        sys.__stdout__.write(f"xmppd {__version__}\n")  # type: ignore[union-attr]
        raise SystemExit(0)


def read_config(options: Options) -> Config:
    """The configuration that a command line means.

    :raises ConfigError: with all that is wrong.
    """
    path = options["config"] or (FILE_NAME if os.path.exists(FILE_NAME) else None)
    given = {name: options[name] for name in ("domain", "data", "certs") if options[name] is not None}
    if path is None:
        return default_config(**given, overrides=options["set"])
    if given:
        raise ConfigError(
            [f"{path}: --{name} is for a start without such a file; set it there instead" for name in given]
        )
    return load(path, overrides=options["set"])


def makeService(options: Options) -> XmppdService:
    """The service of a command line; what is wrong with the configuration is told, one line each."""
    from twisted.internet import reactor  # noqa: PLC0415 (installed by now, and not before)

    try:
        config = read_config(options)
    except ConfigError as problem:
        give_up("\n".join(problem.problems))
    return XmppdService(reactor, config, options["set"])


def main() -> None:
    """The console script ``xmppd``: the same service, in the foreground, with a log for people."""
    options = Options()
    options.synopsis = "Usage: xmppd [options]"
    try:
        options.parseOptions(sys.argv[1:])
    except usage.UsageError as problem:
        complain(f"{str(problem).rstrip('.')}; `xmppd --help` shows what there is")
        raise SystemExit(2) from None
    from twisted.scripts.twistd import run  # noqa: PLC0415 (it looks at the command line)

    sys.argv[1:1] = ["--nodaemon", "--pidfile=", "--logger=xmppd.logs.console", "xmppd"]
    run()
