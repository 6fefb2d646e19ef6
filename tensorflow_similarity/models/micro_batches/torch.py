"""A forward pass in parts on PyTorch: checkpoints that draw the same random numbers again."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras

from tensorflow_similarity.models.micro_batches.state import (
    added_losses,
    replace_losses,
    seed_variables,
    state_variables,
)

__all__ = ["call_in_parts"]


def call_in_parts(
    model: keras.Model, forward: Callable[[list[Any]], Any], x: list[Any], size: int
) -> Any:
    """As `micro_batches.call_in_parts`, of a list of tensors."""
    import torch
    from keras.src.random.seed_generator import global_seed_generator
    from torch.utils.checkpoint import checkpoint

    seeds = [*seed_variables(model), global_seed_generator().state]
    state = [*state_variables(model), seeds[-1]]
    batch = x[0].shape[0]

    def contexts() -> tuple[Any, Any]:
        begin = _values(seeds)
        return contextlib.nullcontext(), _again(state, seeds, begin)

    def outputs_of(*rows: Any) -> tuple[Any, Any]:
        outputs = forward(list(rows))
        share = rows[0].shape[0] / batch
        return outputs, added_losses(model) * share

    parts, total = [], 0.0
    # The first part has the rows that are left over, as on the other backends.
    starts = [0, *range((batch - 1) % size + 1, batch, size), batch]
    for start, stop in itertools.pairwise(starts):
        rows = [each[start:stop] for each in x]
        outputs, loss = checkpoint(outputs_of, *rows, use_reentrant=False, context_fn=contexts)
        parts.append(outputs)
        total = total + loss
    replace_losses(model, total)
    return keras.tree.map_structure(lambda *each: torch.cat(each), *parts)


def _values(variables: list[Any]) -> list[Any]:
    return [variable.value.detach().clone() for variable in variables]


@contextlib.contextmanager
def _again(state: list[Any], seeds: list[Any], begin: list[Any]) -> Iterator[None]:
    """Recomputes a part with the same seeds, without changing any state."""
    before = _values(state)
    for seed, value in zip(seeds, begin, strict=True):
        seed.assign(value)
    try:
        yield
    finally:
        for variable, value in zip(state, before, strict=True):
            variable.assign(value)
