"""The soak in its short form, and what draws its samples."""

import asyncio
import io
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from twisted.trial.unittest import TestCase

from tests.endurance import plot
from tests.endurance.client import Failed
from tests.endurance.process import cpu_seconds, descriptors, resident_kib
from tests.endurance.soak import CHOICES, COLUMNS, Latencies, Soak, Table, percentile

SVG = "{http://www.w3.org/2000/svg}"


class SoakTests(TestCase):
    def test_nothing_is_lost_and_descriptors_come_back(self) -> None:
        rows: list[dict[str, Any]] = []
        soak = Soak(users=4, seconds=20, interval=2, restart_every=None, report=rows.append)
        asyncio.run(soak.run())  # raises when a message is lost, doubled or out of order
        self.assertLessEqual(soak.after, soak.before)
        self.assertEqual(set(soak.done), set(CHOICES))
        self.assertTrue(rows)
        self.assertEqual([set(row) for row in rows], [set(COLUMNS)] * len(rows))
        self.assertTrue(all(row["rss_kib"] > 0 and row["descriptors"] > 0 for row in rows))

    def test_sees_what_is_missing_doubled_or_out_of_order(self) -> None:
        soak = Soak(users=2, seconds=0, interval=1, restart_every=None, report=lambda row: None)
        self.addCleanup(soak.server.stop)
        receives = soak.users["user1"].client.on_message

        def message(number: int) -> Element:
            text = f"<message xmlns='jabber:client'><body>user0 {number}</body></message>"
            return ElementTree.fromstring(text)

        receives(message(1))
        self.assertRaises(Failed, receives, message(1))
        soak.users["user1"].received["user0"] = 1
        receives(message(2))
        self.assertRaises(Failed, receives, message(4))


class MeasureTests(TestCase):
    def test_percentiles(self) -> None:
        self.assertIsNone(percentile([], 0.5))
        self.assertEqual(percentile([3.0, 1.0, 2.0], 0.5), 2.0)
        self.assertEqual(percentile([3.0, 1.0, 2.0], 0.99), 3.0)

    def test_messages_through_a_cut_do_not_count(self) -> None:
        latencies = Latencies()
        for sender, receiver in (("a", "b"), ("b", "a"), ("b", "c")):
            latencies.sent(sender, receiver, 1)
        latencies.leaves("a")
        latencies.sent("c", "a", 1)
        latencies.returns("a")
        latencies.came("c", "a", 1)
        latencies.came("a", "b", 1)
        latencies.came("b", "a", 1)
        self.assertIsNone(latencies.take()["chat_p50_ms"])
        latencies.came("b", "c", 1)
        self.assertIsNotNone(latencies.take()["chat_p50_ms"])

    def test_reads_proc(self) -> None:
        pid = os.getpid()
        self.assertGreater(resident_kib(pid), 1000)
        self.assertGreater(cpu_seconds(pid), 0)
        before = descriptors(pid)
        with open(os.devnull):
            self.assertEqual(descriptors(pid), before + 1)


class PlotTests(TestCase):
    def samples(self) -> Path:
        file = Path(self.mktemp())
        with file.open("w") as lines:
            table = Table(lines)
            for number in range(4):
                row: dict[str, Any] = dict.fromkeys(COLUMNS, number + 1)
                row["restarts"] = number // 2
                row["archive_p50_ms"] = None if number == 1 else 7
                table(row)
        return file

    def test_draws_every_panel_with_its_lines(self) -> None:
        drawing = ElementTree.fromstring(plot.draw(plot.read(self.samples())))
        titles = [text.text for text in drawing.iter(f"{SVG}text") if text.get("class") == "title"]
        self.assertEqual(titles, [figure.title for figure in plot.FIGURES])
        lines = [line.attrib["points"].split() for line in drawing.iter(f"{SVG}polyline")]
        self.assertEqual(len(lines), sum(len(figure.lines) for figure in plot.FIGURES))
        self.assertEqual(sorted({len(line) for line in lines}), [3, 4])  # one lacks a sample
        dashed = [line for line in drawing.iter(f"{SVG}line") if line.get("class") == "mark"]
        self.assertEqual(len(dashed), len(plot.FIGURES))

    def test_nothing_cannot_be_drawn(self) -> None:
        self.assertRaises(ValueError, plot.draw, [])

    def test_a_table_is_what_the_plot_reads(self) -> None:
        file = io.StringIO()
        Table(file)
        self.assertEqual(file.getvalue().strip(), ",".join(COLUMNS))
