"""What xmppctl does without a server: finding its socket, and checking a configuration."""

import datetime
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xmppd.config import FILE_NAME, Config, ConfigError, Server, default_config, load, socket_of
from xmppd.config.resolve import resolve_server
from xmppd.stream.certificate_check import check_certificates, describe_certificate
from xmppd.stream.certificates import CertificateError, CertificateFiles, find_certificate, own_files

SYSTEM_FILE: Final = Path("/etc/xmppd") / FILE_NAME
"""Where a system-wide installation has its configuration."""


@dataclass
class Findings:
    """What a check has found.

    :ivar source: the file, or that there is none.
    :ivar problems: what has to be put right.
    :ivar certificates: by domain, what its certificate is.
    """

    source: str
    problems: list[str] = field(default_factory=list)
    certificates: dict[str, str] = field(default_factory=dict)


def find_socket(config: Path | None, here: Path) -> Path:
    """Give the socket of the server that is meant.

    :param config: the file named on the command line, if one is.
    :param here: the folder where xmppctl runs.
    :raises ConfigError: if the file cannot be read.
    """
    default = resolve_server(Server(), here).socket
    file = config or find_file(here)
    if file is None or (file == SYSTEM_FILE and os.path.exists(default)):
        return default
    return socket_of(file)


def find_file(here: Path) -> Path | None:
    """Give the configuration file in this folder, or else the one of the system, or None."""
    return next((path for path in (here / FILE_NAME, SYSTEM_FILE) if os.path.exists(path)), None)


def check(file: Path | None, now: datetime.datetime) -> Findings:
    """Check a configuration and the certificates of its domains.

    :param file: None for the configuration that a server has without a file.
    :param now: an aware time, by which certificates are judged.
    """
    found = Findings(str(file) if file else "no configuration file: the defaults")
    try:
        config = load(file) if file else default_config()
    except ConfigError as error:
        found.problems += error.problems
        return found
    for domain in config.domains:
        _check_certificate(config, domain, now, found)
    return found


def _check_certificate(config: Config, domain: str, now: datetime.datetime, found: Findings) -> None:
    try:
        files = _certificate(config, domain)
        found.problems += check_certificates({domain: files}, now)
        found.certificates[domain] = describe_certificate(files)
    except CertificateError as error:
        line = f"{domain}: {error}"
        found.problems += [line] if line not in found.problems else []
        found.certificates[domain] = "cannot be used"


def _certificate(config: Config, domain: str) -> CertificateFiles | None:
    settings = config.domains[domain]
    if settings.certificate is not None and settings.key is not None:
        return CertificateFiles(settings.certificate, settings.key)
    found = find_certificate(config.server.certs, domain)
    if found is None:
        own_files(config.server.certs, domain)
    return found
