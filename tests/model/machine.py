"""Everything that can happen between accounts with several devices and their server, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache, wraps
from random import Random
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.model.promises import CONTENTS, Account, Broken, Content, Mail
from tests.model.world import CSI, HOUR, KEPT, MAM, RESUME, SM, Device, World
from xmppd.auth import passwords
from xmppd.modules import offline, retention

__all__ = ["Machine", "done", "prepare"]

NAMES: Final = ("alice", "bob", "carol")
#: Devices by account: they write to each other all the time.
DEVICES: Final = (("alice", 2), ("bob", 3), ("carol", 1))
_BLOCKING: Final = "urn:xmpp:blocking"
#: What happens to all of them at once.
RARE: Final = ("evening", "night", "restart", "restart", "kill", "kill", "last")
_RETRACTION: Final = Content("chat", "<body>I said nothing</body>")

#: How often what was done, by name.
done: Counter[str] = Counter()

who = st.integers(0, 5)
name = st.sampled_from(NAMES)
what = st.sampled_from(("chat", "chat", *CONTENTS))
part = st.sampled_from((0.0, 0.5, 1.0, 1.0))
priority = st.sampled_from((0, 0, 0, 1, -1, None))


def is_connected(device: Device) -> bool:
    """Whether it can talk."""
    return device.connected


def is_managed(device: Device) -> bool:
    """Whether it acknowledges."""
    return device.connected and device.managed


def flows(device: Device) -> bool:
    """Whether it talks and listens."""
    return device.connected and not device.stalled


def step(
    wanted: Callable[[Device], bool] | None = None, /, **drawn: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Any]:
    """Mark something that may happen.

    :param wanted: which devices it may happen to; it is given one, if there is one.
    """

    def mark(happens: Callable[..., None]) -> Any:
        @wraps(happens)
        def noticed(machine: Machine, index: int = 0, **given: Any) -> None:
            done["steps"] += 1
            device = machine.pick(index, wanted) if wanted is not None else None
            if device is not None:
                given["device"] = device
            happens(machine, **given)
            machine.world.look()

        if wanted is None:
            return rule(**drawn)(noticed)
        possible = precondition(lambda machine: any(map(wanted, machine.world.devices)))
        return possible(rule(index=who, **drawn)(noticed))

    return mark


def prepare(patch: Callable[[Any, str, Any], object]) -> None:
    """Small slices, so that a replay has several; no chance but that of the machine; and quick logins.

    :param patch: sets an attribute of a module, as `TestCase.patch` does.
    """
    patch(offline, "SLICE", 3)
    patch(retention, "_random", Random(1))
    patch(passwords, "_derive", cache(passwords._derive))


class Machine(RuleBasedStateMachine):
    """The server and its clients, held against `Promises`."""

    # -- the world

    @initialize(
        lag=st.sampled_from((0.0, 0.001, 0.007)),
        queue=st.sampled_from((500, 500, 4)),
        there=st.lists(st.tuples(st.booleans(), st.booleans(), priority), max_size=6),
    )
    def begin(self, lag: float, queue: int, there: list[tuple[bool, bool, int | None]]) -> None:
        self.world = World(NAMES, lag, queue)
        self.promises = self.world.promises
        self.number = 0
        self.expired = 0.0
        self.world.devices += [
            Device(self.world, self.promises.accounts[user], f"d{number}")
            for user, devices in DEVICES
            for number in range(devices)
        ]
        for device, (manage, carbons, now) in zip(self.world.devices, there, strict=False):
            self.come(device, manage, carbons, now)

    def pick(self, index: int, wanted: Callable[[Device], bool]) -> Device:
        """One of the devices that are like that."""
        found = [device for device in self.world.devices if wanted(device)]
        return found[index % len(found)]

    # -- clients come and go

    @step(lambda device: device.client is None, manage=st.booleans(), carbons=st.booleans(), now=priority)
    def comes(self, device: Device, manage: bool, carbons: bool, now: int | None) -> None:
        """A new session, also where an old one could be resumed."""
        self.come(device, manage, carbons, now)

    def come(self, device: Device, manage: bool, carbons: bool, now: int | None) -> None:
        done["sessions"] += 1
        device.login(manage=manage, carbons=carbons)
        if now is not None:
            self.set_priority(device, now)

    @step(lambda device: device.client is not None, part=part)
    def is_cut(self, device: Device, part: float) -> None:
        done["cuts"] += 1
        device.cut(part)

    @step(lambda device: device.waits and bool(device.token), wait=st.booleans())
    def comes_back(self, device: Device, wait: bool) -> None:
        done["resumptions"] += 1
        device.resume(wait=wait)

    @step(lambda device: device.connected and bool(device.token), wait=st.booleans())
    def comes_back_while_it_is_there(self, device: Device, wait: bool) -> None:
        done["resumptions"] += 1
        device.resume(wait=wait)

    @step(is_connected)
    def leaves(self, device: Device) -> None:
        device.close()

    @step(lambda device: flows(device) and not device.managed)
    def is_managed_late(self, device: Device) -> None:
        device.manage()

    # -- what they say

    @step(is_connected, now=priority)
    def changes_priority(self, device: Device, now: int | None) -> None:
        # Whether a replay under way goes on is nothing that a client could know.
        self.world.quiet()
        self.world.look()
        if device.connected:
            self.set_priority(device, now)

    def set_priority(self, device: Device, now: int | None) -> None:
        assert device.session is not None
        device.show(now)
        self.promises.is_prioritised(device.session, now)

    @step(is_connected, to=name, content=what)
    def writes(self, device: Device, to: str, content: str) -> None:
        self.write(device, to, "", CONTENTS[content])

    @step(is_connected, to=name, content=what, resource=st.sampled_from(("d0", "d0", "d1", "d2", "gone")))
    def writes_to_one_device(self, device: Device, to: str, content: str, resource: str) -> None:
        self.write(device, to, resource, CONTENTS[content])

    @step(is_connected, to=name, number=st.integers(2, 9))
    def writes_much(self, device: Device, to: str, number: int) -> None:
        for _ in range(number):
            self.write(device, to, "", CONTENTS["chat"])

    def write(self, device: Device, to: str, resource: str, content: Content, extra: str = "") -> Mail:
        done["messages"] += 1
        assert device.session is not None
        account = self.promises.accounts[to]
        target = next((each for each in account.sessions if each.resource == resource), None)
        if target is not None and not target.ready:
            # Whether a replay that is under way takes it along is a matter of moments.
            self.world.quiet()
        device.before_writing()
        self.number += 1
        mail = self.promises.send(
            f"m{self.number}", content, device.session, account, resource, self.world.now
        )
        device.write(mail, f"{to}@localhost/{resource}".rstrip("/"), extra)
        return mail

    @step(is_connected, which=st.integers(0, 3))
    def retracts(self, device: Device, which: int) -> None:
        """What was said lately is not to have been said."""
        mails = [line.mail for line in device.account.lines if line.mail.sender is device.account]
        mails = [mail for mail in mails if mail.to.line_of(mail) or not mail.kept]
        mails = [mail for mail in mails if mail.content is not _RETRACTION and not mail.doubt]
        if which < len(mails):
            self.retract(device, mails[-1 - which])

    def retract(self, device: Device, mail: Mail) -> None:
        done["retractions"] += 1
        self.calm()
        if device.connected:
            element = f"<retract xmlns='urn:xmpp:message-retract:1' id='{mail.id}'/>"
            retraction = self.write(device, mail.to.name, "", _RETRACTION, element)
            self.world.quiet()
            self.promises.retracts(retraction, mail)

    @step(is_managed, late=st.sampled_from((0, 0, 0, 1, 3)))
    def acknowledges(self, device: Device, late: int) -> None:
        device.read()
        device.acknowledge(late)

    @step(is_connected, state=st.sampled_from(("active", "inactive", "inactive")))
    def looks_or_not(self, device: Device, state: str) -> None:
        assert device.session is not None
        device.session.inactive = state == "inactive"
        device.say(f"<{state} xmlns='{CSI}'/>", counted=False)

    @step(is_connected)
    def stalls(self, device: Device) -> None:
        """It reads nothing, and what is written to it piles up in the server; or it reads again."""
        if device.stalled:
            device.flow()
        else:
            device.stall()

    @step(lambda device: device.client is not None, little=st.sampled_from(("read", "sign", "ask")))
    def does_little(self, device: Device, little: str) -> None:
        if little == "read" or device.resuming:
            device.read()
        elif little == "sign" or not device.managed:
            device.say(" ", counted=False)
        else:
            device.say(f"<r xmlns='{SM}'/>", counted=False)

    # -- what they want

    @step(flows, choice=st.sampled_from(("always", "never", "unblock")))
    def chooses(self, device: Device, choice: str) -> None:
        if choice == "unblock":
            # A replay that is under way gives the rest of what it has passed over until then.
            self.calm()
            if device.connected:
                device.ask("set", f"<unblock xmlns='{_BLOCKING}'/>")
                device.account.blocked.clear()
        else:
            device.ask("set", f"<prefs xmlns='{MAM}' default='{choice}'><always/><never/></prefs>")
            device.account.archives = choice == "always"

    @step(flows, other=name)
    def blocks(self, device: Device, other: str) -> None:
        account = self.promises.accounts[other]
        if account is not device.account:
            self.calm()
            if device.connected:
                device.ask("set", f"<block xmlns='{_BLOCKING}'><item jid='{other}@localhost'/></block>")
                self.promises.blocks(device.account, account)
                self.calm()

    @step(flows)
    def queries(self, device: Device) -> None:
        done["queries"] += 1
        found = device.query()
        assert device.session is not None
        self.promises.shows(device.session, found, self.expired)

    # -- time, and what it brings

    @step(seconds=st.sampled_from((0.0, 0.002, 0.006, 0.02, 0.2, 2.0, None, None)))
    def time_passes(self, seconds: float | None) -> None:
        """A moment; or until nothing is under way any more."""
        if seconds is None:
            self.check()
        else:
            self.world.wait(seconds)

    def calm(self) -> None:
        """Nothing is under way, and what was written is read."""
        self.world.quiet()
        self.world.look()
        for device in self.world.devices:
            device.read()

    def check(self) -> None:
        done["checks"] += 1
        self.calm()
        self.world.look()
        self.promises.settles()
        for device in self.world.devices:
            if device.unbroken and device.connected and not device.stalled and device.session is not None:
                self.promises.answered(device.session)

    @step(event=st.sampled_from(RARE), of=name, part=part)
    def great_things_happen(self, event: str, of: str, part: float) -> None:
        """What is rare."""
        if event == "restart":
            done["restarts"] += 1
            self.world.restart()
        elif event == "kill":
            done["kills"] += 1
            self.world.crash()
        elif event == "last":
            self.look_through(self.promises.accounts[of], part)
        else:
            self.sleep(30 if event == "night" else 10, part)

    def sleep(self, hours: int, part: float) -> None:
        """Everybody loses the connection, all sessions expire, and archives are cleaned."""
        done["nights"] += 1
        for device in self.world.devices:
            device.cut(part)
        self.world.pass_time(hours * HOUR)
        self.world.look()
        self.world.clean()
        self.expired = self.world.now - KEPT

    # -- what is left

    def look_through(self, account: Account, part: float) -> None:
        """Everybody of an account leaves; the next one gets exactly what is owed."""
        done["accounts looked through"] += 1
        for device in self.world.devices:
            if device.account is account or device.client is None:
                device.cut(part)
        self.world.pass_time(RESUME + 10)
        self.world.look()
        if account.sessions:
            raise Broken(f"{account.sessions} do not expire")
        self.come_last(account)

    def come_last(self, account: Account) -> None:
        owed = self.promises.owed(account)
        first, second = Device(self.world, account, "first"), Device(self.world, account, "second")
        self.visit(first)
        self.promises.came_first(account, owed, first.originals)
        found = first.query()
        assert first.session is not None
        self.promises.shows(first.session, found, self.expired)
        first.close()
        self.visit(second)
        if second.originals:
            raise Broken(f"{account} is given {second.originals} again")
        second.close()
        self.world.check_nothing_is_left(account.name)

    def visit(self, device: Device) -> None:
        device.login(manage=False, carbons=False)
        self.set_priority(device, 0)
        self.world.quiet()
        device.read()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                for each in NAMES:
                    self.look_through(self.promises.accounts[each], 1.0)
            finally:
                self.world.end()
