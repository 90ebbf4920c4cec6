"""A small XMPP client for asyncio: direct TLS, SASL PLAIN, stream management with resumption (XEP-0198).

It parses what it gets with a parser of its own, so that what is half-written would be seen.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any
from xml.etree.ElementTree import Element, XMLPullParser
from xml.sax.saxutils import escape

from tests.support.server import Server

HEADER = (
    "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SM = "urn:xmpp:sm:3"
CLIENT = "{jabber:client}"
PATIENCE = 120  # seconds until something is given up


class Lost(Exception):
    """The connection is gone, or could not be made."""


class Failed(AssertionError):
    """The server did what it must not."""


class Sent:
    """One stanza that was sent and is not acknowledged."""

    def __init__(self, text: str, note: Any) -> None:
        self.text = text
        self.note = note


class Session:
    """What outlives a connection (XEP-0198, section 5).

    :ivar token: for the resumption, once there is one.
    :ivar handled: stanzas received.
    :ivar acknowledged: stanzas that the server acknowledged.
    :ivar unacknowledged: those that it did not, oldest first.
    :ivar on_acknowledged: called with the note of each stanza that is acknowledged.
    """

    def __init__(self, on_acknowledged: Callable[[Any], None] = lambda note: None) -> None:
        self.token: str | None = None
        self.handled = self.acknowledged = 0
        self.unacknowledged: deque[Sent] = deque()
        self.on_acknowledged = on_acknowledged

    def acknowledge(self, h: int) -> None:
        """Take the server's ``h``. Raises Failed when it cannot be."""
        if not self.acknowledged <= h <= self.acknowledged + len(self.unacknowledged):
            raise Failed(f"h is {h}, after {self.acknowledged} and {len(self.unacknowledged)} more sent")
        while self.acknowledged < h:
            self.acknowledged += 1
            self.on_acknowledged(self.unacknowledged.popleft().note)


def _trusting(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.ca))


class Client:
    """One connection to a Server.

    :param session: a session to resume or to begin; a new one by default.
    :param on_message: called with each message as an element, after it is counted.
    """

    def __init__(
        self, session: Session | None = None, on_message: Callable[[Element], None] = lambda message: None
    ) -> None:
        self.session = session or Session()
        self.on_message = on_message
        self.jid = ""
        self.problem: Exception | None = None
        self._counting = False
        self._numbers = count(1)
        self._answers: dict[str, asyncio.Future[Element]] = {}
        self._nonzas: asyncio.Queue[Element | Exception] = asyncio.Queue()

    # -- connecting

    async def connect(self, server: Server, name: str, password: str) -> None:
        """Connect and authenticate. Raises Lost."""
        port = server.direct_tls_port
        try:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=_trusting(server), server_hostname="localhost"
            )
        except OSError as error:
            raise Lost(str(error)) from None
        self._open()
        self._reading = asyncio.get_running_loop().create_task(self._read())
        await self._nonza("features")
        initial = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        self._write(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{initial}</auth>")
        await self._nonza("success")
        self._open()
        await self._nonza("features")

    def _open(self) -> None:
        self._parser = XMLPullParser(("start", "end"))
        self._depth = 0
        self._write(HEADER)

    async def begin(self, resource: str) -> None:
        """Bind, and enable stream management with resumption."""
        bind = f"<bind xmlns='{BIND}'><resource>{resource}</resource></bind>"
        answer = await self._ask("set", bind, "")
        self.jid = answer.findtext(f"{{{BIND}}}bind/{{{BIND}}}jid") or ""
        self._write(f"<enable xmlns='{SM}' resume='true'/>")
        self._counting = True
        self.session.token = (await self._nonza("enabled")).get("id")

    async def resume(self) -> Element | None:
        """Resume the session; sends again what the server did not get.

        :returns: None, or the ``<failed/>`` of the server, after which ``h`` is taken if there is one.
        """
        session = self.session
        self._counting = True
        self._write(f"<resume xmlns='{SM}' previd='{session.token}' h='{session.handled}'/>")
        answer = await self._nonza("resumed", "failed")
        if answer.tag == f"{{{SM}}}failed":
            self._counting = False
            # It may be old: after a kill it is what was last written down.
            session.acknowledge(max(int(answer.get("h", 0)), session.acknowledged))
            return answer
        for sent in session.unacknowledged:
            self._write(sent.text)
        self.request()
        return None

    async def close(self) -> None:
        """End the stream and wait for the end of the connection."""
        with suppress(Lost):
            self._write("</stream:stream>")
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), PATIENCE)
        await self.cut()

    async def cut(self) -> None:
        """Cut the connection without a word; what it was takes effect at once."""
        if hasattr(self, "_reading"):
            self._reading.cancel()
            self._writer.transport.abort()
            with suppress(asyncio.CancelledError):
                await self._reading
            self._end(Lost("cut"))

    # -- sending

    def send(self, text: str, note: Any = None) -> None:
        """Send one stanza; the session's ``on_acknowledged`` gets the note. Raises Lost."""
        if self._counting:
            self.session.unacknowledged.append(Sent(text, note))
        self._write(text)

    def chat(self, to: str, body: str, note: Any = None) -> None:
        """Send a chat message with that id and body to a bare JID."""
        text = escape(body)
        self.send(f"<message type='chat' to='{to}' id='{text}'><body>{text}</body></message>", note)

    def request(self) -> None:
        """Ask for an acknowledgement."""
        self._write(f"<r xmlns='{SM}'/>")

    async def ask(self, kind: str, payload: str, to: str = "") -> Element:
        """Send an IQ; returns the answer. Raises Lost, or Failed when it is an error."""
        return await self._ask(kind, payload, to)

    async def _ask(self, kind: str, payload: str, to: str) -> Element:
        ident = f"q{next(self._numbers)}"
        answer: asyncio.Future[Element] = asyncio.get_running_loop().create_future()
        self._answers[ident] = answer
        address = f" to='{to}'" if to else ""
        try:
            self.send(f"<iq type='{kind}' id='{ident}'{address}>{payload}</iq>")
            found = await asyncio.wait_for(answer, PATIENCE)
        finally:
            self._answers.pop(ident, None)
        if found.get("type") == "error":
            raise Failed(f"{payload}: {[child.tag for child in found.iter()]}")
        return found

    def _write(self, text: str) -> None:
        if self.problem is not None:
            raise self.problem
        self._writer.write(text.encode())

    # -- receiving

    async def _nonza(self, *names: str) -> Element:
        found = await asyncio.wait_for(self._nonzas.get(), PATIENCE)
        if isinstance(found, Exception):
            self._nonzas.put_nowait(found)
            raise found
        if found.tag.partition("}")[2] not in names:
            raise Failed(f"{found.tag} {found.attrib} instead of {names}")
        return found

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65536):
                self._parser.feed(data)
                for event, element in self._parser.read_events():
                    self._depth += 1 if event == "start" else -1
                    if self._depth == 0:
                        self._writer.close()  # the stream is closed both ways; the server waits for this
                    elif self._depth == 1 and event == "end":
                        self._received(element)
                    elif event == "start" and self._depth == 1:
                        self._root = element
            self._end(Lost("the server closed the connection"))
        except OSError as error:
            self._end(Lost(str(error)))
        except Exception as error:
            self._end(error if isinstance(error, Failed) else Failed(f"{type(error).__name__}: {error}"))

    def _end(self, problem: Exception) -> None:
        if self.problem is None:
            self.problem = problem
            self._nonzas.put_nowait(problem)
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(problem)

    def _received(self, element: Element) -> None:
        if element.tag.startswith(CLIENT):
            self.session.handled += self._counting
            self._stanza(element)
        elif element.tag == f"{{{SM}}}r":
            self._write(f"<a xmlns='{SM}' h='{self.session.handled}'/>")
        elif element.tag in {f"{{{SM}}}a", f"{{{SM}}}resumed"}:
            self.session.acknowledge(int(element.attrib["h"]))
            if element.tag == f"{{{SM}}}resumed":
                self._nonzas.put_nowait(element)
        elif element.tag.endswith("}error"):
            self._end(Lost(f"stream error: {[child.tag for child in element]}"))
        else:
            self._nonzas.put_nowait(element)
        self._root.clear()

    def _stanza(self, element: Element) -> None:
        if element.tag == f"{CLIENT}message":
            self.on_message(element)
        elif element.tag == f"{CLIENT}iq":
            answer = self._answers.get(element.get("id", ""))
            if answer is not None and not answer.done() and element.get("type") in {"result", "error"}:
                answer.set_result(element)
