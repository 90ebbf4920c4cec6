"""What xmppd uses of wokkel, as codecs.  The only file that imports it.

wokkel 18.0.0 is the last release, and two names that it imports are gone from Twisted: the flag
``twisted.python.compat._PY3`` and the module ``twisted.python.constants``, now the package ``constantly``.
They are put back, where they are missing, before anything of wokkel is imported.

Its classes take and give domish trees.  Trees are written by `xmppd.xml.tree.write` only.
"""

from __future__ import annotations

import importlib
import sys

import constantly
from twisted.python import compat

__all__ = [
    "Delay",
    "DiscoFeature",
    "DiscoIdentity",
    "DiscoInfo",
    "DiscoItem",
    "DiscoItems",
    "Field",
    "Form",
    "FormError",
    "Option",
]


def _put_back_names() -> None:
    if not hasattr(compat, "_PY3"):
        compat._PY3 = True  # type: ignore[attr-defined]
    try:
        importlib.import_module("twisted.python.constants")
    except ImportError:
        sys.modules["twisted.python.constants"] = constantly


_put_back_names()
_data_form = importlib.import_module("wokkel.data_form")
_delay = importlib.import_module("wokkel.delay")
_disco = importlib.import_module("wokkel.disco")

#: XEP-0004.
Form = _data_form.Form
Field = _data_form.Field
Option = _data_form.Option
FormError = _data_form.Error

#: XEP-0030.
DiscoInfo = _disco.DiscoInfo
DiscoIdentity = _disco.DiscoIdentity
DiscoFeature = _disco.DiscoFeature
DiscoItems = _disco.DiscoItems
DiscoItem = _disco.DiscoItem

#: XEP-0203.
Delay = _delay.Delay
