"""What a resumed session had not acknowledged is sent again (XEP-0198, section 5).

In order, before anything new, and not counted again.  What is in memory goes out in one turn; what is only in
the archive is read in slices, as the client reads them: a long queue holds up nobody and fills no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from xmppd.core.stanza import Stanza
from xmppd.storage.errors import StorageError
from xmppd.stream.outbox import AT_ONCE
from xmppd.stream.session import ClientSession
from xmppd.stream.unacknowledged import Sent
from xmppd.xml.delay import delayed

if TYPE_CHECKING:
    from xmppd.stream.c2s import ClientStream

__all__ = ["send_again"]

_log = Logger()

#: Stanzas that are prepared at once.
SLICE: Final = 50


def send_again(stream: ClientStream, session: ClientSession) -> None:
    """Begin to send what waits; what is sent to the session meanwhile comes behind it."""
    running: Deferred[Any] = Deferred.fromCoroutine(_send_all(stream, session))
    running.addErrback(stream.failed)


async def _send_all(stream: ClientStream, session: ClientSession) -> None:
    outbox, queue = session.outbox, session.outbox.queue
    assert queue is not None
    stored: Mapping[int, Stanza] = {}
    known: set[int] = set()
    erasures = session.account.erasures
    while await _has_room(stream, session) and (entries := queue.next_unsent(SLICE)):
        missing = {entry.row for entry in entries if entry.kept is None and entry.row is not None}
        if session.account.has_erased(erasures, known):
            known = set()
        erasures = session.account.erasures
        ready = _up_to_unknown(entries, known)
        if ready:
            outbox.send_again(_as_much_as_fits(_bytes(entry, stored, session) for entry in ready))
            if missing:
                # Now, so that the next slice is not read before the client has room for it.
                outbox.flush()
            continue
        try:
            stored, known = await stream.services.keeper.stored_messages(session, missing), missing
        except StorageError as problem:
            _log.warn("{session}: cut, its queue cannot be read: {problem}", session=session, problem=problem)
            stream.cut()
            return
    if session.stream is stream and session.smacks is not None and queue:
        session.smacks.ask()


def _up_to_unknown(entries: list[Sent], known: set[int]) -> list[Sent]:
    """The first entries, as far as what is not in memory has been read."""
    return list(
        takewhile(lambda entry: entry.kept is not None or entry.row is None or entry.row in known, entries)
    )


def _as_much_as_fits(stanzas: Iterator[bytes]) -> list[bytes]:
    """The first ones, so many that the transport may be full.

    Behind them it is asked: fifty large ones in one go were too much for its buffer, and each resumption was
    cut again.
    """
    some, size = [], 0
    for data in stanzas:
        some.append(data)
        size += len(data)
        if size >= AT_ONCE:
            break
    return some


async def _has_room(stream: ClientStream, session: ClientSession) -> bool:
    """Wait until the client has read enough; false if it is gone."""
    if session.stream is stream:
        while (waiting := session.outbox.room()) is not None:
            await waiting
    return session.stream is stream


def _bytes(entry: Sent, stored: Mapping[int, Stanza], session: ClientSession) -> bytes:
    stanza = entry.stanza
    if stanza is None:
        # A message that has been erased meanwhile has its number all the same.
        erased = Stanza("message", {"type": "headline"}, to=session.jid, sender=session.account.jid)
        stanza = stored.get(entry.row or 0, erased)
    # What had waited, and was sent when its client came, has waited since then.
    return delayed(stanza, entry.at if entry.row is None else entry.row / 1_000_000).wire
