"""TLS contexts, with real handshakes."""

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from tests.stream.pki import issue, save
from xmppd.stream.certificates import CertificateError
from xmppd.stream.tls import TLSContexts


class Client:
    """A client of the standard library that speaks to a server's connection through memory."""

    def __init__(
        self,
        server: Any,
        name: str | None = None,
        alpn: list[str] | None = None,
        *,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        session: ssl.SSLSession | None = None,
        context: ssl.SSLContext | None = None,
        ciphers: str = "",
    ) -> None:
        self.context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.maximum_version = version
        if ciphers:
            self.context.set_ciphers(ciphers)
        if alpn:
            self.context.set_alpn_protocols(alpn)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=session)
        self.server = server
        server.set_accept_state()

    def handshake(self) -> None:
        """Exchange bytes until both sides are done."""
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.to_server()
            try:
                self.server.do_handshake()
            except SSL.WantReadError:
                pass
            finally:
                self.to_client()
        self.talk(b"hello")

    def talk(self, data: bytes) -> None:
        """Send bytes to and fro, which brings session tickets as well."""
        self.tls.write(data)
        self.to_server()
        self.server.send(self.server.recv(100))
        self.to_client()
        assert self.tls.read(100) == data

    def to_server(self) -> None:
        if data := self.outgoing.read():
            self.server.bio_write(data)

    def to_client(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            self.incoming.write(self.server.bio_read(1 << 16))

    @property
    def names(self) -> list[str]:
        """The names in the server's certificate."""
        der = self.tls.getpeercert(binary_form=True)
        assert der is not None
        extension = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        return extension.value.get_values_for_type(x509.DNSName)


class ContextsTestCase(SynchronousTestCase):
    """Has contexts for two domains."""

    def setUp(self) -> None:
        self.certs = Path(self.mktemp()).absolute()
        self.certs.mkdir()
        self.files = {
            domain: save(self.certs, domain, issue([domain]))
            for domain in ("a.example", "xn--bcher-kva.example")
        }
        self.files["bücher.example"] = self.files.pop("xn--bcher-kva.example")
        self.contexts = TLSContexts(self.files)

    def connect(
        self, name: str | None = None, alpn: list[str] | None = None, *, direct: bool = False, **more: Any
    ) -> Client:
        """Shake hands with the server."""
        creator = self.contexts.direct if direct else self.contexts.starttls
        client = Client(creator.serverConnectionForTLS(None), name, alpn, **more)
        client.handshake()
        return client


class NameTests(ContextsTestCase):
    def test_interface(self) -> None:
        """Both are what Twisted asks of the server's side."""
        for creator in (self.contexts.starttls, self.contexts.direct):
            verifyObject(IOpenSSLServerConnectionCreator, creator)

    def test_names(self) -> None:
        """SNI chooses the certificate; any other name, and none, get the first domain's."""
        cases = {
            "a.example": "a.example",
            "A.Example": "a.example",
            "xn--bcher-kva.example": "xn--bcher-kva.example",
            "c.example": "a.example",
            None: "a.example",
        }
        for name, expected in cases.items():
            for direct in (False, True):
                self.assertEqual(self.connect(name, direct=direct).names, [expected], name)

    def test_hostile_name(self) -> None:
        """A name that is no name does no harm."""
        connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        connection.set_tlsext_host_name(b"\xff.\xfe..")
        connection.set_connect_state()
        server = self.contexts.direct.serverConnectionForTLS(None)
        server.set_accept_state()
        self.assertEqual(_exchange(connection, server), [])
        self.assertEqual(server.get_servername(), b"\xff.\xfe..")
        self.assertEqual(connection.get_protocol_version_name(), "TLSv1.3")


class ProtocolTests(ContextsTestCase):
    def test_alpn(self) -> None:
        """xmpp-client is selected among others; who does not use ALPN is welcome as well."""
        self.assertEqual(
            self.connect(alpn=["h2", "xmpp-client"], direct=True).tls.selected_alpn_protocol(), "xmpp-client"
        )
        self.assertIsNone(self.connect(direct=True).tls.selected_alpn_protocol())

    def test_alpn_of_another_protocol(self) -> None:
        """On the port for direct TLS, a client that wants only other protocols is refused with an alert."""
        for name in ("a.example", "xn--bcher-kva.example"):
            server = self.contexts.direct.serverConnectionForTLS(None)
            client = Client(server, name, ["h2", "http/1.1"])
            self.assertRaises(SSL.Error, client.handshake)
            client.to_client()
            alert = self.assertRaises(ssl.SSLError, client.tls.do_handshake)
            self.assertIn("alert", str(alert).lower())

    def test_alpn_behind_starttls(self) -> None:
        """Behind STARTTLS the protocol is settled: an odd offer is not answered, and no error."""
        self.assertIsNone(self.connect(alpn=["h2"]).tls.selected_alpn_protocol())
        self.assertEqual(self.connect(alpn=["xmpp-client"]).tls.selected_alpn_protocol(), "xmpp-client")

    def test_versions(self) -> None:
        """TLS 1.3 and 1.2 are spoken, with forward secrecy; nothing older is."""
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            client = self.connect(version=version)
            self.assertEqual(client.tls.version(), version.name.replace("_", "."))
        cipher = self.connect(version=ssl.TLSVersion.TLSv1_2).tls.cipher()
        assert cipher is not None
        self.assertRegex(cipher[0], "^ECDHE-.*(GCM|POLY1305)")
        server = self.contexts.starttls.serverConnectionForTLS(None)
        server.set_accept_state()
        server.bio_write(_TLS_1_0_HELLO)
        error = self.assertRaises(SSL.Error, server.do_handshake)
        self.assertIn("unsupported protocol", str(error))
        self.assertEqual(server.bio_read(100), bytes.fromhex("15 0301 0002 02 46"))  # alert protocol_version

    def test_old_ciphers(self) -> None:
        """CBC and static RSA are refused."""
        for ciphers in ("ECDHE-ECDSA-AES128-SHA", "AES128-SHA", "AES128-GCM-SHA256"):
            server = self.contexts.starttls.serverConnectionForTLS(None)
            client = Client(server, version=ssl.TLSVersion.TLSv1_2, ciphers=f"{ciphers}@SECLEVEL=0")
            self.assertRaises(SSL.Error, client.handshake)

    def test_resumption(self) -> None:
        """A ticket makes the next login cheap, for each domain and version; the server keeps no sessions."""
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            for name in ("a.example", "xn--bcher-kva.example"):
                first = self.connect(name, version=version)
                self.assertFalse(first.tls.session_reused)
                again = self.connect(name, version=version, session=first.tls.session, context=first.context)
                self.assertTrue(again.tls.session_reused, (version, name))

    def test_renegotiation(self) -> None:
        """A client of TLS 1.2 that asks for another handshake does not get one."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client, server = SSL.Connection(context, None), self.contexts.starttls.serverConnectionForTLS(None)
        client.set_connect_state()
        server.set_accept_state()
        self.assertEqual(_exchange(client, server), [])
        client.renegotiate()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        server.bio_write(client.bio_read(1 << 16))
        self.assertRaises(SSL.WantReadError, server.recv, 100)
        client.bio_write(server.bio_read(1 << 16))
        error = self.assertRaises(SSL.Error, client.do_handshake)
        self.assertIn("no renegotiation", str(error))
        self.assertEqual(server.total_renegotiations(), 0)

    def test_options(self) -> None:
        """Renegotiation and compression are off, whatever the defaults of OpenSSL are."""
        options = self.contexts.context().set_options(0)
        for option in (SSL.OP_NO_RENEGOTIATION, SSL.OP_NO_COMPRESSION):
            self.assertTrue(options & option)

    def test_buffers_are_given_back(self) -> None:
        """OpenSSL gives back the buffers of a connection at rest, which halves what it holds."""
        self.assertTrue(self.contexts.context().set_mode(0) & SSL.MODE_RELEASE_BUFFERS)


class ReloadTests(ContextsTestCase):
    def test_new_certificate(self) -> None:
        """New connections get the new certificate; those that are there go on."""
        before = self.connect("a.example")
        save(self.certs, "a.example", issue(["a.example", "new.example"]))
        self.assertEqual(self.contexts.reload(), [])
        self.assertEqual(self.connect("a.example").names, ["a.example", "new.example"])
        self.assertEqual(self.connect(None).names, ["a.example", "new.example"])
        before.talk(b"still here")

    def test_other_files(self) -> None:
        """The files of a domain can be others than at the start."""
        (self.certs / "new").mkdir()
        files = save(self.certs / "new", "a.example", issue(["a.example", "new.example"]))
        self.assertEqual(self.contexts.reload({"a.example": files}), [])
        self.assertEqual(self.connect("a.example").names, ["a.example", "new.example"])

    def test_broken_certificate(self) -> None:
        """A certificate that cannot be used leaves the old one in place; the others are loaded."""
        self.files["a.example"].key.write_text("nonsense")
        save(self.certs, "xn--bcher-kva.example", issue(["xn--bcher-kva.example", "new.example"]))
        (line,) = self.contexts.reload()
        key = self.files["a.example"].key
        remedy = "put the certificate's there"
        self.assertEqual(line, f'domains."a.example": {key}: holds no private key in PEM form; {remedy}')
        self.assertEqual(self.connect("a.example").names, ["a.example"])
        self.assertIn("new.example", self.connect("xn--bcher-kva.example").names)

    def test_broken_at_the_start(self) -> None:
        """At the start every certificate has to be right."""
        for files in self.files.values():
            files.certificate.unlink()
        error = self.assertRaises(CertificateError, TLSContexts, self.files)
        self.assertEqual(
            [line.split(": ")[0] for line in str(error).splitlines()],
            ['domains."a.example"', 'domains."bücher.example"'],
        )

    def test_refused_by_openssl(self) -> None:
        """What only OpenSSL refuses is one line as well."""

        def refuse(context: Any) -> None:
            raise SSL.Error([("ssl", "", "too small")])

        self.patch(SSL.Context, "check_privatekey", refuse)
        (line, _) = self.contexts.reload()
        self.assertTrue(line.endswith("a.example.crt: refused by OpenSSL (too small)"), line)


class Ping(Protocol):
    """Answers every line with "pong"; starts TLS when it is asked to."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        if data == b"starttls\n":
            self.transport.write(b"proceed\n")
            self.transport.startTLS(self.factory.contexts.starttls)
        else:
            self.transport.write(b"pong\n")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.lost.callback(reason)


class LoopbackTests(TestCase):
    """Clients of the standard library, over real sockets, against Twisted's TLS."""

    def setUp(self) -> None:
        certs = Path(self.mktemp()).absolute()
        certs.mkdir()
        self.factory: Any = Factory.forProtocol(Ping)
        self.factory.contexts = TLSContexts({"a.example": save(certs, "a.example", issue(["a.example"]))})
        self.factory.lost = Deferred()

    def listen(self, factory: Factory) -> int:
        """Listen on a free port of this machine."""
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    async def test_starttls(self) -> None:
        """What ``startTLS`` of a transport takes."""
        port = self.listen(self.factory)
        answers = await deferToThread(_talk, port, starttls=True)
        self.assertEqual(answers, [b"proceed\n", b"pong\n", None])
        await self.factory.lost.addErrback(lambda failure: failure.trap(ConnectionDone, ConnectionLost))

    async def test_direct(self) -> None:
        """What a listener for direct TLS takes."""
        port = self.listen(TLSMemoryBIOFactory(self.factory.contexts.direct, False, self.factory))
        answers = await deferToThread(_talk, port, alpn=["xmpp-client"])
        self.assertEqual(answers, [b"pong\n", "xmpp-client"])
        await self.factory.lost.addErrback(lambda failure: failure.trap(ConnectionDone, ConnectionLost))

    async def test_refused(self) -> None:
        """A refused handshake reaches the protocol as an ordinary end; nothing is logged."""
        port = self.listen(TLSMemoryBIOFactory(self.factory.contexts.direct, False, self.factory))
        with self.assertRaises(ssl.SSLError):
            await deferToThread(_talk, port, alpn=["h2"])
        with self.assertRaises(SSL.Error):
            (await self.factory.lost).raiseException()


def _talk(port: int, *, starttls: bool = False, alpn: list[str] | None = None) -> list[bytes | str | None]:
    """Connect, begin TLS now or after STARTTLS, and ask once; gives the answers and the ALPN protocol."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    answers: list[bytes | str | None] = []
    with socket.create_connection(("127.0.0.1", port), 30) as raw:
        if starttls:
            raw.sendall(b"starttls\n")
            answers.append(raw.recv(100))
        with context.wrap_socket(raw, server_hostname="a.example") as tls:
            tls.sendall(b"ping\n")
            return [*answers, tls.recv(100), tls.selected_alpn_protocol()]


def _exchange(client: Any, server: Any) -> list[SSL.Error]:
    """Let two connections shake hands; gives the errors of both."""
    errors = []
    for _ in range(4):
        for side, other in ((client, server), (server, client)):
            try:
                side.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                errors.append(error)
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(side.bio_read(1 << 16))
    return errors


_TLS_1_0_HELLO = bytes.fromhex(
    "16 0301 002d"  # a handshake record of 45 bytes
    "01 000029 0301" + "00" * 32 + "00"  # ClientHello for TLS 1.0, random, no session
    "0002 c009 01 00"  # ECDHE-ECDSA-AES128-SHA, no compression
)
