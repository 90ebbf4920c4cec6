"""Tests of SCRAM's server side (RFC 5802, RFC 7677, XEP-0474)."""

import base64

import scramp
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from tests.auth.helpers import DOMAIN, HASHES, SECRET, Client
from xmppd.auth import scram as scram_module
from xmppd.auth.offer import Offer
from xmppd.auth.passwords import Credential, derive
from xmppd.auth.sasl import SaslFailure
from xmppd.auth.scram import ScramServer

BINDINGS = {"tls-exporter": b"exported " * 3, "tls-server-end-point": b"hash of a certificate"}
PLAIN_OFFER = Offer(("SCRAM-SHA-256", "SCRAM-SHA-1"), tls=True)
PLUS_OFFER = Offer(
    ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1"), BINDINGS, tls=True
)
KEYS = {name: derive("pencil", name, b"0123456789abcdef", 4096) for name in HASHES}


def server(
    hash_name: str = "sha-256", *, plus: bool = False, offer: Offer = PLAIN_OFFER, nonce: str | None = None
) -> ScramServer:
    return ScramServer(hash_name, plus=plus, domain=DOMAIN, secret=SECRET, offer=offer, nonce=nonce)


class VectorTests(unittest.TestCase):
    def run_vector(
        self, hash_name: str, nonces: tuple[str, str], salt: str, proof: str, signature: str
    ) -> None:
        # The vectors know nothing of XEP-0474: with an empty offer there is no attribute for it.
        scram = server(hash_name, offer=Offer(()), nonce=nonces[1])
        keys = derive("pencil", hash_name, base64.b64decode(salt), 4096)
        self.assertEqual(scram.first(f"n,,n=user,r={nonces[0]}".encode()), "user")
        nonce = "".join(nonces)
        self.assertEqual(scram.challenge(keys), f"r={nonce},s={salt},i=4096".encode())
        self.assertEqual(scram.final(f"c=biws,r={nonce},p={proof}".encode()), f"v={signature}".encode())

    def test_rfc_5802_section_5(self) -> None:
        self.run_vector(
            "sha-1",
            ("fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j"),
            "QSXCR+Q6sek8bf92",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        )

    def test_rfc_7677_section_3(self) -> None:
        self.run_vector(
            "sha-256",
            ("rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        )


class OtherImplementationTests(unittest.TestCase):
    def run_with_scramp(
        self, name: str, password: str, offer: Offer = PLAIN_OFFER, **options: object
    ) -> None:
        plus = name.endswith("-PLUS")
        hash_name = name.removeprefix("SCRAM-").removesuffix("-PLUS").lower()
        scram = server(hash_name, plus=plus, offer=offer)
        client = scramp.ScramClient([name], "user", password, **options)
        self.assertEqual(scram.first(client.get_client_first().encode()), "user")
        client.set_server_first(scram.challenge(KEYS[hash_name]).decode())
        client.set_server_final(scram.final(client.get_client_final().encode()).decode())

    def test_without_binding(self) -> None:
        for hash_name in HASHES:
            self.run_with_scramp(f"SCRAM-{hash_name.upper()}", "pencil")

    def test_with_binding(self) -> None:
        binding = ("tls-server-end-point", BINDINGS["tls-server-end-point"])
        for hash_name in HASHES:
            self.run_with_scramp(
                f"SCRAM-{hash_name.upper()}-PLUS", "pencil", PLUS_OFFER, channel_binding=binding
            )

    def test_wrong_password(self) -> None:
        failure = self.assertRaises(SaslFailure, self.run_with_scramp, "SCRAM-SHA-1", "pencils")
        self.assertEqual(failure.condition, "not-authorized")

    def test_wrong_binding(self) -> None:
        binding = ("tls-server-end-point", b"hash of another certificate")
        failure = self.assertRaises(
            SaslFailure,
            self.run_with_scramp,
            "SCRAM-SHA-1-PLUS",
            "pencil",
            PLUS_OFFER,
            channel_binding=binding,
        )
        self.assertEqual(failure.condition, "not-authorized")


class FirstTests(unittest.TestCase):
    def condition(self, message: bytes, **options: object) -> str:
        failure = self.assertRaises(SaslFailure, server(**options).first, message)
        return str(failure.condition)

    def test_name_is_normalised(self) -> None:
        self.assertEqual(server().first(b"n,,n=ALICE,r=abc"), "alice")

    def test_impossible_name(self) -> None:
        for name in ("a b", "a@b", "a/b", ""):
            self.assertEqual(self.condition(f"n,,n={name},r=abc".encode()), "not-authorized")

    def test_authzid(self) -> None:
        self.assertEqual(server().first(b"n,a=alice@example.org,n=alice,r=abc"), "alice")
        self.assertEqual(server().first(b"n,a=,n=alice,r=abc"), "alice")
        self.assertEqual(self.condition(b"n,a=bob@example.org,n=alice,r=abc"), "invalid-authzid")
        self.assertEqual(self.condition(b"n,a=alice@example.net,n=alice,r=abc"), "invalid-authzid")

    def test_y_flag_while_plus_is_offered(self) -> None:
        self.assertEqual(self.condition(b"y,,n=alice,r=abc", offer=PLUS_OFFER), "not-authorized")
        self.assertEqual(server().first(b"y,,n=alice,r=abc"), "alice")

    def test_n_flag_while_plus_is_offered(self) -> None:
        self.assertEqual(server(offer=PLUS_OFFER).first(b"n,,n=alice,r=abc"), "alice")

    def test_flag_must_fit_the_mechanism(self) -> None:
        for message, plus in (
            (b"n,,n=alice,r=abc", True),
            (b"p=tls-exporter,,n=alice,r=abc", False),
        ):
            self.assertEqual(self.condition(message, plus=plus, offer=PLUS_OFFER), "malformed-request")

    def test_binding_that_was_not_offered(self) -> None:
        message = b"p=tls-unique,,n=alice,r=abc"
        self.assertEqual(self.condition(message, plus=True, offer=PLUS_OFFER), "malformed-request")


class FinalTests(unittest.TestCase):
    def begin(
        self, client: Client, keys: Credential | None = KEYS["sha-256"], **options: object
    ) -> tuple[ScramServer, bytes]:
        scram = server("sha-256", **options)
        scram.first(client.first())
        return scram, scram.challenge(keys)

    def condition(self, scram: ScramServer, message: bytes) -> tuple[str, str]:
        failure = self.assertRaises(SaslFailure, scram.final, message)
        return failure.condition, failure.text

    def test_success(self) -> None:
        client = Client("sha-256", "alice", "pencil")
        scram, challenge = self.begin(client)
        self.assertEqual(scram.final(client.final(challenge)), client.server_signature)

    def test_every_binding(self) -> None:
        for name, data in BINDINGS.items():
            client = Client("sha-256", "alice", "pencil", f"p={name},,", data)
            scram, challenge = self.begin(client, plus=True, offer=PLUS_OFFER)
            self.assertEqual(scram.final(client.final(challenge)), client.server_signature)

    def test_binding_of_another_connection(self) -> None:
        for data in (b"", b"exported ", BINDINGS["tls-server-end-point"], BINDINGS["tls-exporter"] + b"x"):
            client = Client("sha-256", "alice", "pencil", "p=tls-exporter,,", data)
            scram, challenge = self.begin(client, plus=True, offer=PLUS_OFFER)
            self.assertEqual(self.condition(scram, client.final(challenge)), ("not-authorized", ""))

    def test_gs2_header_changed_on_the_way(self) -> None:
        client = Client("sha-256", "alice", "pencil", "y,,")
        scram = server()
        scram.first(b"n,," + client.bare.encode())
        challenge = scram.challenge(KEYS["sha-256"])
        self.assertEqual(self.condition(scram, client.final(challenge)), ("not-authorized", ""))

    def test_data_where_there_is_no_binding(self) -> None:
        client = Client("sha-256", "alice", "pencil", data=b"x")
        scram, challenge = self.begin(client)
        self.assertEqual(self.condition(scram, client.final(challenge)), ("not-authorized", ""))

    def test_nonce(self) -> None:
        for change in (lambda n: n[:-1], lambda n: n + "x", lambda n: "clientnonce", lambda n: "x" + n[1:]):
            client = Client("sha-256", "alice", "pencil")
            scram, challenge = self.begin(client)
            nonce = change(client.attributes(challenge)["r"])
            self.assertEqual(
                self.condition(scram, client.final(challenge, nonce=nonce)), ("not-authorized", "")
            )

    def test_nonces_are_fresh(self) -> None:
        client = Client("sha-256", "alice", "pencil")
        nonces = {client.attributes(self.begin(client)[1])["r"] for _ in range(3)}
        self.assertEqual(len(nonces), 3)
        self.assertTrue(all(len(nonce) >= len("clientnonce") + 24 for nonce in nonces))

    def test_extensions_are_signed_and_ignored(self) -> None:
        client = Client("sha-256", "alice", "pencil")
        scram, challenge = self.begin(client)
        self.assertEqual(scram.final(client.final(challenge, extra=",x=y")), client.server_signature)

    def test_wrong_password_and_no_account_fail_alike(self) -> None:
        failures = []
        for keys, password in ((KEYS["sha-256"], "wrong"), (None, "wrong"), (None, "pencil")):
            client = Client("sha-256", "alice", password)
            scram, challenge = self.begin(client, keys)
            failures.append(self.condition(scram, client.final(challenge)))
        self.assertEqual(set(failures), {("not-authorized", "")})

    def test_no_password_fits_a_missing_account(self) -> None:
        """Not even where the keys that stand for it happen to fit."""
        self.patch(scram_module, "fake_credential", lambda *arguments: KEYS["sha-256"])
        client = Client("sha-256", "nobody", "pencil")
        scram, challenge = self.begin(client, None)
        self.assertEqual(self.condition(scram, client.final(challenge)), ("not-authorized", ""))

    def test_challenge_without_account_looks_the_same_each_time(self) -> None:
        client = Client("sha-256", "nobody", "pencil")
        seen = [client.attributes(self.begin(client, None)[1]) for _ in range(2)]
        self.assertEqual(seen[0]["s"], seen[1]["s"])
        self.assertEqual(list(seen[0]), ["r", "s", "i", "h"])
        self.assertEqual(len(base64.b64decode(seen[0]["s"])), 16)
        self.assertEqual(seen[0]["i"], str(derive("pencil", "sha-256").iterations))

    def test_proof_of_another_length(self) -> None:
        for proof in ("", "=", "AAAA", base64.b64encode(bytes(33)).decode()):
            client = Client("sha-256", "alice", "pencil")
            scram, challenge = self.begin(client)
            message = f"c=biws,r={client.attributes(challenge)['r']},p={proof}".encode()
            self.assertEqual(self.condition(scram, message)[0], "malformed-request")

    def test_out_of_order(self) -> None:
        scram = server()
        self.assertEqual(self.condition(scram, b"c=biws,r=abc,p=AAAA")[0], "malformed-request")
        scram.first(b"n,,n=alice,r=abc")
        self.assertEqual(self.condition(scram, b"c=biws,r=abc,p=AAAA")[0], "malformed-request")

    def test_one_guess_only(self) -> None:
        wrong, right = Client("sha-256", "alice", "wrong"), Client("sha-256", "alice", "pencil")
        scram, challenge = self.begin(wrong)
        self.assertEqual(self.condition(scram, wrong.final(challenge))[0], "not-authorized")
        self.assertEqual(self.condition(scram, right.final(challenge))[0], "malformed-request")

    def test_keys_of_another_hash_function(self) -> None:
        scram = server("sha-256")
        scram.first(b"n,,n=alice,r=abc")
        self.assertRaises(ValueError, scram.challenge, KEYS["sha-1"])

    @settings(max_examples=50)
    @given(st.binary(max_size=60) | st.text("cprmxA=,biws", max_size=40).map(str.encode))
    def test_any_bytes_fail_properly(self, message: bytes) -> None:
        scram = server()
        scram.first(b"n,,n=alice,r=abc")
        challenge = scram.challenge(KEYS["sha-256"])
        nonce = Client.attributes(challenge)["r"].encode()
        self.assertRaises(SaslFailure, scram.final, message)
        proof = base64.b64encode(message[:32].ljust(32)) + message[32:]
        scram.challenge(KEYS["sha-256"])
        self.assertRaises(SaslFailure, scram.final, b"c=biws,r=" + nonce + b",p=" + proof)


class DowngradeTests(unittest.TestCase):
    def test_example_of_the_xep(self) -> None:
        offer = Offer(
            ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"),
            {"tls-server-end-point": b"1", "tls-exporter": b"2"},
            tls=True,
        )
        self.assertEqual(offer.downgrade_hash("sha-1"), "G6k/rBLDqgOhRRaCuuatSDFkJ08=")

    def test_without_binding_types_there_is_no_second_list(self) -> None:
        self.assertNotEqual(
            Offer(("SCRAM-SHA-1",)).downgrade_hash("sha-1"),
            Offer(("SCRAM-SHA-1",), {"": b""}).downgrade_hash("sha-1"),
        )

    def test_order_of_the_offer_does_not_matter(self) -> None:
        self.assertEqual(
            Offer(("A", "B"), {"x": b"", "y": b""}).downgrade_hash("sha-256"),
            Offer(("B", "A"), {"y": b"", "x": b""}).downgrade_hash("sha-256"),
        )

    def test_attribute_is_sent_with_the_hash_of_the_mechanism(self) -> None:
        for hash_name, keys in KEYS.items():
            scram = server(hash_name, offer=PLUS_OFFER)
            scram.first(b"n,,n=alice,r=abc")
            attributes = Client.attributes(scram.challenge(keys))
            self.assertEqual(attributes["h"], PLUS_OFFER.downgrade_hash(hash_name))

    def test_attribute_changed_on_the_way(self) -> None:
        client = Client("sha-256", "alice", "pencil")
        scram = server()
        scram.first(client.first())
        challenge = scram.challenge(KEYS["sha-256"])
        forged = challenge.replace(
            PLAIN_OFFER.downgrade_hash("sha-256").encode(), PLUS_OFFER.downgrade_hash("sha-256").encode()
        )
        self.assertNotEqual(forged, challenge)
        failure = self.assertRaises(SaslFailure, scram.final, client.final(forged))
        self.assertEqual(failure.condition, "not-authorized")
