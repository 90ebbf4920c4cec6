"""Channel-binding data of a TLS connection (RFC 5929, RFC 9266)."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import Certificate
from OpenSSL import SSL

TLS_EXPORTER: Final = "tls-exporter"
TLS_SERVER_END_POINT: Final = "tls-server-end-point"


def bindings(connection: SSL.Connection) -> dict[str, bytes]:
    """Give the data of every channel-binding type that a connection has, by type.

    ``tls-exporter`` only on TLS 1.3: on older versions it is safe only with the extended master secret (RFC
    9266, on legacy TLS), and pyOpenSSL does not tell whether that was negotiated.

    :param connection: the server's side of a connection whose handshake is over.
    """
    found = {}
    if connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
        # A context of length zero, not the absence of one: RFC 9266.
        found[TLS_EXPORTER] = connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    # Of the connection, not of the configuration: it depends on SNI, and reloading changes it.
    certificate = connection.get_certificate(as_cryptography=True)
    end_point = server_end_point(certificate) if isinstance(certificate, Certificate) else None
    if end_point is not None:
        found[TLS_SERVER_END_POINT] = end_point
    return found


def server_end_point(certificate: Certificate) -> bytes | None:
    """Hash a server's certificate as ``tls-server-end-point`` wants it (RFC 5929 section 4.1).

    :returns: None where that is undefined: for signatures without exactly one hash function, as Ed25519.
    """
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        return None
    return certificate.fingerprint(
        hashes.SHA256() if isinstance(algorithm, (hashes.MD5, hashes.SHA1)) else algorithm
    )
