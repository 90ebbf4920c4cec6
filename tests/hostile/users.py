"""What somebody with an account tries: heavy XML, false names, other people's data, floods."""

from __future__ import annotations

import re

from tests.hostile.case import Group, Stage
from tests.hostile.strangers import MALFORMED
from tests.hostile.wire import PING, Connection

POLICY = "stream:policy-violation"
DENIED = tuple(
    f"stanza:{condition}"
    for condition in ("forbidden", "not-allowed", "service-unavailable", "item-not-found", "not-authorized")
)

# -- the parser

heavy = Group("parser CPU and stack")
for what, data in {
    "5,000 nested elements": "<message>" + "<a>" * 5_000,
    "5,000 nested elements that are closed": "<message>" + "<a>" * 5_000 + "</a>" * 5_000 + "</message>",
    "2,000 elements": f"<message>{'<a/>' * 2_000}</message>",
    "300 attributes": "<message " + "".join(f"a{number}='' " for number in range(300)) + "/>",
    "300 namespaces": "<message " + "".join(f"xmlns:a{number}='u' " for number in range(300)) + "/>",
    "a stanza of 300 KiB": f"<message><body>{'x' * 300 * 1024}</body></message>",
    "a long namespace and many names": f"<a:b xmlns:a='{'u' * 60_000}'>{'<a:c/>' * 900}</a:b>",
}.items():
    heavy.sends(Stage.BOUND, what, data, POLICY)
heavy.sends(
    Stage.BOUND, "entities", "<message><body>&lol;</body></message>", "stream:restricted-xml", *MALFORMED
)


@heavy.case(Stage.BOUND, POLICY)
def an_attribute_of_1_MiB_in_small_pieces(peer: Connection) -> None:
    peer.send_in_pieces(b"<message a='" + b"x" * 2**20, 1024)


@heavy.case(Stage.BOUND, "answered")
def elements_just_below_every_limit(peer: Connection) -> str:
    inside = "<a xmlns='u'>" * 60 + "</a>" * 60 + "<b/>" * 900
    peer.send(f"<message type='headline' to='{peer.jid}'>{inside}</message>")
    return "answered" if "'after'" in peer.ping("after") else "not answered"


# -- smuggling

smuggling = Group("stanza smuggling to users")
to_myself = re.compile(r"<message[ >].*?(?:</message>|/>)", re.DOTALL)


def comes_back_once(peer: Connection, content: str) -> str:
    """Send a message to oneself; whether it comes back as one, with the right sender."""
    peer.send(f"<message type='headline' to='{peer.jid}'>{content}</message>")
    said = peer.ping("after")
    if peer.closed or "<stream:error" in said:
        return "refused"
    return "one message" if senders(said) == [peer.jid] else f"smuggled: {said}"


def senders(text: str) -> list[str]:
    """Who sent the messages, as a naive reader sees them; without those that were stored by other cases."""
    fresh = [message for message in to_myself.findall(text) if "urn:xmpp:delay" not in message]
    return [name for message in fresh for name in re.findall(r"^<message[^>]* from=['\"]([^'\"]*)", message)]


for what, content in {
    "a namespace that ends the tag": (
        "<x xmlns=\"u'/&gt;&lt;/message&gt;&lt;message from='mallory-in-the-middle'/&gt;\"/>"
    ),
    "a prefixed namespace that ends the tag": (
        "<p:x xmlns:p=\"u'/&gt;&lt;/message&gt;&lt;message from='mallory-in-the-middle'/&gt;\"/>"
    ),
    "an attribute that ends the tag": (
        "<x xmlns='u' a=\"'/&gt;&lt;/message&gt;&lt;message from='mallory-in-the-middle'/&gt;\"/>"
    ),
    "a stanza in CDATA": "<body><![CDATA[</body></message><message from='mallory-in-the-middle'/>]]></body>",
    "the end of the stream in CDATA": "<body><![CDATA[</stream:stream>]]></body>",
    "a stanza in a character": "<body>&#60;/body&#62;&lt;/message&gt;</body>",
}.items():

    @smuggling.named(what, Stage.BOUND, "one message", "refused")
    def play_smuggling(peer: Connection, content: str = content) -> str:
        return comes_back_once(peer, content)


@smuggling.case(Stage.BOUND, "kept")
def blanks_in_attributes_are_kept(peer: Connection) -> str:
    peer.send(f"<message type='headline' to='{peer.jid}'><x xmlns='u' a='1&#9;2&#10;3&#13;4'/></message>")
    said = peer.ping("after")
    kept = re.search(r"1&#(9|x9);2&#(10|xA|xa);3&#(13|xD|xd);4", said)
    return "kept" if kept else f"changed: {said}"


# -- false names

forgery = Group("sender forgery")


@forgery.case(Stage.BOUND, "stream:invalid-from", "stanza:not-allowed", "stamped", "stanza:forbidden")
def a_message_from_somebody_else(peer: Connection) -> str | None:
    victim = peer.accounts()[1][0]
    peer.send(
        f"<message type='headline' from='{victim}' to='{peer.jid}'><body>x</body></message>"
        + PING.format(id="after")
    )
    said = peer.wait("id='after'", "</stream:stream>")
    if found := senders(said):
        return "stamped" if found == [peer.jid] else f"forged: {said}"
    peer.seen = said
    return None


@forgery.case(Stage.BOUND, *DENIED, "stanza:bad-request")
def a_change_of_somebody_elses_contacts(peer: Connection) -> None:
    victim = peer.accounts()[1][0]
    peer.send(
        f"<iq type='set' to='{victim}' id='1'><query xmlns='jabber:iq:roster'>"
        f"<item jid='{peer.jid.partition('/')[0]}' subscription='both'/></query></iq>"
    )


@forgery.case(Stage.BOUND, "removed")
def an_archive_id_in_the_name_of_the_receiver(peer: Connection) -> str:
    bare = peer.jid.partition("/")[0]
    forged = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{bare}' id='forged'/>"
    peer.send(f"<message to='{peer.jid}' type='chat'><body>x</body>{forged}{forged}</message>")
    said = peer.ping("after")
    return "removed" if "<body" in said and "forged" not in said else said


@forgery.case(Stage.BOUND, *DENIED)
def an_answer_in_the_name_of_the_server(peer: Connection) -> None:
    victim = peer.accounts()[1][0]
    peer.send(
        f"<iq type='result' to='{victim}/x' id='1'/><iq type='get' to='{victim}/x' id='2'><a xmlns='b'/></iq>"
    )


# -- the data of others

others = Group("the data of others")
ARCHIVE = "urn:xmpp:mam:2"
for what, request in {
    "the archive": f"<iq type='set' to='{{victim}}' id='1'><query xmlns='{ARCHIVE}'/></iq>",
    "the roster": "<iq type='get' to='{victim}' id='1'><query xmlns='jabber:iq:roster'/></iq>",
    "the block list": "<iq type='get' to='{victim}' id='1'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    "the last activity": "<iq type='get' to='{victim}' id='1'><query xmlns='jabber:iq:last'/></iq>",
    "private data": (
        "<iq type='get' to='{victim}' id='1'><query xmlns='jabber:iq:private'><a xmlns='b'/></query></iq>"
    ),
    "the password": (
        "<iq type='set' to='{victim}' id='1'><query xmlns='jabber:iq:register'>"
        "<username>victim</username><password>x</password></query></iq>"
    ),
    "removal": "<iq type='set' to='{victim}' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>",
}.items():

    @others.named(f"{what} of somebody else", Stage.BOUND, *DENIED)
    def play_request(peer: Connection, request: str = request) -> None:
        peer.send(request.format(victim=peer.accounts()[1][0]))


#: What accounts can be asked for.
QUESTIONS = tuple(
    (kind, payload)
    for kind, payloads in {
        "get": (
            "<query xmlns='jabber:iq:last'/>",
            "<vCard xmlns='vcard-temp'/>",
            "<a xmlns='b'/>",
            "<query xmlns='jabber:iq:version'/>",
            "<query xmlns='jabber:iq:register'/>",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            "<query xmlns='http://jabber.org/protocol/disco#items'/>",
            "<query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/commands'/>",
            "<ping xmlns='urn:xmpp:ping'/>",
            "<prefs xmlns='urn:xmpp:mam:2'/>",
            "<metadata xmlns='urn:xmpp:mam:2'/>",
            "<blocklist xmlns='urn:xmpp:blocking'/>",
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>",
        ),
        "set": (
            "<command xmlns='http://jabber.org/protocol/commands' node='x' action='execute'/>",
            "<enable xmlns='urn:xmpp:carbons:2'/>",
            "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>",
        ),
    }.items()
    for payload in payloads
)


@others.case(Stage.BOUND, "the same")
def somebody_who_is_offline_and_nobody(peer: Connection) -> str:
    victim = peer.accounts()[1][0]
    nobody = f"nobody-at-all@{peer.target.domain}"
    answers = []
    for to in (victim, nobody):
        said = ""
        for number, (kind, payload) in enumerate(QUESTIONS):
            peer.send(f"<iq type='{kind}' to='{to}' id='{number}'>{payload}</iq>")
            said += peer.wait("</iq>", "</stream:stream>")
        answers.append([each.replace(to, "SOMEBODY") for each in re.findall("<iq .*?</iq>", said)])
    return "the same" if answers[0] == answers[1] else f"{answers[0]} but {answers[1]}"


paging = Group("requests for pages")
for what, page in {
    "SQL": "<after>' OR 1=1 --</after>",
    "a foreign id": "<after>" + "A" * 22 + "</after>",
    "a negative size": "<max>-1</max>",
    "a size beyond numbers": f"<max>{'9' * 5_000}</max>",
    "Arabic digits": "<max>\u0661\u0662</max>",
    "an underscore": "<max>1_0</max>",
    "two sizes": "<max>1</max><max>2</max>",
}.items():

    @paging.named(f"{what} in a page", Stage.BOUND, "stanza:bad-request", "stanza:item-not-found")
    def play_page(peer: Connection, page: str = page) -> None:
        peer.send(
            f"<iq type='set' id='1'><query xmlns='{ARCHIVE}'>"
            f"<set xmlns='http://jabber.org/protocol/rsm'>{page}</set></query></iq>"
        )


@paging.case(Stage.BOUND, *DENIED, "stanza:bad-request", "stanza:feature-not-implemented")
def an_unknown_field(peer: Connection) -> None:
    peer.send(
        f"<iq type='set' id='1'><query xmlns='{ARCHIVE}'><x xmlns='jabber:x:data' type='submit'>"
        f"<field var='FORM_TYPE' type='hidden'><value>{ARCHIVE}</value></field>"
        "<field var='everything'><value>1</value></field></x></query></iq>"
    )


# -- stream management

management = Group("stream management")
ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
management.sends(
    Stage.BOUND,
    "enabled twice",
    ENABLE * 2,
    "sm:unexpected-request",
    POLICY,
    "stream:unsupported-stanza-type",
)
for h in ("5", "4294967295"):
    management.sends(
        *(Stage.BOUND, f"{h} acknowledged of none", f"{ENABLE}<a xmlns='urn:xmpp:sm:3' h='{h}'/>"),
        *("stream:undefined-condition", POLICY),
    )
for h in ("-1", "x", "", "1e3", "99999999999999999999", "\u0661"):
    management.sends(
        *(Stage.BOUND, f"{h!r} as a number", f"{ENABLE}<a xmlns='urn:xmpp:sm:3' h='{h}'/>"),
        *("stream:invalid-xml", "stream:bad-format", POLICY, "stream:undefined-condition"),
    )
management.sends(
    *(Stage.BOUND, "a question without stream management", "<r xmlns='urn:xmpp:sm:3'/>"),
    *(POLICY, "stream:unsupported-stanza-type", "sm:unexpected-request"),
)


@management.case(Stage.AUTHENTICATED, "sm:item-not-found")
def the_session_of_somebody_else(peer: Connection) -> None:
    with Connection(peer.target) as other:
        other.log_in(peer.accounts()[1])
        other.send(ENABLE)
        token = re.search(r" id=['\"]([^'\"]+)", other.wait("<enabled"))
        assert token is not None
        peer.open()
        peer.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{token[1]}' h='0'/>")
        peer.seen = peer.wait("</failed>", "<resumed", "</stream:stream>")


# -- floods

floods = Group("floods")


@floods.case(Stage.BOUND, "served at once", alone=True)
def others_are_served_while_somebody_floods(peer: Connection) -> str:
    with Connection(peer.target) as other:
        other.log_in(peer.accounts()[1])
        peer.send("".join(PING.format(id=number) for number in range(2_000)))
        other.ping("mine")
        # Only what has come by now: all 2,000 answers are far more than that.
        answered = peer.wait("id='1999'", patience=0.0).count("<iq")
        return "served at once" if answered < 2_000 else "served after 2,000 others"


@floods.case(Stage.BOUND, "all answered", "closed", alone=True)
def a_thousand_requests_at_once(peer: Connection) -> str:
    peer.send("".join(PING.format(id=number) for number in range(1_000)))
    said = peer.wait("id='999'", "</stream:stream>", patience=60)
    return "closed" if peer.closed else "all answered" if said.count("<iq") == 1_000 else "not all answered"


GROUPS = (heavy, smuggling, forgery, others, paging, management, floods)
