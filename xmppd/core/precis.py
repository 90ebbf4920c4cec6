"""Normal forms of internationalised text (PRECIS, RFC 8264 and RFC 8265), at a bounded cost.

The rules are those of ``precis_i18n``; here they are ordered so that length comes before what is expensive.
Errors are ValueErrors whose text goes on after "the password" or "local part" and quotes nothing.
"""

import re
from typing import Any, Final

from precis_i18n import get_profile

MAX_BYTES: Final = 1023
"""The longest normal form in bytes of UTF-8 (RFC 7622 sections 3.2 to 3.4)."""

# Composition makes one character of three bytes out of four at best: whatever is longer is refused unread.
MAX_INPUT: Final = 2 * MAX_BYTES

# Rules for these three kinds of characters look through the whole text each time that one comes up.
_RULE_OF_WHOLE_TEXT: Final = re.compile("([\u0660-\u0669])|([\u06f0-\u06f9])|(\u30fb)")

_username: Final = get_profile("UsernameCaseMapped")
_opaque: Final = get_profile("OpaqueString")


def enforce_username(text: str) -> str:
    """Normalise a name by UsernameCaseMapped (RFC 8265 section 3.3).

    :raises ValueError: if it is empty, too long or not allowed.
    """
    return _enforce(_username, text)


def enforce_opaque(text: str) -> str:
    """Normalise a text by OpaqueString (RFC 8265 section 4.2).

    :raises ValueError: if it is empty, too long or not allowed.
    """
    return _enforce(_opaque, text)


def check_input(text: str) -> None:
    """Refuse a text that cannot have a normal form of at most :data:`MAX_BYTES`.

    :raises ValueError: if it is that long.
    """
    if len(text) > MAX_INPUT:
        raise ValueError(f"is longer than {MAX_BYTES} bytes")


def check_size(text: str) -> None:
    """Refuse a normal form that is too long or that UTF-8 has no bytes for.

    :raises ValueError: if it is.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("has a character that is not allowed") from None
    if size > MAX_BYTES:
        raise ValueError(f"is longer than {MAX_BYTES} bytes")


def _enforce(profile: Any, text: str) -> str:
    """Apply a profile as RFC 8264 section 7 orders it, mappings first; the result must be stable."""
    check_input(text)
    mapped = _map(profile, text)
    check_size(mapped)
    if not mapped:
        raise ValueError("is empty")
    if mapped != text and _map(profile, mapped) != mapped:
        raise ValueError("has no stable normal form")
    try:
        profile.base.enforce(_without_repetitions(mapped))
    except UnicodeEncodeError:
        raise ValueError("has a character that is not allowed") from None
    return mapped


def _map(profile: Any, text: str) -> str:
    try:
        return str(profile.apply_five_rules(text))
    except UnicodeEncodeError:
        raise ValueError("mixes directions of writing") from None


def _without_repetitions(text: str) -> str:
    """Put a digit for all but the first character of each kind whose rule looks at the whole text.

    The verdict stays the same: such a rule says the same each time, and to the rules of their neighbours
    these characters are what a digit is, of no script and not joining.
    """
    seen: set[int | None] = set()

    def replace(match: re.Match[str]) -> str:
        if match.lastindex in seen:
            return "0"
        seen.add(match.lastindex)
        return match.group()

    return text if text.isascii() else _RULE_OF_WHOLE_TEXT.sub(replace, text)
