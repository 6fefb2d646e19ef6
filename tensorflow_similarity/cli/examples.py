"""What the command line embeds: arrays and folders of images."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.samplers.images import image_files, image_folder, load_image
from tensorflow_similarity.samplers.loading import load_examples

__all__ = ["Examples", "read_examples"]


@dataclasses.dataclass
class Examples:
    """Examples, and what is known of them.

    Attributes:
        x: What a model embeds.
        labels: Class ids `[n]`, or None.
        class_names: The name of each id from 0, or None where ids are all there is.
        paths: The files `[n]`, or None.
    """

    x: Any
    labels: np.ndarray | None = None
    class_names: list[str] | None = None
    paths: list[str] | None = None

    def relabel(self, labels: np.ndarray | None) -> None:
        """Gives the examples other class ids, in what is embedded too."""
        self.labels = labels
        if isinstance(self.x, _Images):
            self.x.labels = labels

    def name(self, number: int) -> str:
        """What to call an example."""
        return str(number) if self.paths is None else self.paths[number]


class _Images(keras.utils.PyDataset):
    """Batches of image files, loaded side by side, in order."""

    def __init__(self, paths: list[str], load: Any, batch_size: int) -> None:
        super().__init__(workers=4)
        self._paths, self._load, self._batch_size = paths, load, batch_size
        self.labels: np.ndarray | None = None

    def __len__(self) -> int:
        return math.ceil(len(self._paths) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        part = slice(index * self._batch_size, (index + 1) * self._batch_size)
        x = load_examples(self._load, np.array(self._paths[part]))
        return (x,) if self.labels is None else (x, self.labels[part])


def read_examples(
    path: str,
    labels: str | None,
    image_shape: tuple[int | None, ...] | None,
    size: str | None,
    scale: int,
    batch_size: int,
    need_labels: bool = False,
) -> Examples:
    """Reads an array, or lists the images of a folder.

    Args:
        path: A .npy or .npz file, or a folder.
        labels: A .npy file with the class ids of an array.
        image_shape: `(height, width, channels)` that the model takes, or None.
        size: `"HxW"`, where the model takes images of any size.
        scale: The greatest value of an image, 1 or 255.
        batch_size: Images loaded at a time.
        need_labels: Whether examples without labels are an error.

    Raises:
        ValueError: If the file or the folder is not such.
    """
    checks.count(batch_size, "--batch-size")
    if Path(path).is_dir():
        if labels is not None:
            raise ValueError("--labels is for arrays. Received: a folder, whose subfolders tell.")
        found = _folder(path, image_shape, size, scale, batch_size)
    else:
        found = _array(path, labels)
    if need_labels and found.labels is None:
        raise ValueError(
            f"{path!r} must come with class ids: y in an .npz, --labels for an .npy, or subfolders "
            "by class. Received: none."
        )
    return found


def _array(path: str, labels: str | None) -> Examples:
    suffix = Path(path).suffix.lower()
    if suffix not in (".npy", ".npz"):
        raise ValueError(f"DATA must be .npy, .npz or a folder. Received: {path!r}.")
    loaded = np.load(path, mmap_mode="r" if suffix == ".npy" else None)
    y = None
    if suffix == ".npz":
        with loaded:
            if "x" not in loaded:
                raise ValueError(f"{path!r} must have an array x. Received: {sorted(loaded)}.")
            x, y = loaded["x"], loaded.get("y")
    else:
        x = loaded
    if labels is not None:
        y = np.load(labels)
    if not x.ndim or not len(x):
        raise ValueError(f"{path!r} must have at least one example. Received: shape {x.shape}.")
    return Examples(x, None if y is None else checks.class_ids(y, "labels", length=len(x)))


def _folder(path: str, image_shape: Any, size: str | None, scale: int, batch_size: int) -> Examples:
    if image_shape is None or len(image_shape) != 3:
        raise ValueError(f"The model must take images. Received: a folder, {path!r}.")
    children = Path(path).iterdir()
    if any(child.is_dir() and not child.name.startswith(".") for child in children):
        paths, labels, names = image_folder(path)
    else:
        paths, labels, names = np.array(image_files(path)), None, None
        if not len(paths):
            raise ValueError(f"{path!r} must have images, or subfolders of them. Received: none.")
    load = functools.partial(
        load_image,
        target_size=_target_size(image_shape, size),
        channels=image_shape[2] or 3,
        dtype="uint8" if scale == 255 else "float32",
    )
    return Examples(_Images(paths.tolist(), load, batch_size), labels, names, paths.tolist())


def _target_size(image_shape: Any, size: str | None) -> tuple[int, int]:
    height, width = image_shape[:2]
    if height is not None and width is not None:
        return height, width
    try:
        height, width = (int(side) for side in (size or "").lower().split("x"))
    except ValueError:
        raise ValueError(
            f"--size must be like 224x224, as the model takes images of any size. Received: {size}."
        ) from None
    return height, width
