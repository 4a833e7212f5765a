"""The limits of an HTTP server, each with the reason of its default."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.base.shares import LARGEST_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one HTTP server takes and carries out at the same time. Raises ValueError for negative limits."""

    body_bytes: int = 3 * 1024 * 1024
    """The biggest request body; a bigger one is refused with 413. kube-apiserver's limit, which clients know."""

    header_line_bytes: int = 32 * 1024
    """The longest request line and the longest header. Selectors and bearer tokens with many groups come near 8 KiB."""

    headers: int = 128
    """The most header lines. kubectl sends about ten."""

    head_bytes: int = 256 * 1024
    """What may wait of one connection for the rest of a request's head, or for the answer before it. Go's limit for a head is
    1 MiB; the longest that the two limits above let through in practice are tokens of 32 KiB."""

    head_timeout_seconds: float = 10.0
    """How long a request's head may take from its first byte to its last. It comes in one packet, or two."""

    body_timeout_seconds: float = 10.0
    """How long a request's body may be silent. What has come adds to it, by `body_bytes_per_second`."""

    body_bytes_per_second: int = 16 * 1024
    """How fast a body has to come after that time: a tenth of what a mobile line uploads."""

    large_body_bytes_per_second: int = 16 * 1024 * 1024
    """How fast bodies of more than 64 KiB are read, all of them together, while more than one tenant uses the server (0: as they
    come). It is five bodies of 3 MiB in a second: the work for each keeps the interpreter from all other requests for a while."""

    large_body_bytes_at_once: int = 1024 * 1024
    """How many bytes of such bodies of one tenant are worked on at the same time, or one body (0: any number): the values that
    are made of them take ten times as much."""

    largest_share: float = LARGEST_SHARE
    """What part of each limit one tenant, or one user, can have (`Shares`). Half, so that the next one finds as much again."""

    queued_requests: int = 1000
    """Requests that wait for a seat or a turn; more are refused with 429. Each holds a connection and some 10 KB."""

    queue_seconds: float = 2.0
    """How long a request waits for a seat or a turn before 429. Long enough for a burst; a client that is told earlier tries
    again with a pause."""

    receiving_bodies: int = 4000
    """Bodies on their way at the same time; more are refused with 429. They hold no seat, only a connection and what came."""

    request_memory_bytes: int = 256 * 1024 * 1024
    """Bytes of requests in memory: heads that are not complete, bodies on their way and those of requests under way. One tenant's
    half is forty bodies of the longest kind."""

    connections: int = 50_000
    """Open connections. Each watch has one of its own; one that is idle costs about 50 KB with TLS."""

    unauthenticated_connections: int = 4000
    """Connections on which no credentials were accepted yet; one more closes the oldest of them. A client with valid credentials
    shows them within milliseconds."""

    unauthenticated_idle_seconds: float = 30.0
    """How long such a connection is kept without a request."""

    reading_requests: int = 400
    """Reads (GET, HEAD) handled at the same time, without watches; more are refused with 429. kube-apiserver's default."""

    writing_requests: int = 200
    """Writes handled at the same time; more are refused with 429. A pool of their own, so that a burst of writes that wait for
    the store leaves the reads alone. kube-apiserver's default."""

    watches: int = 20_000
    """Open watches. One costs about 50 KB with TLS, so this is 1 GB; more are refused with 429."""

    watch_buffer_bytes: int = 8 * 1024 * 1024
    """How many bytes may wait in the connection of a watch before it is cut. A client that is 8 MiB behind does not read.
    kube-apiserver ends a watch that is 100 events behind for a fraction of a second."""

    request_timeout_seconds: float = 60.0
    """How long a request other than a watch may take before it is answered with 504. kube-apiserver's default."""

    idle_timeout_seconds: float = 90.0
    """How long a connection may wait for a complete request header: between requests, and for slow first headers.
    Go's HTTP server in kube-apiserver uses the same, so that clients' pools are not surprised."""

    tls_handshakes: int = 2000
    """Connections whose TLS handshake has not ended; one more closes the oldest. Each costs 40 KB, and a client needs two packets
    for its handshake."""

    tls_handshake_timeout_seconds: float = 10.0
    """How long a client may take for the TLS handshake, from the moment in which it is connected."""

    response_timeout_seconds: float = 60.0
    """How long a client may take to read an answer that is written. Longer, and the connection is cut: the bytes take memory."""

    compress_from_bytes: int = 128 * 1024
    """Answers at least this long are gzipped for clients that accept it. kube-apiserver's default: below, it hardly pays."""

    compress_in_thread_from_bytes: int = 512 * 1024
    """Longer answers are compressed in a thread: 512 KiB take igzip about 1 ms, and more would delay other requests."""

    drain_seconds: float = 10.0
    """How long requests in flight may go on after a shutdown began. Watches end at once."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
