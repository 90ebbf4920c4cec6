"""aioxmpp, driven by the lines that tests/interop/remote.py writes.

aioxmpp has no module for XEP-0313: the elements that a query needs are declared here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta
from typing import Any

import aiosasl
import aioxmpp
import aioxmpp.connector
import aioxmpp.forms
import aioxmpp.misc
import aioxmpp.ping
import aioxmpp.security_layer
from aiosasl.channel_binding import ChannelBindingProvider
from aioxmpp import xso
from aioxmpp.rsm.xso import ResultSetMetadata
from cryptography.hazmat.primitives.hashes import SHA256
from lines import obey, say
from service_identity.pyopenssl import verify_hostname

MAM = "urn:xmpp:mam:2"


@aioxmpp.IQ.as_payload_class
class Query(xso.XSO):
    TAG = (MAM, "query")
    queryid = xso.Attr("queryid", default=None)
    form = xso.Child([aioxmpp.forms.Data])
    rsm = xso.Child([ResultSetMetadata])


@aioxmpp.IQ.as_payload_class
class Fin(xso.XSO):
    TAG = (MAM, "fin")
    complete = xso.Attr("complete", type_=xso.Bool(), default=False)
    rsm = xso.Child([ResultSetMetadata])


class Result(xso.XSO):
    TAG = (MAM, "result")
    queryid = xso.Attr("queryid", default=None)
    id_ = xso.Attr("id")
    forwarded = xso.Child([aioxmpp.misc.Forwarded])


async def nowhere_else(*arguments: Any, **more: Any) -> list[Any]:
    return []


# Where the given address fails, aioxmpp would go on to look for others.
aioxmpp.node.discover_connectors = nowhere_else
aioxmpp.Message.mam_result = xso.Child([Result])


class Client:
    """One account's session; aioxmpp brings it back by itself when the connection is lost."""

    async def do_connect(
        self, jid: str, password: str, port: int, direct_tls: bool = False, binding: str | None = None
    ) -> dict[str, Any]:
        address = aioxmpp.JID.fromstr(jid)
        provider = Provider(password, binding)
        connector = (
            aioxmpp.connector.XMPPOverTLSConnector if direct_tls else aioxmpp.connector.STARTTLSConnector
        )
        self.client = aioxmpp.PresenceManagedClient(
            address,
            aioxmpp.security_layer.SecurityLayer(trusting_context, Verifier, True, (provider,)),
            override_peer=[("127.0.0.1", port, connector())],
        )
        self.client.backoff_start = timedelta(seconds=0.1)
        self.results: dict[str, list[str]] = {}
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def established() -> None:
            say(event="bound")
            if not outcome.done():
                outcome.set_result(None)

        def failed(error: Exception) -> None:
            if not outcome.done():
                outcome.set_exception(error)

        self.client.on_stream_established.connect(established)
        self.client.on_failure.connect(failed)
        self.client.on_stream_suspended.connect(lambda reason: say(event="lost"))
        self.client.on_stream_resumed.connect(lambda: say(event="resumed"))
        dispatcher = self.client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        dispatcher.register_callback(None, None, self.message)
        self.client.presence = aioxmpp.PresenceState(available=True)
        await outcome
        return {"jid": str(self.client.local_jid), "mechanism": provider.used}

    def message(self, message: aioxmpp.Message) -> None:
        result = message.mam_result
        if result is not None:
            self.results[result.queryid].append(result.forwarded.stanza.body.any())
        elif message.body:
            delayed = message.xep0203_delay is not None and len(message.xep0203_delay) > 0
            say(event="message", body=message.body.any(), delayed=delayed, **{"from": str(message.from_)})

    async def do_send(self, to: str, body: str) -> dict[str, Any]:
        message = aioxmpp.Message(type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(to))
        message.body[None] = body
        self.client.enqueue(message)
        return {}

    async def do_ping(self) -> dict[str, Any]:
        """A round trip to the server, behind everything that was sent before."""
        await aioxmpp.ping.ping(self.client, self.client.local_jid.replace(localpart=None, resource=None))
        return {}

    async def do_history(self, peer: str, page: int, backwards: bool) -> dict[str, Any]:
        """The own archive's messages with ``peer``, as the bodies of each page of ``page`` messages."""
        pages = []
        rsm = ResultSetMetadata.last_page(page) if backwards else ResultSetMetadata.limit(page)
        while True:
            bodies, fin = await self.page(peer, rsm, f"history-{backwards}-{len(pages)}")
            if bodies:
                pages.append(bodies)
            if fin.complete:
                return {"pages": pages}
            rsm = fin.rsm.previous_page(page) if backwards else fin.rsm.next_page(page)

    async def page(self, peer: str, rsm: Any, queryid: str) -> tuple[list[str], Fin]:
        form_type = aioxmpp.forms.Field(type_=aioxmpp.forms.FieldType.HIDDEN, var="FORM_TYPE", values=[MAM])
        with_peer = aioxmpp.forms.Field(type_=aioxmpp.forms.FieldType.JID_SINGLE, var="with", values=[peer])
        form = aioxmpp.forms.Data(aioxmpp.forms.DataType.SUBMIT)
        form.fields.extend([form_type, with_peer])
        query = Query()
        query.queryid, query.form, query.rsm = queryid, form, rsm
        self.results[queryid] = []
        fin = await self.client.send(aioxmpp.IQ(type_=aioxmpp.IQType.SET, payload=query))
        return self.results[queryid], fin


def trusting_context() -> Any:
    """aioxmpp's context with the test's certificate as the one authority."""
    context = aioxmpp.security_layer.default_ssl_context()
    context.load_verify_locations(os.environ["CA"])
    return context


class Binding(ChannelBindingProvider):
    """The channel bindings of RFC 9266 and RFC 5929, which aiosasl has not, or not for ECDSA."""

    def __init__(self, name: str, connection: Any) -> None:
        self.name = name
        self.connection = connection

    @property
    def cb_name(self) -> bytes:
        return self.name.encode()

    def extract_cb_data(self) -> bytes:
        if self.name == "tls-exporter":
            return self.connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        certificate = self.connection.get_peer_certificate().to_cryptography()
        return certificate.fingerprint(SHA256())


class Provider(aioxmpp.security_layer.SASLProvider):
    """Logs in with SCRAM, or with SCRAM-...-PLUS and nothing else when there is a ``binding``."""

    def __init__(self, password: str, binding: str | None) -> None:
        self.password = password
        self.binding = binding
        self.used = ""

    async def execute(self, jid: aioxmpp.JID, features: Any, xmlstream: Any, tls_transport: Any) -> bool:
        async def credentials() -> tuple[str, str]:
            return jid.localpart, self.password

        kind = aiosasl.SCRAMPLUS if self.binding else aiosasl.SCRAM
        supported, token = self._find_supported(features, [kind])
        if supported is None:
            return False
        self.used = token[0]
        connection = tls_transport.get_extra_info("ssl_object")
        more = [Binding(self.binding, connection)] if self.binding else []
        interface = aioxmpp.sasl.SASLXMPPInterface(xmlstream)
        return await self._execute(interface, kind(credentials, *more), token)


class Verifier(aioxmpp.security_layer.CertificateVerifier):
    """Checks chain and name; aioxmpp's own asks pyOpenSSL for a method that it no longer has."""

    def verify_callback(self, connection: Any, certificate: Any, error: int, depth: int, valid: int) -> bool:
        return bool(valid)

    async def post_handshake(self, transport: Any) -> None:
        verify_hostname(transport.get_extra_info("ssl_object"), "localhost")


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    asyncio.run(obey(Client()))
