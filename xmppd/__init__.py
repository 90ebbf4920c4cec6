"""An XMPP server for a family, a club or a small team."""

__version__ = "0.1.0"
