"""Limits of a service."""

from __future__ import annotations

import dataclasses

from tensorflow_similarity import _checks as checks

__all__ = ["Limits"]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on requests, so that no request can block others.

    Attributes:
        max_body: Maximal bytes of a request. Larger ones get 413.
        max_examples: Maximal examples in a request, and in a batch. More get 400.
        max_k: Maximal neighbours per example. More get 400.
        max_waiting: Maximal requests in the queue. Further ones get 503.
        request_seconds: How long the headers and the body of a request may each take to arrive.
            Slower requests get 408, or are disconnected.
        answer_seconds: How long a request may wait for its answer before it gets 503.
    """

    max_body: int = 16 * 2**20
    max_examples: int = 256
    max_k: int = 1000
    max_waiting: int = 1024
    request_seconds: float = 10.0
    answer_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_body", "max_examples", "max_k", "max_waiting"):
            checks.count(getattr(self, name), name)
        for name in ("request_seconds", "answer_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be greater than 0. Received: {getattr(self, name)!r}."
                )
