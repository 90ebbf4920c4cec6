"""The whole server in memory, and clients that read late, acknowledge late, and lose their connections."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, cast

from tests.model.promises import Account, Broken, Mail, Promises, Session
from tests.support.tap import Tap
from xmppd.core.jid import JID
from xmppd.modules.retention import retention_of
from xmppd.storage import archive
from xmppd.stream.session import ClientSession
from xmppd.testing import Client, InProcessServer

__all__ = ["Device", "World"]

CLIENT: Final = "{jabber:client}"
STANZAS: Final = tuple(f"{CLIENT}{kind}" for kind in ("message", "presence", "iq"))
SM: Final = "urn:xmpp:sm:3"
MAM: Final = "urn:xmpp:mam:2"
CSI: Final = "urn:xmpp:csi:0"
RSM: Final = "http://jabber.org/protocol/rsm"
_MESSAGE: Final = f"{CLIENT}message"
_DELAY: Final = "{urn:xmpp:delay}delay"
_RETRACTED: Final = "{urn:xmpp:message-retract:1}retracted"
_COPIES: Final = tuple(f"{{urn:xmpp:carbons:2}}{name}" for name in ("received", "sent"))

#: Where files are in memory, if the system has such a place: a commit takes a tenth of the time.
IN_MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
#: Seconds that the clock makes at once.
STEP: Final = 0.1
MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
#: How long a session can be resumed, messages are kept, and wait for delivery.
RESUME, KEPT, OFFERED = MINUTE, 6 * HOUR, 24 * HOUR
LIMITS: Final = (
    "limits.rate=none",
    f"limits.sm_resume_timeout={int(RESUME)}",
    f"limits.archive_expires_after={int(KEPT)}",
    f"limits.offline_expires_after={int(OFFERED)}",
    # Archives are cleaned when the machine says so.
    f"domains.localhost.modules.retention.archive_cleanup_interval={int(1000 * HOUR)}",
)


class Disk:
    """Database threads that take a while to begin, and a while to tell (see `xmppd.storage.threads`)."""

    def __init__(self, clock: Any, lag: float) -> None:
        self._clock, self._lag = clock, lag

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def callInThreadWithCallback(
        self, on_result: Callable[..., Any] | None, func: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """Call after a while; report after another one."""
        later, lag = self._clock.callLater, self._lag

        def run() -> None:
            result, success = func(*args, **kw), True
            if on_result is not None:
                later(lag, on_result, success, result)

        later(lag, run)


@cache
def _accounts(names: tuple[str, ...]) -> str:
    """A database with accounts and nothing else, to be copied."""
    server = InProcessServer()
    for name in names:
        server.add_user(f"{name}@localhost")
    server.stop()
    return server.url.removeprefix("sqlite:")


class World:
    """A server that can be ended and begun again on the same data.

    :param lag: seconds that the disk takes.
    """

    def __init__(self, names: tuple[str, ...], lag: float, queue: int) -> None:
        self.promises = Promises(names)
        self.devices: list[Device] = []
        self._lag, self._settings = lag, (*LIMITS, f"limits.sm_queue={queue}")
        self.folder = tempfile.mkdtemp(prefix="xmppd-model-", dir=IN_MEMORY)
        self.server = self._begin(f"sqlite:{shutil.copy(_accounts(names), self.folder)}", 1.0)

    def _begin(self, database: str, elapsed: float) -> InProcessServer:
        self.server = InProcessServer(*self._settings, database=database, elapsed=elapsed)
        self._slow_down()
        return self.server

    def end(self) -> None:
        """It is not needed any more."""
        self.server.stop()
        shutil.rmtree(self.folder)

    def _slow_down(self) -> None:
        if self._lag:
            for pool in (self.server.database._read_pool, self.server.database._write_pool):
                pool.threadpool = Disk(self.server.reactor, self._lag)

    @property
    def now(self) -> float:
        return float(self.server.reactor.seconds())

    # -- time

    def quiet(self) -> None:
        """Let everything that is under way come to its end."""
        calm = 0
        for _ in range(500):
            self.server.advance(0.01)
            calm = calm + 1 if not (self.server.database.queued or self.server.database._reads) else 0
            if calm == 4:
                return
        raise Broken("it never becomes quiet")

    def wait(self, seconds: float) -> None:
        """A moment. A clock that makes it in one step lets everything that is due in it begin at its end."""
        self.server.advance(min(seconds, STEP))
        if seconds > STEP:
            self.wait(seconds - STEP)

    def pass_time(self, seconds: float) -> None:
        """A long time, in which everybody is away."""
        for _ in range(10):
            self.server.advance(seconds / 10)
            self.quiet()

    def look(self) -> None:
        """Notice which sessions the server has ended."""
        for device in self.devices:
            device.look()

    # -- the server

    def clean(self) -> None:
        """Delete what has expired."""
        for name in self.promises.accounts:
            self.server.wait_for(self._retention().clean(self._account(name)))
        self.promises.gives_up(self.now - OFFERED)

    def _retention(self) -> Any:
        return retention_of(self.server.server.hosts["localhost"])

    def _account(self, name: str) -> Any:
        return self.server.server.registry.account(JID.parse(f"{name}@localhost"))

    def restart(self) -> None:
        """Stop with grace, and start again."""
        self.server.stop()
        for device in self.devices:
            device.drop()
        self.promises.restarts()
        self._begin_again()

    def crash(self) -> None:
        """As ``kill -9``; clients have what was written to them."""
        for device in self.devices:
            device.read()
        self.promises.crashes(self.now)
        self.server.crash()
        self._begin_again()

    def _begin_again(self) -> None:
        self._begin(self.server.url, self.server.reactor.seconds() + 1)
        for device in self.devices:
            device.wake()

    # -- what is left

    def check_nothing_is_left(self, name: str) -> None:
        """All is confirmed: nothing is kept of it but the history."""
        self.server.advance(2)
        self.quiet()
        account = self._account(name)
        rows = self.server.wait_for(self.server.database.read("rows", archive.rows, account.id, limit=9999))
        box = account.mailbox
        left = [row.seq for row in rows if not row.history]
        if left or box.owed or box.passing or box.confirmed or box.has_backlog:
            raise Broken(f"{name}: {left} {box.owed} {box.passing} {box.confirmed} {box.has_backlog}")


class Device:
    """A client that comes and goes; it is honest about what it has read.

    :ivar session: what the specification knows of its session, and
    :ivar theirs: the server; it may outlive connections.
    :ivar loose: messages that it has read and that its next byte confirms.
    :ivar numbered: messages that it has read, with their numbers in stream management.
    :ivar unbroken: whether its session has had one connection only.
    """

    def __init__(self, world: World, account: Account, resource: str) -> None:
        self.world, self.account, self.resource = world, account, resource
        self.jid = f"{account.name}@localhost/{resource}"
        self.session: Session | None = None
        self.theirs: ClientSession | None = None
        self.client: Client | None = None
        self.old: Client | None = None
        self.token = ""
        self.managed = self.stalled = self.resuming = self.unbroken = False
        self.received = self.acknowledged = self.sent = 0
        self.loose: list[Mail] = []
        self.numbered: list[tuple[int, Mail]] = []
        self.mine: list[tuple[int, Mail]] = []
        self.originals: list[Mail] = []
        self.results: list[tuple[str, bool]] = []
        self.answers: list[Any] = []

    # -- connections

    @property
    def connected(self) -> bool:
        """Whether it has a connection on which it can talk."""
        return self.client is not None and not self.resuming

    @property
    def waits(self) -> bool:
        """Whether its session waits for it."""
        return self.client is None and self.session is not None and self.session.alive

    def _connect(self) -> Client:
        self.client = self.world.server.connect()
        self.client.authenticate(self.jid.partition("/")[0], "secret")
        self._tap = Tap()
        return self.client

    def login(self, *, manage: bool, carbons: bool) -> None:
        """Begin a new session; an old one of this resource ends."""
        client, old = self._connect(), self.session
        self.theirs, self.token = None, ""
        self.managed = self.stalled = self.resuming = False
        self.loose, self.numbered, self.mine, self.originals = [], [], [], []
        self.unbroken = True
        if old is not None:
            self.world.promises.end(old)
        self.session = self.world.promises.bind(self.account, self.resource)
        wish = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{self.resource}</resource></bind>"
        client.send(f"<iq type='set' id='bind'>{wish}</iq>")
        self.theirs = self._find()
        assert self.theirs is not None
        if manage:
            self.manage()
        if carbons:
            self.say("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")

    def _find(self) -> ClientSession | None:
        return cast("ClientSession | None", self.world.server.server.registry.session(JID.parse(self.jid)))

    def manage(self) -> None:
        """Enable stream management."""
        self.say(f"<enable xmlns='{SM}' resume='true'/>", counted=False)
        self.world.quiet()
        self.read()

    def drop(self) -> None:
        """The connection is at its end; all that was written to it has come."""
        self.read()
        self._lose()

    def cut(self, part: float = 1.0) -> None:
        """The connection is gone, and with it what had not come yet.

        :param part: of what was on its way, how much still came.
        """
        if self.client is not None:
            self.read(part)
            self._lose()

    def _lose(self) -> None:
        if self.client is None:
            return
        client, self.client = self.client, None
        self.stalled = self.resuming = self.unbroken = False
        if self.world.server.running:
            client.cut()
        self._let_go_of_old()
        if self.session is not None:
            self.session.hibernates, self.session.reads = True, True
        self.look()

    def close(self) -> None:
        """End the stream as a client should."""
        assert self.client is not None
        self.say("</stream:stream>", counted=False)
        self.drop()

    def look(self) -> None:
        """Notice what the server has ended."""
        if self.client is not None and (self.client.closed or self.client.transport.aborted):
            self.drop()
        if self.session is not None and self.theirs is not None and self.theirs.ended:
            self.world.promises.end(self.session)

    def wake(self) -> None:
        """The server has begun again."""
        lasting = self._could_go_on
        self.client, self.old, self.theirs = None, None, self._find()
        self.stalled = self.resuming = self.unbroken = False
        if self.session is None or not self.session.alive:
            return
        if self.theirs is None:
            if lasting and self.token:
                raise Broken(f"{self.session} has not outlived a restart")
            self.world.promises.end(self.session)

    @property
    def _could_go_on(self) -> bool:
        """Whether the server has said nothing else: too much waits in the queue of some."""
        theirs = self.theirs
        return (
            theirs is not None and not theirs.ended and theirs.smacks is not None and theirs.smacks.resumable
        )

    def resume(self, *, wait: bool) -> None:
        """Come back on another connection, with a true count; an old one still looks alive."""
        assert self.session is not None
        self.read()
        self._let_go_of_old()
        self.old = self.client
        client = self._connect()
        self.resuming, self.unbroken, self.stalled = True, False, False
        self.session.hibernates = self.session.reads = self.session.wakes = True
        self.world.promises.confirms(self.session, self._counted(), self.world.now, maybe=True)
        client.send(f"<resume xmlns='{SM}' previd='{self.token}' h='{self.received}'/>")
        if wait:
            self.world.quiet()
            self.read()

    def _counted(self) -> list[Mail]:
        return [mail for _, mail in self.numbered]

    def _resumed(self, h: int) -> None:
        self.resuming = False
        assert self.session is not None
        self.session.hibernates = self.session.inactive = self.session.wakes = False
        self._told(h)
        self._confirm(self._counted())
        self.numbered, self.acknowledged = [], self.received
        # What the server had not handled is not sent again: that would be another message.
        self.mine, self.sent = [], h

    def _failed(self) -> None:
        if self._could_go_on:
            raise Broken(f"{self.session} was not resumed")
        self._lose()

    def _let_go_of_old(self) -> None:
        """The connection before this one ends for its server, too."""
        old, self.old = self.old, None
        if old is not None and self.world.server.running:
            old.cut()

    # -- talking

    def say(self, text: str, *, counted: bool = True) -> None:
        """Send; what comes uncounted is confirmed by that."""
        assert self.client is not None
        if not self.stalled:
            if not self.managed:
                self.read()
            loose, self.loose = self.loose, []
            self._confirm(loose)
        if counted:
            self.sent += 1
        self.client.send(text)

    def _confirm(self, mails: list[Mail]) -> None:
        assert self.session is not None
        self.world.promises.confirms(self.session, mails, self.world.now)

    def write(self, mail: Mail, to: str, extra: str = "") -> None:
        """Send a message that the specification knows."""
        content = mail.content
        self.say(f"<message to='{to}' type='{content.kind}' id='{mail.id}'>{content.xml}{extra}</message>")
        self.mine.append((self.sent, mail))

    def show(self, priority: int | None) -> None:
        """Send presence, and wait until it holds: the first one of an account waits for its roster."""
        within = f"><priority>{priority}</priority></presence>"
        self.say(f"<presence{within}" if priority is not None else "<presence type='unavailable'/>")
        assert self.theirs is not None
        for _ in range(1000):
            if self.theirs.priority == priority:
                break
            self.world.server.advance(0.001)

    def before_writing(self) -> None:
        """Read what a message's bytes would confirm anyway."""
        if not self.managed:
            self.read()

    def stall(self) -> None:
        """Read no more, until `flow`."""
        self.read()
        assert self.client is not None and self.session is not None
        self.stalled, self.session.reads = True, False
        self.client.transport.producer.pauseProducing()

    def flow(self) -> None:
        """Read again."""
        assert self.client is not None and self.session is not None
        self.stalled, self.session.reads = False, True
        self.client.transport.producer.resumeProducing()

    def acknowledge(self, late: int) -> None:
        """Acknowledge what was read, but for the newest."""
        h = max(self.acknowledged, self.received - late)
        mails = [mail for number, mail in self.numbered if number <= h]
        self.numbered = [(number, mail) for number, mail in self.numbered if number > h]
        self.acknowledged = h
        self._confirm(mails)
        self.say(f"<a xmlns='{SM}' h='{h}'/>", counted=False)

    def ask(self, kind: str, payload: str, to: str = "") -> None:
        """A request, until all that follows from it has happened."""
        address = f" to='{to}'" if to else ""
        self.say(f"<iq type='{kind}' id='q'{address}>{payload}</iq>")
        self.world.quiet()
        self.read()

    def query(self) -> list[tuple[str, bool]]:
        """All that the archive of the account has: names, and whether they are tombstones."""
        self.results, after, complete = [], "", False
        while not complete:
            self.answers.clear()
            rsm = f"<set xmlns='{RSM}'><max>50</max>{after}</set>"
            self.ask("set", f"<query xmlns='{MAM}'>{rsm}</query>")
            (fin,) = [fin for answer in self.answers for fin in answer.iter(f"{{{MAM}}}fin")]
            complete = fin.get("complete") == "true"
            after = f"<after>{fin.findtext(f'{{{RSM}}}set/{{{RSM}}}last')}</after>"
        return self.results

    # -- reading

    def read(self, part: float = 1.0) -> None:
        """Read what has come, or a part of it; the rest is lost."""
        if self.client is None or (self.stalled and part == 1.0):
            return
        for each in self.world.devices:
            if each.session is not None and each.theirs is not None and each.theirs.ended:
                self.world.promises.is_ending(each.session)
        data = self.client.take().encode()
        for element in self._elements(data[: round(len(data) * part)]):
            self._take(element)

    def _elements(self, data: bytes) -> Iterator[Any]:
        self._tap.feed(data)
        yield from self._tap.take()

    def _take(self, element: Any) -> None:
        if element.tag in STANZAS:
            self.received += 1
            if element.tag == _MESSAGE:
                self._message(element)
            elif element.get("type") in ("result", "error"):
                self.answers.append(element)
        elif element.tag == f"{{{SM}}}enabled":
            self.token, self.managed, self.received, self.sent = element.get("id", ""), True, 0, 0
            self.acknowledged, self.mine = 0, []
        elif element.tag == f"{{{SM}}}a":
            self._told(int(element.get("h")))
        elif element.tag == f"{{{SM}}}resumed":
            self._resumed(int(element.get("h")))
        elif element.tag == f"{{{SM}}}failed":
            self._failed()

    def _told(self, h: int) -> None:
        for number, mail in self.mine:
            if number <= h:
                self.world.promises.told(mail)
        self.mine = [(number, mail) for number, mail in self.mine if number > h]

    def _message(self, element: Any) -> None:
        result = element.find(f"{{{MAM}}}result")
        copy = next((child for child in element if child.tag in _COPIES), None)
        if result is not None:
            inner = next(result.iter(_MESSAGE))
            self.results.append((inner.get("id"), inner.find(_RETRACTED) is not None))
        elif copy is not None:
            self._copy(next(copy.iter(_MESSAGE)))
        elif (mail := self.world.promises.mails.get(element.get("id", ""))) is not None:
            self._mail(element, mail)

    def _copy(self, inner: Any) -> None:
        mail = self.world.promises.mails.get(inner.get("id", ""))
        assert self.session is not None
        if mail is not None and inner.get("type") != "error":
            self.world.promises.copied(self.session, mail)

    def _mail(self, element: Any, mail: Mail) -> None:
        assert self.session is not None
        if element.get("type") == "error":
            self.world.promises.comes_back(mail)
        elif element.find(_RETRACTED) is None:
            self.world.promises.reads(self.session, mail, delayed=element.find(_DELAY) is not None)
            self.originals.append(mail)
            if self.managed:
                self.numbered.append((self.received, mail))
            else:
                self.loose.append(mail)
