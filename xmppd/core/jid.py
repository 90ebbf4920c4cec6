"""Addresses of XMPP entities: parsing, normalisation and comparison (RFC 7622)."""

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache, total_ordering
from typing import Final, NoReturn

import idna

from xmppd.core.precis import MAX_BYTES, check_input, check_size, enforce_opaque, enforce_username

_CACHED_JIDS: Final = 16_384
_CACHED_LENGTH: Final = 256
"""Longer texts are parsed each time, so that a stranger cannot fill the cache with large ones."""

_EXCLUDED_IN_LOCAL: Final = re.compile("[\"&'/:<>@]")
# What the profiles leave as it is. Everything else takes the slow way through PRECIS and IDNA.
_PLAIN_LOCAL: Final = re.compile(r"[!#-%(-.0-9;=?\[-~]{1,1023}")
_PLAIN_RESOURCE: Final = re.compile("[ -~]{1,1023}")
_PLAIN_LABEL: Final = "(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN_DOMAIN: Final = re.compile(rf"{_PLAIN_LABEL}(?:\.{_PLAIN_LABEL})*")

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;"})


class InvalidJID(ValueError):
    """A text that is no JID by RFC 7622; the message says which part is wrong and never quotes it."""


@total_ordering
class JID:
    """A valid, normalised JID. Immutable; equal and ordered by its text.

    Instances come from :meth:`parse`, :meth:`make` and :meth:`known`, never from the constructor.

    ``local``, ``domain`` and ``resource`` are the normalised parts, '' where there is none; ``text`` is
    the whole; ``bare`` is the JID without its resource (itself when it has none); ``xml`` is the text
    escaped for an attribute value in single quotes.
    """

    __slots__ = ("bare", "domain", "local", "resource", "text", "xml")

    local: str
    domain: str
    resource: str
    text: str
    bare: "JID"
    xml: str

    def __init__(self, local: str, domain: str, resource: str, bare: "JID | None") -> None:
        put = object.__setattr__
        text = _join(local, domain, resource)
        put(self, "local", local)
        put(self, "domain", domain)
        put(self, "resource", resource)
        put(self, "text", text)
        put(self, "bare", self if bare is None else bare)
        put(self, "xml", text.translate(_ESCAPES))

    @staticmethod
    def parse(text: str) -> "JID":
        """Give the JID that a text stands for.

        :param text: a JID in any form that RFC 7622 allows, normalised or not.
        :raises InvalidJID: if it is none.
        """
        return _parse_cached(text) if len(text) <= _CACHED_LENGTH else _parse(text)

    @staticmethod
    def known(text: str) -> "JID":
        """Give the JID whose text this is: one that was kept of a JID. Nothing is checked or normalised.

        Some take milliseconds to parse, and lists of them seconds.
        """
        rest, slash, resource = text.partition("/")
        head, at, tail = rest.partition("@")
        bare = JID(head, tail, "", None) if at else JID("", head, "", None)
        return JID(bare.local, bare.domain, resource, bare) if slash else bare

    @staticmethod
    def make(local: str, domain: str, resource: str = "") -> "JID":
        """Build a JID of its parts, each normalised; an empty local part or resource is none.

        :raises InvalidJID: if a part is not allowed where it stands.
        """
        return JID.parse(
            _join(
                prepare_local(local) if local else "",
                prepare_domain(domain),
                prepare_resource(resource) if resource else "",
            )
        )

    @property
    def is_bare(self) -> bool:
        """Whether there is no resource."""
        return self.bare is self

    def with_resource(self, resource: str) -> "JID":
        """Give the same account's or domain's JID with another resource ('' for none).

        :raises InvalidJID: if the resource is not allowed.
        """
        return JID.parse(f"{self.bare.text}/{resource}") if resource else self.bare

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self.text == other.text if isinstance(other, JID) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.text < other.text if isinstance(other, JID) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"JID({self.text!r})"

    def __reduce__(self) -> "tuple[Callable[[str], JID], tuple[str]]":
        return JID.parse, (self.text,)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a JID cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a JID cannot be changed")


def prepare_local(local: str) -> str:
    """Normalise a local part (RFC 7622 section 3.3: UsernameCaseMapped without eight characters).

    :raises InvalidJID: if it is empty, too long or not allowed.
    """
    if _PLAIN_LOCAL.fullmatch(local):
        return local
    prepared = _prepare(enforce_username, local, "local part")
    # After the profile, not before: it maps full-width forms of these characters to them.
    if _EXCLUDED_IN_LOCAL.search(prepared):
        raise InvalidJID("local part has a character that is not allowed")
    return prepared


def prepare_resource(resource: str) -> str:
    """Normalise a resource (RFC 7622 section 3.4: OpaqueString).

    :raises InvalidJID: if it is empty, too long or not allowed.
    """
    if _PLAIN_RESOURCE.fullmatch(resource):
        return resource
    return _prepare(enforce_opaque, resource, "resource")


def prepare_domain(domain: str) -> str:
    """Normalise a domain (RFC 7622 section 3.2): a name of LDH labels and U-labels, or an IP address.

    A-labels become U-labels, one trailing dot goes, an IPv6 address stands in brackets.

    :raises InvalidJID: if it is empty, too long or not allowed.
    """
    if len(domain) <= MAX_BYTES and _PLAIN_DOMAIN.fullmatch(domain):
        return domain
    return _prepare(_enforce_domain, domain, "domain")


def _prepare(enforce: Callable[[str], str], text: str, part: str) -> str:
    try:
        return enforce(text)
    except ValueError as error:
        raise InvalidJID(f"{part} {error}") from None


def _enforce_domain(domain: str) -> str:
    check_input(domain)
    if domain.startswith("["):
        return _enforce_ipv6(domain)
    enforced = ".".join(map(_enforce_label, _map_domain(domain).removesuffix(".").split(".")))
    check_size(enforced)
    # Labels that are allowed stay as they are (IDNA), if nothing is mapped any more.
    if _map_domain(enforced) != enforced:
        raise ValueError("has no stable normal form")
    return enforced


def _map_domain(domain: str) -> str:
    return unicodedata.normalize("NFC", _map_width(domain).lower())


def _enforce_ipv6(domain: str) -> str:
    try:
        if domain.endswith("]") and "%" not in domain:
            return f"[{ipaddress.IPv6Address(domain[1:-1]).compressed}]"
    except ipaddress.AddressValueError:
        pass
    raise ValueError("is not an IPv6 address in brackets")


def _map_width(text: str) -> str:
    """Map full-width and half-width characters to their ordinary forms (RFC 7622 section 3.2.2)."""
    if text.isascii():
        return text
    return "".join(
        unicodedata.normalize("NFKC", char) if unicodedata.east_asian_width(char) in "FH" else char
        for char in text
    )


def _enforce_label(label: str) -> str:
    """Check one label of a domain, in lower case, and give it as LDH or U-label (RFC 5890)."""
    if _PLAIN_DOMAIN.fullmatch(label):
        return label
    if not label or len(label) > 63:  # before idna looks at every character
        raise ValueError("has an empty label, or one longer than 63 bytes")
    if label.isascii() and not label.startswith("xn--"):
        raise ValueError("has a label with other characters than letters, digits and hyphens")
    # Each of these looks at every character, which takes longer than all else: one of them is enough.
    try:
        if label.isascii():
            return idna.ulabel(label)
        idna.alabel(label)  # with the length of the A-label, which counts
    except UnicodeError:
        raise ValueError("has a label that is not allowed") from None
    return label


def _join(local: str, domain: str, resource: str) -> str:
    bare = f"{local}@{domain}" if local else domain
    return f"{bare}/{resource}" if resource else bare


def _parse(text: str) -> JID:
    """Split and normalise a JID (RFC 7622 section 3.1: the first slash ends the bare JID)."""
    rest, slash, resource = text.partition("/")
    if slash:
        bare = JID.parse(rest)
        return JID(bare.local, bare.domain, prepare_resource(resource), bare)
    head, at, tail = rest.partition("@")
    if at:
        return JID(prepare_local(head), prepare_domain(tail), "", None)
    return JID("", prepare_domain(head), "", None)


_parse_cached = lru_cache(maxsize=_CACHED_JIDS)(_parse)
