"""What people read who start the server."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from xmppd import console


class CommandTests(SynchronousTestCase):
    """How xmppctl is called from where the server was started."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="xmppd-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.program = self.folder / "venv" / "bin" / "xmppctl"
        self.program.parent.mkdir(parents=True)
        self.program.touch(0o755)
        self.addCleanup(os.chdir, Path.cwd())
        self.patch(sys, "executable", str(self.program.with_name("python")))
        self.patch(os, "environ", {"PATH": str(self.folder)})

    def test_by_its_name(self) -> None:
        """Only where the shell would find this one."""
        (self.folder / "xmppctl").symlink_to(self.program)
        self.assertEqual(console.xmppctl(), "xmppctl")
        (self.folder / "xmppctl").unlink()
        (self.folder / "xmppctl").touch(0o755)
        self.assertNotEqual(console.xmppctl(), "xmppctl")

    def test_by_its_path(self) -> None:
        """From above it is near, from elsewhere the whole path is easier to read."""
        os.chdir(self.folder)
        self.assertEqual(console.xmppctl(), "venv/bin/xmppctl")
        os.chdir(self.program.parent)
        self.assertEqual(console.xmppctl(), "./xmppctl")
        os.chdir("/usr")
        self.assertEqual(console.xmppctl(), str(self.program))
