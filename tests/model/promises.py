"""What a server owes to accounts that read one archive with many devices: a specification that runs.

It knows messages, sessions and accounts, and nothing of how a server keeps its word.  `machine` tells it
what clients do and see; what must not be raises `Broken`.  The promises:

* **Nothing is lost.**  A message that its sender was told is handled, and that is to be kept, goes on being
  owed to the account of its addressee until a session that *counts* has confirmed it: one to which the
  original was delivered while its priority was not negative, or which would be given it and has found it in
  the archive itself.  Copies never count.
* **Nothing comes twice.**  No session is given a message again that its client has read, whatever was cut,
  resumed or restarted in between.
* **Nothing waits for somebody who is there.**  What is owed and held by nobody goes to whoever is ready, in
  order, and what arrives meanwhile comes behind it.
* **Nobody else's business.**  While a session that counts holds a message no other one is given it; what is
  confirmed, erased, expired or from somebody blocked is given to nobody any more.
* **The archive is what was said**: each message once, in order, as the preferences of its owner were then.

After a crash some of it is unknown (what nobody was told of, what was confirmed a moment before): the
specification then allows either, until it has seen which it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

__all__ = ["CONTENTS", "Account", "Broken", "Content", "Mail", "Promises", "Session", "Truth"]

#: Seconds after which a confirmation is on the disk: it is written down once a second.
WRITTEN_WITHIN: Final = 1.2


class Broken(AssertionError):
    """A promise was broken."""


class Truth(IntEnum):
    """What is known."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True)
class Content:
    """A kind of message, and what follows from it (RFC 6121, 8.5; XEP-0160, 0313, 0334, 0352).

    :ivar xml: its children.
    :ivar kept: whether it waits for somebody who is away.
    :ivar history: whether it belongs into archives.
    :ivar loud: whether it is sent at once to a client whose user does not look.
    :ivar fleeting: whether it means nothing to such a client later.
    """

    kind: str
    xml: str
    kept: bool = True
    history: bool = True
    loud: bool = True
    fleeting: bool = False


_HINT = "xmlns='urn:xmpp:hints'"
CONTENTS: Final = {
    "chat": Content("chat", "<body>Hi</body>"),
    "normal": Content("normal", "<body>Dear</body>"),
    "receipt": Content("chat", "<received xmlns='urn:xmpp:receipts' id='x'/>", loud=False),
    "passing": Content("chat", f"<body>Psst</body><no-permanent-store {_HINT}/>", history=False),
    "unstored": Content("chat", f"<body>Now</body><no-store {_HINT}/>", kept=False, history=False),
    "headline": Content("headline", "<body>News</body>", kept=False, history=False, loud=False),
    "typing": Content(
        "chat",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        kept=False,
        history=False,
        loud=False,
        fleeting=True,
    ),
}


@dataclass(eq=False)
class Mail:
    """One message on its way to one account.

    :ivar order: its place among all that happens.
    :ivar by: the session that sent it.
    :ivar at: when it was received, in seconds.
    :ivar kept: whether it is owed until it is confirmed.
    :ivar refused: whether its sender has to get an error instead.
    :ivar told: whether it is known to be durable: its sender was told so, or the disk was quiet since.
    :ivar doubt: whether a crash may have taken it.
    :ivar lost: whether a crash has taken it.
    :ivar done: whether a session that counts has confirmed it.
    :ivar gone: whether nobody is to get it any more.
    :ivar passed_by: whether it waits although somebody is ready: it was addressed to a session that is not.
    :ivar freed: when it may last have become free, because a session ended or is not ready any more.
    :ivar orphan: whether somebody it was sent to has ended: what is not kept may go to another one.
    """

    id: str
    order: int
    content: Content
    sender: Account
    to: Account
    by: Session
    at: float
    kept: bool
    refused: bool = False
    bounced: bool = False
    told: bool = False
    doubt: bool = False
    lost: bool = False
    done: Truth = Truth.NO
    done_at: float = 0.0
    gone: Truth = Truth.NO
    passed_by: bool = False
    freed: int = -1
    orphan: bool = False

    def __repr__(self) -> str:
        return self.id

    @property
    def is_open(self) -> bool:
        """Whether it is owed, as far as is known."""
        return self.kept and not self.done and not self.gone and not self.doubt

    def found(self) -> None:
        """It was seen, or was told to be durable: there is no doubt that it exists."""
        self.told, self.doubt = True, False


@dataclass(eq=False)
class Line:
    """A message in one archive."""

    mail: Mail
    erased: bool = False


@dataclass(eq=False)
class Session:
    """A bound resource, from its binding to its end, however many connections it has had.

    :ivar hibernates: whether it has no connection.
    :ivar reads: whether its client takes what is written to it.
    :ivar inactive: whether its user does not look.
    :ivar wakes: whether they may look again by now, since a resumption is under way.
    :ivar pending: what was sent to it as it arrived, and its client has not read.
    :ivar counts: whether the messages that it holds would be confirmed by it.
    :ivar seen: what it has confirmed.
    :ivar last: the newest message that came in order.
    :ivar ready_since: when its priority was last no longer negative.
    :ivar excused: senders and messages of which something may have been on its way when it became unwanted.
    :ivar fetched: what it has found in the archive.
    """

    account: Account
    resource: str
    priority: int | None = None
    alive: bool = True
    hibernates: bool = False
    reads: bool = True
    inactive: bool = False
    wakes: bool = False
    pending: list[Mail] = field(default_factory=list)
    read: set[Mail] = field(default_factory=set)
    copies: set[Mail] = field(default_factory=set)
    counts: dict[Mail, Truth] = field(default_factory=dict)
    seen: set[Mail] = field(default_factory=set)
    last: int = -1
    ready_since: int = -1
    excused: set[Mail | Account] = field(default_factory=set)
    fetched: set[Mail] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"{self.account}/{self.resource}"

    @property
    def ready(self) -> bool:
        """Whether it gets what waits."""
        return self.priority is not None and self.priority >= 0

    def holds(self, mail: Mail) -> bool:
        """Whether it certainly has a message, or will be sent it, and counts."""
        return self.counts.get(mail) is Truth.YES


@dataclass(eq=False)
class Account:
    """One account.

    :ivar sessions: in the order in which they were bound.
    :ivar mails: all that was ever sent to it.
    :ivar lines: its archive, oldest first.
    :ivar erased: what was taken out of it.
    :ivar archives: its preference.
    :ivar trigger: when somebody last became ready, or ended: then what waits is looked for.
    """

    name: str
    sessions: list[Session] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    blocked: set[Account] = field(default_factory=set)
    erased: set[Mail] = field(default_factory=set)
    archives: bool = True
    trigger: int = -1

    def __repr__(self) -> str:
        return self.name

    def line_of(self, mail: Mail) -> Line | None:
        """Where the archive has a message, if it has."""
        return next((line for line in self.lines if line.mail is mail), None)

    def ready(self) -> list[Session]:
        """Who gets what waits."""
        return [session for session in self.sessions if session.ready]

    def is_held(self, mail: Mail, but: Session | None = None) -> bool:
        """Whether a session that counts has a message."""
        return any(each.holds(mail) for each in self.sessions if each is not but)


def recipients(kind: str, resource: str, sessions: list[Session]) -> list[Session]:
    """Who gets a message as it arrives (RFC 6121, 8.5)."""
    if resource:
        found = [session for session in sessions if session.resource == resource]
        if found or kind != "chat":
            return found
    ready = [session for session in sessions if session.ready]
    if kind == "headline":
        return ready
    highest = max((session.priority or 0 for session in ready), default=0)
    return [session for session in ready if session.priority == highest]


class Promises:
    """All accounts, and what happens to them.  Times are in seconds."""

    def __init__(self, names: Iterable[str]) -> None:
        self.accounts = {name: Account(name) for name in names}
        self.mails: dict[str, Mail] = {}
        self._order = 0

    def _next(self) -> int:
        self._order += 1
        return self._order

    # -- sessions

    def bind(self, account: Account, resource: str) -> Session:
        """A resource is bound; it is not available."""
        session = Session(account, resource)
        account.sessions.append(session)
        return session

    def is_prioritised(self, session: Session, priority: int | None) -> None:
        """A session sends presence: available with a priority, or unavailable."""
        was_ready, session.priority = session.ready, priority
        if was_ready and not session.ready:
            # What it was being given goes to others, who may have got newer ones.
            freed = self._next()
            for mail in session.account.mails:
                mail.freed = freed
        if not session.ready or was_ready:
            return
        session.ready_since = self._looks_for_what_waits(session.account)
        session.last = -1

    def end(self, session: Session) -> None:
        """A session is over for good: what it held alone is free."""
        if not session.alive:
            return
        session.alive = False
        account = session.account
        account.sessions.remove(session)
        self._looks_for_what_waits(account)
        for mail in account.mails:
            mail.freed = account.trigger
            mail.orphan |= mail in session.counts
        session.pending.clear()

    @staticmethod
    def is_ending(session: Session) -> None:
        """The server has ended a session, and its client has not noticed: what it held may come to others."""
        for mail in session.counts:
            mail.orphan = True

    def _looks_for_what_waits(self, account: Account) -> int:
        """Somebody has come or gone.  What a session had before it counted may count from now on."""
        for session in account.ready():
            for mail, counts in session.counts.items():
                if not counts and not account.is_held(mail):
                    session.counts[mail] = Truth.MAYBE
                    if mail in session.seen:
                        self._done(mail, Truth.MAYBE, mail.at)
            for mail in session.fetched:
                # It need not be given what it has found in the archive.
                if not account.is_held(mail):
                    self._done(mail, Truth.MAYBE, mail.at)
        account.trigger = self._next()
        return account.trigger

    # -- messages

    def send(self, name: str, content: Content, by: Session, to: Account, resource: str, now: float) -> Mail:
        """A session sends a message, and the server has taken it."""
        sender = by.account
        live = recipients(content.kind, resource, to.sessions)
        refused = to in sender.blocked or (sender in to.blocked and sender is not to)
        nobody = not live and content.kind != "headline"
        if nobody and not content.fleeting and (not content.kept or (resource and content.kind == "normal")):
            refused = True
        mail = Mail(name, self._next(), content, sender, to, by, now, content.kept and not refused, refused)
        self.mails[name] = mail
        if content.history and sender.archives and sender is not to and to not in sender.blocked:
            sender.lines.append(Line(mail))
        if not refused:
            self._arrive(mail, live)
        return mail

    def _arrive(self, mail: Mail, live: list[Session]) -> None:
        to = mail.to
        to.mails.append(mail)
        if mail.content.history and to.archives:
            to.lines.append(Line(mail))
        for session in live:
            session.counts[mail] = Truth.YES if session.ready else Truth.NO
            if not (session.inactive and mail.content.fleeting):
                session.pending.append(mail)
            elif session.wakes or not session.reads:
                # It may stand behind something that is read slowly, until somebody looks again.
                session.excused.add(mail)
        mail.passed_by = bool(live) and not any(session.ready for session in live)

    def told(self, mail: Mail) -> None:
        """The sender was told that it is handled."""
        mail.told = True

    # -- what clients see

    def reads(self, session: Session, mail: Mail, *, delayed: bool) -> None:
        """A client reads the original of a message.

        :param delayed: whether it says since when it has waited.
        """
        if mail.to is not session.account:
            raise Broken(f"{session} got {mail}, which is for {mail.to}")
        if mail in session.read:
            raise Broken(f"{session} got {mail} twice")
        session.read.add(mail)
        if mail.refused:
            raise Broken(f"{session} got {mail}, which was refused")
        self._is_wanted(session, mail)
        if mail in session.excused:
            # It was on its way when it was erased, in the order of that time.
            return
        late = mail not in session.pending
        if late:
            self._is_replayed(session, mail, delayed)
            mail.found()
        else:
            # That does not wait for the disk.
            session.pending.remove(mail)
        self._in_order(session, mail, late=late)

    @staticmethod
    def _is_wanted(session: Session, mail: Mail) -> None:
        unwanted = mail in session.account.erased or (mail.to is session.account and mail.gone is Truth.YES)
        if unwanted and mail not in session.excused:
            raise Broken(f"{session} got {mail}, which nobody is to get any more")

    def _is_replayed(self, session: Session, mail: Mail, delayed: bool) -> None:
        if not mail.kept and mail.orphan:
            return
        if not mail.kept or session.ready_since < 0:
            raise Broken(f"{session} got {mail}, which was not for it")
        if not delayed:
            raise Broken(f"{session} got {mail} late, and was not told")
        if mail.done is Truth.YES:
            raise Broken(f"{session} got {mail}, which had been confirmed")
        if session.account.is_held(mail, session):
            raise Broken(f"{session} got {mail}, which another session holds")
        if mail.sender in session.account.blocked and mail.sender not in session.excused:
            raise Broken(f"{session} got {mail} of somebody blocked")
        mail.done = mail.gone = Truth.NO
        session.counts[mail] = Truth.YES

    @staticmethod
    def _in_order(session: Session, mail: Mail, *, late: bool) -> None:
        """First what had waited, then what came since; what an ended session held comes any time."""
        waited = mail.order < session.ready_since
        if not mail.kept or late is not waited or mail.freed > session.ready_since:
            return
        if mail.order < session.last:
            raise Broken(f"{session} got {mail} behind a later one")
        session.last = mail.order

    @staticmethod
    def copied(session: Session, mail: Mail) -> None:
        """A client reads a copy of a message, sent or received (XEP-0280)."""
        if session.account not in (mail.to, mail.sender):
            raise Broken(f"{session} got a copy of {mail}")
        if mail in session.copies:
            raise Broken(f"{session} got two copies of {mail}")
        Promises._is_wanted(session, mail)
        session.copies.add(mail)

    @staticmethod
    def comes_back(mail: Mail) -> None:
        """The sender reads an error that answers a message."""
        mail.bounced = True
        if not mail.refused and not (mail.orphan and not mail.kept):
            raise Broken(f"{mail} came back, and need not have")

    # -- confirmation

    def confirms(self, session: Session, mails: Iterable[Mail], now: float, *, maybe: bool = False) -> None:
        """A client shows that it has messages: with its acknowledgement, or with its next byte.

        :param maybe: whether the server has certainly got that.
        """
        for mail in mails:
            if not maybe:
                session.seen.add(mail)
            counts = session.counts.get(mail, Truth.NO)
            self._done(mail, min(counts, Truth.MAYBE) if maybe else counts, now)

    @staticmethod
    def _done(mail: Mail, truth: Truth, now: float) -> None:
        if truth > mail.done:
            mail.done, mail.done_at = truth, now

    # -- what the user does not want

    @staticmethod
    def blocks(account: Account, other: Account) -> None:
        """Nothing more from somebody; what waits is passed over when somebody asks for it."""
        account.blocked.add(other)
        for mail in account.mails:
            if mail.sender is other and not mail.done:
                mail.gone = max(mail.gone, Truth.MAYBE)
        for session in account.sessions:
            if session.hibernates or not session.reads:
                session.excused.add(other)

    def retracts(self, retraction: Mail, mail: Mail) -> None:
        """A message was retracted: that holds in archives that have both."""
        for owner in {mail.sender, mail.to}:
            line = owner.line_of(mail)
            if line is not None and owner.line_of(retraction) is not None:
                line.erased = True
                owner.erased.add(mail)
                self._erased(owner, mail)

    @staticmethod
    def _erased(owner: Account, mail: Mail) -> None:
        if owner is mail.to:
            mail.gone = Truth.YES
        for session in owner.sessions:
            if owner is mail.to and mail in session.pending:
                session.pending.remove(mail)
            if session.inactive or not session.reads:
                # The retraction itself lets go what was held before it.
                session.excused.add(mail)

    def gives_up(self, before: float) -> None:
        """Nothing older is delivered any more."""
        for mail in self.mails.values():
            if mail.at < before:
                mail.gone = Truth.YES

    # -- the server ends, and begins again

    def restarts(self) -> None:
        """It was stopped with grace: all that was taken is durable."""
        for mail in self.mails.values():
            mail.told |= not mail.doubt

    def crashes(self, now: float) -> None:
        """It was killed: all sessions are gone, and what nobody was told of may be."""
        for mail in self.mails.values():
            mail.doubt |= not mail.told
            if mail.done is Truth.YES and mail.done_at > now - WRITTEN_WITHIN:
                mail.done = Truth.MAYBE
        for account in self.accounts.values():
            for session in list(account.sessions):
                self.end(session)

    # -- when all is quiet

    def settles(self) -> None:
        """Nothing is under way, and clients that read have read everything."""
        for mail in self.mails.values():
            mail.told |= not mail.doubt
        for account in self.accounts.values():
            for session in account.sessions:
                self._has_all(session)
            self._waits_for_nobody(account)

    @staticmethod
    def _has_all(session: Session) -> None:
        if session.hibernates or not session.reads:
            return
        for mail in session.pending:
            if mail.content.loud or not session.inactive:
                raise Broken(f"{session} never got {mail}")

    @staticmethod
    def _waits_for_nobody(account: Account) -> None:
        ready = account.ready()
        if not ready or any(each.hibernates or not each.reads for each in account.sessions):
            return
        looks = not any(session.inactive for session in ready)
        for mail in account.mails:
            mail.passed_by &= mail.order > account.trigger
            if mail.is_open and not mail.passed_by and (looks or mail.content.loud):
                held = any(each.counts.get(mail) for each in account.sessions)
                if not held:
                    raise Broken(f"{mail} waits although {ready} are there")

    def answered(self, session: Session) -> None:
        """A session that never lost its connection has got an error for all that was refused."""
        for mail in self.mails.values():
            if mail.by is session and mail.refused and not mail.bounced:
                raise Broken(f"{session} was not told that {mail} was refused")

    # -- what is left

    @staticmethod
    def owed(account: Account) -> list[Mail]:
        """What somebody must be given who comes when nobody is there."""
        return [
            mail
            for mail in account.mails
            if mail.is_open and mail.told and mail.sender not in account.blocked
        ]

    @staticmethod
    def came_first(account: Account, owed: list[Mail], got: list[Mail]) -> None:
        """What a session was given that came when nobody else was there; each was looked at by `reads`.

        :param owed: before it came.
        """
        if lost := [mail for mail in owed if mail not in got]:
            raise Broken(f"{account} has lost {lost}; the next session got {got}")
        if sorted(got, key=lambda mail: mail.order) != got:
            raise Broken(f"{account} was given {got} in another order")
        for mail in account.mails:
            if mail not in got:
                # That is over, also for what was passed over because its sender is blocked.
                mail.gone = Truth.YES

    def shows(self, session: Session, found: list[tuple[str, bool]], expired_before: float) -> None:
        """What a session finds in its archive, oldest first: names, and whether it is a tombstone.

        :param expired_before: what is older may be gone, oldest first.
        """
        account = session.account
        left, lines = list(found), []
        for line in account.lines:
            mail = line.mail
            expired = not lines and mail.at < expired_before and not (mail.to is account and mail.is_open)
            if left and left[0][0] == mail.id:
                if left.pop(0)[1] is not line.erased or mail.lost:
                    raise Broken(f"{mail} in the archive of {account} should be otherwise, or in both")
                mail.found()
                lines.append(line)
            elif mail.doubt and not expired:
                mail.lost, mail.gone = True, Truth.YES
            elif not expired:
                raise Broken(f"{mail} is not in the archive of {account}: {found}")
        if left:
            raise Broken(f"{left} are in the archive of {account}, and should not be")
        account.lines = lines
        session.fetched = {line.mail for line in lines}
