"""@xmpp/client, with plain IQs for the archive."""

from tests.interop.case import ClientTests, InteropCase


class XmppJsTests(ClientTests, InteropCase):
    library = "xmpp.js"
    partner = "slixmpp"
