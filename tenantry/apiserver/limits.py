"""The limits of the HTTP edge, each with the reason of its default."""

from __future__ import annotations

from dataclasses import dataclass

FORWARDED_HEADERS = 384
"""The most header lines that a server takes to which gateways pass requests on: a client's, and one for each group and extra of
who it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    body_bytes: int = 3 * 1024 * 1024
    """The biggest request body; a bigger one is refused with 413. kube-apiserver's figure, which clients know."""

    header_line_bytes: int = 32 * 1024
    """The longest request line and the longest header. Selectors and bearer tokens with many groups come near 8 KiB."""

    headers: int = 128
    """The most header lines. kubectl sends about ten."""

    reading_requests: int = 400
    """Reads (GET, HEAD) handled at the same time, without watches; more are refused with 429. kube-apiserver's default."""

    writing_requests: int = 200
    """Writes handled at the same time; more are refused with 429. A pool of their own, so that a burst of writes that wait for
    the store leaves the reads alone. kube-apiserver's default."""

    watches: int = 20_000
    """Open watches. One costs about 50 KB with TLS, so this is 1 GB; more are refused with 429."""

    watch_buffer_bytes: int = 8 * 1024 * 1024
    """What may wait in the connection of one watcher before it is cut off, alone. A client that is 8 MiB behind is not reading;
    upstream gives up after 100 events and a fraction of a second."""

    request_timeout_seconds: float = 60.0
    """How long a request other than a watch may take before it is answered with 504. kube-apiserver's default."""

    idle_timeout_seconds: float = 90.0
    """How long a connection may wait for a complete request header: between requests, and for slow first headers.
    Go's HTTP server in kube-apiserver uses the same, so that clients' pools are not surprised."""

    tls_handshake_timeout_seconds: float = 10.0
    """How long a client may take for the TLS handshake: half-open connections cost 50 KB each."""

    response_timeout_seconds: float = 60.0
    """How long a client may take to read an answer that is written. Longer, and the connection is cut: the bytes take memory."""

    compress_from_bytes: int = 128 * 1024
    """Answers at least this long are gzipped for clients that accept it. kube-apiserver's figure: below, it hardly pays."""

    compress_in_thread_from_bytes: int = 512 * 1024
    """From here on compression leaves the event loop: 512 KiB take igzip about 1 ms, more would be felt by other requests."""

    drain_seconds: float = 10.0
    """How long requests in flight may go on after a shutdown began. Watches end at once."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
