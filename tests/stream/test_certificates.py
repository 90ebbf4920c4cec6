"""Certificates as files."""

import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from twisted.trial.unittest import SynchronousTestCase

from tests.stream.pki import issue, key_pem, save
from xmppd.stream.certificate_check import matches
from xmppd.stream.certificates import (
    CertificateError,
    CertificateFiles,
    ascii_name,
    ensure_self_signed,
    find_certificate,
    read_pair,
)


class FolderTestCase(SynchronousTestCase):
    """Has a folder for certificates."""

    def setUp(self) -> None:
        self.certs = Path(self.mktemp()).absolute()
        self.certs.mkdir()


class FindTests(FolderTestCase):
    def test_layouts(self) -> None:
        """Two files named after the domain are found, and Let's Encrypt's folder of a domain."""
        self.assertIsNone(find_certificate(self.certs, "a.example"))
        flat = save(self.certs, "a.example", issue(["a.example"]))
        self.assertEqual(find_certificate(self.certs, "a.example"), flat)
        (self.certs / "b.example").mkdir()
        pair = [self.certs / "b.example" / name for name in ("fullchain.pem", "privkey.pem")]
        pair[0].touch()
        self.assertIsNone(find_certificate(self.certs, "b.example"))
        pair[1].touch()
        self.assertEqual(find_certificate(self.certs, "b.example"), CertificateFiles(*pair))

    def test_issued_goes_before_made(self) -> None:
        """A certificate of Let's Encrypt replaces the one that was made at the first start."""
        self.assertEqual(ensure_self_signed(self.certs, "a").certificate, self.certs / "a.crt")
        (self.certs / "a").mkdir()
        for name in ("fullchain.pem", "privkey.pem"):
            (self.certs / "a" / name).touch()
        self.assertEqual(ensure_self_signed(self.certs, "a").key, self.certs / "a" / "privkey.pem")

    def test_international_name(self) -> None:
        """A domain of U-labels is found by its A-labels as well."""
        files = save(self.certs, "xn--bcher-kva.example", issue(["xn--bcher-kva.example"]))
        self.assertEqual(find_certificate(self.certs, "bücher.example"), files)

    def test_ascii_names(self) -> None:
        """Names become A-labels; addresses lose their brackets."""
        cases = {
            "bücher.example": "xn--bcher-kva.example",
            "Localhost": "localhost",
            "[::1]": "::1",
            "10.0.0.1": "10.0.0.1",
        }
        self.assertEqual({name: ascii_name(name) for name in cases}, cases)

    def test_locked_folder(self) -> None:
        """A folder that may not be looked into is one line."""

        def denied(path: Path) -> bool:
            raise PermissionError(13, "Permission denied")

        self.patch(Path, "exists", denied)
        error = self.assertRaises(CertificateError, find_certificate, self.certs, "a")
        self.assertIn("cannot be looked at (Permission denied); make the folder readable", str(error))


class SelfSignedTests(FolderTestCase):
    def test_made_once(self) -> None:
        """Where there is none, a certificate for the domain is made; the next time it is found."""
        files = ensure_self_signed(self.certs / "new", "example.org")
        again = ensure_self_signed(self.certs / "new", "example.org")
        self.assertEqual(files, again)
        (leaf,), key = read_pair(files)
        self.assertTrue(matches("example.org", leaf))
        self.assertFalse(matches("example.net", leaf))
        self.assertIsInstance(key, ec.EllipticCurvePrivateKey)
        self.assertEqual(ec.SECP256R1.name, key.curve.name)

    def test_private(self) -> None:
        """Only the owner may read the files, whatever the umask, and nothing else is left in the folder."""
        self.addCleanup(os.umask, os.umask(0))
        files = ensure_self_signed(self.certs / "new", "a")
        self.assertEqual([stat.S_IMODE(path.stat().st_mode) for path in files], [0o600, 0o600])
        self.assertEqual(stat.S_IMODE((self.certs / "new").stat().st_mode), 0o700)
        self.assertEqual(sorted((self.certs / "new").iterdir()), sorted(files))

    def test_names(self) -> None:
        """Addresses and international names have the right kind of name in the certificate."""
        for domain, name in (
            ("[::1]", "::1"),
            ("127.0.0.1", "127.0.0.1"),
            ("bücher.example", "xn--bcher-kva.example"),
        ):
            (leaf,), _ = read_pair(ensure_self_signed(self.certs, domain))
            self.assertTrue(matches(name, leaf), domain)

    def test_long_name(self) -> None:
        """A domain longer than a common name may be has a certificate all the same."""
        domain = ".".join(["a" * 60] * 3)
        (leaf,), _ = read_pair(ensure_self_signed(self.certs, domain))
        self.assertTrue(matches(domain, leaf))

    def test_key_that_is_there(self) -> None:
        """A key without a certificate is used: it may be waiting for one, or the last start was cut off."""
        key = ec.generate_private_key(ec.SECP256R1())
        (self.certs / "a.key").write_bytes(key_pem(key))
        found = read_pair(ensure_self_signed(self.certs, "a")).key
        self.assertEqual(found.private_numbers(), key.private_numbers())

    def test_key_of_another_kind(self) -> None:
        """A key that few clients could use is left alone, and said."""
        (self.certs / "a.key").write_bytes(key_pem(ed25519.Ed25519PrivateKey.generate()))
        error = self.assertRaises(CertificateError, ensure_self_signed, self.certs, "a")
        self.assertIn("a.key: neither ECDSA nor RSA", str(error))

    def test_certificate_without_key(self) -> None:
        """A certificate without its key is not written over."""
        files = save(self.certs, "a", issue(["a"]))
        files.key.unlink()
        before = files.certificate.read_bytes()
        error = self.assertRaises(CertificateError, ensure_self_signed, self.certs, "a")
        self.assertEqual(str(error), f"{files.certificate}: its key is missing; put it in {files.key}")
        self.assertEqual(files.certificate.read_bytes(), before)

    def test_folder_that_cannot_be_made(self) -> None:
        """No place to write to is one line with the remedy."""
        (self.certs / "file").touch()
        error = self.assertRaises(CertificateError, ensure_self_signed, self.certs / "file" / "x", "a")
        self.assertRegex(
            str(error), r"no certificate can be made \(Not a directory\); make the folder writable"
        )

    def test_full_disk(self) -> None:
        """When writing fails, nothing half-written is left behind."""

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", full)
        error = self.assertRaises(CertificateError, ensure_self_signed, self.certs, "a")
        self.assertIn("No space left on device", str(error))
        self.assertEqual(list(self.certs.iterdir()), [])


class ReadTests(FolderTestCase):
    def assertRefused(self, files: CertificateFiles, expected: str) -> None:
        error = self.assertRaises(CertificateError, read_pair, files)
        self.assertEqual(str(error).splitlines(), [str(error)])
        self.assertIn(expected, str(error))

    def test_chain(self) -> None:
        """All certificates of the file are read, in its order."""
        authority = issue(["CA"])
        leaf = issue(["a"], issuer=authority)
        chain, _ = read_pair(save(self.certs, "a", leaf, authority))
        self.assertEqual(chain, [leaf.certificate, authority.certificate])
        self.assertIsInstance(chain[0], x509.Certificate)

    def test_faults(self) -> None:
        """What cannot be used is one line that names the file and the remedy."""
        files = save(self.certs, "a", issue(["a"]))
        other = save(self.certs, "b", issue(["b"]))
        self.assertRefused(CertificateFiles(files.certificate, other.key), "does not belong to")
        self.assertRefused(CertificateFiles(files.key, files.key), "a.key: holds no certificate in PEM form")
        self.assertRefused(
            CertificateFiles(files.certificate, files.certificate), "holds no private key in PEM form"
        )
        self.assertRefused(CertificateFiles(self.certs / "x", files.key), "x: no such file")
        self.assertRefused(CertificateFiles(files.certificate, self.certs), "cannot be read (Is a directory)")
        files.key.write_bytes(key_pem(issue(["a"]).key, b"secret"))
        self.assertRefused(files, "the private key has a password; take it away with openssl pkey")
