"""Whatever users do: they see everybody whom they may see, and nobody who is gone, hidden or blocked.

What a client believes is worked out of what it was sent, as a client does it.
"""

from __future__ import annotations

import re
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.dialogues.case import attribute, split
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.errors import StreamError
from xmppd.core.jid import JID
from xmppd.core.roster import Roster
from xmppd.core.subscriptions import TO, TYPES
from xmppd.modules.blocking import is_blocked
from xmppd.modules.roster_keeper import keeper_of
from xmppd.testing import Client, InProcessServer

USERS: Final = ("romeo", "juliet", "tybalt")
PLACES: Final = tuple(f"{user}@localhost/{place}" for user in USERS for place in ("orchard", "street"))
#: Courses of things that are tried.
EXAMPLES: Final = 10
#: Seconds for which a session can be resumed.
RESUMABLE_FOR: Final = 600

places, users = st.sampled_from(PLACES), st.sampled_from(USERS)
deeds = st.sampled_from(("subscribe", "subscribed") * 3 + TYPES)


class Device:
    """A bound client, and what it believes.

    :ivar client: None while it waits for resumption.
    :ivar token: for resumption, if that is enabled; `handled` stanzas have come since.
    :ivar sees: the full JIDs that are available to its knowledge.
    :ivar told: to whom it has sent presence by itself since it came.
    """

    def __init__(self, client: Client) -> None:
        self.client: Client | None = client
        self.token = ""
        self.handled = 0
        self.shown = False
        self.sees: set[str] = set()
        self.told: set[str] = set()

    def read(self) -> None:
        """Take in what has come."""
        if self.client is None:
            return
        text = self.client.take().partition("<stream:error")[0]
        for xml in split(text.replace("</stream:stream>", "")):
            if re.match("<(presence|message|iq)[ />]", xml):
                self.handled += 1
            if xml.startswith("<presence") and self.shown:
                self._note(attribute(xml, "from"), re.match(r"<presence[^>]* type='([a-z]*)'", xml))

    def _note(self, sender: str, kind: re.Match[str] | None) -> None:
        if kind is None:
            self.sees.add(sender)
        elif kind[1] == "unavailable":
            self.sees = {each for each in self.sees if each != sender and not each.startswith(f"{sender}/")}


class Visibility(RuleBasedStateMachine):
    """Three users with two devices each."""

    def __init__(self) -> None:
        super().__init__()
        self.server = InProcessServer()
        self.place = self.server.config.server.database
        for user in USERS:
            self.server.add_user(f"{user}@localhost")
        self.devices: dict[str, Device] = {}

    def teardown(self) -> None:
        self.server.stop()

    def happen(self) -> None:
        """Let everything follow from what was done."""
        self.server.settle()
        for device in self.devices.values():
            device.read()

    def send(self, place: str, xml: str) -> bool:
        """Whether there was a client to send it."""
        device = self.devices.get(place)
        if device is None or device.client is None:
            return False
        device.client.send(xml)
        self.happen()
        return True

    # -- coming and going

    @rule(place=places, resumable=st.booleans(), shown=st.booleans())
    def bind(self, place: str, resumable: bool, shown: bool) -> None:
        """Another client takes the place of one that is there already."""
        client = self.server.login(place, presence=False)
        device = self.devices[place] = Device(client)
        if resumable:
            answer = client.ask(f"<enable xmlns='{ns.SM}' resume='true' max='{RESUMABLE_FOR}'/>")
            device.token, device.handled = attribute(answer, "id"), 0
        self.happen()
        if shown:
            self.show(place, "")

    @rule(place=places, content=st.sampled_from(("", "<show>away</show>", "<priority>-1</priority>")))
    def show(self, place: str, content: str) -> None:
        device = self.devices.get(place)
        if device is not None and device.client is not None:
            device.shown = True
            self.send(place, f"<presence>{content}</presence>")

    @rule(place=places)
    def hide(self, place: str) -> None:
        if self.send(place, "<presence type='unavailable'/>"):
            device = self.devices[place]
            device.shown, device.sees, device.told = False, set(), set()

    @rule(place=places, kicked=st.booleans())
    def end(self, place: str, kicked: bool) -> None:
        device = self.devices.get(place)
        if device is not None and device.client is not None:
            del self.devices[place]
            session = self.server.server.registry.session(JID.parse(place))
            if kicked and session is not None:
                session.close(StreamError("policy-violation"))
            else:
                device.client.close()
            self.happen()

    @rule(place=places)
    def cut(self, place: str) -> None:
        device = self.devices.get(place)
        if device is not None and device.client is not None:
            device.client.cut()
            device.client = None
            if not device.token:
                del self.devices[place]
            self.happen()

    @rule(place=places)
    def resume(self, place: str) -> None:
        device = self.devices.get(place)
        if device is not None and device.client is None:
            client = self.server.connect()
            client.authenticate(place.partition("/")[0], "secret")
            client.send(f"<resume xmlns='{ns.SM}' previd='{device.token}' h='{device.handled}'/>")
            device.client = client
            self.happen()

    @precondition(lambda self: any(device.client is None for device in self.devices.values()))
    @rule()
    def wait(self) -> None:
        """Nobody resumes a session in time."""
        self.server.advance(RESUMABLE_FOR + 1)
        self._forget_detached()

    @rule(seconds=st.sampled_from((10, 10, RESUMABLE_FOR + 100)))
    def restart(self, seconds: int) -> None:
        if len(self.devices) < 4:
            # Otherwise there would be little else.
            return
        before = self.server
        before.stop()
        for place, device in tuple(self.devices.items()):
            device.read()
            device.client = None
            if not device.token:
                del self.devices[place]
        if seconds > RESUMABLE_FOR:
            self._forget_detached()
        self.server = InProcessServer(database=self.place, elapsed=before.reactor.seconds() + seconds)
        self.happen()

    def _forget_detached(self) -> None:
        self.devices = {place: each for place, each in self.devices.items() if each.client is not None}
        self.happen()

    # -- what they do to each other

    @rule(place=places, other=users, deed=deeds)
    def subscribe(self, place: str, other: str, deed: str) -> None:
        if not place.startswith(other):
            self.send(place, f"<presence to='{other}@localhost' type='{deed}'/>")

    @rule(place=places, other=users)
    def remove(self, place: str, other: str) -> None:
        item = f"<item jid='{other}@localhost' subscription='remove'/>"
        self.send(place, f"<iq type='set' id='1'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")

    @rule(place=places, other=users, deed=st.sampled_from(("block", "unblock", "unblock")))
    def block(self, place: str, other: str, deed: str) -> None:
        user = place.partition("@")[0]
        item = f"<{deed} xmlns='{ns.BLOCKING}'><item jid='{other}@localhost'/></{deed}>"
        if user != other and self.send(place, f"<iq type='set' id='1'>{item}</iq>") and deed == "block":
            # A client shows nothing any more of those whom it blocks, and they are told that it is gone.
            for name, device in self.devices.items():
                if name.startswith(user):
                    device.sees = {each for each in device.sees if not each.startswith(other)}
                    device.told = {each for each in device.told if not each.startswith(other)}

    @rule(place=places, other=places)
    def direct(self, place: str, other: str) -> None:
        """Send presence to somebody who is there."""
        theirs, user = self.devices.get(other), place.partition("@")[0]
        if theirs is None or not theirs.shown or other.startswith(user):
            return
        if self.send(place, f"<presence to='{other}'/>"):
            self.devices[place].told.add(other)

    # -- what must hold

    def account(self, user: str) -> Account:
        account = self.server.server.registry.account(JID.parse(f"{user}@localhost"))
        assert account is not None
        return account

    def roster(self, user: str) -> Roster:
        keeper = keeper_of(self.server.server.hosts["localhost"])
        return self.server.wait_for(keeper.load(self.account(user)))

    def blocks(self, user: str, other: str) -> bool:
        host = self.server.server.hosts["localhost"]
        return is_blocked(host, self.account(user), JID.parse(f"{other}@localhost"))

    @invariant()
    def everybody_sees_who_is_there(self) -> None:
        for place, device in self.devices.items():
            if device.client is not None and device.shown:
                for other in PLACES:
                    self._check(place, device.sees, other)

    def _check(self, viewer: str, seen: set[str], seen_one: str) -> None:
        user, other = viewer.partition("@")[0], seen_one.partition("@")[0]
        there = self.devices.get(seen_one)
        if user == other:
            assert (seen_one in seen) == (there is not None and there.shown), f"{viewer}: {seen_one}"
        elif self.blocks(user, other):
            return
        elif self.blocks(other, user) or there is None:
            assert seen_one not in seen, f"{viewer} still sees {seen_one}"
        else:
            allowed = self.roster(other).may_see_presence(JID.parse(viewer))
            agreed = allowed and self.roster(user).state(JID.parse(f"{other}@localhost")) & TO
            if there.shown and agreed:
                assert seen_one in seen, f"{viewer} does not see {seen_one}"
            if not ((there.shown and allowed) or viewer in there.told):
                assert seen_one not in seen, f"{viewer} sees {seen_one}"


class VisibilityTests(SynchronousTestCase):
    def test_who_sees_whom(self) -> None:
        """RFC 6121, 3 and 4, and XEP-0191, 3.3: for any course of things"""
        run_state_machine_as_test(
            Visibility,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=60,
                deadline=None,
                # What fails is long, but told at once.
                phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck),
            ),
        )
