"""Queries of the message archive (XEP-0313), answered with the bytes that were stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Session
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq
from xmppd.core.stanza import Stanza, escape_attribute
from xmppd.core.turnstile import Turnstile
from xmppd.modules.fetching import note_sent, reads_on
from xmppd.modules.search import FULLTEXT, search_of
from xmppd.storage import archive_query
from xmppd.storage.archive_query import Query
from xmppd.storage.statement import Cursor
from xmppd.xml import delay, forms, rsm, tree

__all__ = ["Archive"]

#: Fields of the query form, with their types (XEP-0313, section 4.1.5).
FIELDS: Final = {
    "with": "jid-single",
    "start": "text-single",
    "end": "text-single",
    "before-id": "text-single",
    "after-id": "text-single",
    "ids": "list-multi",
    "include-groupchat": "boolean",
}

#: What a page has when the client does not say.
DEFAULT_PAGE: Final = 50
#: Ids that one query may name.
MOST_IDS: Final = 500


class Archive(Module):
    """Answers for the archive of every account."""

    name = "archive"
    xeps = (
        Xep("0313", "1.1.3", "Message Archive Management"),
        Xep("0059", "1.0", "Result Set Management"),
    )
    account_features = (ns.MAM, ns.MAM_EXTENDED, ns.MAM_GROUPCHAT_FIELD, ns.RSM)
    serves_guests = False

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._turnstile = Turnstile(context.clock)

    # -- requests

    @iq("get", ns.MAM, "query", "account", owner=True)
    def form(self, request: IqRequest) -> Payload:
        """The fields that a query may have."""
        self._own(request)
        return ns.MAM, "query", f"<query xmlns='{ns.MAM}'>{self._form()}</query>".encode()

    @iq("get", ns.MAM, "metadata", "account", beside=True, owner=True)
    async def metadata(self, request: IqRequest) -> Payload:
        """The first and the last message of the archive (XEP-0313, section 5)."""
        return ns.MAM, "metadata", await self._metadata(self._own(request))

    async def told_when_bound(self, account: Account) -> bytes:
        """The same, for a client that has just been bound (XEP-0386, section 4.2)."""
        return b"" if account.id is None else await self._metadata(account)

    async def _metadata(self, account: Account) -> bytes:
        found = await self.context.database.read("archive bounds", archive_query.bounds, account.id)
        text = ""
        for name, seq in zip(("start", "end"), found or (), strict=False):
            text += f"<{name} id='{self._id(account, seq)}' timestamp='{delay.stamp(seq)}'/>"
        return f"<metadata xmlns='{ns.MAM}'>{text}</metadata>".encode()

    @iq("set", ns.MAM, "query", "account", beside=True, owner=True)
    async def query(self, request: IqRequest) -> Payload:
        """One page of messages, then the result that ends it."""
        account = self._own(request)
        payload = tree.child(request.stanza, ns.MAM, "query")
        assert payload is not None
        query, named, text = self._read(account, payload)
        session, database = request.session, self.context.database
        if session is not None:
            await session.room()
        flipped = any((part.uri, part.name) == (ns.MAM, "flip-page") for part in payload.elements())
        plain = not flipped and not text
        catches_up = session is not None and plain and await reads_on(database, session, account, query)
        while True:
            erasures = account.erasures
            page = await database.lane.run(account.id, self._find, account, query, named, text)
            await self._turnstile.turn()
            if session is not None:
                # Others of its pages may have been sent meanwhile.
                await session.room()
            if not account.has_erased(erasures, [row[0] for row in page.rows]):
                break
        if session is not None:
            self._send(session, account, payload.attributes.get("queryid"), page.rows, flipped=flipped)
            if catches_up:
                note_sent(session, page.rows)
        # What waits to be written cannot be read while the database is faulted (section 4.3.2).
        return ns.MAM, "fin", self._fin(account, page, stable=not database.faulted)

    async def _find(
        self, account: Account, query: Query, named: tuple[int, ...], text: str
    ) -> archive_query.Page:
        read, search = self.context.database.read, search_of(self.context.host)
        if search is None or not text:
            page = await read("archive page", _page, account.id, query, named)
        else:
            there = await read("archive ids", _are_known, account.id, named)
            page = await search.find(account, query, text) if there else None
        if page is None:
            raise StanzaError("item-not-found", "No message has that id")
        return page

    def _fields(self) -> Mapping[str, str]:
        return FIELDS if search_of(self.context.host) is None else {**FIELDS, FULLTEXT: "text-single"}

    def _form(self) -> str:
        fields = "".join(_field(name, kind) for name, kind in self._fields().items())
        return (
            f"<x xmlns='{ns.DATA}' type='form'><field type='hidden' var='FORM_TYPE'>"
            f"<value>{ns.MAM}</value></field>{fields}</x>"
        )

    def _fin(self, account: Account, page: archive_query.Page, *, stable: bool) -> bytes:
        first = last = None
        if page.rows:
            first, last = self._id(account, page.rows[0][0]), self._id(account, page.rows[-1][0])
        attributes = " complete='true'" if page.complete else ""
        if not stable:
            attributes += " stable='false'"
        end = rsm.write(first, last, index=page.index, count=page.count)
        return b"<fin xmlns='%b'%b>%b</fin>" % (ns.MAM.encode(), attributes.encode(), end)

    def _own(self, request: IqRequest) -> Account:
        """The account; a guest has no archive."""
        account = request.account
        if account is None or account.id is None:
            raise StanzaError("forbidden", "Guests have no archive")
        return account

    # -- what is asked for

    def _read(self, account: Account, payload: tree.Element) -> tuple[Query, tuple[int, ...], str]:
        """The query, the sequences of all messages that it names (each must exist), and the words."""
        fields, offered = forms.submitted(payload, ns.MAM) or {}, self._fields()
        for name in fields:
            if name not in offered:
                raise StanzaError("feature-not-implemented", f"The field {name[:40]!r} is not known")
        wanted = rsm.read(payload)
        if wanted.index is not None:
            raise StanzaError("feature-not-implemented", "Pages by index are not offered")
        most = self.context.limits.max_archive_query_results
        limit = min(wanted.max if wanted.max is not None else DEFAULT_PAGE, most)
        if wanted.max is not None and wanted.max > most:
            hits.hit("max_archive_query_results")
        query = self._filter(account, fields)
        query = replace(
            query,
            limit=limit,
            backwards=wanted.before is not None,
            before=self._named(account, wanted.before) if wanted.before else None,
            after=self._named(account, wanted.after) if wanted.after else None,
        )
        named = (query.after_id, query.before_id, query.after, query.before, *(query.ids or ()))
        return query, tuple(seq for seq in named if seq is not None), _single(fields, FULLTEXT) or ""

    def _filter(self, account: Account, fields: Mapping[str, list[str]]) -> Query:
        query = _with(_single(fields, "with"), account)
        before, after = _single(fields, "before-id"), _single(fields, "after-id")
        ids = fields.get("ids")
        if ids is not None and len(ids) > MOST_IDS:
            raise StanzaError("policy-violation", f"A query may name {MOST_IDS} ids")
        return replace(
            query,
            start=_time(_single(fields, "start")),
            end=_time(_single(fields, "end")),
            before_id=None if before is None else self._named(account, before),
            after_id=None if after is None else self._named(account, after),
            ids=None if ids is None else tuple(self._named(account, text) for text in ids),
            groupchat=False if _is_false(_single(fields, "include-groupchat")) else None,
        )

    def _named(self, account: Account, text: str) -> int:
        seq = self.context.archive.row_of(account, text)
        if seq is None:
            raise StanzaError("item-not-found", "No message has that id")
        return seq

    def _id(self, account: Account, seq: int) -> str:
        return self.context.archive.id_of(account, seq)

    # -- results

    def _send(
        self,
        session: Session,
        account: Account,
        queryid: str | None,
        rows: list[tuple[int, bytes]],
        *,
        flipped: bool,
    ) -> None:
        """Wrap the stored bytes; nothing is parsed and no tree is built."""
        echoed = f" queryid='{escape_attribute(queryid)}'" if queryid is not None else ""
        start = f"<message from='{account.jid.xml}' to='{session.jid.xml}'>".encode()
        before = f"<result xmlns='{ns.MAM}'{echoed} id='"
        between = f"'><forwarded xmlns='{ns.FORWARD}'><delay xmlns='{ns.DELAY}' stamp='"
        ids = self.context.archive.ids_of(account, [seq for seq, _ in rows])
        results = list(zip(ids, rows, strict=True))
        for name, (seq, stored) in reversed(results) if flipped else results:
            opening = f"{before}{name}{between}{delay.stamp(seq)}'/>".encode()
            inner = b"%b%b</forwarded></result>" % (opening, stored)
            session.send(Stanza.written(start, inner, (ns.MAM, "result"), to=session.jid, sender=account.jid))


def _page(cursor: Cursor, number: int, query: Query, named: tuple[int, ...]) -> archive_query.Page | None:
    """A page; None if a message that the query names is not in the archive."""
    return archive_query.page(cursor, number, query) if _are_known(cursor, number, named) else None


def _are_known(cursor: Cursor, number: int, named: tuple[int, ...]) -> bool:
    return not named or archive_query.known(cursor, number, named) == set(named)


def _single(fields: Mapping[str, list[str]], name: str) -> str | None:
    values = fields.get(name)
    if values is None:
        return None
    if len(values) != 1:
        raise StanzaError("bad-request", f"The field {name} has one value")
    return values[0]


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return delay.parse_stamp(text)
    except ValueError:
        raise StanzaError("bad-request", "A time is written like 2026-01-31T12:00:00Z") from None


def _is_false(text: str | None) -> bool:
    """Whether a boolean field says no; without it everything is shown (XEP-0313, section 4.1.4)."""
    if text not in (None, "true", "1", "false", "0"):
        raise StanzaError("bad-request", "The field include-groupchat is true or false")
    return text in ("false", "0")


def _with(text: str | None, account: Account) -> Query:
    """Whose messages: a bare JID means all resources, a full one exactly that (XEP-0313, section 4.1.1)."""
    if text is None:
        return Query()
    try:
        jid = JID.parse(text)
    except InvalidJID:
        raise StanzaError("jid-malformed", "The field with is no JID") from None
    if jid.bare == account.jid and jid.resource:
        return Query(peer=account.jid.text, own_resource=jid.resource)
    return Query(peer=jid.bare.text, resource=jid.resource or None)


def _field(name: str, kind: str) -> str:
    if kind != "list-multi":
        return f"<field type='{kind}' var='{name}'/>"
    validate = f"<validate xmlns='{ns.DATA_VALIDATE}' datatype='xs:string'><open/></validate>"
    return f"<field type='{kind}' var='{name}'>{validate}</field>"
