"""Counters of a service, in Prometheus' format."""

from __future__ import annotations

import bisect
from collections import Counter

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts requests by status and duration."""

    def __init__(self) -> None:
        self._statuses: Counter[int] = Counter()
        self._buckets = [0] * (len(_SECONDS) + 1)
        self._seconds = 0.0
        self._batches = 0
        self._examples = 0

    def request(self, status: int, seconds: float) -> None:
        """Counts a request with its status and duration."""
        self._statuses[status] += 1
        self._buckets[bisect.bisect_left(_SECONDS, seconds)] += 1
        self._seconds += seconds

    def batch(self, examples: int) -> None:
        """Counts a lookup of this many examples."""
        self._batches += 1
        self._examples += examples

    def text(self, records: int, waiting: int) -> str:
        """All counters in Prometheus' text format."""
        lines = ["# TYPE tfsim_requests_total counter"]
        lines += [
            f'tfsim_requests_total{{status="{status}"}} {count}'
            for status, count in sorted(self._statuses.items())
        ]
        lines.append("# TYPE tfsim_request_seconds histogram")
        total = 0
        for edge, count in zip((*map(str, _SECONDS), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'tfsim_request_seconds_bucket{{le="{edge}"}} {total}')
        lines += [
            f"tfsim_request_seconds_sum {self._seconds:.6f}",
            f"tfsim_request_seconds_count {total}",
        ]
        for name, kind, value in [
            ("batches_total", "counter", self._batches),
            ("examples_total", "counter", self._examples),
            ("records", "gauge", records),
            ("waiting", "gauge", waiting),
        ]:
            lines += [f"# TYPE tfsim_{name} {kind}", f"tfsim_{name} {value}"]
        return "\n".join(lines) + "\n"
