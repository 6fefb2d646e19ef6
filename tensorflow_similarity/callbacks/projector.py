"""Files for TensorBoard's embedding projector."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._types import ArrayLike, Logs
from tensorflow_similarity.callbacks.labelled_examples import LabelledExamples
from tensorflow_similarity.callbacks.model_access import embedder_of
from tensorflow_similarity.callbacks.schedule import Schedule
from tensorflow_similarity.targets import TargetsLike

__all__ = ["EmbeddingProjector", "write_projector"]

# The projector draws no larger sprite sheet.
_LARGEST_SPRITE = 8192


def write_projector(
    log_dir: str | os.PathLike[str],
    embeddings: ArrayLike,
    labels: TargetsLike | None = None,
    metadata: Mapping[str, Any] | None = None,
    images: ArrayLike | None = None,
    name: str = "embedding",
) -> None:
    """Writes embeddings for TensorBoard's projector: `tensorboard --logdir log_dir` shows them.

    Writes `<name>.bytes` (the embeddings as float32), `<name>.tsv` (a row of text for each)
    and `<name>.png` (the images on one sheet), and adds them to `projector_config.pbtxt`,
    keeping embeddings that are already listed there. Works without TensorBoard installed.

    Args:
        log_dir: The folder; created if missing.
        embeddings: `[n, dim]`.
        labels: Class ids or names `[n]`, or several labels as `Targets`: a column of the
            text. Defaults to `None`.
        metadata: Further columns: name -> n values. Defaults to `None`.
        images: An image for each: `[n, height, width]` or `[n, height, width, 1 or 3]`,
            uint8, or floats, which are scaled from their range. They are padded with white
            to squares. Defaults to `None`: points.
        name: Name of the embeddings in the projector: letters, digits, `_` and `-`.

    Raises:
        TypeError: If embeddings are not numbers, or labels neither ids nor names.
        ValueError: If lengths or shapes do not match, or the images fill more than 8192 x
            8192 pixels.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.callbacks import write_projector

    rng = np.random.default_rng(0)
    write_projector("logs", rng.normal(size=(20, 8)), labels=np.arange(20) % 4)
    ```
    """
    x = checks.embeddings(embeddings)
    _check_name(name)
    columns: dict[str, Any] = {}
    if labels is not None:
        found = targets.get(labels, "labels", len(x), kinds=("classes", "multi_hot"))
        shown = targets.shown_labels(found).tolist()
        columns["label"] = [" ".join(map(str, v)) if isinstance(v, tuple) else v for v in shown]
    _check_metadata(metadata, len(x))
    columns.update((column, list(values)) for column, values in (metadata or {}).items())
    sprite = None if images is None else _sprite(images, len(x))
    folder = Path(log_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bytes").write_bytes(x.astype("<f4").tobytes())
    entry = [
        f'tensor_name: "{name}"',
        f"tensor_shape: {x.shape[0]}",
        f"tensor_shape: {x.shape[1]}",
        f'tensor_path: "{name}.bytes"',
    ]
    if columns:
        (folder / f"{name}.tsv").write_text(_table(columns), encoding="utf-8")
        entry.append(f'metadata_path: "{name}.tsv"')
    if sprite is not None:
        import tensorflow as tf

        sheet, side = sprite
        (folder / f"{name}.png").write_bytes(tf.io.encode_png(sheet).numpy())
        dims = f"single_image_dim: {side} single_image_dim: {side}"
        entry.append(f'sprite {{ image_path: "{name}.png" {dims} }}')
    _enter(folder / "projector_config.pbtxt", name, entry)


def _check_name(name: str) -> None:
    if not name or not all(c.isalnum() or c in "_-" for c in name):
        raise ValueError(
            f"`name` must consist of letters, digits, '_' and '-'. Received: {name!r}."
        )


def _check_metadata(metadata: Mapping[str, Any] | None, count: int) -> None:
    for column, values in (metadata or {}).items():
        if len(values) != count:
            raise ValueError(
                f"`metadata[{column!r}]` must hold one value per embedding: expected {count}. "
                f"Received: {len(values)}."
            )


def _table(columns: dict[str, list[Any]]) -> str:
    """Tab-separated rows, without a header if there is one column, as the projector wants it."""
    rows = [[_cell(value) for value in row] for row in zip(*columns.values(), strict=True)]
    if len(columns) > 1:
        rows.insert(0, [_cell(name) for name in columns])
    return "".join("\t".join(row) + "\n" for row in rows)


def _cell(value: object) -> str:
    return " ".join(str(value).split()) or " "


def _sprite(images: Any, count: int) -> tuple[np.ndarray, int]:
    """One sheet of all images, row by row, and the side of each."""
    array = np.asarray(images)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or len(array) != count:
        raise ValueError(
            f"`images` must have shape [{count}, height, width] or [{count}, height, width, 1 or "
            f"3]. Received: shape {np.shape(images)}."
        )
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        array = (255 * (array - low) / (high - low or 1)).round().astype(np.uint8)
    side, across = max(array.shape[1:3]), math.ceil(math.sqrt(count))
    if side * across > _LARGEST_SPRITE:
        raise ValueError(
            f"`images` must fit a square of {_LARGEST_SPRITE} pixels. Received: {count} images of "
            f"{side} pixels. Scale them down, or show fewer."
        )
    cells = np.full((across * across, side, side, 3), 255, np.uint8)
    height, width = array.shape[1:3]
    top, left = (side - height) // 2, (side - width) // 2
    cells[:count, top : top + height, left : left + width] = array
    sheet = cells.reshape(across, across, side, side, 3).swapaxes(1, 2)
    return sheet.reshape(across * side, across * side, 3), side


def _enter(path: Path, name: str, entry: list[str]) -> None:
    """Adds an entry to the projector's config, replacing one of the same name."""
    others: list[str] = []
    if path.exists():
        blocks = path.read_text(encoding="utf-8").split("embeddings {")[1:]
        others = [b.strip() for b in blocks if f'tensor_name: "{name}"\n' not in b]
    text = "".join(f"embeddings {{\n  {block}\n" for block in others)
    body = "\n  ".join(entry)
    path.write_text(f"{text}embeddings {{\n  {body}\n}}\n", encoding="utf-8")


class EmbeddingProjector(keras.callbacks.Callback):
    """Writes embeddings of examples for TensorBoard's projector during training.

    Each time replaces the embeddings written before, unless `keep_all` is set.

    Args:
        log_dir: The folder; best the one of `keras.callbacks.TensorBoard`.
        x: The examples: anything `predict` takes that can be iterated again. At most some
            thousands, since the projector runs in the browser.
        y: Their class ids or names, or several labels as `Targets`, for arrays.
        metadata: Further columns: name -> a value for each example. Defaults to `None`.
        images: An image for each, see `write_projector`. Defaults to `None`: points.
        freq: `"epoch"` (the default), or the number of steps between writes.
        keep_all: Whether to keep every version, as `<name>-<step>`. Defaults to `False`.
        name: Name of the embeddings in the projector.
        embedding_output: Which output or layer holds the embeddings; not needed for a
            `SimilarityModel`, nor for a model with one output.
        batch_size: Examples embedded at a time, for arrays. Defaults to `None`: 128.

    Raises:
        ValueError: If `x` can be iterated only once, labels are missing, or lengths
            do not match.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.callbacks import EmbeddingProjector
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.losses import TripletLoss
    from tensorflow_similarity.models import SimilarityModel

    x, y = np.random.default_rng(0).normal(size=(32, 6)), np.arange(32) % 4
    inputs = keras.Input((6,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    model.compile("adam", TripletLoss())
    model.fit(x, y, verbose=0, callbacks=[EmbeddingProjector("logs", x, y)])
    ```
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: object,
        y: object = None,
        metadata: Mapping[str, Any] | None = None,
        images: ArrayLike | None = None,
        freq: object = "epoch",
        keep_all: bool = False,
        name: str = "embedding",
        embedding_output: int | str | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.log_dir = log_dir
        self.metadata, self.images = metadata, images
        self.keep_all, self.name = checks.flag(keep_all, "keep_all"), name
        self.embedding_output, self.batch_size = embedding_output, batch_size
        self._examples = LabelledExamples(x, y, "x", "y", ("classes", "multi_hot"))
        self._schedule = Schedule(freq)
        _check_name(name)
        count = None if self._examples.labels is None else len(self._examples.labels)
        if count is not None:
            _check_metadata(metadata, count)
            if images is not None:
                _sprite(images, count)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called by Keras; tries the first batch."""
        self._schedule.begin()
        embedder = embedder_of(self.model, self.embedding_output)
        self._examples.try_first_batch(embedder, self.batch_size)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called by Keras."""
        self._schedule.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called by Keras; writes every `freq` steps."""
        if self._schedule.end_batch(batch):
            self.write()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called by Keras; writes if `freq` is `"epoch"`."""
        if self._schedule.every is None:
            self.write()

    def write(self) -> None:
        """Writes the current embeddings."""
        embedder = embedder_of(self.model, self.embedding_output)
        embeddings, labels = self._examples.embed(embedder, self.batch_size)
        name = f"{self.name}-{self._schedule.steps}" if self.keep_all else self.name
        write_projector(self.log_dir, embeddings, labels, self.metadata, self.images, name)
