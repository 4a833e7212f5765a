"""The metrics of JWT authentication, with kube-apiserver's names. They are kept for the issuers of the server's configuration
alone: the name of an issuer is a label."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256

from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.metrics import Histogram

_BOUNDS_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PREFIX = "apiserver_authentication_jwt_authenticator"


class JwtMetrics(Collector):
    """`process`: its identity, whose hash is a label."""

    def __init__(self, process: str) -> None:
        self._process = _hash(process.encode())
        self._issuers: frozenset[str] = frozenset()
        self._latency: dict[tuple[str, str], Histogram] = {}
        self._fetched: dict[tuple[str, str], float] = {}
        self._key_sets: dict[str, str] = {}

    def keep(self, issuers: Collection[str]) -> None:
        """Forgets all other issuers."""
        self._issuers = frozenset(issuers)
        kept = {_hash(url.encode()) for url in issuers}
        self._latency = {key: found for key, found in self._latency.items() if key[1] in kept}
        self._fetched = {key: found for key, found in self._fetched.items() if key[1] in kept}
        self._key_sets = {key: found for key, found in self._key_sets.items() if key in kept}

    def timed(self, issuer: str, accepted: bool, seconds: float) -> None:
        """Notes a token that was not cached."""
        if issuer in self._issuers:
            key = ("success" if accepted else "failure", _hash(issuer.encode()))
            self._latency.setdefault(key, Histogram(_BOUNDS_SECONDS)).observe(seconds)

    def fetched(self, issuer: str, keys: bytes | None) -> None:
        """Notes a read of an issuer's keys; None where it failed."""
        if issuer not in self._issuers:
            return
        hashed = _hash(issuer.encode())
        self._fetched["success" if keys is not None else "failure", hashed] = time.time()
        if keys is not None:
            self._key_sets[hashed] = _hash(keys)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        latency = HistogramMetricFamily(
            f"{_PREFIX}_latency_seconds", "Time to authenticate a JWT that was not cached.", labels=("result", "jwt_issuer_hash")
        )
        for (result, issuer), histogram in self._latency.items():
            latency.add_metric((result, issuer), histogram.buckets(), histogram.total)
        yield latency
        fetched = GaugeMetricFamily(
            f"{_PREFIX}_jwks_fetch_last_timestamp_seconds",
            "When the keys of an issuer were last read, by result.",
            labels=("result", "jwt_issuer_hash", "apiserver_id_hash"),
        )
        for (result, issuer), moment in self._fetched.items():
            fetched.add_metric((result, issuer, self._process), moment)
        yield fetched
        info = GaugeMetricFamily(
            f"{_PREFIX}_jwks_fetch_last_key_set_info",
            "The hash of an issuer's keys.",
            labels=("jwt_issuer_hash", "apiserver_id_hash", "hash"),
        )
        for issuer, hashed in self._key_sets.items():
            info.add_metric((issuer, self._process, hashed), 1)
        yield info


def _hash(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"
