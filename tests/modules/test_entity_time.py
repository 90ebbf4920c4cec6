"""Entity time."""

import os
import time

from twisted.trial.unittest import TestCase

from tests.modules.fakes import World
from xmppd.modules.entity_time import EntityTime, zone


class EntityTimeTests(TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.world.load(EntityTime)

    def set_zone(self, name: str) -> None:
        """Put the process into a time zone (POSIX: the sign is that of the way to UTC)."""
        before = os.environ.get("TZ")

        def put(value: str | None) -> None:
            os.environ.pop("TZ", None) if value is None else os.environ.update(TZ=value)
            time.tzset()

        put(name)
        self.addCleanup(put, before)

    async def ask(self) -> str:
        return await self.world.ask(
            "<iq from='romeo@example.net/o' to='example.org' type='get' id='1'>"
            "<time xmlns='urn:xmpp:time'/></iq>"
        )

    async def test_time_and_zone(self) -> None:
        self.set_zone("XXX-5:30")
        self.world.clock.advance(3661.9)
        self.assertEqual(
            await self.ask(),
            "<iq from='example.org' to='romeo@example.net/o' type='result' id='1'>"
            "<time xmlns='urn:xmpp:time'><tzo>+05:30</tzo><utc>2026-01-01T01:01:01Z</utc></time></iq>",
        )

    async def test_in_utc(self) -> None:
        self.set_zone("UTC")
        self.assertIn("<tzo>+00:00</tzo><utc>2026-01-01T00:00:00Z</utc>", await self.ask())

    def test_zones(self) -> None:
        zones = {0: "+00:00", 3600: "+01:00", -3600: "-01:00", -12600: "-03:30", 45900: "+12:45"}
        self.assertEqual({offset: zone(offset) for offset in zones}, zones)
