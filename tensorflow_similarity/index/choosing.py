"""Which engine, and with which parameters: chosen by trying on the records themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.records import Batch, Store
from tensorflow_similarity.index.search import Graph, State
from tensorflow_similarity.index.tuning import MeasuredRecall, Sample, tune

__all__ = ["Built", "build_reaching", "takes", "trial_order"]

# Engines are tried on this share of the records, and on no fewer and no more than these.
_TRIAL_SHARE = 8
_TRIAL_RECORDS = 4096, 16_384


@dataclasses.dataclass(frozen=True)
class Built:
    """A graph, what lookups in it were measured to find, and whether that is as wanted."""

    graph: Graph
    recall: MeasuredRecall
    reached: bool


def takes(kind: type[Engine], params: Mapping[str, Any]) -> bool:
    """Whether an engine has all these parameters."""
    return params.keys() <= kind.parameters.keys() | kind.options.keys()


def build_reaching(
    kind: type[Engine],
    params: Mapping[str, Any],
    state: State,
    target: float,
    sample: Sample,
) -> Built:
    """Builds a graph of all live records that reaches the target, or the best there is.

    Parameters that the user left open are raised, and the graph built again,
    where no effort reaches the target. An effort that the user fixed is kept,
    whatever it finds.

    Args:
        kind: The engine.
        params: What the user fixed of its parameters.
        state: The records.
        target: The recall to reach.
        sample: Queries with answers.
    """
    rows = np.flatnonzero(state.rows.live)
    vectors = state.rows.vectors[rows if state.rows.dead else slice(None)]
    for own in _steps(kind, params):
        engine = kind(state.scan.distance.name, own)
        engine.build(vectors)
        graph = Graph(engine, rows, covered=len(state.rows))
        recall = tune(state, graph, target, sample)
        if recall.recall >= target or engine.fixed_effort is not None:
            break
    return Built(graph, recall, recall.recall >= target)


def trial_order(
    kinds: Sequence[type[Engine]], params: Mapping[str, Any], state: State, target: float
) -> list[type[Engine]]:
    """The engines, by how quick they were on some of the records while reaching the target.

    Those that did not reach it come last.
    """
    if len(kinds) < 2:
        return list(kinds)
    part = _part(state)
    sample = Sample.of(part)
    tried = [(kind, build_reaching(kind, params, part, target, sample)) for kind in kinds]
    tried.sort(key=lambda trial: (not trial[1].reached, _cost(trial[1].recall)))
    return [kind for kind, _ in tried]


def _cost(recall: MeasuredRecall) -> float:
    """Single queries weigh more as they are slower, batches as they are larger."""
    return recall.seconds + (recall.latency or 0)


def _steps(kind: type[Engine], params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What to build with, from quick to thorough."""
    before = None
    for build in kind.builds:
        step = {**build, **params}
        if step != before:
            yield step
        before = step


def _part(state: State) -> State:
    """Some of the live records, as an index of their own."""
    rows, (least, most) = np.flatnonzero(state.rows.live), _TRIAL_RECORDS
    size = min(max(len(rows) // _TRIAL_SHARE, least), most, len(rows))
    chosen = np.sort(np.random.default_rng(0).choice(rows, size, replace=False))
    batch = Batch(
        np.arange(size),
        state.rows.vectors[chosen],
        np.zeros(size, np.int64),
        np.zeros(size, bool),
        None,
    )
    return State(Store.of(batch).rows, ExactScan(state.scan.distance), None)
