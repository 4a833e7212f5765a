"""The limits of an HTTP server, each with the reason of its default."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.base.shares import LARGEST_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one HTTP server. Raises ValueError if one of them is negative."""

    body_bytes: int = 3 * 1024 * 1024
    """The largest request body; larger ones are refused with 413. It is kube-apiserver's limit, which clients know."""

    header_line_bytes: int = 32 * 1024
    """The longest request line and header line. Selectors and bearer tokens with many groups reach nearly 8 KiB."""

    headers: int = 128
    """The most header lines. kubectl sends about ten."""

    head_bytes: int = 256 * 1024
    """How many bytes of an incomplete request head, or of requests after the present one, one connection may have. Go's limit for
    a head is 1 MiB. In practice the longest heads that the two limits above allow have tokens of 32 KiB."""

    head_timeout_seconds: float = 10.0
    """How long a request head may take from its first byte to its last. It usually arrives in one or two packets."""

    body_timeout_seconds: float = 10.0
    """How long a request body may take, plus the time for its received bytes at `body_bytes_per_second`."""

    body_bytes_per_second: int = 16 * 1024
    """The lowest rate of a body after that time: a tenth of the upload rate of a mobile line."""

    large_body_bytes_per_second: int = 16 * 1024 * 1024
    """The rate at which all bodies of more than 64 KiB together are read while more than one tenant uses the server. 0: no limit.
    It is five bodies of 3 MiB per second. It exists because the work for each body delays all other requests (GIL)."""

    large_body_bytes_at_once: int = 1024 * 1024
    """How many bytes of such bodies of one tenant are processed at the same time, but at least one body. 0: no limit. The values
    that are made from a body take ten times its memory."""

    largest_share: float = LARGEST_SHARE
    """The largest share of each limit for one tenant or user (`Shares`). Half, so that the same amount is left for the next
    one."""

    queued_requests: int = 1000
    """Requests that wait for a seat or a turn; more are refused with 429. Each needs a connection and about 10 KB."""

    queue_seconds: float = 2.0
    """How long a request waits for a seat or a turn before 429. It is long enough for a burst. A client that gets 429 earlier
    retries after a pause."""

    receiving_bodies: int = 4000
    """Bodies that are received at the same time; more are refused with 429. They need no seat, only a connection and memory."""

    request_memory_bytes: int = 256 * 1024 * 1024
    """Bytes of requests in memory: incomplete heads, bodies that are received, and bodies of requests in progress. Half of it,
    the share of one tenant, is forty bodies of the largest size."""

    connections: int = 50_000
    """Open connections. Each watch has its own. An idle connection costs about 50 KB with TLS."""

    unauthenticated_connections: int = 4000
    """Connections on which no credentials were accepted yet; one more closes the oldest of them. A client with valid credentials
    sends them within milliseconds."""

    unauthenticated_idle_seconds: float = 30.0
    """How long such a connection stays open without a request."""

    reading_requests: int = 400
    """Reads (GET, HEAD) in progress at the same time, without watches; more wait (`queued_requests`). kube-apiserver's
    default."""

    writing_requests: int = 200
    """Writes in progress at the same time; more wait (`queued_requests`). Writes have their own limit, so that a burst of writes
    that wait for the store does not delay reads. kube-apiserver's default."""

    watches: int = 20_000
    """Open watches. One costs about 50 KB with TLS, so this is 1 GB; more are refused with 429."""

    watch_buffer_bytes: int = 8 * 1024 * 1024
    """How many bytes may wait in the connection of a watch before it is aborted. A client that is 8 MiB behind does not read.
    kube-apiserver ends a watch that is 100 events behind for a fraction of a second."""

    request_timeout_seconds: float = 60.0
    """How long a request other than a watch may take before it is answered with 504. kube-apiserver's default."""

    idle_timeout_seconds: float = 90.0
    """How long a connection may be idle before the head of its next request is complete. Go's HTTP server in kube-apiserver has
    the same time-out, so connection pools of clients work with it."""

    tls_handshakes: int = 2000
    """Connections in the TLS handshake; one more closes the oldest. Each costs 40 KB, and a client needs two packets for its
    handshake."""

    tls_handshake_timeout_seconds: float = 10.0
    """How long a client may take for the TLS handshake, from the TCP connection on."""

    response_timeout_seconds: float = 60.0
    """How long a client may take to read a written answer. After that the connection is aborted, because the bytes take
    memory."""

    compress_from_bytes: int = 128 * 1024
    """Answers of at least this size are gzipped for clients that accept it. kube-apiserver's default: smaller ones gain
    little."""

    compress_in_thread_from_bytes: int = 512 * 1024
    """Answers of at least this size are compressed in a thread. igzip needs about 1 ms for 512 KiB; more would delay other
    requests."""

    drain_seconds: float = 10.0
    """How long requests in flight may continue after a shutdown began. Watches end at once."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
