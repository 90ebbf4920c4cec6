"""The whole server on PostgreSQL: what clients see of storing, reading, searching and restarting."""

from __future__ import annotations

from tests.dialogues import test_stream_management
from tests.dialogues.case import ServerCase
from tests.modules import test_archive, test_offline, test_search
from tests.postgres import server
from xmppd.storage.postgresql import PostgreSQL


class OnPostgreSQL(ServerCase):
    """In front of a case: its servers have databases there."""

    def start(self, *settings: str, database: str | None = None, elapsed: float = 0.0) -> None:
        super().start(*settings, database=database or server().make_url(), elapsed=elapsed)
        self.assertIsInstance(self.world.database.dialect, PostgreSQL)


class FilterTests(OnPostgreSQL, test_archive.FilterTests):
    """XEP-0313: what a query means."""


class PageTests(OnPostgreSQL, test_archive.PageTests):
    """XEP-0059 in the archive."""


class SearchTests(OnPostgreSQL, test_search.QueryTests):
    """XEP-0431, indexed and not."""


class ReplayTests(OnPostgreSQL, test_offline.ReplayTests):
    """XEP-0160."""


class KeepingTests(OnPostgreSQL, test_offline.KeepingTests):
    """What waits outlives a restart."""


class ResumptionTests(OnPostgreSQL, test_stream_management.ResumptionTests):
    """XEP-0198, restarts of the server included."""
