"""The same service as ``twistd xmppd``, for ``twistd -ny xmppd.tac``.

The configuration is ``xmppd.toml`` in the current folder when there is one.
"""

from twisted.application.service import Application

from xmppd.tap import Options, makeService

options = Options()
options.parseOptions([])
application = Application("xmppd")
makeService(options).setServiceParent(application)
