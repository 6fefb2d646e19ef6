"""A forward pass in parts on JAX: a scan whose steps are rematerialised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tensorflow_similarity.models.micro_batches.state import (
    added_losses,
    replace_losses,
    state_variables,
)

__all__ = ["call_in_parts"]


def call_in_parts(
    model: keras.Model, forward: Callable[[list[Any]], Any], x: list[Any], size: int
) -> Any:
    """As `micro_batches.call_in_parts`, of a list of arrays."""
    import jax

    state = state_variables(model)
    # Frozen weights as well: a scope knows the values of what it is given, and of nothing else.
    changing = {id(variable) for variable in state}
    frozen = [v for v in model.non_trainable_variables if id(v) not in changing]
    weights = [*model.trainable_variables, *frozen]
    x = [jax.numpy.asarray(each) for each in x]
    batch = x[0].shape[0]
    loops = (batch - 1) // size
    first = batch - loops * size

    @jax.checkpoint
    def part(values: list[Any], weight_values: list[Any], rows: list[Any]) -> Any:
        mapping = [*zip(state, values, strict=True), *zip(weights, weight_values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            outputs = forward(rows)
            share = rows[0].shape[0] / batch
            loss = added_losses(model) * share
        after = [scope.get_current_value(variable) for variable in state]
        after = [a if a is not None else b for a, b in zip(after, values, strict=True)]
        return after, (outputs, loss)

    weight_values = [variable.value for variable in weights]
    values = [variable.value for variable in state]
    # The first part has the rows that are left over, so that all others are of one size.
    values, (outputs, loss) = part(values, weight_values, [each[:first] for each in x])
    rest = [each[first:].reshape(loops, size, *each.shape[1:]) for each in x]
    values, (more, losses) = jax.lax.scan(
        lambda values, rows: part(values, weight_values, rows), values, rest
    )
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    replace_losses(model, loss + losses.sum())
    return keras.tree.map_structure(
        lambda a, b: jax.numpy.concatenate([a, b.reshape(-1, *b.shape[2:])]), outputs, more
    )
