"""A forward pass in parts on TensorFlow, in eager mode, in graphs and under XLA.

Both passes are loops of their own: the forward one keeps outputs alone, and the backward one
sums the gradients of the weights part by part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

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
    """As `micro_batches.call_in_parts`, of a list of tensors. No gradient flows into them."""
    seeds = [variable.value for variable in [*seed_variables(model), *_global_seed()]]
    state = [variable.value for variable in state_variables(model)]
    state += [seed for seed in seeds if all(seed is not each for each in state)]
    structure: list[Any] = []

    def outputs_of(parts: list[tf.Tensor], batch: tf.Tensor) -> list[tf.Tensor]:
        """Flat outputs of a part, and its share of the losses that layers add."""
        outputs = forward(parts)
        structure[:] = [outputs]
        share = tf.cast(tf.shape(parts[0])[0], "float32") / tf.cast(tf.maximum(batch, 1), "float32")
        loss = tf.convert_to_tensor(added_losses(model)) * share
        return [*keras.tree.flatten(outputs), loss]

    @tf.custom_gradient
    def run(*inputs: tf.Tensor) -> Any:
        batch = tf.shape(inputs[0])[0]
        first, loops = _division(batch, size)

        def part(number: tf.Tensor) -> list[tf.Tensor]:
            return [_rows(each, first + number * size, size) for each in inputs]

        # The first part has the rows that are left over, so that all others are of one size.
        begin = [each[:first] for each in inputs]
        seeds_of_first = _values(seeds)
        outputs_of_first = outputs_of(begin, batch)

        def step(number: tf.Tensor, kept: Any, kept_seeds: Any, loss: tf.Tensor) -> Any:
            before = _values(seeds)
            *outputs, added = outputs_of(part(number), batch)
            kept = [a.write(number, o) for a, o in zip(kept, outputs, strict=True)]
            kept_seeds = [a.write(number, s) for a, s in zip(kept_seeds, before, strict=True)]
            return number + 1, kept, kept_seeds, loss + added

        def arrays(like: list[tf.Tensor], rows: int | None) -> list[tf.TensorArray]:
            return [
                tf.TensorArray(
                    each.dtype,
                    size=loops,
                    element_shape=each.shape if rows is None else (rows, *each.shape[1:]),
                )
                for each in like
            ]

        *flat, loss = outputs_of_first
        loop = (tf.zeros((), tf.int32), arrays(flat, size), arrays(seeds_of_first, None), loss)
        _, kept, kept_seeds, loss = tf.while_loop(
            lambda number, *_: number < loops, step, loop, parallel_iterations=1
        )
        outputs = [
            tf.concat([a, _flattened(b.stack(), size)], axis=0)
            for a, b in zip(flat, kept, strict=True)
        ]
        for output in outputs:
            output.set_shape((inputs[0].shape[0], *output.shape[1:]))
        seeds_of_parts = [each.stack() for each in kept_seeds]

        def gradient(*upstream: tf.Tensor, variables: Any = ()) -> Any:
            variables = list(variables)
            *of_outputs, of_loss = upstream
            before = _values(state)

            def of_part(rows: list[tf.Tensor], up: list[tf.Tensor], own_seeds: Any) -> Any:
                for seed, value in zip(seeds, own_seeds, strict=True):
                    seed.assign(value)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(variables)
                    results = outputs_of(rows, batch)
                pairs = [
                    (result, each)
                    for result, each in zip(results, [*up, of_loss], strict=True)
                    if result.dtype.is_floating
                ]
                gradients = tape.gradient(
                    [result for result, _ in pairs],
                    variables,
                    output_gradients=[each for _, each in pairs],
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                return [tf.convert_to_tensor(each) for each in gradients]

            total = of_part(begin, [each[:first] for each in of_outputs], seeds_of_first)

            def add(number: tf.Tensor, total: Any) -> Any:
                up = [_rows(each, first + number * size, size) for each in of_outputs]
                own_seeds = [each[number] for each in seeds_of_parts]
                more = of_part(part(number), up, own_seeds)
                return number + 1, [a + b for a, b in zip(total, more, strict=True)]

            _, total = tf.while_loop(
                lambda number, _: number < loops,
                add,
                (tf.zeros((), tf.int32), total),
                parallel_iterations=1,
            )
            # The forward pass has already applied these changes once.
            for variable, value in zip(state, before, strict=True):
                variable.assign(value)
            return [None] * len(inputs), total

        return [*outputs, loss], gradient

    *flat, loss = run(*[tf.convert_to_tensor(each) for each in x])
    replace_losses(model, loss)
    return keras.tree.pack_sequence_as(structure[0], flat)


def _division(batch: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of the first part, up to `size`, and the number of full parts after it."""
    loops = tf.maximum(batch - 1, 0) // size  # A replica may have no rows.
    return batch - loops * size, loops


def _rows(x: tf.Tensor, start: tf.Tensor, size: int) -> tf.Tensor:
    rest = x.shape.rank - 1
    return tf.slice(x, [start, *[0] * rest], [size, *[-1] * rest])


def _flattened(parts: tf.Tensor, size: int) -> tf.Tensor:
    return tf.reshape(parts, tf.concat([[tf.shape(parts)[0] * size], tf.shape(parts)[2:]], 0))


def _values(variables: list[Any]) -> list[tf.Tensor]:
    # Copied, because reading a variable may return a value that is assigned later.
    return [tf.identity(variable) for variable in variables]


def _global_seed() -> list[Any]:
    """The state of the generator that serves layers without a seed of their own."""
    from keras.src.random.seed_generator import global_seed_generator

    # Keras has one for each thread, and so for each replica: in graphs it can make none there,
    # and refuses layers without a seed itself.
    if tf.distribute.has_strategy() and not tf.executing_eagerly():
        return []
    return [global_seed_generator().state]
