"""The process: its domains, accounts, database, and the streams that come in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from xmppd.admin.archive_commands import build_archive
from xmppd.admin.commands import Command, build
from xmppd.auth.accounts import Directory
from xmppd.auth.mechanisms import PASSWORD_MECHANISMS
from xmppd.auth.throttle import Throttle, address_key
from xmppd.config import Config, DomainConfig
from xmppd.core.budget import LineBudget
from xmppd.core.context import Context
from xmppd.core.counters import hits
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
from xmppd.stream.admission import Admission, TurnedAway
from xmppd.stream.c2s import ClientStream
from xmppd.stream.features import Feature
from xmppd.stream.features.bind import BIND, INFORMATION
from xmppd.stream.features.csi import CSI
from xmppd.stream.features.registration import REGISTRATION
from xmppd.stream.features.sasl import SASL
from xmppd.stream.features.sasl2 import SASL2
from xmppd.stream.features.sm import SM
from xmppd.stream.features.starttls import STARTTLS
from xmppd.stream.pace import Pace
from xmppd.stream.services import Services, Timeouts
from xmppd.stream.smacks import SmLimits
from xmppd.stream.turns import Turns
from xmppd.stream.watch import Watch
from xmppd.tasks import spawn
from xmppd.tokens import DomainTokens
from xmppd.xml.parser import Limits as XmlLimits
from xmppd.xml.reader import ParserPool

__all__ = ["FEATURES", "Server", "StreamFactory"]

_log = Logger()

#: What a stream negotiates, in the order in which it is offered (XEP-0170).
FEATURES: Final[tuple[Feature, ...]] = (
    STARTTLS,
    SASL2,
    SASL,
    REGISTRATION,
    BIND,
    INFORMATION,
    SM,
    CSI,
)

#: Seconds that clients have to close their streams when the server stops.
FAREWELL: Final = 2.0


def _left_out(source: str, lines: int) -> None:
    _log.info("{lines} more lines about {source} left out", lines=lines, source=source or "others")


class StreamFactory(Factory):
    """Makes a stream for every connection that may come in.

    :param direct: whether the connections begin with TLS.
    """

    noisy = False

    def __init__(self, services: Services, *, direct: bool) -> None:
        self._services, self._direct = services, direct

    def buildProtocol(self, addr: object) -> Protocol | None:
        """A stream for a new connection; whom only TLS could tell why not is closed without a word."""
        host = getattr(addr, "host", "")
        problem = self._services.admission.refusal(address_key(host) if host else "")
        if problem is None:
            return ClientStream(self._services, FEATURES, direct=self._direct)
        hits.told(problem.text)
        if self._services.lines.allows(host):
            _log.info("{host} turned away: {problem}", host=host, problem=problem)
        return None if self._direct else TurnedAway(problem)


class Server:
    """All of one process but the listening, which `xmppd.tap` does.

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
        self.router = LocalRouter(self.registry, self.hosts)  # type: ignore[arg-type]
        self.archive = ArchiveBook(self.database, now)
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
        self.services = self._make_services()
        self.watch = Watch(self.services)
        self.hibernation = Hibernation(self.database, self.registry, self.services, self.hosts)
        self.started_at = now()

    def _make_services(self) -> Services:
        limits, clock = self.config.limits, self.reactor
        strangers = XmlLimits(
            stanza_bytes=limits.unauthenticated_stanza_bytes,
            elements=limits.unauthenticated_elements,
            depth=limits.stanza_depth,
            attributes=limits.stanza_attributes,
            header_bytes=limits.stream_header_bytes,
            of_strangers=True,
        )
        known = XmlLimits(
            stanza_bytes=limits.stanza_bytes,
            elements=limits.stanza_elements,
            depth=limits.stanza_depth,
            attributes=limits.stanza_attributes,
            header_bytes=limits.stream_header_bytes,
        )
        return Services(
            clock=clock,
            now=self.now,
            turns=Turns(clock),
            keeper=self.keeper,
            strangers=strangers,
            pool=ParserPool(known),
            tls=self.tls.starttls,
            throttle=Throttle(
                clock.seconds,
                per_address=limits.auth_failures_per_address,
                per_account=limits.auth_failures_per_account,
                period=limits.auth_failures_period,
            ),
            streams=set(),
            admission=Admission(
                unauthenticated=limits.unauthenticated,
                unauthenticated_per_address=limits.unauthenticated_per_address,
                per_address=limits.connections_per_address,
            ),
            pace=Pace(limits.rate, limits.rate_burst),
            lines=LineBudget(clock, _left_out),
            timeouts=Timeouts(
                handshake=limits.tls_handshake_timeout,
                negotiation=limits.negotiation_timeout,
                registration=limits.registration_timeout,
                idle=limits.idle_timeout,
                answer=limits.answer_timeout,
                close=limits.close_timeout,
                write=limits.write_timeout,
            ),
            sm=SmLimits(
                limits.sm_queue,
                limits.sm_queue_bytes,
                limits.sm_resume_timeout or 0,
                limits.sm_detached_per_account,
            ),
            write_buffer=limits.write_buffer_bytes,
            csi_queue=limits.csi_queue,
            failures_per_stream=limits.auth_failures_per_stream,
        )

    def in_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run what takes long where it does not hold up the reactor."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *args, **kwargs)

    # -- start and stop

    async def start(self) -> None:
        """Open the database, read the accounts, start the modules of every domain."""
        await self.database.open()
        self.database.observe(Pressure(self.services.streams))
        await self.archive.open()
        await self.accounts.load()
        for name, settings in self.config.domains.items():
            self.hosts[name] = self._make_host(JID.parse(name), settings)
        for host in self.hosts.values():
            await host.start()
        await self.hibernation.wake()
        self.keeper.start(self.reactor, self.services.streams)
        self.watch.start()

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
        await self.hibernation.sleep()
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
