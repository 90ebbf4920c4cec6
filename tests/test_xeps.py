"""The list of specifications is what the program declares."""

from pathlib import Path

from twisted.trial.unittest import TestCase

from xmppd.modules import all_modules
from xmppd.xeps import page

ROOT = Path(__file__).resolve().parent.parent


class XepsTests(TestCase):
    """docs/xeps.md."""

    def test_page_is_up_to_date(self) -> None:
        """`make docs` has been run."""
        self.assertEqual((ROOT / "docs" / "xeps.md").read_text(), page())

    def test_every_module_says_what_it_is_for(self) -> None:
        """Each module names a specification, or is part of one that another module names."""
        for module in all_modules():
            self.assertTrue(module.__doc__, module.name)
