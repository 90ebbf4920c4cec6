"""The process: its domains, accounts, database, and the streams that come in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from xmppd.admin.archive_commands import build_archive
from xmppd.admin.commands import Command, build
from xmppd.auth.accounts import Directory
from xmppd.auth.mechanisms import PASSWORD_MECHANISMS
from xmppd.config import Config, DomainConfig
from xmppd.core.context import Context
from xmppd.core.errors import StreamError
from xmppd.core.events import MessageArriving
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.directory import AccountDirectory
from xmppd.hibernation import Hibernation
from xmppd.host import Host
from xmppd.modules import all_modules
from xmppd.operator import ServerOperator
from xmppd.pressure import Pressure
from xmppd.routing.registry import LocalRegistry
from xmppd.routing.router import LocalRouter
from xmppd.sessions import Keeper
from xmppd.storage.archive_book import ArchiveBook
from xmppd.storage.database import Database
from xmppd.storage.errors import StorageError
from xmppd.stream.assembly import make_services
from xmppd.stream.watch import Watch
from xmppd.tasks import spawn
from xmppd.tokens import DomainTokens

__all__ = ["Server"]

_log = Logger()

#: Seconds that a start waits for the server of the database: both may begin with the machine.
PATIENCE: Final = 60.0


class Server:
    """All of one process but the listening, which `xmppd.service` does.

    :param reactor: time, threads and timers.
    :param tls: contexts of the domains (`xmppd.stream.tls.TLSContexts`).
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        tls: Any,
        *,
        now: Callable[[], float] = time.time,
        database: Database | None = None,
    ) -> None:
        self.reactor, self.config, self.tls, self.now = reactor, config, tls, now
        limits = config.limits
        self.database = database or Database(reactor, config.server.database)
        self.registry = LocalRegistry(config.domains)
        self.hosts: dict[str, Host] = {}
        self.archive = ArchiveBook(self.database, now)
        self.router = LocalRouter(self.registry, self.hosts, self.archive.store_nothing)  # type: ignore[arg-type]
        self.accounts = AccountDirectory(
            self.database, self.registry, self.archive, self.hosts, reactor, now, self.in_thread
        )
        self.keeper = Keeper(
            self.hosts,
            self.registry,
            self.router,
            database=self.database,
            archive=self.archive,
            now=now,
            per_account=limits.sessions_per_account,
        )
        self.services = make_services(
            limits, reactor, now, self.keeper, tls.starttls, location=config.listen.location
        )
        self.router.may_log = self.services.lines.allows
        self.watch = Watch(self.services)
        self.hibernation = Hibernation(self.database, self.registry, self.router, self.services, self.hosts)
        self.started_at = now()

    def in_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run what takes long where it does not hold up the reactor."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *args, **kwargs)

    # -- start and stop

    async def start(self) -> None:
        """Begin to work."""
        await self.open()
        await self.take_up()

    async def open(self) -> None:
        """Open the database, read the accounts, start the modules of every domain."""
        await self.database.open(PATIENCE)
        self.database.observe(Pressure(self.services))
        await self.archive.open()
        await self.accounts.load()
        for name, settings in self.config.domains.items():
            self.hosts[name] = self._make_host(JID.parse(name), settings)
        for host in self.hosts.values():
            await host.start()

    async def take_up(self) -> None:
        """Take up the sessions of the last run, which can be done once: whatever may fail comes before."""
        await self.hibernation.wake()
        self.keeper.start(self.reactor, self.services.streams)
        self.watch.start()
        spawn(self.accounts.finish_removals())

    def _make_host(self, jid: JID, settings: DomainConfig) -> Host:
        mechanisms = (*PASSWORD_MECHANISMS, "ANONYMOUS") if settings.anonymous else PASSWORD_MECHANISMS
        directory = Directory(
            jid.text, self.accounts.of_domain(jid.text), self.in_thread, self.accounts.secret
        )
        host = Host(jid, directory, mechanisms, DomainTokens(self.database, jid.text))
        context = Context(
            domain=jid,
            host=host,
            hooks=host.hooks,
            router=self.router,
            registry=self.registry,
            accounts=self.accounts,
            archive=self.archive,
            database=self.database,
            clock=self.reactor,
            now=self.now,
            spawn=spawn,
            settings=settings,
            limits=self.config.limits,
        )
        for module in all_modules():
            if module.name not in settings.without:
                host.load(module(context, settings.options(module.name, module.Options)))
        host.hook(MessageArriving, self.router.deliver, Stage.DELIVER)
        host.registrar = getattr(host.modules.get("register"), "registrar", None)
        return host

    async def stop(self) -> None:
        """Close all streams properly and let everything that was taken become durable."""
        self.watch.stop()
        self.keeper.stop()
        for stream in list(self.services.streams):
            stream.end(
                StreamError("system-shutdown", "The server is stopping; come back soon"), keep_session=True
            )
        try:
            await self.hibernation.sleep()
        except StorageError as error:
            _log.error("no session can be resumed after the next start: {error}", error=str(error))
        for host in self.hosts.values():
            await host.stop()
        await self.accounts.close()
        await self.database.close()

    def commands(self) -> dict[str, Command]:
        """What `xmppctl` can ask for."""
        return build(ServerOperator(self)) | build_archive(self, self.services.pool.limits)

    def reload(self, certificates: Mapping[str, Any]) -> list[str]:
        """Load certificates anew; what went wrong is told in lines.

        :param certificates: where they are now, by domain.
        """
        problems: list[str] = self.tls.reload(certificates)
        return problems
