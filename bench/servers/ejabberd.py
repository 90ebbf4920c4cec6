"""ejabberd, Debian's package: accounts and rosters in Mnesia, archives in SQLite."""

from __future__ import annotations

import sqlite3
import subprocess
import sysconfig
from pathlib import Path
from typing import ClassVar

from bench.servers.base import DOMAIN, Population, Server, make_certificate, package_versions

__all__ = ["Ejabberd", "EjabberdMnesia", "EjabberdNoArchive", "EjabberdNoSpin"]

SCHEMA = Path("/usr/share/ejabberd/sql/lite.sql")

CONFIGURATION = """\
loglevel: info
log_rotate_count: 0
hosts:
  - {domain}
certfiles:
  - {root}/both.pem
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: none
    access: c2s
    starttls_required: true
auth_method: internal
auth_password_format: scram
default_db: mnesia
{sql}
registration_timeout: infinity
acl:
  local:
    user_regexp: ""
access_rules:
  c2s: {{allow: all}}
  local: {{allow: local}}
  register: {{allow: all}}
shaper_rules:
  max_user_sessions: 10
  max_user_offline_messages: 100
api_permissions: {{}}
modules:
  mod_adhoc: {{}}
  mod_avatar: {{}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_mam:
    db_type: {mam}
    default: {default}
  mod_muc:
    access: all
    access_create: all
    access_persistent: all
    access_mam: all
    default_room_options: {{mam: {room_mam}}}
  mod_offline: {{access_max_user_messages: max_user_offline_messages}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub:
    access_createnode: local
    plugins: [flat, pep]
  mod_push: {{}}
  mod_push_keepalive: {{}}
  mod_register:
    access: register
    ip_access: all
    password_strength: 0
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
  mod_vcard: {{search: false}}
  mod_vcard_xupdate: {{}}
  mod_version: {{}}
"""

#: Loads rosters in bulk, into the table as mod_roster_mnesia defines it.
LOAD_ROSTERS = """
mnesia:create_schema([node()]), ok = mnesia:start(),
{{atomic, ok}} = mnesia:create_table(roster, [{{disc_copies, [node()]}}, {{index, [us]}},
    {{attributes, [usj,us,jid,name,subscription,ask,groups,askmessage,xs]}}]),
{{ok, Terms}} = file:consult("{terms}"),
[ok = mnesia:dirty_write(T) || T <- Terms],
stopped = mnesia:stop(), halt().
"""


def roster_term(name: str, contact: str) -> str:
    """A row of that table."""
    node, _, domain = contact.partition("@")
    user, jid = f'<<"{name}">>,<<"{DOMAIN}">>', f'{{<<"{node}">>,<<"{domain}">>,<<>>}}'
    return f"{{roster,{{{user},{jid}}},{{{user}}},{jid},<<>>,both,none,[],<<>>,[]}}.\n"


class Ejabberd(Server):
    """SQLite as shipped: a rollback journal, synchronous=FULL."""

    name = "ejabberd"
    mam: ClassVar[str] = "sql"
    archive: ClassVar[bool] = True
    flags: ClassVar[list[str]] = []

    def environment(self) -> dict[str, str]:
        return {
            "EJABBERD_CONFIG_PATH": str(self.root / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.root / "ejabberd.log"),
            "ERL_CRASH_DUMP": str(self.root / "crash.dump"),
            "ERL_LIBS": f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}",
            "HOME": str(self.root),
        }

    def configure(self, population: Population) -> None:
        key, certificate = make_certificate(self.root)
        (self.root / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        values = {"root": self.root, "port": self.port, "domain": DOMAIN, "sql": self._make_database()}
        values |= {"mam": self.mam, "room_mam": str(self.archive).lower()}
        values["default"] = "always" if self.archive else "never"
        (self.root / "ejabberd.yml").write_text(CONFIGURATION.format(**values))
        if population.rosters:
            self._write_rosters(population)

    def _make_database(self) -> str:
        if self.mam != "sql":
            return ""
        path = self.root / "archive.sqlite"
        with sqlite3.connect(path) as connection:
            connection.executescript(SCHEMA.read_text())
        return f"sql_type: sqlite\nsql_database: {path}"

    def _write_rosters(self, population: Population) -> None:
        terms = self.root / "roster.terms"
        rows = (roster_term(name, each) for name, contacts in population.rosters.items() for each in contacts)
        terms.write_text("".join(rows))
        log = ["-mnesia", "dump_log_write_threshold", "100000"]
        program = ["-eval", LOAD_ROSTERS.format(terms=terms)]
        erl = ["erl", "-noshell", *self._mnesia(), *log, *program]
        subprocess.run(erl, check=True, timeout=120, stdout=subprocess.DEVNULL)

    def _mnesia(self) -> list[str]:
        return ["-mnesia", "dir", f'"{self.data}"']

    def command(self) -> list[str]:
        """What ejabberdctl does, without another user and without distribution."""
        limits = ["+K", "true", "+P", "250000", "+Q", "65536"]
        return ["erl", *limits, *self.flags, "-noinput", *self._mnesia(), "-s", "ejabberd"]

    def version(self) -> str:
        return package_versions("ejabberd", "erlang-base", "erlang-p1-sqlite3")


class EjabberdMnesia(Ejabberd):
    """Archives in Mnesia, which is its default."""

    name, mam = "ejabberd-mnesia", "mnesia"


class EjabberdNoArchive(Ejabberd):
    """Nothing is archived."""

    name, archive = "ejabberd-noarchive", False


class EjabberdNoSpin(Ejabberd):
    """Its schedulers sleep at once instead of looking for work for a while."""

    name = "ejabberd-nospin"
    flags: ClassVar[list[str]] = ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
