"""Every limit of a server, with its default. Each is a key under ``[limits]`` of the configuration.

What has the type ``... | None`` can be switched off (None here; 0 or "none" in the file). Sizes and deadlines
cannot: without them a stranger decides how much memory is used and for how long.
"""

from dataclasses import dataclass
from typing import Annotated

from xmppd.core.kinds import Between, Bytes, Count, Period, Seconds
from xmppd.core.units import DAY, HOUR, KIB, MIB, MINUTE, YEAR

StanzaBytes = Annotated[Bytes, Between(10_000)]
"""RFC 6120 section 13.12 forbids a limit below 10,000 bytes."""

Positive = Annotated[Count, Between(1)]
Delay = Annotated[Seconds, Between(1)]
Buffer = Annotated[Bytes, Between(1024)]


@dataclass(frozen=True)
class Limits:
    """Limits. What says "none" can be switched off with 0 or "none"; sizes and deadlines cannot."""

    # Before authentication
    unauthenticated_stanza_bytes: Buffer = 8 * KIB
    """Largest stanza before authentication."""
    unauthenticated_elements: Positive = 32
    """Most elements in a stanza before authentication."""
    stream_header_bytes: Buffer = 10 * KIB
    """Largest stream header."""
    tls_handshake_timeout: Delay = 20.0
    """Longest time for a TLS handshake."""
    negotiation_timeout: Delay = MINUTE
    """Longest time from the connection to a bound resource."""
    unauthenticated: Count | None = 1024
    """Most connections without authentication, or "none"."""
    unauthenticated_per_address: Count | None = 32
    """Most connections without authentication from one address, or "none"."""
    auth_failures_per_stream: Positive = 5
    """Failed logins after which a stream is closed."""
    auth_failures_per_address: Count | None = 20
    """Failed logins from one address (IPv6: one /64) in auth_failures_period, or "none"."""
    auth_failures_per_account: Count | None = 20
    """Failed logins to one account in auth_failures_period, or "none"."""
    auth_failures_period: Delay = HOUR
    """The time over which failed logins are counted."""
    registration_timeout: Delay = 10 * MINUTE
    """Replaces negotiation_timeout once a registration has begun."""
    registrations_per_address: Count | None = 5
    """New accounts from one address in registrations_period, or "none"."""
    registrations_period: Delay = DAY
    """The time over which new accounts are counted."""

    # Streams
    stanza_bytes: StanzaBytes = 256 * KIB
    """Largest stanza; clients are told (XEP-0478)."""
    stanza_elements: Positive = 1000
    """Most elements in a stanza."""
    stanza_depth: Positive = 64
    """Deepest nesting of elements in a stanza."""
    stanza_attributes: Positive = 256
    """Most attributes in a stanza."""
    rate: Bytes | None = 20 * KIB
    """Bytes a second from a connection; reading pauses, nothing is dropped. Work counts too. Or "none"."""
    rate_burst: Buffer = 256 * KIB
    """Bytes that may come at once before the rate applies."""
    idle_timeout: Delay = 5 * MINUTE
    """Silence after which a client is asked for a sign of life."""
    answer_timeout: Delay = 30.0
    """Time that the client has to give it."""
    write_buffer_bytes: Buffer = MIB
    """Bytes waiting for a client that does not read; beyond it the connection ends."""
    write_timeout: Delay = MINUTE
    """Time without progress after which writing is given up."""
    close_timeout: Delay = 5.0
    """Time that a peer has to answer the end of the stream."""

    # Sessions
    connections_per_address: Count | None = 256
    """Most connections from one address, or "none"."""
    sessions_per_account: Count | None = 16
    """Most sessions of one account, or "none"."""

    # Stream management
    sm_queue: Positive = 500
    """Most unacknowledged stanzas kept for a session (XEP-0198)."""
    sm_queue_bytes: Buffer = 2 * MIB
    """Most bytes of them."""
    sm_resume_timeout: Seconds | None = 10 * MINUTE
    """How long a session can be resumed after its connection was cut, or "none"."""
    sm_detached_per_account: Count | None = 16
    """Most sessions of one account that wait for resumption, or "none"."""

    # Client state
    csi_queue: Positive = 256
    """Most stanzas held for an inactive client (XEP-0352)."""

    # Roster
    roster_items: Count | None = 1000
    """Most contacts in a roster, or "none"."""
    roster_name_bytes: Positive = 1023
    """Longest name of a contact or group, in bytes."""

    # Archive
    offline_messages: Count | None = 1000
    """Most messages of an account that wait for delivery without being in its history, or "none"."""
    max_archive_query_results: Positive = 50
    """Most results in one page of the archive (XEP-0313)."""
    archive_expires_after: Period | None = YEAR
    """How long messages are kept: "2w", "6m" (months of 31 days), "1y", or "never"."""
    archive_messages: Count | None = None
    """Most messages kept for an account, or "none"."""
    offline_expires_after: Period | None = YEAR
    """How long messages wait for delivery; until then they outlive the two limits before. Or "never"."""
