"""The mechanisms that there are, what each needs, and how an exchange begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from xmppd.auth.accounts import Directory
from xmppd.auth.anonymous import AnonymousExchange
from xmppd.auth.offer import Offer
from xmppd.auth.plain import PlainExchange
from xmppd.auth.sasl import Exchange, SaslFailure
from xmppd.auth.scram import ScramExchange, ScramServer


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One SASL mechanism.

    ``strength`` orders them, more is better. ``hash_name`` is the hash function of a SCRAM mechanism.
    ``needs_tls``: the password could be read otherwise, or there is nothing to bind to.
    """

    name: str
    strength: int
    hash_name: str | None = None
    needs_tls: bool = False
    needs_binding: bool = False


MECHANISMS: Final[dict[str, Mechanism]] = {
    mechanism.name: mechanism
    for mechanism in (
        Mechanism("SCRAM-SHA-512-PLUS", 80, "sha-512", needs_tls=True, needs_binding=True),
        Mechanism("SCRAM-SHA-256-PLUS", 70, "sha-256", needs_tls=True, needs_binding=True),
        Mechanism("SCRAM-SHA-1-PLUS", 60, "sha-1", needs_tls=True, needs_binding=True),
        Mechanism("SCRAM-SHA-512", 50, "sha-512"),
        Mechanism("SCRAM-SHA-256", 40, "sha-256"),
        Mechanism("SCRAM-SHA-1", 30, "sha-1"),
        Mechanism("PLAIN", 10, needs_tls=True),
        Mechanism("ANONYMOUS", 0),
    )
}
"""All mechanisms by name."""

PASSWORD_MECHANISMS: Final = tuple(name for name in MECHANISMS if name != "ANONYMOUS")
"""What a domain with accounts has by default: ANONYMOUS is for domains that are configured for guests."""


def make_offer(
    *,
    tls: bool,
    bindings: Mapping[str, bytes] | None = None,
    enabled: Iterable[str] = PASSWORD_MECHANISMS,
) -> Offer:
    """Decide what a stream can offer, strongest first.

    Channel-binding types are offered only along with a mechanism that uses them (XEP-0440 section 3).

    :param bindings: the channel-binding data of the connection (see :mod:`xmppd.auth.channel_binding`).
    :param enabled: names of the mechanisms that the configuration allows; unknown ones are left out.
    """
    bindings = bindings or {}
    chosen = [MECHANISMS[name] for name in set(enabled) if name in MECHANISMS]
    usable = [
        mechanism
        for mechanism in chosen
        if (tls or not mechanism.needs_tls) and (bindings or not mechanism.needs_binding)
    ]
    usable.sort(key=lambda mechanism: -mechanism.strength)
    binds = any(mechanism.needs_binding for mechanism in usable)
    return Offer(tuple(mechanism.name for mechanism in usable), bindings if binds else {}, tls)


def _admit_all(local: str) -> None:
    """Let everyone try."""


def start(
    name: str, offer: Offer, directory: Directory, admit: Callable[[str], None] = _admit_all
) -> Exchange:
    """Begin an exchange with a mechanism that the peer chose.

    :param offer: what this stream advertised, unchanged.
    :param admit: called with the local part of the account as soon as it is known and before anything is
        looked up; refuses by raising SaslFailure (see :mod:`xmppd.auth.throttle`).
    :raises SaslFailure: ``encryption-required`` or ``invalid-mechanism`` if it was not offered.
    """
    mechanism = MECHANISMS.get(name)
    if mechanism is None or name not in offer.mechanisms:
        needs_tls = mechanism is not None and mechanism.needs_tls and not offer.tls
        if needs_tls:
            raise SaslFailure("encryption-required", "Use TLS first")
        raise SaslFailure("invalid-mechanism", "It was not offered")
    if mechanism.hash_name is not None:
        return _start_scram(mechanism.hash_name, mechanism.needs_binding, offer, directory, admit)
    return PlainExchange(directory, admit) if name == "PLAIN" else AnonymousExchange()


def _start_scram(
    hash_name: str, plus: bool, offer: Offer, directory: Directory, admit: Callable[[str], None]
) -> ScramExchange:
    server = ScramServer(hash_name, plus=plus, domain=directory.domain, secret=directory.secret, offer=offer)
    return ScramExchange(server, hash_name, directory, admit)
