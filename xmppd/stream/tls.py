"""TLS for the streams of clients: a context for every domain, chosen by SNI and loaded anew on demand.

TLS 1.2 and later, no renegotiation, no compression, tickets for resumption. Clients that begin with TLS
(XEP-0368) may say so by ALPN; the others send STARTTLS (RFC 6120 section 5).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from xmppd.stream.certificates import (
    CertificateError,
    CertificateFiles,
    ascii_name,
    line_about,
    read_pair,
)

ALPN_CLIENT: Final = b"xmpp-client"
"""The protocol name of XEP-0368 for clients."""

_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. All ciphers of TLS 1.3 are like that."""

# pyOpenSSL gained a name for it only lately. It halves what a connection at rest holds: 37 KiB against 64.
_MODE_RELEASE_BUFFERS: Final = 0x10


class TLSContexts:
    """The TLS contexts of all domains of the process.

    :ivar starttls: what ``transport.startTLS`` takes.
    :ivar direct: what a listener takes whose clients begin with TLS; it refuses those that name other
        protocols by ALPN.
    """

    def __init__(self, certificates: Mapping[str, CertificateFiles]) -> None:
        """Load the certificates of all domains. The first one answers clients that name none of them.

        :raises CertificateError: with one line for each domain whose certificate cannot be used.
        """
        self._certificates = dict(certificates)
        self._contexts: dict[str, Any] = {}
        problems = self.reload()
        if problems:
            raise CertificateError("\n".join(problems))
        self.starttls = _ConnectionCreator(self, direct=False)
        self.direct = _ConnectionCreator(self, direct=True)

    def reload(self, certificates: Mapping[str, CertificateFiles] | None = None) -> list[str]:
        """Load all certificates anew, for new connections only.

        :param certificates: where they are now, if that may have changed, for the same domains.
        :returns: one line for each domain whose certificate cannot be used; it keeps the one it had.
        """
        if certificates is not None:
            self._certificates.update(certificates)
        problems = []
        for domain, files in self._certificates.items():
            try:
                self._contexts[ascii_name(domain)] = self._load(files)
            except CertificateError as error:
                problems.append(line_about(domain, error))
        return problems

    def context(self, name: str | None = None) -> Any:
        """Give the context for a name that a client asked for; the first domain's for any other."""
        return self._contexts.get(name or "") or next(iter(self._contexts.values()))

    def _load(self, files: CertificateFiles) -> Any:
        context = _make_context(files)
        context.set_tlsext_servername_callback(self._choose)
        context.set_alpn_select_callback(_select_protocol)
        return context

    def _choose(self, connection: Any) -> None:
        """Answer SNI (RFC 6066 section 3): a name that is not served is no error here."""
        name: bytes | None = connection.get_servername()
        if name is not None:
            connection.set_context(self.context(name.decode("latin-1").lower().removesuffix(".")))


@implementer(IOpenSSLServerConnectionCreator)
class _ConnectionCreator:
    """Makes the TLS connection of a transport; its app data say whether the client began with TLS."""

    def __init__(self, contexts: TLSContexts, *, direct: bool) -> None:
        self._contexts = contexts
        self._direct = direct

    def serverConnectionForTLS(self, tlsProtocol: object) -> Any:
        connection = SSL.Connection(self._contexts.context(), None)
        connection.set_app_data(self._direct)
        return connection


def _make_context(files: CertificateFiles) -> Any:
    """Build a context. The files are read before, since OpenSSL's own reasons are of no use to anybody."""
    read_pair(files)
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_cipher_list(_CIPHERS)
    context.set_mode(_MODE_RELEASE_BUFFERS)
    # Sessions live in the tickets that the clients keep, not in memory here.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    try:
        context.use_certificate_chain_file(str(files.certificate))
        context.use_privatekey_file(str(files.key))
        context.check_privatekey()
    except SSL.Error as error:
        raise CertificateError(f"{files.certificate}: refused by OpenSSL ({_reason(error)})") from None
    return context


def _reason(error: Any) -> str:
    """Give the last part of OpenSSL's reason."""
    return next((str(part[-1]) for part in error.args[0] if part[-1]), "unknown reason")


def _select_protocol(connection: Any, offered: Sequence[bytes]) -> Any:
    """Answer ALPN (RFC 7301). A client that meant another protocol must not get XMPP.

    Behind STARTTLS the protocol is settled, so what a client offers there does not matter.
    """
    if ALPN_CLIENT in offered:
        return ALPN_CLIENT
    if connection.get_app_data():
        # Any exception ends the handshake with an alert; Twisted takes only this kind for an ordinary end.
        raise SSL.Error([("", "", "no application protocol in common")])
    return SSL.NO_OVERLAPPING_PROTOCOLS
