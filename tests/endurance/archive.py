"""Queries of the archive (XEP-0313) for the endurance tests' client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from xml.etree.ElementTree import Element

from tests.endurance.client import CLIENT, Client, Failed

MAM = "urn:xmpp:mam:2"
RSM = "http://jabber.org/protocol/rsm"
STANZA_ID = "{urn:xmpp:sid:0}stanza-id"
BODY = f"{CLIENT}body"
_FORWARDED = "{urn:xmpp:forward:0}forwarded"
_numbers = count(1)


@dataclass(frozen=True)
class Archived:
    """One result: its id in the archive, and who sent what."""

    id: str
    sender: str
    body: str


def result_of(message: Element) -> Archived | None:
    """The archive's result that a message is, if it is one. Raises Failed for one that is not whole."""
    result = message.find(f"{{{MAM}}}result")
    if result is None:
        return None
    forwarded = result.find(_FORWARDED)
    inner = None if forwarded is None else forwarded.find(f"{CLIENT}message")
    delay = None if forwarded is None else forwarded.find("{urn:xmpp:delay}delay")
    if inner is None or delay is None or not result.get("id"):
        raise Failed(f"half a result: {[child.tag for child in message.iter()]}")
    sender, body = inner.get("from", "").partition("/")[0], inner.findtext(BODY)
    if not sender or not body:
        raise Failed(f"half a message in a result: {inner.attrib} {body!r}")
    return Archived(result.attrib["id"], sender, body)


async def page(client: Client, after: str | None, last: bool = False) -> tuple[bool, str | None]:
    """Have one page sent to the client; returns whether it is the end, and the last id."""
    position = "<before/>" if last else f"<after>{after}</after>" if after else ""
    rsm = f"<set xmlns='{RSM}'><max>50</max>{position}</set>"
    answer = await client.ask("set", f"<query xmlns='{MAM}' queryid='{next(_numbers)}'>{rsm}</query>")
    fin = answer.find(f"{{{MAM}}}fin")
    if fin is None:
        raise Failed("no fin")
    return fin.get("complete") in {"true", "1"}, fin.findtext(f"{{{RSM}}}set/{{{RSM}}}last")


async def all_after(client: Client, results: Callable[[], list[Archived]], after: str | None) -> None:
    """Have everything behind an id sent to the client, page by page; ``results`` grows."""
    complete = False
    while not complete:
        complete, last = await page(client, after)
        after = last or after
        if not complete and (not results() or results()[-1].id != after):
            raise Failed("the last result is not the one that RSM names")
