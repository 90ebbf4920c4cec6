"""The server that is ready to be measured."""

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import serve


def interrupted(main: Any) -> None:
    """What `task.react` does on control-C."""
    raise SystemExit(0)


def finished(main: Any) -> None:
    main(None)
    raise SystemExit(0)


async def make_nothing(*arguments: object) -> None:
    """Instead of a database."""


class PrepareTests(SynchronousTestCase):
    def test_what_was_interrupted_is_made_anew(self) -> None:
        """A folder that is there is used as it is, so there is none before it is whole."""
        root = Path(self.mktemp()).absolute() / "playground"

        self.patch(serve.task, "react", interrupted)
        self.assertRaises(SystemExit, serve.prepare, root, 0, 1, {})
        self.assertFalse(root.exists())
        self.patch(serve, "make", make_nothing)
        self.patch(serve.task, "react", finished)
        serve.prepare(root, 0, 1, {})
        self.assertEqual({path.name for path in root.iterdir()}, {"data", "xmppd.toml"})
