"""`xmppctl migrate`: everything from one database to another, while the server is stopped."""

from collections.abc import Mapping
from dataclasses import dataclass

from xmppd.admin.commands import Report
from xmppd.admin.wire import CommandError
from xmppd.storage.errors import StorageError
from xmppd.storage.transfer import transfer


@dataclass(frozen=True)
class Moved:
    """What was moved.

    :ivar rows: by table.
    """

    rows: Mapping[str, int]


def migrate(source: str, target: str, report: Report) -> Moved:
    """Copy everything, and count it in the end.

    :param source: URL of the database as in the configuration (a path is relative to the current folder), and
    :param target: of an empty one.
    :raises CommandError: if nothing was moved.
    """
    try:
        return Moved(transfer(source, target, report))
    except ValueError as error:
        raise CommandError("usage", f"No such kind of database: {error}") from None
    except StorageError as error:
        raise CommandError("not-moved", f"Nothing was moved: {error}.") from None
