"""What somebody with an account tries to make the server keep, or to make it busy with."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from tests.hostile.case import Group, Stage
from tests.hostile.wire import PING, Connection

BOUNDED = tuple(
    f"{kind}:{condition}"
    for kind in ("stanza", "stream")
    for condition in ("policy-violation", "resource-constraint", "not-allowed", "not-acceptable")
)
ANSWERED = ("answered", *BOUNDED)


def answered(peer: Connection) -> str:
    """Whether the server answers the attacker still."""
    said = peer.ping("after")
    return "answered" if "'after'" in said else f"not answered: {said[-100:]}"


# -- state

hoards = Group("state without bounds")


def bounded(peer: Connection, flood: str) -> str | None:
    """Send a flood; the first error that answers it, if one does before the answer to a ping."""
    peer.send(flood + PING.format(id="after"))
    peer.seen = peer.wait("id='after'", 'id="after"', "</stream:stream>", patience=60)
    return None if "error" in peer.seen else "kept"


@hoards.case(Stage.BOUND, *BOUNDED, alone=True)
def requests_to_2_000_strangers(peer: Connection) -> str | None:
    names = (f"stranger{number}@far.example" for number in range(2_000))
    return bounded(peer, "".join(f"<presence type='subscribe' to='{name}'/>" for name in names))


@hoards.case(Stage.BOUND, *BOUNDED, alone=True)
def presence_to_3_000_addresses(peer: Connection) -> str | None:
    return bounded(peer, "".join(f"<presence to='{number}@far.example'/>" for number in range(3_000)))


@hoards.case(Stage.BOUND, *BOUNDED, alone=True)
def three_thousand_contacts(peer: Connection) -> str | None:
    one = "<iq type='set' id='{0}'><query xmlns='jabber:iq:roster'><item jid='{0}@a.example'/></query></iq>"
    return bounded(peer, "".join(one.format(number) for number in range(3_000)))


@hoards.case(Stage.BOUND, *BOUNDED, alone=True)
def a_contact_in_a_thousand_groups(peer: Connection) -> str | None:
    groups = "".join(f"<group>{number}{'x' * 200}</group>" for number in range(990))
    item = f"<item jid='a@groups.example'>{groups}</item>"
    return bounded(peer, f"<iq type='set' id='g'><query xmlns='jabber:iq:roster'>{item}</query></iq>")


@hoards.case(Stage.BOUND, *BOUNDED, alone=True)
def three_thousand_blocked_addresses(peer: Connection) -> str | None:
    flood = ""
    for start in range(0, 3_000, 250):
        items = "".join(f"<item jid='{number}@blocked.example'/>" for number in range(start, start + 250))
        flood += f"<iq type='set' id='b{start}'><block xmlns='urn:xmpp:blocking'>{items}</block></iq>"
    outcome = bounded(peer, flood)
    peer.send("<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'/></iq>")
    return outcome


@hoards.case(Stage.BOUND, *BOUNDED, "stanza:service-unavailable", "stanza:feature-not-implemented")
def a_thousand_addresses_never_to_be_archived(peer: Connection) -> str | None:
    names = "".join(f"<jid>{number}@a.example</jid>" for number in range(900))
    prefs = f"<prefs xmlns='urn:xmpp:mam:2' default='always'><never>{names}</never></prefs>"
    return bounded(peer, f"<iq type='set' id='p'>{prefs}</iq>")


@hoards.case(Stage.BOUND, *ANSWERED)
def commands_that_are_never_finished(peer: Connection) -> str:
    node = "urn:xmpp:mam#configure"
    command = f"<command xmlns='http://jabber.org/protocol/commands' node='{node}' action='execute'/>"
    for number in range(300):
        peer.send(f"<iq type='set' id='c{number}'>{command}</iq>")
    return answered(peer)


@hoards.case(Stage.BOUND, *ANSWERED)
def ids_as_long_as_stanzas(peer: Connection) -> str:
    peer.send("<iq type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    for number in range(8):
        peer.send(f"<message type='chat' id='{number}{'x' * 20_000}' to='nobody@far.example'/>")
    return answered(peer)


@hoards.case(Stage.AUTHENTICATED, "sm:item-not-found", "could not be enabled", alone=True)
def sessions_without_number(peer: Connection) -> str | None:
    """Forty connections that are cut, with a session on each: the first one must not wait still."""
    first = ""
    for _ in range(40):
        with Connection(peer.target) as other:
            other.log_in(peer.accounts()[0])
            other.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            token = re.search(r" id=['\"]([^'\"]+)", other.wait("<enabled", "<failed", "</stream:stream>"))
            if token is None:
                return "could not be enabled"
            first = first or token[1]
    peer.open()
    peer.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{first}' h='0'/>")
    return peer.outcome("<resumed")


# -- work

work = Group("work out of proportion")


def neighbour_between(peer: Connection, flood: str | bytes, last: str, *, pieces: int = 0) -> str:
    """How often somebody else is answered before the end of a flood is."""
    with Connection(peer.target) as other:
        other.log_in(peer.accounts()[1])
        began, times = time.monotonic(), 0
        peer.send_in_pieces(flood.encode() if isinstance(flood, str) else flood, pieces or len(flood))
        while last not in peer.seen and not peer.closed:
            if "neighbour" not in other.ping(f"neighbour{times}"):
                return "the neighbour was not answered"
            times += 1
            peer.read_now()
        if peer.closed:
            return peer.outcome()
        # What is soon over disturbs nobody.
        if times >= OFTEN or time.monotonic() - began < SOON:
            return SERVED
        return f"the neighbour was served {times} times"


def hard_names() -> Iterator[str]:
    """Domains of 150 foreign labels, a different one each time."""
    labels = [chr(0x628 + number % 20) + chr(0x641 + number // 20) for number in range(150)]
    for first in range(149):
        yield ".".join(labels[first:] + labels[:first])
    for first in range(91):
        yield ".".join(labels[::-1][first:] + labels[::-1][:first])


SERVED = "the neighbour was served"
OFTEN = 15
SOON = 0.3  # seconds


@work.case(Stage.BOUND, SERVED, alone=True)
def addresses_that_are_hard_to_normalise(peer: Connection) -> str:
    items = "".join(f"<item jid='{name}'/>" for name in hard_names())
    flood = f"<iq type='set' id='hard'><unblock xmlns='urn:xmpp:blocking'>{items}</unblock></iq>"
    return neighbour_between(peer, flood, "id='hard'")


@work.case(Stage.BOUND, SERVED, alone=True)
def ids_by_addresses_that_are_hard_to_normalise(peer: Connection) -> str:
    ids = "".join(f"<stanza-id xmlns='urn:xmpp:sid:0' by='{name}'/>" for name in hard_names())
    flood = f"<message type='headline' to='{peer.jid}'>{ids}</message>" + PING.format(id="hard")
    return neighbour_between(peer, flood, "id='hard'")


@work.case(Stage.BOUND, SERVED, alone=True)
def one_byte_in_each_record(peer: Connection) -> str:
    flood = "".join(PING.format(id=f"byte{number}") for number in range(300))
    return neighbour_between(peer, flood, "id='byte299'", pieces=1)


@work.case(Stage.BOUND, SERVED, alone=True)
def the_whole_roster_a_thousand_times(peer: Connection) -> str:
    request = "<iq type='get' id='roster{0}'><query xmlns='jabber:iq:roster'/></iq>"
    return neighbour_between(peer, "".join(map(request.format, range(1_000))), "id='roster999'")


@work.case(Stage.BOUND, SERVED, alone=True)
def probes_without_end(peer: Connection) -> str:
    victim = peer.accounts()[1][0]
    flood = f"<presence type='probe' to='{victim}'/>" * 2_000 + PING.format(id="probed")
    return neighbour_between(peer, flood, "id='probed'")


GROUPS = (hoards, work)
