"""The command line ``xmppctl``, the commands behind it, and the socket between them."""
