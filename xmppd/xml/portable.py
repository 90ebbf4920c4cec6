"""Archives in the portable format of XEP-0227, section 4.12: written and read in pieces, in constant memory.

What is read comes through the gate and the bounds that the stanzas of clients come through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from xml.parsers import expat

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.stanza import SEPARATOR, Stanza, escape_attribute
from xmppd.xml import delay, tree
from xmppd.xml.gate import Gate
from xmppd.xml.parser import Limits, bounded_namespaces

__all__ = ["END", "ArchivedMessage", "PortableError", "PortableReader", "begin", "write"]

PIE: Final = "urn:xmpp:pie:0"
PIE_MAM: Final = "urn:xmpp:pie:0#mam"
_INCLUDE: Final = f"http://www.w3.org/2001/XInclude{SEPARATOR}include"
#: The elements around a result, from the outside.
_PATH: Final = [f"{PIE}{SEPARATOR}{name}" for name in ("server-data", "host", "user")] + [
    f"{PIE_MAM}{SEPARATOR}archive"
]
_RESULT: Final = f"{ns.MAM}{SEPARATOR}result"
#: Bytes that a result may have around its message.
_AROUND: Final = 4096

END: Final = b"</archive></user></host></server-data>\n"


def begin(account: JID) -> bytes:
    """What stands before the messages of an account."""
    return (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        f"<server-data xmlns='{PIE}'><host jid='{escape_attribute(account.domain)}'>"
        f"<user name='{escape_attribute(account.local)}'><archive xmlns='{PIE_MAM}'>\n"
    ).encode()


def write(number: str, received: int, stored: bytes) -> bytes:
    """A message of an archive.

    :param number: its id there.
    :param received: microseconds since 1970.
    :param stored: the message, with its namespace.
    """
    return (
        b"<result xmlns='urn:xmpp:mam:2' id='%b'><forwarded xmlns='urn:xmpp:forward:0'>"
        b"<delay xmlns='urn:xmpp:delay' stamp='%b'/>%b</forwarded></result>\n"
    ) % (escape_attribute(number).encode(), delay.stamp(received).encode(), stored)


class PortableError(Exception):
    """A file cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class ArchivedMessage:
    """A message of a file.

    :ivar account: whose archive it is in; None where that is no address.
    :ivar received: microseconds since 1970.
    """

    account: JID | None
    received: int
    message: Stanza


class PortableReader:
    """Takes a file in pieces, and gives the messages of its archives.

    What else may stand in such a file is passed over.

    :param limits: of a message.
    :ivar skipped: results that have no message, or no time.
    """

    def __init__(self, limits: Limits) -> None:
        self.skipped = 0
        self._limits, self._problem = limits, ""
        self._gate = Gate()
        self._found: list[ArchivedMessage] = []
        #: Names of the open elements outside of results.
        self._open: list[str] = []
        self._host = self._user = ""
        #: The open elements of a result.
        self._nodes: list[tree.Element] = []
        self._elements = self._attributes = self._began = 0
        self._ended = False
        self._expat = parser = expat.ParserCreate("UTF-8", SEPARATOR)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def feed(self, data: bytes) -> list[ArchivedMessage]:
        """The messages that end in this piece; what is wrong behind them is told by the next call.

        :raises PortableError: if it is no such file, or more than the limits allow.
        """
        self._tell_problem()
        try:
            self._parse(data)
        except expat.ExpatError as error:
            self._problem = f"not well-formed: {error}"
        except StreamError as error:
            self._problem = error.text or error.condition
        except PortableError as error:
            self._problem = str(error)
        found, self._found = self._found, []
        if not found:
            self._tell_problem()
        return found

    def _tell_problem(self) -> None:
        if self._problem:
            raise PortableError(self._problem)

    def close(self) -> None:
        """The file ends.

        :raises PortableError: if something is missing.
        """
        self._tell_problem()
        if not self._ended:
            raise PortableError("the end is missing")

    # -- events

    def _parse(self, data: bytes) -> None:
        whole, problem = bounded_namespaces(self._gate.feed(data))
        # What stands before something wrong comes first.
        self._expat.Parse(whole)
        if problem is not None:
            raise StreamError(*problem)
        if self._gate.problem is not None:
            raise StreamError(*self._gate.problem)
        if len(self._gate.kept) > self._limits.stanza_bytes:
            raise self._beyond("stanza_bytes")

    def _beyond(self, limit: str) -> PortableError:
        name = self._limits.name(limit)
        return PortableError(f"one element is more than {getattr(self._limits, limit)} ({name})")

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        if self._nodes or (name == _RESULT and self._open == _PATH):
            self._start_node(name, attrs)
            return
        depth = len(self._open)
        if depth == 0 and name != _PATH[0]:
            raise PortableError("not a file of XEP-0227: it begins with another element")
        if depth >= self._limits.depth:
            raise self._beyond("depth")
        if name == _INCLUDE:
            raise PortableError("it includes other files; import those")
        self._open.append(name)
        if self._open == _PATH[:2]:
            self._host = attrs.get("jid", "")
        elif self._open == _PATH[:3]:
            self._user = attrs.get("name", "")

    def _start_node(self, name: str, attrs: dict[str, str]) -> None:
        if not self._nodes:
            self._elements = self._attributes = 0
            self._began = self._expat.CurrentByteIndex
        self._elements += 1
        self._attributes += len(attrs)
        # What is around the message is not counted.
        if self._elements > self._limits.elements + 3:
            raise self._beyond("elements")
        if self._attributes > self._limits.attributes + 3:
            raise self._beyond("attributes")
        if len(self._nodes) >= self._limits.depth + 2:
            raise self._beyond("depth")
        self._check_bytes()
        self._nodes.append(_node(name, attrs, self._nodes[-1] if self._nodes else None))

    def _check_bytes(self) -> None:
        if self._expat.CurrentByteIndex - self._began > self._limits.stanza_bytes + _AROUND:
            raise self._beyond("stanza_bytes")

    def _end(self, _name: str) -> None:
        if not self._nodes:
            self._open.pop()
            self._ended = not self._open
            return
        self._check_bytes()
        node = self._nodes.pop()
        if not self._nodes:
            self._finish(node)

    def _text(self, data: str) -> None:
        if self._nodes:
            self._nodes[-1].children.append(data)

    # -- results

    def _finish(self, result: tree.Element) -> None:
        found = self._read(result)
        if found is None:
            self.skipped += 1
        else:
            self._found.append(found)

    def _read(self, result: tree.Element) -> ArchivedMessage | None:
        forwarded = _child(result, ns.FORWARD, "forwarded")
        late = _child(forwarded, ns.DELAY, "delay")
        message = _child(forwarded, ns.CLIENT, "message")
        if late is None or message is None:
            return None
        try:
            received = delay.parse_stamp(late.attributes.get("stamp", ""))
            stanza = _addressed(tree.stanza(message))
        except (ValueError, InvalidJID):
            return None
        if len(stanza.inner) > self._limits.stanza_bytes:
            raise self._beyond("stanza_bytes")
        return ArchivedMessage(self._account(), received, stanza)

    def _account(self) -> JID | None:
        try:
            return JID.parse(f"{self._user}@{self._host}").bare
        except InvalidJID:
            return None


def _node(name: str, attrs: dict[str, str], parent: Any) -> tree.Element:
    namespace, _, local = name.rpartition(SEPARATOR)
    node = tree.Element((namespace, local))
    for key, value in attrs.items():
        uri, _, plain = key.rpartition(SEPARATOR)
        node.attributes[(uri, plain) if uri else plain] = value
    if parent is not None:
        node.parent = parent
        parent.children.append(node)
    return node


def _child(parent: tree.Element | None, uri: str, name: str) -> tree.Element | None:
    if parent is None:
        return None
    return next((each for each in parent.elements() if (each.uri, each.name) == (uri, name)), None)


def _addressed(message: Stanza) -> Stanza:
    to, sender = message.attrs.pop("to", None), message.attrs.pop("from", None)
    message.to = JID.parse(to) if to else None
    message.sender = JID.parse(sender) if sender else None
    return message
