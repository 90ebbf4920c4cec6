"""What strangers try against the connection: memory, XML, STARTTLS, TLS."""

from __future__ import annotations

from contextlib import ExitStack

from OpenSSL import SSL

from tests.hostile.case import Group, Stage
from tests.hostile.wire import TLS, Connection, Refused, auth

HEADER = (
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)
RESTRICTED = ("stream:restricted-xml", "stream:not-well-formed", "stream:invalid-xml")
MALFORMED = (
    "stream:not-well-formed",
    "stream:bad-format",
    "stream:invalid-xml",
    "stream:unsupported-encoding",
)

# -- memory

memory = Group("memory exhaustion before authentication")
memory.sends(
    Stage.CONNECTED,
    "a header that never ends",
    "<stream:stream a='" + "x" * 12_000,
    "stream:policy-violation",
)
memory.sends(
    Stage.CONNECTED,
    "a header that is too long",
    HEADER[:-1] + "".join(f" a{n}='{'x' * 100}'" for n in range(110)) + ">",
    "stream:policy-violation",
)
memory.sends(Stage.SECURE, "a long stanza", f"<iq><a>{'x' * 9_000}</a></iq>", "stream:policy-violation")
memory.sends(Stage.SECURE, "a stanza that never ends", f"<iq><a>{'x' * 9_000}", "stream:policy-violation")
memory.sends(Stage.SECURE, "a tag that never ends", f"<iq a='{'x' * 9_000}", "stream:policy-violation")
memory.sends(Stage.SECURE, "many elements", f"<iq>{'<a/>' * 40}</iq>", "stream:policy-violation")
memory.sends(Stage.SECURE, "deep elements", "<iq>" + "<a>" * 100, "stream:policy-violation")
memory.sends(
    Stage.SECURE,
    "many attributes",
    "<iq " + "".join(f"a{n}='' " for n in range(300)) + "/>",
    "stream:policy-violation",
)
memory.sends(
    Stage.SECURE,
    "a long name",
    f"<{'a' * 9_000}/>",
    "stream:policy-violation",
    "stream:unsupported-stanza-type",
)
memory.sends(
    Stage.SECURE, "blanks for ever, then a stanza", " " * 100_000 + "<message/>", "stream:not-authorized"
)
memory.sends(
    Stage.SECURE,
    "a long SASL message",
    auth("PLAIN", "x" * 5_000),
    "sasl:malformed-request",
    "sasl:not-authorized",
)


@memory.case(Stage.CONNECTED, "turned away", alone=True)
def more_connections_than_an_address_may_have(peer: Connection) -> str:
    with ExitStack() as crowd:
        for _ in range(200):
            try:
                other = crowd.enter_context(Connection(peer.target))
                other.open()
            except (OSError, Refused):
                return "turned away"
    return "200 connections that never log in"


# -- XML

billion = Group("billion laughs, DTD and what else XMPP forbids")
LAUGHS = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
for where, stage in (("before the header", Stage.CONNECTED), ("after TLS", Stage.SECURE)):
    billion.sends(stage, f"entities {where}", LAUGHS + HEADER, *RESTRICTED)
    billion.sends(
        stage, f"a file of the server {where}", "<!DOCTYPE l SYSTEM 'file:///etc/passwd'>", *RESTRICTED
    )
    billion.sends(stage, f"a comment {where}", "<!-- -->" + HEADER, *RESTRICTED)
    billion.sends(stage, f"an instruction {where}", "<?php echo 1 ?>" + HEADER, *RESTRICTED)
billion.sends(Stage.SECURE, "an entity inside a stanza", "<message><body>&a;</body></message>", *RESTRICTED)
billion.sends(Stage.SECURE, "a comment inside a stanza", "<message><!-- x --></message>", *RESTRICTED)
billion.sends(Stage.SECURE, "a DTD inside a stanza", "<message><!DOCTYPE a></message>", *RESTRICTED)
billion.sends(
    Stage.CONNECTED,
    "UTF-16",
    ("\ufeff<?xml version='1.0' encoding='UTF-16'?>" + HEADER).encode("utf-16-le"),
    *MALFORMED,
    "stream:restricted-xml",
)
for what, data in {
    "a byte order mark": "\ufeff" + HEADER,
    "UTF-16 without a mark": HEADER.encode("utf-16-be"),
    "UTF-32": HEADER.encode("utf-32"),
    "EBCDIC": HEADER.encode("cp037"),
    "a declaration of XML 1.1": "<?xml version='1.1'?>" + HEADER,
    "a declaration in the wrong order": "<?xml encoding='UTF-8' version='1.0'?>" + HEADER,
    "two declarations": "<?xml version='1.0'?><?xml version='1.0'?>" + HEADER,
    "a declaration that never ends": "<?xml version='1.0'" + " " * 5_000,
}.items():
    billion.sends(Stage.CONNECTED, what, data, *MALFORMED, *RESTRICTED, "stream:unsupported-version")
billion.sends(
    Stage.CONNECTED,
    "another encoding by name",
    "<?xml version='1.0' encoding='UTF-7'?>" + HEADER,
    *MALFORMED,
)

smuggling = Group("stanza smuggling")
for what, data in {
    "an overlong slash": b"<message to='\xc0\xaf'/>",
    "a surrogate": b"<message to='\xed\xa0\x80'/>",
    "a cut character that eats a bracket": b"<message><body>\xe2\x82</body></message>",
    "a byte that is never UTF-8": b"<message to='\xff'/>",
    "a null byte": b"<message to='\0'/>",
    "a null character": b"<message to='&#0;'/>",
    "a control character": b"<message><body>&#1;</body></message>",
    "the separator of the parser in a namespace": b"<message xmlns:a='u\x01v'/>",
    "the same attribute twice": b"<message to='a' to='b'/>",
    "the same attribute by two prefixes": b"<message xmlns:a='u' xmlns:b='u' a:c='' b:c=''/>",
    "an end tag of something else": b"<message></presence>",
    "an unknown prefix": b"<a:message/>",
    "a bracket in an attribute": b"<message to='<'/>",
    "text between stanzas": b"text<message/>",
    "a surrogate by number": b"<message><body>&#xD800;</body></message>",
    "a character beyond Unicode": b"<message><body>&#x110000;</body></message>",
    "a number of a character without end": b"<message><body>&#" + b"9" * 4_000 + b";</body></message>",
    "a character that is none": b"<message><body>&#xFFFF;</body></message>",
    "an escape character": b"<message><body>\x1b[2J</body></message>",
    "the end of CDATA in a text": b"<message><body>]]></body></message>",
    "the prefix xml for something else": b"<message xmlns:xml='u'/>",
    "another prefix for xml": b"<message xmlns:a='http://www.w3.org/XML/1998/namespace'/>",
    "the prefix xmlns": b"<message xmlns:xmlns='u'/>",
    "a prefix that is taken back": b"<message xmlns:a='u'><b xmlns:a=''/></message>",
    "two colons in a name": b"<message><a:b:c xmlns:a='u'/></message>",
    "an attribute without value": b"<message to/>",
    "an attribute without quotes": b"<message to=a/>",
    "no space between attributes": b"<message a='1'b='2'/>",
    "a name that begins with a digit": b"<1/>",
    "an end tag with an attribute": b"<message></message a='1'>",
    "an entity in an attribute": b"<message to='&a;'/>",
    "an entity in a declaration of a namespace": b"<message xmlns:a='&a;'/>",
}.items():
    smuggling.sends(Stage.SECURE, what, data, *MALFORMED, *RESTRICTED, "stream:bad-namespace-prefix")

# -- STARTTLS

injection = Group("STARTTLS injection and stripping")
START = f"<starttls xmlns='{TLS}'/>"
for what, data in {
    "a login": auth("PLAIN", "\0a\0b"),
    "a header": HEADER,
    "half a tag": "<au",
    "text": "x",
}.items():
    injection.sends(
        Stage.OPEN, f"{what} behind the request for TLS", START + data, "stream:policy-violation", *MALFORMED
    )
injection.sends(
    Stage.OPEN,
    "a login without TLS",
    auth("PLAIN", "\0a\0b"),
    "sasl:encryption-required",
    "sasl:invalid-mechanism",
    "stream:policy-violation",
    "stream:not-authorized",
)
injection.sends(
    Stage.OPEN, "a message without TLS", "<message/>", "stream:not-authorized", "stream:policy-violation"
)
injection.sends(Stage.SECURE, "TLS inside TLS", START, "stream:policy-violation", "closed")


@injection.case(Stage.OPEN, "closed")
def no_TLS_behind_the_request_for_it(peer: Connection) -> str:
    peer.send(START)
    peer.wait("<proceed")
    peer.send("<message/>" * 10)
    said = peer.wait("<stream:")
    return "closed" if peer.closed and "<stream:" not in said else f"answered: {said[:80]}"


@injection.case(Stage.TLS, "stream:not-authorized", "stream:not-well-formed", "stream:invalid-namespace")
def the_old_stream_is_forgotten(peer: Connection) -> None:
    peer.send(peer.header())
    peer.wait("features>")
    peer.send("<message/>")


# -- TLS

renegotiation = Group("old TLS, renegotiation, broken handshakes")


def hello(version: int) -> bytes:
    """A ClientHello of an old version, with ciphers of its time."""
    ciphers = bytes.fromhex("0035002f000a00050004")
    body = bytes((3, version)) + bytes(32) + b"\0" + len(ciphers).to_bytes(2, "big") + ciphers + b"\x01\x00"
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake


def raw_after_proceed(peer: Connection, data: bytes) -> str:
    peer.send(START)
    peer.wait("<proceed")
    peer.send(data)
    peer.socket.settimeout(10)
    try:
        answer = peer.socket.recv(100)
    except OSError:
        return "refused"
    return "refused" if not answer or answer[0] == 0x15 else f"went on: {answer[:10]!r}"


@renegotiation.case(Stage.OPEN, "refused")
def TLS_1_0(peer: Connection) -> str:
    return raw_after_proceed(peer, hello(1))


@renegotiation.case(Stage.OPEN, "refused")
def TLS_1_1(peer: Connection) -> str:
    return raw_after_proceed(peer, hello(2))


@renegotiation.case(Stage.OPEN, "refused")
def no_handshake_but_noise(peer: Connection) -> str:
    return raw_after_proceed(peer, b"\x16\x03\x01\x40\x00" + b"\xff" * 300)


@renegotiation.case(Stage.OPEN, "refused")
def renegotiation_of_TLS_1_2(peer: Connection) -> str:
    peer.send(START)
    peer.wait("<proceed")
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    connection = SSL.Connection(context, peer.socket)
    peer.socket.setblocking(True)
    connection.set_connect_state()
    connection.do_handshake()
    connection.renegotiate()
    try:
        connection.do_handshake()
        connection.send(b"<")
        connection.recv(100)
    except (SSL.Error, OSError):
        return "refused"
    return "refused" if connection.total_renegotiations() == 0 else "renegotiated"


@renegotiation.case(Stage.OPEN, "closed", slow=True)
def a_handshake_that_never_comes(peer: Connection) -> str:
    peer.send(START)
    peer.wait("<proceed")
    peer.wait("<never>", patience=70)
    return "closed" if peer.closed else "kept for 70 seconds"


GROUPS = (memory, billion, smuggling, injection, renegotiation)
