"""The forward pass that makes embeddings, compiled once and streamed.

The compiled pass is TensorFlow's, as `tf.function` is what makes a call on one
example cheap; on other backends it is Keras' own `predict_on_batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm

from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.models.batches import Batches, batches_of
from tensorflow_similarity.models.jax_batches import devices_of_batch, synced
from tensorflow_similarity.samplers._epochs import EpochDataset
from tensorflow_similarity.targets import Targets

__all__ = ["Embedder", "divisible"]

#: Examples embedded at a time. Larger batches are not faster on a CPU, and take more memory.
BATCH_SIZE = 128

# Structures, dtypes and ranks of inputs for which compiled passes are kept: models have one or
# two. A shape has no part in them.
_LAYOUTS = 8
# Shapes that are compiled for one by one, where a model cannot be compiled for any shape.
_SHAPES = 16


class Embedder:
    """Embeds with one output of a model, in inference mode.

    Args:
        model: The model.
        output: Which output holds the embeddings: an index, a name of an output
            or, in functional models, of a layer whose output to take. None where
            the model has one output.

    Raises:
        ValueError: If a functional model has no such output.
    """

    def __init__(self, model: keras.Model, output: int | str | None = None) -> None:
        self._model = model
        self._output = output
        self._is_functional = hasattr(model, "output_names")
        self._inner = self._layer_model()
        self._traces: dict[Any, _Traces] = {}
        self._composite: Any = None
        self._examined = False
        if self._is_functional and self._inner is None:
            self._select(model.output)

    def _layer_model(self) -> keras.Model | None:
        """The part of the model up to the layer that `output` names, if it names one."""
        if not self._is_functional or not isinstance(self._output, str):
            return None
        if self._output in output_names(self._model):
            return None
        layers = {layer.name: layer for layer in self._model.layers}
        if self._output not in layers:
            raise ValueError(
                "`embedding_output` must name an output or a layer of the model. Received: "
                f"{self._output!r}; outputs are {output_names(self._model)}, layers {[*layers]}."
            )
        return keras.Model(self._model.input, layers[self._output].output)

    def _select(self, outputs: Any) -> Any:
        """The output that holds the embeddings."""
        if isinstance(self._output, str) and isinstance(outputs, dict):
            if self._output in outputs:
                return outputs[self._output]
            chosen = None
        else:
            flat = keras.tree.flatten(outputs)
            place: Any = self._output
            if isinstance(place, str):
                names = output_names(self._model) if self._is_functional else []
                place = names.index(place) if place in names else len(flat)
            elif place is None:
                place = 0 if len(flat) == 1 else len(flat)
            chosen = flat[place] if -len(flat) <= place < len(flat) else None
        if chosen is None:
            known = list(outputs) if isinstance(outputs, dict) else keras.tree.flatten(outputs)
            raise ValueError(
                "`embedding_output` must say which of the model's outputs holds the embeddings. "
                f"Received: {self._output!r}, where the model has {len(known)} outputs"
                + (f" named {known}." if isinstance(outputs, dict) else ".")
            )
        if len(chosen.shape) != 2:
            raise ValueError(
                "`embedding_output` must be an output of shape [batch, dim]. Received: "
                f"{self._output!r}, of shape {tuple(chosen.shape)}."
            )
        return chosen

    def forward(self, x: object) -> Any:
        """The embeddings of one batch `[batch, dim]`, as the model computes them."""
        if self._inner is not None:
            return self._inner(x, training=False)
        return self._select(self._model(x, training=False))

    @property
    def size(self) -> int | None:
        """The embedding size, or None where it is known only after a first call."""
        if self._inner is not None:
            return self._inner.output.shape[-1]
        return self._select(self._model.output).shape[-1] if self._is_functional else None

    def call(self, x: object) -> np.ndarray:
        """Embeds one batch.

        Args:
            x: What the model takes.

        Returns:
            float32 `[batch, dim]`.
        """
        if not self._examined:
            self._examined = True
            examine_inputs(self._model, x)
        if keras.backend.backend() != "tensorflow":
            synced(self._model)
            count = int(keras.tree.flatten(x)[0].shape[0])
            x = divisible(x, count)
            if self._inner is not None:
                return _float32(self._inner.predict_on_batch(x))[:count]
            return _float32(self._select(self._model.predict_on_batch(x)))[:count]
        if self._model.run_eagerly:
            return _float32(self.forward(x))
        return _float32(self._compiled(x))

    def _compiled(self, x: Any) -> Any:
        import tensorflow as tf

        if isinstance(x, np.ndarray):  # the usual case, spared the walk through structures
            x = tf.convert_to_tensor(x)
            layout: Any = (x.dtype, x.shape.rank)
        else:
            x = keras.tree.map_structure(
                lambda leaf: leaf if tf.is_tensor(leaf) else tf.convert_to_tensor(leaf), x
            )
            leaves = keras.tree.flatten(x)
            if not all(isinstance(leaf, tf.Tensor) for leaf in leaves):  # ragged or sparse
                if self._composite is None:
                    self._composite = tf.function(
                        self.forward, autograph=False, reduce_retracing=True
                    )
                return self._composite(x)
            layout = repr(
                keras.tree.map_structure(lambda leaf: (leaf.dtype.name, leaf.shape.rank), x)
            )
        traces = self._traces.get(layout)
        if traces is None:
            while len(self._traces) >= _LAYOUTS:
                self._traces.pop(next(iter(self._traces)), None)
            traces = self._traces[layout] = _Traces(self.forward, self._declared())
        return traces(x)

    def _declared(self) -> list[tuple[int | None, ...]] | None:
        """The shapes of the inputs of a functional model, without the batch axis."""
        if not self._is_functional:
            return None
        return [tuple(tensor.shape[1:]) for tensor in self._model.inputs]

    def batches(
        self,
        x: object,
        y: object = None,
        batch_size: int | None = None,
        kinds: Sequence[str] = ("classes",),
    ) -> Batches:
        """Anything that `predict` takes, as batches for this model.

        Args:
            x: Anything that `predict` takes.
            y: Class ids or names, or `Targets`, for arrays. Datasets bring their own.
            batch_size: Examples at a time, for arrays. Defaults to `None`: 128.
            kinds: The kinds of `Targets` that the caller can work with.
        """
        ranks = None
        if self._is_functional:
            ranks = [len(tensor.shape) for tensor in self._model.inputs]
        size = BATCH_SIZE if batch_size is None else batch_size
        return batches_of(x, y, size, ranks, kinds)

    def stream(
        self, batches: Batches, labels: bool = True, verbose: int = 0
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Embeds batch by batch: yields `(embeddings, labels)`, labels as `labels_of` has them.

        Args:
            batches: The batches.
            labels: Whether labels are wanted. If not, those of a dataset are
                ignored whatever they are, and None is yielded.
            verbose: 0 for silence, otherwise a progress bar if it takes long.
        """
        with tqdm(
            total=batches.count, desc="Embedding", unit="batch", delay=0.5, disable=not verbose
        ) as progress:
            for x, y in batches:
                embeddings = self.call(x)
                yield embeddings, self.labels_of(y, len(embeddings)) if labels else None
                progress.update()

    def labels_of(self, y: Any, count: int) -> Any:
        """The labels of a batch, which may have one target for each output.

        Returns:
            `Targets` as they are; other labels as an array, checked by `targets.get`; None
            where there are none.
        """
        if isinstance(y, Targets):
            return y
        if isinstance(y, (dict, tuple, list)):
            names = output_names(self._model) if self._is_functional else []
            place: Any = 0 if self._output is None and len(y) == 1 else self._output
            if isinstance(y, dict) and isinstance(place, int):
                place = (names or list(y))[place]
            elif not isinstance(y, dict) and place in names:
                place = names.index(place)
            try:
                y = y[place]
            except (KeyError, IndexError, TypeError):
                received = list(y) if isinstance(y, dict) else f"{len(y)} of them"
                raise ValueError(
                    "`y` must hold the class ids of the embedding output where it holds a target "
                    f"for each output. Received: targets {received}, and embedding_output="
                    f"{self._output!r}."
                ) from None
        if y is None or isinstance(y, Targets):
            return y
        array = np.asarray(keras.ops.convert_to_numpy(y) if keras.ops.is_tensor(y) else y)
        if array.ndim == 0 or len(array) != count:
            raise ValueError(
                f"`y` must hold one label per example: expected {count}. Received: array of shape "
                f"{array.shape}."
            )
        return array

    def embed(
        self, batches: Batches, labels: bool = True, verbose: int = 0
    ) -> tuple[np.ndarray, Targets | None]:
        """Embeds everything: `stream`, put together.

        Returns:
            `(embeddings, labels)`: float32 `[n, dim]`, and `Targets` or None.

        Raises:
            TypeError: If labels of a dataset are neither ids nor names.
            ValueError: If there are no examples, or only some have labels.
        """
        parts = list(self.stream(batches, labels, verbose))
        if not parts:
            raise ValueError("`x` must hold at least one example. Received: an empty dataset.")
        embeddings = np.concatenate([part for part, _ in parts])
        return embeddings, batches.labels([found for _, found in parts]) if labels else None


class _Traces:
    """A forward pass compiled for inputs of one structure, dtype and rank.

    The first shape of an example has a pass of its own. As soon as another comes, one
    pass for all takes its place, in which the axes that differed are free: any number
    of shapes takes as many passes as an example has axes, at most, and two are kept.
    One serves batches of every size and one single examples: kernels that know the size
    of their work when they are compiled start faster.

    Args:
        forward: The forward pass.
        declared: The shapes of the inputs without the batch axis, where the model declares
            them: other sizes are its to refuse.
    """

    def __init__(
        self,
        forward: Callable[[Any], Any],
        declared: list[tuple[int | None, ...]] | None,
    ) -> None:
        self._forward = forward
        self._declared = declared
        self._shapes: list[tuple[int | None, ...]] | None = None
        self._passes: dict[bool, Any] = {}
        # By shape, where the pass cannot be compiled with free axes.
        self._exact: dict[Any, Any] | None = None

    def __call__(self, x: object) -> Any:
        leaves = [x] if hasattr(x, "shape") else keras.tree.flatten(x)
        shapes = [tuple(leaf.shape) for leaf in leaves]
        single = all(shape[:1] == (1,) for shape in shapes)
        if self._exact is None:
            if self._shapes is None:
                self._shapes = [shape[1:] for shape in shapes]
            elif not all(map(_fits, shapes, self._shapes)):
                if not self._allowed(shapes):  # the model says what is wrong
                    return self._compile(x, single, [shape[1:] for shape in shapes])(x)
                self._shapes = list(map(_relaxed, shapes, self._shapes))
                self._passes.clear()
            run = self._passes.get(single)
            if run is not None:
                return run(x)
            try:
                run = self._compile(x, single, self._shapes)
            except Exception:
                if all(None not in shape for shape in self._shapes):
                    raise
                # A layer needs to know its shape when it is compiled.
                self._exact = {}
            else:
                self._passes[single] = run
                return run(x)
        key = (single, tuple(shape[1:] for shape in shapes))
        run = self._exact.pop(key, None)
        if run is None:
            run = self._compile(x, single, [shape[1:] for shape in shapes])
        while len(self._exact) >= _SHAPES:  # the one that was not used for longest
            self._exact.pop(next(iter(self._exact)), None)
        self._exact[key] = run
        return run(x)

    def _allowed(self, shapes: list[tuple[int, ...]]) -> bool:
        """Whether the model declares no other sizes."""
        if self._declared is None or len(self._declared) != len(shapes):
            return True
        return all(
            len(shape) != 1 + len(declared) or _fits(shape, declared)
            for shape, declared in zip(shapes, self._declared, strict=True)
        )

    def _compile(self, x: object, single: bool, shapes: list[tuple[int | None, ...]]) -> Any:
        import tensorflow as tf

        left = iter(shapes)
        spec = keras.tree.map_structure(
            lambda leaf: tf.TensorSpec(
                [1 if single else None, *next(left)][: leaf.shape.rank],
                leaf.dtype,
            ),
            x,
        )
        return tf.function(self._forward, autograph=False).get_concrete_function(spec)


def _fits(shape: tuple[int, ...], pattern: tuple[int | None, ...]) -> bool:
    return all(wanted in (None, size) for size, wanted in zip(shape[1:], pattern, strict=True))


def _relaxed(shape: tuple[int, ...], pattern: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return tuple(
        size if size == wanted else None for size, wanted in zip(shape[1:], pattern, strict=True)
    )


def examine_inputs(model: keras.Model, x: object) -> None:
    """Lets layers that look at inputs, as `ImagePreprocessing` does, look at them.

    Args:
        model: A model.
        x: An array or tensor; or a sampler, whose first batch is looked at: it is a function of
            the epoch, and drawn again by `fit`. Other data may yield each batch but once.
    """
    if not hasattr(model, "output_names"):
        return
    examine = [layer.examine_inputs for layer in model.layers if hasattr(layer, "examine_inputs")]
    if examine and isinstance(x, EpochDataset):
        x = keras.utils.unpack_x_y_sample_weight(x[0])[0]
    if hasattr(x, "shape"):
        for look in examine:
            look(x)


def output_names(model: keras.Model) -> list[str]:
    """The names by which Keras knows the outputs of a functional model."""
    return list(model.output) if isinstance(model.output, dict) else list(model.output_names)


def divisible(x: object, count: int) -> Any:
    """A batch that the devices of a distribution divide: the last example is repeated."""
    more = -count % devices_of_batch()
    if not more:
        return x
    rows = np.minimum(np.arange(count + more), count - 1)
    return keras.tree.map_structure(lambda leaf: np.asarray(leaf)[rows], x)


def _float32(embeddings: ArrayLike) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(embeddings)).astype("float32", copy=False)
