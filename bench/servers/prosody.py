"""Prosody, Debian's package: accounts and rosters in files, archives in SQLite."""

from __future__ import annotations

from typing import ClassVar

from bench.servers.base import DOMAIN, ROOMS, Population, Server, make_certificate, package_versions

__all__ = ["Prosody", "ProsodyFiles", "ProsodyNoArchive", "ProsodyNoDelay"]

CONFIGURATION = """\
run_as_root = true
daemonize = false
pidfile = "{root}/prosody.pid"
data_path = "{data}"
admins = {{ }}
modules_enabled = {{
    "disco"; "roster"; "saslauth"; "tls"; "register"; "register_ibr";
    "blocklist"; "bookmarks"; "carbons"; "csi_simple"; "mam"; "offline"; "pep"; "ping";
    "private"; "smacks"; "time"; "uptime"; "vcard4"; "vcard_legacy"; "version";
}}
modules_disabled = {{ "s2s" }}  -- nothing leaves the loopback; "limits" is not loaded
interfaces = {{ "127.0.0.1" }}
{extra}
c2s_ports = {{ {port} }}
c2s_require_encryption = true
allow_registration = true
authentication = "internal_hashed"  -- SCRAM-SHA-1, 10000 iterations
default_archive_policy = {archive}
archive_expires_after = "1w"
{storage}
log = {{ info = "{root}/prosody.log" }}
ssl = {{ key = "{key}"; certificate = "{certificate}" }}
c2s_ssl = {{ key = "{key}"; certificate = "{certificate}" }}

VirtualHost "{domain}"

Component "{rooms}" "muc"
    modules_enabled = {{ "muc_mam" }}
    restrict_room_creation = false
    muc_log_by_default = {archive}
"""

SQLITE = """\
storage = { archive = "sql"; muc_log = "sql" }
sql = { driver = "SQLite3"; database = "prosody.sqlite" }"""


class Prosody(Server):
    """SQLite as shipped: a rollback journal, synchronous=FULL."""

    name = "prosody"
    archive: ClassVar[str] = "true"
    storage: ClassVar[str] = SQLITE
    extra: ClassVar[str] = ""

    def configure(self, population: Population) -> None:
        key, certificate = make_certificate(self.root)
        values = {"root": self.root, "data": self.data, "port": self.port, "domain": DOMAIN, "rooms": ROOMS}
        values |= {"archive": self.archive, "storage": self.storage, "extra": self.extra}
        text = CONFIGURATION.format(key=key, certificate=certificate, **values)
        (self.root / "prosody.cfg.lua").write_text(text)
        self._write_rosters(population)

    def _write_rosters(self, population: Population) -> None:
        folder = self.data / DOMAIN / "roster"
        folder.mkdir(parents=True)
        for name, contacts in population.rosters.items():
            items = "".join(f'["{jid}"] = {{ subscription = "both"; groups = {{}}; }};\n' for jid in contacts)
            text = "return {\n[false] = { version = 1; };\n" + items + "};\n"
            (folder / f"{name}.dat").write_text(text)

    def command(self) -> list[str]:
        return ["prosody", "-F", "--config", str(self.root / "prosody.cfg.lua")]

    def version(self) -> str:
        return package_versions("prosody", "lua5.4", "lua-sec")


class ProsodyFiles(Prosody):
    """Archives in its own files, which is its default; they are never synced."""

    name, storage = "prosody-files", ""


class ProsodyNoArchive(Prosody):
    """Nothing is archived."""

    name, archive = "prosody-noarchive", "false"


class ProsodyNoDelay(Prosody):
    """Without Nagle's algorithm, which it leaves on by default."""

    name, extra = "prosody-nodelay", "network_settings = { nagle = false }"
