"""What a client has fetched from the archive is not sent to it once more (XEP-0313, section 6.1.1).

That holds for pages that go on from what the account has got: forwards, without filters, passing nothing
over, and once the client has the results.  `offline` then confirms such messages instead of sending them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xmppd.core.account import Account
from xmppd.core.context import Database, Session
from xmppd.core.slots import FETCHED_UNTIL, Slot
from xmppd.storage import archive_delivery, archive_query
from xmppd.storage.archive_query import Query

__all__ = ["note_sent", "reads_on"]

#: Up to where such pages have been sent; the client may not have them yet.
_SENT_UNTIL: Final[Slot[int]] = Slot("pages-sent-until", 0, durable=False)


async def reads_on(database: Database, session: Session, account: Account, query: Query) -> bool:
    """Whether a query begins where the account has got everything, or this session another such page.

    The database is asked only where something waits for delivery at all.
    """
    mailbox = account.mailbox
    if mailbox is None or not mailbox.is_behind or query.backwards or not _is_whole(query):
        return False
    reached = max(mailbox.mark, _SENT_UNTIL.get(session), FETCHED_UNTIL.get(session))
    first, _ = archive_query.bounds_of(query, paging=True)
    if first is None or first <= reached + 1:
        return True
    return not await database.read("passed over", archive_delivery.waits_between, account.id, reached, first)


def _is_whole(query: Query) -> bool:
    """Whether a query leaves out nothing between its bounds but groupchat, which is never delivered late."""
    return query.peer is None and query.ids is None


def note_sent(session: Session, rows: Sequence[tuple[int, bytes]]) -> None:
    """A page that reads on was sent.

    :param rows: what it has, in order: sequence and stanza.
    """
    if not rows:
        return
    # Pages that are still on their way are among what the client will have received then.
    last = max(_SENT_UNTIL.get(session), rows[-1][0])
    _SENT_UNTIL.set(session, last)

    def received() -> None:
        FETCHED_UNTIL.set(session, max(FETCHED_UNTIL.get(session), last))

    session.once_received(received)
