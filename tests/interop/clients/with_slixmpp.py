"""slixmpp, driven by the lines that tests/interop/remote.py writes."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import slixmpp
from lines import obey, say


class Client:
    """One account's session; it comes back by itself when the connection is lost."""

    async def do_connect(
        self, jid: str, password: str, port: int, direct_tls: bool = False, mechanism: str | None = None
    ) -> dict[str, Any]:
        self.xmpp = xmpp = slixmpp.ClientXMPP(jid, password, sasl_mech=mechanism)
        for plugin in ("xep_0198", "xep_0199", "xep_0313"):
            xmpp.register_plugin(plugin)
        xmpp.ca_certs = os.environ["CA"]
        xmpp.enable_direct_tls = direct_tls
        xmpp.enable_starttls = not direct_tls
        xmpp.enable_plaintext = False
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def started(event: Any) -> None:
            if outcome.done():
                xmpp.send_presence()  # as after the first login, below
            else:
                outcome.set_result(None)
            say(event="bound")

        def failed(event: Any) -> None:
            if not outcome.done():
                outcome.set_exception(ConnectionError(str(event)))

        xmpp.add_event_handler("session_start", started)
        xmpp.add_event_handler("failed_auth", lambda failure: failed(failure["condition"]))
        xmpp.add_event_handler("no_auth", lambda event: failed("no common mechanism"))
        xmpp.add_event_handler("ssl_invalid_chain", failed)
        xmpp.add_event_handler("session_resumed", lambda event: say(event="resumed"))
        xmpp.add_event_handler("message", self.message)
        xmpp.add_event_handler("disconnected", lambda event: self.lost(outcome.done()))
        self.address = ("localhost" if direct_tls else "127.0.0.1", port)
        xmpp.connect(*self.address)
        await outcome
        await xmpp.get_roster()
        xmpp.send_presence()
        socket = xmpp.transport.get_extra_info("ssl_object")
        return {
            "jid": xmpp.boundjid.full,
            "mechanism": xmpp["feature_mechanisms"].mech.name,
            "tls": socket.version(),
        }

    def lost(self, established: bool) -> None:
        say(event="lost")
        if established:
            asyncio.get_running_loop().call_soon(self.xmpp.connect, *self.address)

    def message(self, message: Any) -> None:
        delayed = message.xml.find("{urn:xmpp:delay}delay") is not None
        say(event="message", body=message["body"], delayed=delayed, **{"from": str(message["from"])})

    async def do_send(self, to: str, body: str) -> dict[str, Any]:
        self.xmpp.send_message(to, body, mtype="chat")
        return {}

    async def do_ping(self) -> dict[str, Any]:
        """A round trip to the server, behind everything that was sent before."""
        await self.xmpp["xep_0199"].send_ping(self.xmpp.boundjid.domain)
        return {}

    async def do_history(self, peer: str, page: int, backwards: bool) -> dict[str, Any]:
        """The own archive's messages with ``peer``, as the bodies of each page of ``page`` messages."""
        pages = self.xmpp["xep_0313"].retrieve(
            with_jid=slixmpp.JID(peer), iterator=True, reverse=backwards, rsm={"max": page}
        )
        found = []
        async for answer in pages:
            results = answer["mam_fin"]["results"]
            found.append([result["mam_result"]["forwarded"]["stanza"]["body"] for result in results])
        return {"pages": found}


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    asyncio.run(obey(Client()))
