"""The configuration as frozen dataclasses: their fields are the keys of the file, with their help below."""

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

from xmppd.core.jid import JID
from xmppd.core.kinds import Between, quote
from xmppd.core.limits import Limits
from xmppd.core.options import NOT_A_KEY, OptionsError, Problem, validate_options

T = TypeVar("T")

Port = Annotated[int, Between(0, 65535)]

FILE_NAME: Final = "xmppd.toml"
SOCKET_NAME: Final = "xmppctl.sock"


@dataclass(frozen=True)
class Server:
    """What concerns the process. Relative paths start at the folder of this file."""

    data: Path = Path("data")
    """The folder for the database and the socket of xmppctl; made at the first start."""
    database: str = "sqlite:xmppd.sqlite"
    """sqlite:FILE (relative to the data folder) or postgresql://USER@HOST/NAME."""
    admin_socket: Path | None = None
    """The socket for xmppctl; "none" stands for xmppctl.sock in the data folder."""
    certs: Path = Path("certs")
    """The folder with certificates; what is missing is made there, self-signed."""
    log_level: Literal["debug", "info", "warn", "error", "critical"] = "info"
    """The least important lines that are logged: debug, info, warn, error or critical."""

    def __post_init__(self) -> None:
        if not re.match("sqlite:.|postgresql://", self.database):
            text = 'begins with neither "sqlite:" nor "postgresql://"; write "sqlite:xmppd.sqlite"'
            raise OptionsError([Problem("database", text)])

    @property
    def socket(self) -> Path:
        """Where xmppctl finds the server."""
        return self.admin_socket or self.data / SOCKET_NAME


class Endpoint(NamedTuple):
    """One place to listen at.

    :ivar description: an endpoint description of Twisted, for ``serverFromString``.
    :ivar direct_tls: whether TLS comes first (XEP-0368), not STARTTLS.
    :ivar shown: the place as people write it.
    """

    description: str
    direct_tls: bool
    shown: str


def _check_interfaces(interfaces: tuple[str, ...]) -> Iterator[Problem]:
    if not interfaces:
        yield Problem("interfaces", 'no address; write ["::"] for all of this machine')
    for place, interface in enumerate(interfaces):
        key = f"interfaces[{place}]"
        if not _is_address(interface):
            yield Problem(key, f'{quote(interface)} is no address; write "::" or "192.0.2.1"')
        elif interface in interfaces[:place]:
            yield Problem(key, f"{quote(interface)} stands there twice; remove one")
        elif every := next((other for other in interfaces if _covers(other, interface)), None):
            yield Problem(key, f"{quote(interface)} is covered by {quote(every)}; remove one of the two")


def _is_address(interface: str) -> bool:
    try:
        ipaddress.ip_address(interface)
    except ValueError:
        return False
    return True


def _covers(every: str, interface: str) -> bool:
    """Whether who listens at the first has the second already."""
    return every != interface and (every == "::" or (every == "0.0.0.0" and ":" not in interface))  # noqa: S104


def _check_places(name: str, places: tuple[int | str, ...]) -> Iterator[Problem]:
    for number, place in enumerate(places):
        key = f"{name}[{number}]"
        if isinstance(place, str) and not re.match("[a-z0-9]+:.", place):
            remedy = 'write "tcp:5222:interface=192.0.2.1", or a port without quotes'
            yield Problem(key, f"{quote(place)} is no endpoint of Twisted; {remedy}")
        elif place in places[:number] and place != 0:
            yield Problem(key, f"{place} stands there twice; remove one")


def _is_location(text: str) -> bool:
    """Whether it is a host, with a port or without, as in RFC 6120, section 4.9.3.19."""
    found = re.fullmatch(r"(?:\[([^\]]*)\]|[\w.-]+)(?::([0-9]{1,5}))?", text)
    if found is None or int(found[2] or 0) > 65535:
        return False
    return found[1] is None or (":" in found[1] and _is_address(found[1]))


@dataclass(frozen=True)
class Listen:
    """Where clients connect. A port is opened on every interface; a text is an endpoint of Twisted."""

    interfaces: tuple[str, ...] = ("::",)
    """Addresses of this machine; "::" is all, IPv6 and IPv4, "127.0.0.1" and "::1" are this machine alone."""
    c2s: tuple[Port | str, ...] = (5222,)
    """Ports for clients (STARTTLS). An empty list opens none."""
    c2s_direct_tls: tuple[Port | str, ...] = (5223,)
    """Ports for clients that begin with TLS (XEP-0368)."""
    backlog: Annotated[int, Between(1, 65535)] = 512
    """Connections that may wait to be accepted."""
    location: str | None = None
    """Where clients resume their sessions, as "chat.example.org:5222"; "none" leaves it to DNS (XEP-0198)."""

    def __post_init__(self) -> None:
        problems = [
            *_check_interfaces(self.interfaces),
            *_check_places("c2s", self.c2s),
            *_check_places("c2s_direct_tls", self.c2s_direct_tls),
        ]
        for place in self.c2s_direct_tls:
            if place in self.c2s and place != 0:
                problems.append(Problem("c2s_direct_tls", f"{place} is in c2s as well; give each its own"))
        if self.location is not None and not _is_location(self.location):
            remedy = 'write "chat.example.org:5222" or "[2001:db8::1]:5222"'
            problems.append(Problem("location", f"{quote(self.location)} is no host; {remedy}"))
        if problems:
            raise OptionsError(problems)

    def endpoints(self) -> list[Endpoint]:
        """Give all places to listen at, in the order of the file."""
        places = [(place, False) for place in self.c2s] + [(place, True) for place in self.c2s_direct_tls]
        return [endpoint for place, direct in places for endpoint in self._expand(place, direct)]

    def _expand(self, place: int | str, direct: bool) -> Iterator[Endpoint]:
        if isinstance(place, str):
            yield Endpoint(place, direct, place)
            return
        for interface in self.interfaces:
            kind, shown = ("tcp6", f"[{interface}]") if ":" in interface else ("tcp", interface)
            escaped = interface.replace(":", r"\:")
            description = f"{kind}:{place}:backlog={self.backlog}:interface={escaped}"
            yield Endpoint(description, direct, f"{shown}:{place}")


@dataclass(frozen=True)
class Contact:
    """Whom to write to, for everyone to see (XEP-0157): addresses such as "mailto:x@y" or "xmpp:x@y"."""

    admin: tuple[str, ...] = ()
    """Who runs the server."""
    abuse: tuple[str, ...] = ()
    """Whom to tell about abuse."""
    feedback: tuple[str, ...] = ()
    """Who hears what could be better."""
    sales: tuple[str, ...] = ()
    """Who sells."""
    security: tuple[str, ...] = ()
    """Whom to tell about holes in security."""
    status: tuple[str, ...] = ()
    """Where to see whether all is well."""
    support: tuple[str, ...] = ()
    """Who helps."""

    def __post_init__(self) -> None:
        for name in (each.name for each in dataclasses.fields(self)):
            for uri in getattr(self, name):
                if not re.fullmatch(r"[a-z][a-z0-9+.-]*:[!-~]+", uri):
                    text = f'{quote(uri)} is no URI; write "mailto:me@example.org"'
                    raise OptionsError([Problem(name, text)])


@dataclass(frozen=True)
class DomainConfig:
    """One domain that is served."""

    registration: bool = False
    """Whether strangers can make accounts for themselves (XEP-0077)."""
    anonymous: bool = False
    """Whether guests without an account come in (SASL ANONYMOUS), for tests and kiosks."""
    admins: tuple[JID, ...] = ()
    """Accounts that may administer the domain."""
    certificate: Path | None = None
    """The certificate with its chain (PEM), where it is not in the folder for certificates; or "none"."""
    key: Path | None = None
    """Its private key (PEM); or "none"."""
    without: tuple[str, ...] = ()
    """Modules that this domain does not load."""
    contact: Contact = Contact()
    modules: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; set both or none")
        for jid in self.admins:
            if not jid.local or not jid.is_bare:
                text = f"{quote(jid.text)} is no account; write name@domain without a resource"
                raise OptionsError([Problem("admins", text)])

    def options(self, name: str, options_class: type[T]) -> T:
        """Give the options of a module: those of the file, or its defaults.

        :raises OptionsError: if the configuration was loaded without this class and the table does not fit.
        """
        found = self.modules.get(name, {})
        if isinstance(found, options_class):
            return found
        return validate_options(options_class, found if isinstance(found, Mapping) else {}, name)


@dataclass(frozen=True)
class Config:
    """The whole configuration; paths in it are absolute, names of domains normalised.

    :ivar file: where it came from, None for a default one.
    """

    server: Server = Server()
    listen: Listen = Listen()
    limits: Limits = field(default_factory=Limits)
    modules: Mapping[str, object] = field(default_factory=dict)
    domains: Mapping[str, DomainConfig] = field(default_factory=dict)
    file: Path | None = field(default=None, metadata=NOT_A_KEY)
