"""What a valid file says, brought together: absolute paths, normalised domains, options of modules."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from xmppd.config.model import Config, DomainConfig, Server
from xmppd.core.jid import InvalidJID, prepare_domain
from xmppd.core.options import OptionsError, Problem, did_you_mean, join_key, validate_options


def resolve(config: Config, base: Path, options: Mapping[str, type]) -> Config:
    """Make paths absolute and tables of modules instances; check what needs more than one key.

    :param base: where relative paths start.
    :param options: the options class of every module, by its name.
    :raises OptionsError: with all that is wrong.
    """
    return _Resolver(base, options).resolve(config)


def resolve_server(server: Server, base: Path) -> Server:
    """Make the paths of the process absolute."""
    data = (base / server.data).absolute()
    kind, _, place = server.database.partition(":")
    if kind == "sqlite" and place != ":memory:":
        place = str(data / Path(place).expanduser())
    return dataclasses.replace(
        server,
        data=data,
        database=f"{kind}:{place}",
        admin_socket=(base / server.admin_socket).absolute() if server.admin_socket else None,
        certs=(base / server.certs).absolute(),
    )


class _Resolver:
    def __init__(self, base: Path, options: Mapping[str, type]) -> None:
        self.base = base
        self.options = options
        self.problems: list[Problem] = []
        self.shared: Mapping[str, object] = {}

    def resolve(self, config: Config) -> Config:
        if not config.domains:
            self._problem("domains", 'no domain is served; add a line [domains."example.org"]')
        if self._check_modules(config.modules, "modules"):
            self.shared = config.modules
        domains = self._domains(config.domains)
        if self.problems:
            raise OptionsError(self.problems)
        return dataclasses.replace(config, server=resolve_server(config.server, self.base), domains=domains)

    def _problem(self, key: str, text: str) -> None:
        self.problems.append(Problem(key, text))

    def _domains(self, domains: Mapping[str, DomainConfig]) -> dict[str, DomainConfig]:
        found: dict[str, DomainConfig] = {}
        for name, domain in domains.items():
            key = join_key("domains", name)
            normal = self._normalise(name, key)
            if normal in found:
                self._problem(key, "the same domain twice; remove one")
            found[normal] = self._domain(domain, key)
        return found

    def _normalise(self, name: str, key: str) -> str:
        try:
            return prepare_domain(name)
        except InvalidJID as error:
            self._problem(key, f"no name of a domain ({error}); write it like example.org")
            return name

    def _domain(self, domain: DomainConfig, key: str) -> DomainConfig:
        fits = self._check_modules(domain.modules, join_key(key, "modules"))
        for name in domain.without:
            if name not in self.options:
                self._problem(f"{key}.without", f"no module {name}; {did_you_mean(name, self.options)}")
        return dataclasses.replace(
            domain,
            certificate=self._file(domain.certificate, join_key(key, "certificate")),
            key=self._file(domain.key, join_key(key, "key")),
            modules=self._modules(domain, join_key(key, "modules")) if fits else {},
        )

    def _file(self, path: Path | None, key: str) -> Path | None:
        if path is None:
            return None
        path = (self.base / path).absolute()
        if not path.exists():
            self._problem(key, f"no file {path}; correct the path or remove the key")
        return path

    def _check_modules(self, tables: Mapping[str, object], key: str) -> bool:
        """Check the table of each module by itself; whether all of them fit."""
        before = len(self.problems)
        for name, table in tables.items():
            if name not in self.options:
                self._problem(join_key(key, name), f"no such module; {did_you_mean(name, self.options)}")
            else:
                self._validate(name, table, key)
        return len(self.problems) == before

    def _modules(self, domain: DomainConfig, key: str) -> dict[str, object]:
        """Make the options of each module that a domain loads: its own table over that for all domains."""
        return {
            name: self._validate(name, _over(domain.modules.get(name), self.shared.get(name)), key)
            for name in self.options
            if name not in domain.without
        }

    def _validate(self, name: str, table: object, key: str) -> object:
        key = join_key(key, name)
        if not isinstance(table, Mapping):
            self._problem(key, "not a table; write its settings below a line with its name in brackets")
            return None
        try:
            return validate_options(self.options[name], table, key)
        except OptionsError as error:
            self.problems += error.problems
            return None


def _over(own: object, shared: object) -> dict[str, object]:
    tables = [table for table in (shared, own) if isinstance(table, Mapping)]
    return {name: value for table in tables for name, value in table.items()}
