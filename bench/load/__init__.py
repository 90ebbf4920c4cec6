"""The load: a very cheap XMPP client, scenarios, and meters; it drives any server on this machine."""
