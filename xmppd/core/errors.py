"""The two ways in which a peer is told that something is wrong: stanza errors and stream errors.

Both are plain data; what they look like on the wire is decided where stanzas and streams are written.
"""

from typing import Final

STANZA_CONDITIONS: Final[dict[str, str]] = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}
"""Conditions of RFC 6120 section 8.3.3, each with the error type that the RFC recommends."""

STANZA_ERROR_TYPES: Final = frozenset({"auth", "cancel", "continue", "modify", "wait"})
"""Error types of RFC 6120 section 8.3.2."""

STREAM_CONDITIONS: Final = frozenset(
    {
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    }
)
"""Conditions of RFC 6120 section 4.9.3."""


class StanzaError(Exception):
    """A stanza cannot be handled; its sender gets an error stanza (RFC 6120 section 8.3).

    :param condition: a name in :data:`STANZA_CONDITIONS`.
    :param text: a sentence for people, in English; it goes to the peer.
    :param type: one of :data:`STANZA_ERROR_TYPES`; by default the one that goes with the condition.
    :param app: (namespace, name) of an application-specific condition (RFC 6120 section 8.3.4).
    :raises ValueError: for a condition or type that no RFC knows, which is a fault of the program.
    """

    def __init__(
        self,
        condition: str,
        text: str = "",
        *,
        type: str | None = None,
        app: tuple[str, str] | None = None,
    ) -> None:
        if condition not in STANZA_CONDITIONS:
            raise ValueError(f"unknown stanza error condition {condition!r}")
        if type is not None and type not in STANZA_ERROR_TYPES:
            raise ValueError(f"unknown stanza error type {type!r}")
        super().__init__(condition, text)
        self.condition = condition
        self.text = text
        self.type = type if type is not None else STANZA_CONDITIONS[condition]
        self.app = app

    def __str__(self) -> str:
        return _describe(self.condition, self.text)


class StreamError(Exception):
    """A stream cannot go on; the peer gets a stream error and the stream ends (RFC 6120 section 4.9).

    :param condition: a name in :data:`STREAM_CONDITIONS`.
    :param text: a sentence for people, in English; it goes to the peer.
    :param app: an application-specific condition (RFC 6120 section 4.9.4), as the bytes of one element.
    :raises ValueError: for a condition that no RFC knows, which is a fault of the program.
    """

    def __init__(self, condition: str, text: str = "", *, app: bytes | None = None) -> None:
        if condition not in STREAM_CONDITIONS:
            raise ValueError(f"unknown stream error condition {condition!r}")
        super().__init__(condition, text)
        self.condition = condition
        self.text = text
        self.app = app

    def __str__(self) -> str:
        return _describe(self.condition, self.text)


def _describe(condition: str, text: str) -> str:
    return f"{condition}: {text}" if text else condition
