"""What is wrong with the certificates of the domains, in words for operators."""

import datetime
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa

from xmppd.stream.certificates import (
    CertificateError,
    CertificateFiles,
    ascii_name,
    ip_address_of,
    line_about,
    read_pair,
)

EXPIRES_SOON: Final = datetime.timedelta(days=14)
_WEAK_RSA_BITS: Final = 2048


def check_certificates(
    certificates: Mapping[str, CertificateFiles | None], now: datetime.datetime
) -> list[str]:
    """Say what is wrong with the certificates of domains, one line for each fault.

    :param certificates: the files by domain; None where there are none (the server makes them).
    :param now: an aware time, by which what has expired is judged.
    """
    return [
        line_about(domain, problem)
        for domain, files in certificates.items()
        if files is not None
        for problem in _problems(domain, files, now)
    ]


def describe_certificate(files: CertificateFiles | None) -> str:
    """Say in one line what the certificate of a domain is, for people.

    :raises CertificateError: if it cannot be read.
    """
    if files is None:
        return "no certificate yet; the server makes a self-signed one when it starts"
    leaf = read_pair(files).chain[0]
    until = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
    issuer = "self-signed" if _is_self_signed(leaf) else f"issued by {leaf.issuer.rfc4514_string()}"
    return f"{files.certificate}, {issuer}, valid until {until}"


def matches(name: str, leaf: x509.Certificate) -> bool:
    """Whether a certificate is for a name (RFC 9525: subject alternative names alone, never the CN).

    :param name: as :func:`ascii_name` gives it.
    """
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    address = ip_address_of(name)
    if address is not None:
        return address in names.get_values_for_type(x509.IPAddress)
    parent = f"*.{name.partition('.')[2]}"
    return any(each.lower() in (name, parent) for each in names.get_values_for_type(x509.DNSName))


def _problems(domain: str, files: CertificateFiles, now: datetime.datetime) -> Iterator[str]:
    try:
        chain = read_pair(files).chain
    except CertificateError as error:
        yield str(error)
        return
    name, leaf = ascii_name(domain), chain[0]
    if not matches(name, leaf):
        yield f"{files.certificate}: is not for {name} but for {_names(leaf)}; get one for {name}"
    for place, certificate in enumerate(chain):
        yield from _time_problems(files.certificate, place, certificate, now)
    yield from _chain_problems(files.certificate, chain)
    yield from _key_problems(files.key, leaf)


def _time_problems(
    path: Path, place: int, certificate: x509.Certificate, now: datetime.datetime
) -> Iterator[str]:
    what = f"{path}: " + ("" if place == 0 else f"certificate {place + 1} of the chain ")
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < since:
        yield f"{what}is valid only from {since:%Y-%m-%d %H:%M} UTC; check the clock of this machine"
    elif now > until:
        yield f"{what}expired on {until:%Y-%m-%d}; renew it, then send the server SIGHUP"
    elif until - now <= EXPIRES_SOON:
        yield f"{what}expires in {(until - now).days} days, on {until:%Y-%m-%d}; renew it"


def _chain_problems(path: Path, chain: list[x509.Certificate]) -> Iterator[str]:
    for place, (certificate, issuer) in enumerate(pairwise(chain)):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            yield (
                f"{path}: certificate {place + 2} of the chain did not issue certificate {place + 1}; "
                "put the server's own first, then each issuer"
            )
    if len(chain) == 1 and not _is_self_signed(chain[0]) and _names_its_issuer(chain[0]):
        yield f"{path}: its issuer's certificate is missing, many clients will refuse it; use fullchain.pem"


def _key_problems(path: Path, leaf: x509.Certificate) -> Iterator[str]:
    if path.stat().st_mode & 0o007:
        yield f"{path}: every user of this machine may use the private key; run chmod o-rwx {path}"
    public = leaf.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < _WEAK_RSA_BITS:
        yield f"{path}: RSA with {public.key_size} bits is too weak; it takes {_WEAK_RSA_BITS} or more"


def _names_its_issuer(certificate: x509.Certificate) -> bool:
    """Whether it says where its issuer is found: public authorities do so, and issue by intermediates."""
    try:
        certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except x509.ExtensionNotFound:
        return False
    return True


def _is_self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _names(leaf: x509.Certificate) -> str:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "no name at all (a common name does not count)"
    found = [str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress)]
    return ", ".join(found) or "no host"
