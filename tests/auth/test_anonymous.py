"""Tests of ANONYMOUS (XEP-0175)."""

import uuid

from twisted.trial import unittest

from xmppd.auth.anonymous import AnonymousExchange, guest_local
from xmppd.core.jid import prepare_local


class AnonymousTests(unittest.TestCase):
    def test_names_are_random_uuids_and_valid_local_parts(self) -> None:
        names = {guest_local() for _ in range(20)}
        self.assertEqual(len(names), 20)
        for name in names:
            self.assertEqual(prepare_local(name), name)
            self.assertEqual(uuid.UUID(name).version, 4)

    async def test_trace_information_is_ignored(self) -> None:
        for data in (None, b"", b"alice", b"\xff\0"):
            exchange = AnonymousExchange()
            success = await exchange.step(data)
            self.assertIsNone(success.data)
            self.assertEqual(uuid.UUID(success.identity).version, 4)
            self.assertEqual(exchange.local, success.identity)
