"""What is wrong with certificates."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase

from tests.stream.pki import DAY, NOW, Issued, issue, save
from xmppd.stream.certificate_check import check_certificates, describe_certificate, matches
from xmppd.stream.certificates import line_about


class CheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.certs = Path(self.mktemp()).absolute()
        self.certs.mkdir()
        self.path = self.certs / "a.example.crt"

    def check(self, issued: Issued, *issuers: Issued, domain: str = "a.example") -> list[str]:
        """Give the problems of a certificate, without the key of the domain before each."""
        files = save(self.certs, domain, issued, *issuers)
        return [
            line.removeprefix(line_about(domain, "")) for line in check_certificates({domain: files}, NOW)
        ]

    def test_nothing_wrong(self) -> None:
        """A good certificate, a self-signed one, and none at all are no problems."""
        authority = issue(["CA"])
        self.assertEqual(self.check(issue(["a.example"], issuer=authority, public=True), authority), [])
        self.assertEqual(self.check(issue(["a.example"])), [])
        self.assertEqual(check_certificates({"a.example": None}, NOW), [])

    def test_time(self) -> None:
        """Expired, about to expire, and not yet valid."""
        cases = {
            "expired on 2030-05-31; renew it, then send the server SIGHUP": issue(
                ["a.example"], until=NOW - DAY
            ),
            "expires in 14 days, on 2030-06-15; renew it": issue(["a.example"], until=NOW + 14 * DAY),
            "is valid only from 2030-06-02 00:00 UTC; check the clock of this machine": issue(
                ["a.example"], since=NOW + DAY
            ),
        }
        for expected, issued in cases.items():
            self.assertEqual(self.check(issued), [f"{self.path}: {expected}"])
        self.assertEqual(self.check(issue(["a.example"], until=NOW + 15 * DAY)), [])

    def test_expired_issuer(self) -> None:
        """An issuer in the chain that has expired is found too."""
        authority = issue(["CA"], until=NOW - DAY)
        (line,) = self.check(issue(["a.example"], issuer=authority), authority)
        self.assertEqual(
            line,
            f"{self.path}: certificate 2 of the chain expired on 2030-05-31; "
            "renew it, then send the server SIGHUP",
        )

    def test_other_name(self) -> None:
        """The names that it is for are said."""
        (line,) = self.check(issue(["b.example", "10.0.0.1"]))
        expected = f"{self.path}: is not for a.example but for b.example, 10.0.0.1; get one for a.example"
        self.assertEqual(line, expected)

    def test_common_name_alone(self) -> None:
        """A common name does not count (RFC 9525)."""
        (line,) = self.check(issue([]))
        self.assertIn("but for no name at all (a common name does not count)", line)

    def test_international_name(self) -> None:
        """A domain of U-labels wants a certificate for its A-labels."""
        self.assertEqual(self.check(issue(["xn--bcher-kva.example"]), domain="bücher.example"), [])

    def test_chain(self) -> None:
        """A chain in the wrong order, and one whose issuer is missing."""
        authority = issue(["CA"])
        middle = issue(["middle"], issuer=authority)
        leaf = issue(["a.example"], issuer=middle, public=True)
        self.assertEqual(self.check(leaf, middle, authority), [])
        lines = self.check(leaf, authority, middle)
        self.assertEqual([line.split(": ")[1].split(";")[0] for line in lines], [
            "certificate 2 of the chain did not issue certificate 1",
            "certificate 3 of the chain did not issue certificate 2",
        ])  # fmt: skip
        (line,) = self.check(leaf)
        self.assertIn("its issuer's certificate is missing", line)
        self.assertEqual(self.check(issue(["a.example"], issuer=authority)), [])

    def test_key_for_all(self) -> None:
        """A key that everyone on the machine can read is a problem; one for a group is not."""
        files = save(self.certs, "a.example", issue(["a.example"]))
        files.key.chmod(0o644)
        (line,) = check_certificates({"a.example": files}, NOW)
        self.assertIn(f"chmod o-rwx {files.key}", line)
        files.key.chmod(0o640)
        self.assertEqual(check_certificates({"a.example": files}, NOW), [])

    def test_weak_key(self) -> None:
        """RSA of 1,024 bits is too weak."""
        (line,) = self.check(issue(["a.example"], key=rsa.generate_private_key(65537, 1024)))
        self.assertIn("RSA with 1024 bits is too weak", line)

    def test_unusable(self) -> None:
        """What cannot be read at all is one line, and the other domains are checked all the same."""
        good, bad = save(self.certs, "a", issue(["a"], until=NOW)), save(self.certs, "b", issue(["b"]))
        bad.key.unlink()
        lines = check_certificates({"b": bad, "a": good}, NOW)
        self.assertEqual([line.split(":")[0] for line in lines], ["domains.b", "domains.a"])
        self.assertIn("b.key: no such file", lines[0])

    def test_description(self) -> None:
        """The certificate in one line."""
        authority = issue(["CA"])
        files = save(self.certs, "a", issue(["a"], issuer=authority))
        self.assertEqual(
            describe_certificate(files), f"{files.certificate}, issued by CN=CA, valid until 2030-08-20"
        )
        own = describe_certificate(save(self.certs, "b", issue(["b"])))
        self.assertIn("self-signed", own)
        self.assertIn("makes a self-signed one", describe_certificate(None))


class MatchTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A wildcard stands for the whole left-most label and nothing else."""
        leaf = issue(["*.example.org", "Example.NET", "192.0.2.1"]).certificate
        names = {
            "chat.example.org": True,
            "example.org": False,
            "a.chat.example.org": False,
            "example.net": True,
            "192.0.2.1": True,
            "192.0.2.2": False,
        }
        self.assertEqual({name: matches(name, leaf) for name in names}, names)
