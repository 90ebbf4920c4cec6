"""How often each limit was hit.  One registry for the process, as with loggers: who enforces a limit counts.

Every error that a limit causes ends with the limit's name in parentheses.  So what is counted is what the
peer was told, and nobody has to carry the name beside the text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final

from xmppd.core.limits import Limits

__all__ = ["Counters", "hits", "limit_named"]

_name_at_end = re.compile(r"\(([a-z_]+(?:\.[a-z_]+)?)\)$").search
#: Those under ``[limits]``, and options of modules.
_NAMES: Final = {field.name for field in dataclasses.fields(Limits)}


def limit_named(text: str) -> str | None:
    """The limit that a text names in parentheses at its end, if it names one."""
    found = _name_at_end(text) if text.endswith(")") else None
    return found[1] if found is not None and found[1] in _NAMES else None


class Counters:
    """Counts by the name of a limit; there can be no others, so it is bounded."""

    def __init__(self) -> None:
        self._hits = dict.fromkeys(sorted(_NAMES), 0)

    def declare(self, limit: str) -> None:
        """There is a limit of this name among the options of a module: ``MODULE.OPTION``."""
        _NAMES.add(limit)
        self._hits.setdefault(limit, 0)

    def hit(self, limit: str) -> None:
        """A limit of this name was hit.

        :raises KeyError: there is no such limit, which is a fault of the program.
        """
        self._hits[limit] += 1

    def told(self, text: str) -> None:
        """A peer was told this: count the limit that it names, if it names one."""
        limit = limit_named(text)
        if limit is not None:
            self._hits[limit] += 1

    def of(self, limit: str) -> int:
        """How often a limit was hit."""
        return self._hits[limit]

    def all(self) -> Mapping[str, int]:
        """Those limits that were hit, with how often."""
        return {name: hits for name, hits in self._hits.items() if hits}


hits: Final = Counters()
"""Those of this process."""
