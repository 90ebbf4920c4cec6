"""The list of what is implemented, made from the modules and stream features: ``python -m xmppd.xeps``."""

from __future__ import annotations

from collections.abc import Iterator

from xmppd.core.module import Xep
from xmppd.modules import all_modules
from xmppd.stream.listener import FEATURES

__all__ = ["page"]

_HEAD = """\
# What xmppd implements

Made by `make docs` from what the modules and stream features declare.  Modules can be left out for a domain
with `without`, see [operations](operations.md).

| specification | version | name | where |
|---|---|---|---|
"""


def _declared() -> Iterator[tuple[Xep, str]]:
    for feature in FEATURES:
        for xep in feature.xeps:
            yield xep, "streams"
    for module in all_modules():
        for xep in module.xeps:
            yield xep, f"module `{module.name}`"


def _row(xep: Xep, where: str) -> str:
    if xep.number.startswith("RFC"):
        shown = f"[{xep.number}](https://www.rfc-editor.org/rfc/rfc{xep.number.split()[-1]})"
    else:
        shown = f"[XEP-{xep.number}](https://xmpp.org/extensions/xep-{xep.number}.html)"
    return f"| {shown} | {xep.version} | {xep.name} | {where} |\n"


def page() -> str:
    """The page, in Markdown."""
    found: dict[str, tuple[Xep, list[str]]] = {}
    for xep, where in _declared():
        found.setdefault(xep.number, (xep, []))[1].append(where)
    return _HEAD + "".join(
        _row(xep, ", ".join(sorted(set(where)))) for _, (xep, where) in sorted(found.items())
    )


if __name__ == "__main__":
    print(page(), end="")
