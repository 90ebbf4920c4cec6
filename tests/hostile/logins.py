"""What strangers try against the negotiation: the order of things, SASL, finding out who exists."""

from __future__ import annotations

from tests.hostile.case import Group, Stage
from tests.hostile.scram import Lies, log_in
from tests.hostile.strangers import HEADER, MALFORMED
from tests.hostile.wire import SASL, Connection, auth

# -- states

states = Group("state confusion")
NO = "stream:not-authorized"
BIND = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
OLD_LOGIN = "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>a</username></query></iq>"
FOREIGN = ("stream:invalid-namespace", "stream:bad-namespace-prefix", "stream:bad-format", "closed")

states.sends(
    Stage.CONNECTED, "a stanza before the header", "<message xmlns='jabber:client'/>", *MALFORMED, *FOREIGN
)
states.sends(Stage.CONNECTED, "HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", *MALFORMED, "closed")
states.sends(Stage.SECURE, "a message", "<message to='a@b'><body>x</body></message>", NO)
states.sends(Stage.SECURE, "binding before the login", BIND, NO)
states.sends(Stage.SECURE, "the login of old clients", OLD_LOGIN, NO, "stanza:service-unavailable")
states.sends(
    Stage.SECURE,
    "a response without a challenge",
    f"<response xmlns='{SASL}'/>",
    *(NO, "sasl:malformed-request", "sasl:not-authorized", "sasl:temporary-auth-failure"),
)
for what, nonza in {
    "success claimed by the client": f"<success xmlns='{SASL}'/>",
    "resumption before the login": "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
    "stream management before the login": "<enable xmlns='urn:xmpp:sm:3'/>",
    "a question of stream management before the login": "<r xmlns='urn:xmpp:sm:3'/>",
    "an acknowledgement before the login": "<a xmlns='urn:xmpp:sm:3' h='5'/>",
    "a stream inside the stream": HEADER + "</stream:stream>",
}.items():
    states.sends(
        *(Stage.SECURE, what, nonza, NO, "sm:unexpected-request", "stream:unsupported-stanza-type"),
        *("stream:policy-violation", "stream:bad-format", "stream:not-well-formed"),
    )

for what, old, new, conditions in (
    ("a domain that is not served", "to='", "to='no.example.", ("stream:host-unknown",)),
    ("no domain", " to=", " nobody=", ("stream:improper-addressing", "stream:host-unknown")),
    ("no version", " version='1.0'", "", ("stream:unsupported-version",)),
    ("the namespace of servers", "jabber:client", "jabber:server", FOREIGN),
    ("the namespace of components", "jabber:client", "jabber:component:accept", FOREIGN),
    ("a stream that is none", "etherx.jabber.org/streams", "example.org", FOREIGN),
):

    @states.named(f"a header with {what}", Stage.CONNECTED, *conditions)
    def play_header(peer: Connection, old: str = old, new: str = new) -> None:
        header = peer.header().partition("?>")[2]
        peer.send(header.replace(old, new, 1))


@states.case(Stage.AUTHENTICATED, "stream:host-unknown", "stream:not-authorized")
def another_domain_after_the_login(peer: Connection) -> None:
    peer.send(peer.header(to="no.example"))


@states.case(Stage.AUTHENTICATED, "stream:invalid-from", "stream:not-authorized")
def another_user_after_the_login(peer: Connection) -> None:
    peer.send(peer.header(more=f" from='{peer.accounts()[1][0]}'"))


@states.case(Stage.AUTHENTICATED, "stream:not-authorized", "stream:policy-violation", "sasl:not-authorized")
def a_message_before_binding(peer: Connection) -> None:
    peer.open()
    peer.send("<message to='a@b'><body>x</body></message>")


@states.case(
    Stage.AUTHENTICATED,
    *("stream:policy-violation", "stream:not-authorized", "stream:unsupported-stanza-type"),
    *("sasl:not-authorized", "sasl:malformed-request", "sasl:temporary-auth-failure"),
)
def a_second_login(peer: Connection) -> None:
    peer.open()
    jid, password = peer.accounts()[0]
    peer.send(auth("PLAIN", f"\0{jid.partition('@')[0]}\0{password}"))


# -- SASL

downgrade = Group("SCRAM, channel binding and authzid")
REFUSED = tuple(
    f"sasl:{condition}"
    for condition in ("not-authorized", "malformed-request", "invalid-authzid", "incorrect-encoding")
)

downgrade.sends(
    Stage.SECURE, "PLAIN with nothing", f"<auth xmlns='{SASL}' mechanism='PLAIN'>=</auth>", *REFUSED
)
for what, text in {
    "no NUL": b"user",
    "too many NULs": b"\0a\0b\0c",
    "no name": b"\0\0password",
    "no password": b"\0name\0",
    "no UTF-8": b"\0\xff\xfe\0x",
}.items():
    downgrade.sends(Stage.SECURE, f"PLAIN with {what}", auth("PLAIN", text), *REFUSED)
for what, text in {
    "no name": b"n,,r=abc",
    "no nonce": b"n,,n=user",
    "a mandatory extension": b"n,,m=1,n=user,r=abc",
    "an unknown flag": b"x,,n=user,r=abc",
    "half a header": b"n,",
    "somebody else's authority": b"n,a=root@localhost,n=user,r=abc",
    "a name with a bare equals sign": b"n,,n=us=er,r=abc",
}.items():
    downgrade.sends(Stage.SECURE, f"SCRAM with {what}", auth("SCRAM-SHA-1", text), *REFUSED)
for what, text in {
    "foreign characters": "AGE!!*AYg==",
    "no padding": "AGEAY",
    "blanks": "AG EA Yg==",
}.items():
    downgrade.sends(
        *(Stage.SECURE, f"base 64 with {what}", f"<auth xmlns='{SASL}' mechanism='PLAIN'>{text}</auth>"),
        *REFUSED,
    )
downgrade.sends(
    *(Stage.SECURE, "a mechanism that was not offered", auth("EXTERNAL", ""), "sasl:invalid-mechanism")
)

for what, lies in {
    "a wrong nonce": Lies(nonce="x"),
    "another binding than at first": Lies(bound="y,,"),
    "no proof": Lies(proof=""),
    "a proof of zeros": Lies(proof="A" * 27 + "="),
    "a proof that is too short": Lies(proof="AAAA"),
    "the denial of what was offered": Lies(gs2="y,,"),
    "binding data of another connection": Lies("SCRAM-SHA-1-PLUS", "p=tls-exporter,,"),
    "binding without a type": Lies("SCRAM-SHA-1-PLUS", "p=,,"),
}.items():

    @downgrade.named(f"SCRAM with {what}", Stage.SECURE, *REFUSED, "sasl:invalid-mechanism")
    def play_lies(peer: Connection, lies: Lies = lies) -> str | None:
        return log_in(peer, peer.target.attacker or ("nobody@localhost", "x"), lies)


@downgrade.case(Stage.SECURE, *REFUSED)
def the_authority_of_somebody_else(peer: Connection) -> None:
    (mine, password), (theirs, _) = peer.accounts()
    peer.send(auth("PLAIN", f"{theirs}\0{mine.partition('@')[0]}\0{password}"))


# -- who exists

enumeration = Group("account enumeration")


def shape(text: str, *names: str) -> str:
    """What does not depend on the name that was asked for."""
    for name in names:
        text = text.replace(name, "NAME")
    return text


@enumeration.case(Stage.SECURE, "the same")
def a_wrong_password_of_somebody_and_of_nobody(peer: Connection) -> str:
    answers = []
    for name in (peer.accounts()[1][0].partition("@")[0], "nobody-at-all"):
        peer.send(auth("PLAIN", f"\0{name}\0wrong"))
        answers.append(peer.wait("</failure>", "</stream:stream>"))
    return "the same" if answers[0] == answers[1] else f"{answers[0]} but {answers[1]}"


@enumeration.case(Stage.SECURE, "the same")
def a_challenge_for_somebody_and_for_nobody(peer: Connection) -> str:
    lengths = []
    for name in (peer.accounts()[1][0].partition("@")[0], "nobody-at-all"):
        peer.send(auth("SCRAM-SHA-1", f"n,,n={name},r=abcdef"))
        lengths.append(len(peer.wait("</challenge>", "</failure>", "</stream:stream>")))
        peer.send(f"<abort xmlns='{SASL}'/>")
        peer.wait("</failure>", "</stream:stream>")
    return "the same" if lengths[0] == lengths[1] else f"{lengths[0]} and {lengths[1]} bytes"


# -- guessing

guessing = Group("password guessing")


@guessing.case(Stage.SECURE, "stopped", slow=True)
def twenty_guesses_on_one_stream(peer: Connection) -> str:
    for number in range(20):
        peer.send(auth("PLAIN", f"\0nobody-at-all\0{number}"))
        peer.wait("</failure>", "</stream:stream>", patience=40)
        if peer.closed:
            return "stopped"
    return "20 guesses"


GROUPS = (states, downgrade, enumeration, guessing)
