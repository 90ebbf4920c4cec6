"""One XEP or section of an RFC a file, named by what it does."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from xmppd.core.module import Module

__all__ = ["all_modules"]


@cache
def all_modules() -> tuple[type[Module], ...]:
    """The class of every module, by the name of its file: the order in which they are loaded."""
    found = []
    for info in sorted(pkgutil.iter_modules(__path__, f"{__name__}."), key=lambda each: each.name):
        for _, each in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
            if issubclass(each, Module) and each.__module__ == info.name and hasattr(each, "name"):
                found.append(each)
    return tuple(found)
