"""What streams say for people."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from xmppd.stream.wire import readable_address


class AddressTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """An IPv4 address is shown as one, also where the socket is one for IPv6."""
        for address, expected in (
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:0:0", "::ffff:0:0"),
        ):
            self.assertEqual(readable_address(address), expected)
