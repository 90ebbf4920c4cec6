"""A very cheap XMPP client.

It negotiates a stream (STARTTLS, SASL, binding, stream management) with regular expressions. After that every
chunk of received bytes goes to a *sink*, a plain function.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable
from typing import cast

from bench.load.sinks import AckSink, Sink
from bench.load.target import Target, XmppError

__all__ = ["Client"]

_PATIENCE = 60.0

_FEATURES = re.compile(rb"</(?:stream:)?features>|<(?:stream:)?features/>")
_PROCEED = re.compile(rb"<proceed[^>]*>")
_SASL_STEP = re.compile(rb"<(challenge|success|failure)[^>]*?(?:/>|>([^<]*)<)")
_ENABLED = re.compile(rb"<(?:enabled|failed)\b[^>]*>")
_ERROR_IQ = re.compile(rb"<iq\b[^>]*type=['\"]error")


def _answer_to(ident: str) -> re.Pattern[bytes]:
    """Matches the IQ that answers a request."""
    name = re.escape(ident).encode()
    return re.compile(
        rb"<iq\b(?=[^>]*\bid=['\"]" + name + rb"['\"])(?:[^>]*/>|[^>]*>.*?</iq>)",
        re.DOTALL,
    )


class Client(asyncio.Protocol):
    """One connection: `login` first, then set `sink` and `send`.

    :ivar sink: takes received bytes; while it is None they are collected for `read_until`.
    :ivar smacks: there once stream management is enabled.
    :ivar on_loss: called when the connection is lost; without it that ends the scenario.
    """

    def __init__(self, target: Target, index: int, resource: str = "bench") -> None:
        self.target, self.index, self.resource = target, index, resource
        self.jid = target.jid(index)
        self.sink: Sink | None = None
        self.smacks: AckSink | None = None
        self.transport: asyncio.Transport | None = None
        self.received = b""
        self.on_loss: Callable[[], None] | None = None
        self._closing = False
        self._wanted: re.Pattern[bytes] | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.sink:
            self.sink(data)
            return
        self.received += data
        if self._waiter and not self._waiter.done() and self._wanted and self._wanted.search(self.received):
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closing:
            return
        if self.on_loss:
            self.on_loss()
            return
        error = XmppError(f"{self.jid}: connection lost ({exc}) {self.received[-300:]!r}")
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(error)
        else:
            self.target.fail(error)

    # -- reading and writing

    def send(self, data: bytes) -> None:
        """Write, in one go."""
        assert self.transport
        self.transport.write(data)

    async def read_until(self, pattern: re.Pattern[bytes]) -> tuple[re.Match[bytes], bytes]:
        """Consume what was received, up to the end of the first match; only while there is no sink.

        :returns: the match, and all that was consumed.
        :raises XmppError: it did not come, or the connection is lost.
        """
        match = pattern.search(self.received)
        while not match:
            await self._wait_for(pattern)
            match = pattern.search(self.received)
        consumed, self.received = self.received[: match.end()], self.received[match.end() :]
        return match, consumed

    async def _wait_for(self, pattern: re.Pattern[bytes]) -> None:
        self._wanted, self._waiter = pattern, asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._waiter
        except TimeoutError:
            message = f"{self.jid}: no {pattern.pattern!r} in {_PATIENCE} s; got {self.received[-300:]!r}"
            raise XmppError(message) from None
        finally:
            self._waiter = None

    async def iq(self, payload: str, ident: str = "q", to: str | None = None, kind: str = "get") -> bytes:
        """Ask; returns everything that came up to the end of the answer.

        :raises XmppError: the answer is an error.
        """
        address = f" to='{to}'" if to else ""
        self.send(f"<iq type='{kind}' id='{ident}'{address}>{payload}</iq>".encode())
        match, consumed = await self.read_until(_answer_to(ident))
        if _ERROR_IQ.match(match.group()):
            raise XmppError(f"{self.jid}: {match.group()[:400]!r}")
        return consumed

    # -- negotiation

    async def _open_stream(self) -> bytes:
        self.send(
            f"<?xml version='1.0'?><stream:stream to='{self.target.domain}' version='1.0' "
            "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode()
        )
        return (await self.read_until(_FEATURES))[1]

    async def connect(self) -> None:
        """Connect and start TLS."""
        loop, target = asyncio.get_running_loop(), self.target
        await loop.create_connection(lambda: self, target.host, target.port)
        await self._open_stream()
        self.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await self.read_until(_PROCEED)
        self.received = b""
        assert self.transport
        self.transport = await loop.start_tls(self.transport, self, target.tls, server_hostname=target.domain)
        await self._open_stream()

    async def login(self) -> None:
        """Log in: connection, TLS, SASL, resource."""
        await self.connect()
        await (self._plain() if self.target.mechanism == "PLAIN" else self._scram())
        await self._open_stream()
        await self.iq(
            f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{self.resource}</resource></bind>",
            "bind",
            kind="set",
        )

    async def register(self) -> None:
        """Make this account by in-band registration (XEP-0077); it may be there already."""
        await self.connect()
        payload = (
            f"<query xmlns='jabber:iq:register'><username>user{self.index}</username>"
            f"<password>{self.target.password}</password></query>"
        )
        try:
            await self.iq(payload, "register", kind="set")
        except XmppError as error:
            if "conflict" not in str(error):
                raise
        self.close()

    async def enable_smacks(self) -> None:
        """Enable stream management; from now on ``<r/>`` is answered."""
        self.send(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        match, _ = await self.read_until(_ENABLED)
        if b"failed" in match.group():
            raise XmppError(f"{self.jid}: stream management refused")
        self.smacks = self.sink = AckSink(self.send)
        rest, self.received = self.received, b""
        if rest:
            self.sink(rest)

    def count(self, sink: Sink) -> None:
        """From now on give received bytes to this sink."""
        if self.smacks:
            self.smacks.inner = sink
        else:
            self.sink = sink

    # -- SASL

    def _auth(self, initial: bytes) -> None:
        self.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{self.target.mechanism}'>"
            f"{base64.b64encode(initial).decode()}</auth>".encode()
        )

    async def _sasl_step(self) -> bytes:
        match, _ = await self.read_until(_SASL_STEP)
        if match.group(1) == b"failure":
            raise XmppError(f"{self.jid}: SASL {match.group()!r} {self.received[:200]!r}")
        return base64.b64decode(match.group(2) or b"")

    async def _plain(self) -> None:
        self._auth(f"\0user{self.index}\0{self.target.password}".encode())
        await self._sasl_step()

    async def _scram(self) -> None:
        """RFC 5802, section 5."""
        first = f"n=user{self.index},r={base64.b64encode(os.urandom(18)).decode()}"
        self._auth(f"n,,{first}".encode())
        challenge = (await self._sasl_step()).decode()
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        salted = self.target.salted_password(base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha1")
        final = f"c=biws,r={fields['r']}"
        signed = f"{first},{challenge},{final}".encode()
        signature = hmac.digest(hashlib.sha1(key, usedforsecurity=False).digest(), signed, "sha1")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
        answer = base64.b64encode(f"{final},p={proof}".encode())
        self.send(b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + answer + b"</response>")
        await self._sasl_step()

    def vanish(self) -> None:
        """Lose the connection without a word."""
        self._closing = True
        if self.transport:
            self.transport.abort()

    def close(self) -> None:
        """Close the stream; that the connection goes is expected from now on."""
        self._closing = True
        if self.transport and not self.transport.is_closing():
            self.transport.write(b"</stream:stream>")
            self.transport.close()
