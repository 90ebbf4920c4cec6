"""``python -m xmppd``: the server in the foreground."""

from xmppd.tap import main

if __name__ == "__main__":
    main()
