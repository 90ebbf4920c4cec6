from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench.diagram import LEFT, PLOT, Line, Panel, ceiling, draw, number

SVG = "{http://www.w3.org/2000/svg}"


class DiagramTests(SynchronousTestCase):
    def test_axes_end_at_round_numbers(self) -> None:
        self.assertEqual([ceiling(value) for value in (0, 0.3, 1, 3, 62)], [1, 0.5, 1, 5, 100])
        self.assertEqual([number(value) for value in (1.0, 0.25, 62.5)], ["1", "0.25", "62.5"])

    def test_a_linear_axis(self) -> None:
        panel = Panel("", [], [(0, "0"), (10, "10")])
        self.assertEqual([panel.place(x) for x in (0, 5, 10)], [LEFT, LEFT + PLOT / 2, LEFT + PLOT])

    def test_a_logarithmic_axis(self) -> None:
        panel = Panel("", [], [(10, "10"), (1000, "1,000")], logarithmic=True)
        self.assertEqual([panel.place(x) for x in (10, 100, 1000)], [LEFT, LEFT + PLOT / 2, LEFT + PLOT])

    def test_points_become_lines_and_dots(self) -> None:
        lines = [Line("a", [(0, 1), (10, 2)]), Line("b", [(0, 0), (5, 1), (10, 2)])]
        panel = Panel("cost", lines, [(0, "0"), (10, "10")], marks=[5], dots=True)
        drawing = ElementTree.fromstring(draw("What it costs", [panel, panel]))
        drawn = [line.attrib["points"].split() for line in drawing.iter(f"{SVG}polyline")]
        self.assertEqual([len(points) for points in drawn], [2, 3, 2, 3])
        self.assertEqual(len(list(drawing.iter(f"{SVG}circle"))), 10)
        self.assertEqual(
            [line.get("x1") for line in drawing.iter(f"{SVG}line") if line.get("class") == "mark"],
            ["400.0"] * 2,
        )
        texts = [text.text for text in drawing.iter(f"{SVG}text")]
        self.assertIn("What it costs", texts)
        self.assertEqual(texts.count("cost"), 2)
