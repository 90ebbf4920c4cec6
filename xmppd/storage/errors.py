"""What goes wrong in storage, without a word of what was to be stored.

The errors of the database drivers can quote a row (and so a message body) in their text. None of them leaves
this package: callers see these, whose texts are safe to log.
"""


class StorageError(Exception):
    """Base of all errors of this package."""


class RefusedError(StorageError):
    """The database refused this one statement or row; repeating it is of no use. Its neighbours are not
    harmed."""


class FaultError(StorageError):
    """The database cannot work at the moment: disk full, file gone, server unreachable. It may be tried
    again."""


class FullError(FaultError):
    """There is no room left on the disk."""


class UnreachableError(FaultError):
    """The server of the database is not up, or not yet."""


class InUseError(StorageError):
    """Another process has the database open: two would each keep their own truth in memory."""


class ClosedError(StorageError):
    """The database is closed, or was closed before this unit could be stored."""


class SchemaError(StorageError):
    """The database belongs to a newer version of the program, or is no database of this program at all."""
