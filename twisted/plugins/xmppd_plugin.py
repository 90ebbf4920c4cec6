"""Makes ``twistd xmppd`` known to Twisted.

Twisted imports this file in every program that looks for plugins, so it holds dotted names only.
"""

from twisted.application.service import ServiceMaker

xmppd = ServiceMaker("xmppd", "xmppd.tap", "An XMPP server", "xmppd")
