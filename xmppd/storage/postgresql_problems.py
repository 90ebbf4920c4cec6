"""What is wrong with a PostgreSQL, in one line that says what to do. No value of a row is in it."""

import re
from typing import Final

import psycopg

FAULT_CLASSES: Final = frozenset({"08", "25", "40", "53", "55", "57", "58", "F0", "XX"})
"""Classes of SQLSTATE (PostgreSQL, appendix A) that are no fault of a statement: connection, read-only
server, deadlock, resources, locks, intervention of the operator, system, configuration, damage."""

DISK_FULL: Final = "53100"

NAMES_ONLY: Final = frozenset({"42501", "3F000"})
"""Mistakes whose message names nothing but what the operator made: missing rights, a missing schema."""

NOT_THERE_YET: Final = re.compile(
    "Connection refused|No such file or directory|No route to host|Network is unreachable|timeout expired"
    "|failed to resolve|starting up|shutting down|in recovery mode"
)
"""What the driver says, and the server, where waiting may help."""

REMEDIES: Final = (
    (
        r'database "[^"]*" does not exist',
        "createdb --owner=USER --encoding=UTF8 --template=template0 makes it",
    ),
    (r'role "[^"]*" does not exist', "createuser makes it"),
    ("no pg_hba.conf entry", "the server of PostgreSQL has to let it in there"),
    (
        "[Pp]eer authentication failed",
        "by a socket only the system's user of that name is let in; with a host it asks for a password",
    ),
    (
        "password",
        "it belongs into ~/.pgpass of the user that runs this: HOST:PORT:DATABASE:USER:PASSWORD, in a file"
        " that nobody else may read",
    ),
    ("permission denied", "the database has to belong to the user: ALTER DATABASE ... OWNER TO ..."),
    ("No space left", "the disk of PostgreSQL is full"),
)
"""What is to be done about a message that has one of these words."""


def is_fault(error: psycopg.Error) -> bool:
    """By the class of SQLSTATE; errors of the driver itself by their kind."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in FAULT_CLASSES


def is_not_there_yet(error: psycopg.Error) -> bool:
    """Whether there is no connection because the server is not up, or cannot be reached."""
    return error.sqlstate is None and is_fault(error) and NOT_THERE_YET.search(_first_line(error)) is not None


def describe(error: psycopg.Error) -> str:
    """What happened, and the remedy where one is known.

    PostgreSQL's details, and some of its messages, quote what was to be stored: of these only names are
    taken.
    """
    if is_fault(error):
        return _with_remedy(_first_line(error))
    diagnosis = error.diag
    if error.sqlstate in NAMES_ONLY and diagnosis.message_primary:
        return _with_remedy(diagnosis.message_primary)
    names = (diagnosis.table_name, diagnosis.column_name, diagnosis.constraint_name)
    words = (type(error).__name__, error.sqlstate, *names)
    return " ".join(word for word in words if word)


def _first_line(error: psycopg.Error) -> str:
    """Further lines have questions and guesses; the driver's first words say nothing."""
    line = str(error).strip().partition("\n")[0]
    return re.sub("^connection (failed|is bad): ", "", line)


def _with_remedy(text: str) -> str:
    remedy = next((remedy for words, remedy in REMEDIES if re.search(words, text)), None)
    return text if remedy is None else f"{text} ({remedy})"
