"""What xmppctl does without a server: finding its socket, and checking a configuration."""

import datetime
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import run
from typing import Final

from xmppd.config import (
    FILE_NAME,
    Config,
    ConfigError,
    Server,
    default_config,
    load,
    socket_of,
    user_name,
)
from xmppd.config.resolve import resolve_server
from xmppd.core.limits import Limits
from xmppd.stream.certificate_check import check_certificates, describe_certificate
from xmppd.stream.certificates import (
    CertificateError,
    CertificateFiles,
    find_certificate,
    line_about,
    own_files,
)

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
    found.problems += _check_pages(config.limits)
    for domain in config.domains:
        _check_certificate(config, domain, now, found)
    return found


def _check_pages(limits: Limits) -> Iterator[str]:
    """Whether a session survives its connection while a page of the archive is under way."""
    page, most = limits.max_archive_query_results, limits.sm_queue
    if page >= most:
        yield (
            f"limits.max_archive_query_results: a page of {page} messages and its end are more than"
            f" limits.sm_queue ({most}) keeps for a session, which could not be resumed then; raise that, or"
            " make pages smaller"
        )


def _check_certificate(config: Config, domain: str, now: datetime.datetime, found: Findings) -> None:
    try:
        files = _certificate(config, domain)
        found.problems += check_certificates({domain: files}, now)
        found.certificates[domain] = describe_certificate(files)
        found.problems += [line_about(domain, problem) for problem in _hidden(files, config.server.data)]
    except CertificateError as error:
        line = line_about(domain, error)
        found.problems += [line] if line not in found.problems else []
        found.certificates[domain] = "cannot be used"


def _hidden(files: CertificateFiles | None, data: Path) -> Iterator[str]:
    """What root may read, as the one who checks, and the server may not: it is run by whose data it has."""
    if files is None or os.geteuid() != 0 or not data.exists() or not (user := os.stat(data).st_uid):
        return
    for path in files:
        if not _may_read(path, user):
            name = user_name(user)
            yield f"{path}: {name}, who runs the server, may not read it; run chown {name} {path}"


def _may_read(path: Path, user: int) -> bool:
    """Whether a user may read a file; only root can ask."""
    try:
        entry = pwd.getpwuid(user)
        group, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:
        group, groups = user, []
    command = ["/usr/bin/test", "-r", str(path)]
    return not run(command, user=user, group=group, extra_groups=groups, check=False).returncode  # noqa: S603


def _certificate(config: Config, domain: str) -> CertificateFiles | None:
    settings = config.domains[domain]
    if settings.certificate is not None and settings.key is not None:
        return CertificateFiles(settings.certificate, settings.key)
    found = find_certificate(config.server.certs, domain)
    if found is None:
        own_files(config.server.certs, domain)
    return found
