"""Certificates as files: where they lie, how they are read, and the one that is made at the first start."""

import datetime
import ipaddress
import os
import secrets
from pathlib import Path
from typing import Final, NamedTuple

import idna
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xmppd.core.options import join_key

OwnKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_VALID_FOR: Final = datetime.timedelta(days=3650)


class CertificateFiles(NamedTuple):
    """A certificate with its chain, the server's own first, and its private key, both PEM."""

    certificate: Path
    key: Path


class Pair(NamedTuple):
    """What the files hold."""

    chain: list[x509.Certificate]
    key: PrivateKeyTypes


class CertificateError(Exception):
    """A certificate cannot be used; the message is one line that names the file and the remedy."""


def line_about(domain: str, problem: object) -> str:
    """Give the line on what is wrong with the certificate of a domain: its key in the configuration first."""
    return f"{join_key('domains', domain)}: {problem}"


def find_certificate(certs: Path, domain: str) -> CertificateFiles | None:
    """Find the certificate of a domain.

    It is ``DOMAIN/fullchain.pem`` with ``DOMAIN/privkey.pem``, as Let's Encrypt has them, or ``DOMAIN.crt``
    with ``DOMAIN.key``; the first pair of which both are there counts. So one that was issued goes before
    one that was made here.

    :param domain: a name or an IP address, as :func:`xmppd.core.jid.prepare_domain` gives it.
    :raises CertificateError: if the folder cannot be looked into.
    """
    name = ascii_name(domain)
    for each in (domain, name):
        for pair in (
            CertificateFiles(certs / each / "fullchain.pem", certs / each / "privkey.pem"),
            CertificateFiles(certs / f"{each}.crt", certs / f"{each}.key"),
        ):
            if _exists(pair.certificate) and _exists(pair.key):
                return pair
    return None


def own_files(certs: Path, domain: str) -> CertificateFiles:
    """Give the files for a certificate that is made here, for a domain that has none.

    :raises CertificateError: if there is a certificate without its key: what is there is not written over.
    """
    files = CertificateFiles(certs / f"{domain}.crt", certs / f"{domain}.key")
    if _exists(files.certificate):
        raise CertificateError(f"{files.certificate}: its key is missing; put it in {files.key}")
    return files


def ensure_self_signed(certs: Path, domain: str) -> CertificateFiles:
    """Give the certificate of a domain, after making one, signed by itself, if there is none.

    The files are readable for their owner alone and appear whole or not at all. What is there already is
    never written over: a key without a certificate is used.

    :raises CertificateError: if the folder cannot be written, or what is in it is of no use.
    """
    found = find_certificate(certs, domain)
    if found is not None:
        return found
    files = own_files(certs, domain)
    try:
        certs.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not files.key.exists():
            _write(files.key, _pem(ec.generate_private_key(ec.SECP256R1())))
        _write(files.certificate, _self_sign(_read_own_key(files.key), domain).public_bytes(Encoding.PEM))
    except OSError as error:
        remedy = "make the folder writable for the server, put a certificate there, or set server.certs"
        raise CertificateError(f"{certs}: no certificate can be made ({error.strerror}); {remedy}") from None
    return files


def read_pair(files: CertificateFiles) -> Pair:
    """Read a certificate and its key.

    :raises CertificateError: if one of them cannot be read, or they do not belong together.
    """
    chain, key = _read_chain(files.certificate), _read_key(files.key)
    if _public(chain[0].public_key()) != _public(key.public_key()):
        raise CertificateError(
            f"{files.key}: the key does not belong to {files.certificate}; "
            "put the two that were issued together, the server's own certificate first"
        )
    return Pair(chain, key)


def ip_address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Give the IP address that a domain is, None if it is a name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def ascii_name(domain: str) -> str:
    """Give a domain as it stands in certificates and in SNI: A-labels, lower case; others as they are."""
    try:
        return idna.encode(domain).decode().lower()
    except idna.IDNAError:
        return domain.strip("[]").lower()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        remedy = "make the folder readable for the user that runs the server"
        raise CertificateError(f"{path}: cannot be looked at ({error.strerror}); {remedy}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(f"{path}: no such file; put it there or correct the path") from None
    except IsADirectoryError as error:
        remedy = "put a file there or correct the path"
        raise CertificateError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except OSError as error:
        remedy = "make it readable for the user that runs the server"
        raise CertificateError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None


def _read_chain(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise CertificateError(
            f"{path}: holds no certificate in PEM form; put the domain's there, with its chain"
        ) from None


def _read_key(path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_read(path), password=None)
    except TypeError:
        remedy = f"openssl pkey -in {path} -out {path}.plain"
        raise CertificateError(
            f"{path}: the private key has a password; take it away with {remedy}"
        ) from None
    except ValueError:
        raise CertificateError(
            f"{path}: holds no private key in PEM form; put the certificate's there"
        ) from None


def _public(key: CertificatePublicKeyTypes | PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_own_key(path: Path) -> OwnKey:
    key = _read_key(path)
    if isinstance(key, OwnKey):
        return key
    raise CertificateError(
        f"{path}: neither ECDSA nor RSA; put its certificate in {path.with_suffix('.crt')}"
    )


def _self_sign(key: OwnKey, domain: str) -> x509.Certificate:
    name = ascii_name(domain)
    address = ip_address_of(name)
    # A common name has at most 64 characters; nobody reads it, so a long domain has it cut.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    names = x509.SubjectAlternativeName([x509.IPAddress(address) if address else x509.DNSName(name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read; it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
