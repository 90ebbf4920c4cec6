"""Tests of channel-binding data, with real handshakes in memory."""

import contextlib
import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.trial import unittest

from tests.auth.helpers import DOMAIN, Client, MemoryAccounts, directory, failure_of, log_in
from xmppd.auth.channel_binding import bindings, server_end_point
from xmppd.auth.mechanisms import make_offer, start
from xmppd.auth.offer import Offer
from xmppd.auth.sasl import Challenge

SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# Libraries of today do not sign with SHA-1 any more.
SHA1_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBgzCCASqgAwIBAgIUJcmo7s6xFRZCXGUo/PaNAxnkEEUwCQYHKoZIzj0EATAX
MRUwEwYDVQQDDAxzaGExLmV4YW1wbGUwIBcNMjYxMTI0MDMwNzMzWhgPMjEyNjEw
MzEwMzA3MzNaMBcxFTATBgNVBAMMDHNoYTEuZXhhbXBsZTBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABPFnRDemlEBajJpuoWOjOYoyAYhos8KToco9q/kC+WQqMRkG
16KPmzvA44l4uXadQ2MPU2tPjCC1PmAE5HJvgEWjUzBRMB0GA1UdDgQWBBQJ1iEF
brQWRVnfWkHUV5GgGK+2XzAfBgNVHSMEGDAWgBQJ1iEFbrQWRVnfWkHUV5GgGK+2
XzAPBgNVHRMBAf8EBTADAQH/MAkGByqGSM49BAEDSAAwRQIhAKNYGFug0MLZzMmD
1VuHaRpU1CMCzrnCdlZ+T5vBvAodAiAkQsZAYsH5WdWlltXBqlzYZ+tkikZDjPZt
/bNhJ/GnFw==
-----END CERTIFICATE-----
"""
SHA1_CERTIFICATE_SHA256 = "f80e529e30a265a9f07ef436509fe416aaff841fae8bd68be63307635a38ea05"


def certificate(key: SigningKey, algorithm: hashes.HashAlgorithm | None) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=36500))
    return builder.sign(key, algorithm)


def server_context(key: SigningKey, algorithm: hashes.HashAlgorithm | None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(crypto.PKey.from_cryptography_key(key))
    context.use_certificate(crypto.X509.from_cryptography(certificate(key, algorithm)))
    return context


def handshake(
    context: SSL.Context, version: int, server_name: bytes = DOMAIN.encode()
) -> tuple[SSL.Connection, SSL.Connection]:
    """Connect a client and a server in memory; give the server's and the client's connection."""
    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_max_proto_version(version)
    server, client = SSL.Connection(context), SSL.Connection(client_context)
    client.set_tlsext_host_name(server_name)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(6):
        for side, peer in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                side.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                peer.bio_write(side.bio_read(65536))
    return server, client


def der_hash(connection: SSL.Connection, name: str) -> bytes:
    """Hash the server's certificate as a client sees it."""
    peer = connection.get_peer_certificate(as_cryptography=True)
    return hashlib.new(name, peer.public_bytes(serialization.Encoding.DER)).digest()


class BindingsTests(unittest.TestCase):
    def setUp(self) -> None:
        self.context = server_context(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())

    def test_tls_1_3(self) -> None:
        server, client = handshake(self.context, SSL.TLS1_3_VERSION)
        self.assertEqual(server.get_protocol_version_name(), "TLSv1.3")
        self.assertEqual(
            bindings(server),
            {
                "tls-exporter": client.export_keying_material(b"EXPORTER-Channel-Binding", 32, b""),
                "tls-server-end-point": der_hash(client, "sha256"),
            },
        )

    def test_tls_1_2_has_no_exporter(self) -> None:
        server, client = handshake(self.context, SSL.TLS1_2_VERSION)
        self.assertEqual(server.get_protocol_version_name(), "TLSv1.2")
        self.assertEqual(bindings(server), {"tls-server-end-point": der_hash(client, "sha256")})

    def test_each_connection_has_its_own_exporter(self) -> None:
        seen = [bindings(handshake(self.context, SSL.TLS1_3_VERSION)[0]) for _ in range(2)]
        self.assertNotEqual(seen[0]["tls-exporter"], seen[1]["tls-exporter"])
        self.assertEqual(seen[0]["tls-server-end-point"], seen[1]["tls-server-end-point"])

    def test_certificate_is_the_one_that_sni_chose(self) -> None:
        other = server_context(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384())
        self.context.set_tlsext_servername_callback(
            lambda connection: (
                connection.set_context(other) if connection.get_servername() == b"other.example" else None
            )
        )
        for name, algorithm in ((b"other.example", "sha384"), (DOMAIN.encode(), "sha256")):
            server, client = handshake(self.context, SSL.TLS1_3_VERSION, name)
            self.assertEqual(bindings(server)["tls-server-end-point"], der_hash(client, algorithm))


class ServerEndPointTests(unittest.TestCase):
    def test_hash_function_of_the_signature(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
            signed = certificate(key, algorithm)
            der = signed.public_bytes(serialization.Encoding.DER)
            self.assertEqual(server_end_point(signed), hashlib.new(algorithm.name, der).digest())

    def test_sha_1_counts_as_sha_256(self) -> None:
        signed = x509.load_pem_x509_certificate(SHA1_CERTIFICATE)
        self.assertEqual(server_end_point(signed), bytes.fromhex(SHA1_CERTIFICATE_SHA256))

    def test_undefined_without_a_hash_function(self) -> None:
        key = ed25519.Ed25519PrivateKey.generate()
        self.assertIsNone(server_end_point(certificate(key, None)))
        server, _ = handshake(server_context(key, None), SSL.TLS1_3_VERSION)
        self.assertEqual(list(bindings(server)), ["tls-exporter"])


class LoginTests(unittest.TestCase):
    """The -PLUS mechanisms with the bindings of a real connection."""

    def setUp(self) -> None:
        self.directory = directory(MemoryAccounts({"alice": "pencil"}))
        self.context = server_context(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())

    def connect(self, version: int) -> tuple[Offer, dict[str, bytes]]:
        """Give what the server offers, and the data that the client sees for itself."""
        server, client = handshake(self.context, version)
        data = {"tls-server-end-point": der_hash(client, "sha256")}
        if version == SSL.TLS1_3_VERSION:
            data["tls-exporter"] = client.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        return make_offer(tls=True, bindings=bindings(server)), data

    async def test_success(self) -> None:
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            offer, data = self.connect(version)
            self.assertEqual(set(offer.bindings), set(data))
            for name in offer.bindings:
                for hash_name in ("sha-1", "sha-256", "sha-512"):
                    exchange = start(f"SCRAM-{hash_name.upper()}-PLUS", offer, self.directory)
                    client = Client(hash_name, "alice", "pencil", f"p={name},,", data[name])
                    self.assertEqual((await log_in(exchange, client)).identity, "alice")

    async def test_man_in_the_middle(self) -> None:
        """Someone with a certificate that the client trusts relays between two connections."""
        offer, _ = self.connect(SSL.TLS1_3_VERSION)
        self.context = server_context(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        _, data = self.connect(SSL.TLS1_3_VERSION)
        for name in offer.bindings:
            exchange = start("SCRAM-SHA-256-PLUS", offer, self.directory)
            client = Client("sha-256", "alice", "pencil", f"p={name},,", data[name])
            challenge = await exchange.step(client.first())
            assert isinstance(challenge, Challenge)
            failure = await failure_of(exchange, client.final(challenge.data))
            self.assertEqual(failure.condition, "not-authorized")
