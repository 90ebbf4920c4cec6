"""A real client, and a real server on PostgreSQL: archive, resumption, restarts and kills."""

from __future__ import annotations

from functools import cache

from tests import postgres
from tests.interop.case import ClientTests, InteropCase
from tests.interop.test_restart import RestartTests
from tests.support.server import Server


@cache
def server_on_postgresql() -> Server:
    """One for all tests of this process."""
    return Server(database=postgres.server().make_url()).start()


class SlixmppOnPostgreSQLTests(RestartTests, InteropCase):
    library = partner = "slixmpp"

    def setUp(self) -> None:
        self.server = server_on_postgresql()

    test_pages_through_its_history_both_ways = ClientTests.test_pages_through_its_history_both_ways

    def test_the_data_is_there(self) -> None:
        """And in no file beside it."""
        self.account()
        self.assertEqual(list(self.server.root.rglob("*.sqlite*")), [])
