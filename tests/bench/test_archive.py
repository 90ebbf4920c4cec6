"""The figures of an archive: everything is asked for, and what comes is what is there."""

from __future__ import annotations

import io
import re
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import archive
from tests.postgres import server


class ArchiveBenchTests(SynchronousTestCase):
    def measure(self, url: str) -> list[str]:
        self.patch(archive, "TIMES", 2)
        self.patch(archive, "SEARCHES", 2)
        self.patch(archive, "CHUNK", 100)
        said = io.StringIO()
        with redirect_stdout(said):
            archive.measure(url, 600, 550)
        return said.getvalue().splitlines()

    def check(self, lines: list[str]) -> None:
        found = dict(
            re.fullmatch(r"(page of \d+: .*?)  +.*a page of (\d+)", line).groups()  # type: ignore[union-attr]
            for line in lines
            if line.startswith("page of ")
        )
        self.assertEqual(len(found), len(archive.PAGES) * len(archive.kinds(50)))
        for size in archive.PAGES:
            for kind in ("first page", "last page", "page from the middle"):
                self.assertEqual(found[f"page of {size}: {kind}"], str(size))
            self.assertEqual(found[f"page of {size}: search for what nobody said"], "0")
            self.assertGreater(int(found[f"page of {size}: search for a frequent word"]), 20)
        self.assertRegex(lines[-1], r"^sync of 600: ")

    def test_on_sqlite(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.check(self.measure(f"sqlite:{Path(folder) / 'bench'}"))

    def test_on_postgresql(self) -> None:
        self.check(self.measure(server().make_url()))
