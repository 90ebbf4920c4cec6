"""Every way of installing the package gives the same working programs.

Each installation has a virtual environment of its own. What xmppd depends on is not installed again but
linked from the environment that runs the tests, so that nothing is downloaded.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.check import check
from tests.support.server import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "setup.py", "twisted", "xmppd")
PIP = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
TWISTD = "#!{}\nfrom twisted.scripts.twistd import run\nrun()\n"


def environment(folder: Path) -> Path:
    """Make a virtual environment with everything but xmppd; returns its folder of programs."""
    builder = venv.EnvBuilder(symlinks=True)
    builder.create(folder)
    programs = folder / "bin"
    here = Path(sysconfig.get_path("purelib"))
    there = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    for entry in here.iterdir():
        if "xmppd" not in entry.name and entry.name != "twisted":
            (there / entry.name).symlink_to(entry)
    # Not linked: the plugin goes into it.
    without = shutil.ignore_patterns("test", "xmppd_plugin*", "dropin.cache", "__pycache__")
    shutil.copytree(here / "twisted", there / "twisted", ignore=without)
    (programs / "twistd").write_text(TWISTD.format(programs / "python"))
    (programs / "twistd").chmod(0o755)
    return programs


def pip(python: Path | str, command: str, *arguments: Path | str) -> None:
    """Run pip for the environment of ``python``."""
    line = [sys.executable, "-m", "pip", "--python", python, command, *PIP, *arguments]
    done = subprocess.run(
        line, cwd="/", env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        raise AssertionError(f"{line}:\n{done.stdout}{done.stderr}")


class InstallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.source = self.folder / "source"
        self.source.mkdir(parents=True)
        for name in SOURCES:
            origin = ROOT / name
            if origin.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
                shutil.copytree(origin, self.source / name, ignore=ignored)
            else:
                shutil.copy(origin, self.source / name)

    def wheel(self) -> Path:
        pip(sys.executable, "wheel", "--wheel-dir", self.folder, self.source)
        (wheel,) = self.folder.glob("xmppd-*.whl")
        return wheel

    def test_from_a_wheel(self) -> None:
        programs = environment(self.folder / "venv")
        pip(programs / "python", "install", self.wheel())
        check(programs)

    def test_from_the_source(self) -> None:
        programs = environment(self.folder / "venv")
        pip(programs / "python", "install", self.source)
        check(programs)

    def test_editable(self) -> None:
        programs = environment(self.folder / "venv")
        pip(programs / "python", "install", "--editable", self.source)
        check(programs)

    def test_wheel_has_every_file_of_the_source(self) -> None:
        files = {
            str(file.relative_to(self.source))
            for folder in ("xmppd", "twisted")
            for file in (self.source / folder).rglob("*")
            if file.is_file()
        }
        with zipfile.ZipFile(self.wheel()) as wheel:
            packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        self.assertEqual(packed, files)
        self.assertNotIn("twisted/plugins/__init__.py", packed)
