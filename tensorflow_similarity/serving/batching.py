"""Answers waiting requests together; each fails on its own."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import numpy as np

from tensorflow_similarity.serving.answers import as_json
from tensorflow_similarity.serving.limits import Limits
from tensorflow_similarity.serving.metrics import Metrics
from tensorflow_similarity.serving.requests import Query, RequestError
from tensorflow_similarity.serving.source import Source

__all__ = ["Batcher"]


@dataclasses.dataclass(eq=False)  # each is itself: two clients may ask the same
class _Waiting:
    query: Query
    answer: asyncio.Future[bytes]

    @property
    def group(self) -> tuple[Any, ...]:
        """What queries must have in common to be looked up together."""
        return self.query.x.shape[1:], self.query.cutpoint


class Batcher:
    """Answers all waiting queries with as few lookups as their shapes allow.

    Embedding 32 examples takes little longer than embedding one. Lookups run in a thread
    outside the event loop. If a lookup of several queries fails, each is retried on its own,
    so that a bad query does not make others fail.
    """

    def __init__(self, source: Source, limits: Limits, metrics: Metrics) -> None:
        self._source, self._limits, self._metrics = source, limits, metrics
        self._queue: dict[_Waiting, None] = {}  # ordered, and quick to leave from anywhere
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Queries in the queue."""
        return len(self._queue)

    def start(self) -> None:
        """Starts answering. Must be called in the event loop."""
        self._wake, self._stopping = asyncio.Event(), False  # an event belongs to one loop
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Answers all waiting queries, and stops."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def lookup(self, query: Query) -> bytes:
        """The answer to a query, in JSON.

        Raises:
            RequestError: With status 503, if too many requests wait or the answer takes too long.
        """
        if len(self._queue) >= self._limits.max_waiting:
            raise RequestError(503, "Too many requests wait. Come back later.")
        waiting = _Waiting(query, asyncio.get_running_loop().create_future())
        self._queue[waiting] = None
        self._wake.set()
        try:
            return await asyncio.wait_for(waiting.answer, self._limits.answer_seconds)
        except asyncio.TimeoutError:
            raise RequestError(503, "The answer took too long. Come back later.") from None
        finally:
            # Who has given up must not keep others out.
            self._queue.pop(waiting, None)

    def _next(self) -> list[_Waiting]:
        """Those first in the queue, as many as one lookup may have."""
        batch: list[_Waiting] = []
        examples = 0
        for one in self._queue:
            examples += len(one.query.x)
            if batch and examples > self._limits.max_examples:
                break
            batch.append(one)
        for one in batch:
            del self._queue[one]
        return batch

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._next():
                groups: dict[Any, list[_Waiting]] = {}
                for waiting in batch:
                    groups.setdefault(waiting.group, []).append(waiting)
                for group in groups.values():
                    await self._answer(group)
            if self._stopping:
                return

    async def _answer(self, group: list[_Waiting]) -> None:
        # Clients may have given up while another group was looked up.
        group = [one for one in group if not one.answer.done()]
        if not group:
            return
        try:
            answers = await asyncio.to_thread(self._look_up, [one.query for one in group])
        except Exception as error:
            if len(group) > 1:
                for one in group:
                    await self._answer([one])
            elif not group[0].answer.done():
                group[0].answer.set_exception(error)
            return
        for one, answer in zip(group, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)

    def _look_up(self, queries: list[Query]) -> list[bytes]:
        x = np.concatenate([query.x for query in queries])
        self._metrics.batch(len(x))
        # One lookup with the largest k: each query takes its first k neighbours.
        most = max(query.k for query in queries)
        neighbors, matches = self._source.answer(x, most, queries[0].cutpoint)
        answers, start = [], 0
        for query in queries:
            part = slice(start, start + len(query.x))
            matched = None if matches is None else matches[part]
            answers.append(as_json(neighbors[part], matched, query))
            start = part.stop
        return answers
