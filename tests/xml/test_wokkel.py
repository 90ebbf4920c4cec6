"""wokkel's codecs work on this Twisted, and their trees go through our writer."""

import importlib
import subprocess
import sys
from datetime import UTC, datetime

from twisted.trial.unittest import TestCase
from twisted.words.protocols.jabber.jid import JID

from xmppd.xml import tree, wokkel


class NamesTests(TestCase):
    """What Twisted dropped is there again."""

    def test_module_of_constants_can_be_imported(self) -> None:
        constants = importlib.import_module("twisted.python.constants")
        self.assertEqual(constants.Values.__name__, "Values")

    def test_the_multi_user_chat_of_wokkel_can_be_imported(self) -> None:
        muc = importlib.import_module("wokkel.muc")
        self.assertEqual(muc.NS_MUC_USER, "http://jabber.org/protocol/muc#user")

    def test_no_reactor_is_installed_by_the_import(self) -> None:
        script = "import sys, xmppd.xml.wokkel; print('twisted.internet.reactor' in sys.modules)"
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        self.assertEqual(run.stdout.strip(), "False")


class CodecTests(TestCase):
    """Each class that is exported, to bytes and back."""

    def test_form(self) -> None:
        form = wokkel.Form("submit", formNamespace="urn:example", fields=[wokkel.Field(None, "a", "<&>")])
        xml = tree.write(form.toElement())
        self.assertEqual(
            xml,
            b"<x xmlns='jabber:x:data' type='submit'>"
            b"<field type='hidden' var='FORM_TYPE'><value>urn:example</value></field>"
            b"<field var='a'><value>&lt;&amp;&gt;</value></field></x>",
        )
        again = wokkel.Form.fromElement(tree.parse(xml))
        self.assertEqual((again.formNamespace, again["a"]), ("urn:example", "<&>"))

    def test_disco_info(self) -> None:
        info = wokkel.DiscoInfo()
        info.append(wokkel.DiscoIdentity("server", "im"))
        info.append(wokkel.DiscoFeature("urn:xmpp:ping"))
        again = wokkel.DiscoInfo.fromElement(tree.parse(tree.write(info.toElement())))
        self.assertEqual(again.identities, {("server", "im"): None})
        self.assertEqual(again.features, {"urn:xmpp:ping"})

    def test_disco_items(self) -> None:
        items = wokkel.DiscoItems()
        items.append(wokkel.DiscoItem(JID("rooms.example.org"), name="Rooms"))
        (item,) = wokkel.DiscoItems.fromElement(tree.parse(tree.write(items.toElement())))
        self.assertEqual((item.entity.full(), item.name), ("rooms.example.org", "Rooms"))

    def test_delay(self) -> None:
        stamp = datetime(2026, 3, 29, 1, 2, 3, tzinfo=UTC)
        xml = tree.write(wokkel.Delay(stamp, JID("example.org")).toElement())
        self.assertEqual(
            xml, b"<delay xmlns='urn:xmpp:delay' stamp='2026-03-29T01:02:03Z' from='example.org'/>"
        )
        self.assertEqual(wokkel.Delay.fromElement(tree.parse(xml)).stamp, stamp)
