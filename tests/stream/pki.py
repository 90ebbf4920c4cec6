"""Certificates for tests: issued at will, with any fault."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from xmppd.stream.certificates import CertificateFiles

NOW = datetime.datetime(2030, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key


def issue(
    names: Sequence[str],
    *,
    issuer: Issued | None = None,
    since: datetime.datetime = NOW - 10 * DAY,
    until: datetime.datetime = NOW + 80 * DAY,
    key: Key | None = None,
    public: bool = False,
) -> Issued:
    """Issue a certificate.

    :param names: the subject alternative names; the first is the common name too.
    :param issuer: who signs; None for itself.
    :param public: whether it says where its issuer is found, as public authorities do.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "nobody")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), False)
    if public:
        where = x509.UniformResourceIdentifier("http://ca.example/ca.crt")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), False)
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def save(folder: Path, domain: str, issued: Issued, *issuers: Issued) -> CertificateFiles:
    """Write a certificate, the chain behind it, and its key."""
    files = CertificateFiles(folder / f"{domain}.crt", folder / f"{domain}.key")
    chain = (issued, *issuers)
    files.certificate.write_bytes(b"".join(each.certificate.public_bytes(Encoding.PEM) for each in chain))
    files.key.write_bytes(key_pem(issued.key))
    files.key.chmod(0o600)
    return files


def key_pem(key: Key | ed25519.Ed25519PrivateKey, password: bytes | None = None) -> bytes:
    """Write a private key, with a password or without."""
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
