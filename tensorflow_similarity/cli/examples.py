"""Reads what the command line embeds: arrays, texts and images."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from _tfsim.files import IMAGES, STANDARD_INPUT
from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import Shape
from tensorflow_similarity.samplers.images import image_files, image_folder, load_image
from tensorflow_similarity.samplers.loading import load_examples

__all__ = ["Examples", "read_examples"]

# The first bytes of the file types that standard input may hold.
_BEGINS = {
    b"\x93NUMPY": ".npy",
    b"PK": ".npz",
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
}


@dataclasses.dataclass
class Examples:
    """Examples, with their labels and names.

    Attributes:
        x: What a model embeds.
        labels: Class ids `[n]`, or None.
        class_names: The name of each id from 0, or None where ids are all there is.
        paths: The files `[n]`, or None.
        texts: The texts `[n]`, or None.
    """

    x: Any
    labels: np.ndarray | None = None
    class_names: list[str] | None = None
    paths: list[str] | None = None
    texts: list[str] | None = None

    def relabel(self, labels: np.ndarray | None) -> None:
        """Replaces the class ids of the examples, also in the data that is embedded."""
        self.labels = labels
        if isinstance(self.x, _Images):
            self.x.labels = labels

    def name(self, number: int) -> str:
        """The name of an example."""
        names = self.paths if self.texts is None else self.texts
        return str(number) if names is None else names[number]

    def example(self, number: int) -> Any:
        """One example, for plotting."""
        if isinstance(self.x, _Images):
            return self.x.image(number)
        return self.x[number]


class _Images(keras.utils.PyDataset):
    """Batches of image files, loaded in parallel, in order."""

    def __init__(self, paths: list[str], load: Any, batch_size: int) -> None:
        super().__init__(workers=4)
        self._paths, self._load, self._batch_size = paths, load, batch_size
        self.labels: np.ndarray | None = None

    def __len__(self) -> int:
        return math.ceil(len(self._paths) / self._batch_size)

    def image(self, number: int) -> np.ndarray:
        """One of the images."""
        return np.asarray(self._load(self._paths[number]))

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        part = slice(index * self._batch_size, (index + 1) * self._batch_size)
        x = load_examples(self._load, np.array(self._paths[part]))
        return (x,) if self.labels is None else (x, self.labels[part])


def read_examples(
    path: str | None,
    text: str | None,
    labels: str | None,
    shape: tuple[int | None, ...] | None,
    texts: bool,
    size: str | None,
    scale: int,
    batch_size: int,
    need_labels: bool = False,
) -> Examples:
    """Reads an array, texts, one image, or lists the images of a folder.

    Args:
        path: A .npy, .npz, .txt or image file, a folder, or `"-"` for the standard input.
        text: A single text, in place of a path.
        labels: A .npy file with the class ids of an array or of texts.
        shape: What the model takes, `(height, width, channels)` for images, or None if unknown.
        texts: Whether the model takes strings.
        size: `"HxW"`, where the model takes images of any size.
        scale: The greatest value of an image, 1 or 255.
        batch_size: Images loaded at a time.
        need_labels: Whether examples without labels are an error.

    Raises:
        ValueError: If the file or the folder is not such.
    """
    images = functools.partial(
        _images, image_shape=shape, size=size, scale=scale, batch_size=batch_size
    )
    with contextlib.ExitStack() as ending:
        if path == STANDARD_INPUT:
            path = ending.enter_context(_standard_input())
            name = "the standard input"
        else:
            name = repr(path)
        if text is not None or path is None:
            found = _texts([text or ""], texts)
        elif Path(path).is_dir():
            if labels is not None:
                raise ValueError(
                    "--labels is for arrays and texts. Received: a folder, whose subfolders tell."
                )
            found = _folder(path, images)
        elif (suffix := Path(path).suffix.lower()) in IMAGES:
            if labels is not None:
                raise ValueError(
                    "--labels is for arrays and texts. Received: an image. Put it into a folder of "
                    "its class."
                )
            found = images([path])
            if name != repr(path):  # a temporary file
                found = Examples(found.x[0][0], paths=[STANDARD_INPUT])
        elif suffix == ".txt":
            found = _texts([line for line in _lines(path, name) if line.strip()], texts)
            if labels is not None:
                found.relabel(_class_ids(labels, len(found.x)))
        else:
            found = _array(path, name, labels)
            _check_shape(found.x, shape, texts, name)
    if need_labels and found.labels is None:
        raise ValueError(
            f"{name} must come with class ids: y in an .npz, --labels for an .npy, or subfolders "
            "by class. Received: none."
        )
    return found


@contextlib.contextmanager
def _standard_input() -> Iterator[str]:
    """A file with the content of standard input, with the suffix of its type."""
    content = sys.stdin.buffer.read()
    suffix = next((suffix for begin, suffix in _BEGINS.items() if content.startswith(begin)), "")
    if not suffix:
        try:
            content.decode()
        except UnicodeDecodeError:
            raise ValueError(
                "The standard input must be an image, .npy, .npz, or texts in UTF-8. Received: "
                f"{len(content):,} bytes that are none of these."
            ) from None
        suffix = ".txt"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"input{suffix}")
        path.write_bytes(content)
        yield str(path)


def _texts(texts: list[str], wanted: bool) -> Examples:
    if not wanted:
        raise ValueError("A text is for a model that takes strings. Received: one that does not.")
    if not texts:
        raise ValueError("There must be at least one text. Received: none.")
    return Examples(np.array(texts), texts=texts)


def _lines(path: str, name: str) -> list[str]:
    """The lines of a text in UTF-8, with or without a byte order mark."""
    try:
        # Not `splitlines`, which also breaks at form feeds and at separators within a text.
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} must be a text in UTF-8. Received: byte {error.object[error.start]:#04x} at "
            f"{error.start}, which is none. Save it as UTF-8."
        ) from error
    return lines if lines[-1] else lines[:-1]


def _class_ids(path: str, length: int) -> np.ndarray:
    """The class ids in an .npy file."""
    return checks.class_ids(_one_array(path, repr(path)), "labels", length=length)


def _unreadable(name: str, error: Exception) -> ValueError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ValueError(f"{name} cannot be read as an array of NumPy: {reason}")


def _one_array(path: str, name: str, mmap_mode: Any = None) -> np.ndarray:
    """The array in an .npy file. For other files, NumPy raises errors of many kinds."""
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            raise ValueError(f"{name} must be one array. Received: an archive; name it .npz.")
    try:
        return np.load(path, mmap_mode=mmap_mode)
    except Exception as error:
        raise _unreadable(name, error) from error


def _archive(path: str, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The arrays x and y in an .npz file."""
    with open(path, "rb") as file:
        try:
            loaded = np.load(file)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                names = loaded.files
                found = {key: loaded[key] for key in ("x", "y") if key in names}
            else:
                names, found = None, {}
        except Exception as error:
            raise _unreadable(name, error) from error
    if names is None:
        raise ValueError(f"{name} must be an .npz archive. Received: a single array; name it .npy.")
    if "x" not in found:
        raise ValueError(f"{name} must have an array x. Received: {sorted(names)}.")
    for key, value in found.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{name} must have arrays. Received: {key}, which is none of NumPy's.")
    return found["x"], found.get("y")


def ids_in(path: str) -> Any:
    """The ids or keys in a file: a .txt with one a line, or a .npy.

    Raises:
        ValueError: If the file is not such.
    """
    if Path(path).suffix.lower() != ".txt":
        return _one_array(path, repr(path))
    keys = _lines(path, repr(path))
    if not all(keys):
        raise ValueError(f"{path!r} must have a key in each line. Received: an empty line.")
    return keys


def _array(path: str, name: str, labels: str | None) -> Examples:
    y = None
    if Path(path).suffix.lower() == ".npz":
        x, y = _archive(path, name)
    else:
        x = _one_array(path, name, mmap_mode="r")
    if not x.ndim or not x.size:
        raise ValueError(f"{name} must have at least one example. Received: shape {x.shape}.")
    if x.dtype.kind not in "biufSU":
        raise ValueError(f"{name} must have numbers or texts. Received: dtype {x.dtype}.")
    if labels is not None:
        return Examples(x, _class_ids(labels, len(x)))
    return Examples(x, None if y is None else checks.class_ids(y, "labels", length=len(x)))


def _check_shape(x: Any, shape: tuple[int | None, ...] | None, texts: bool, name: str) -> None:
    """Raises if the model does not take an array like this, before embedding it."""
    if shape is None:
        return
    fits = x.ndim == 1 + len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, x.shape[1:], strict=True)
    )
    # Keras adds a missing last axis of size 1.
    fits = fits or (shape[-1:] == (1,) and x.shape[1:] == shape[:-1])
    if not fits and not texts:
        shown = [wanted if wanted is not None else "any" for wanted in shape]
        raise ValueError(
            f"{name} must have examples of shape {shown}. Received: {list(x.shape[1:])}."
        )
    if (x.dtype.kind in "SU") != texts:
        wanted_kind = "texts" if texts else "numbers"
        raise ValueError(f"{name} must have {wanted_kind}. Received: dtype {x.dtype}.")


def _images(
    paths: list[str],
    labels: Any = None,
    names: list[str] | None = None,
    *,
    image_shape: Shape | None,
    size: str | None,
    scale: int,
    batch_size: int,
) -> Examples:
    if image_shape is None or len(image_shape) != 3:
        raise ValueError(f"The model must take images. Received: {paths[0]!r}.")
    load = functools.partial(
        load_image,
        target_size=_target_size(image_shape, size),
        channels=image_shape[2] or 3,
        dtype="uint8" if scale == 255 else "float32",
    )
    return Examples(_Images(paths, load, batch_size), labels, names, paths)


def _folder(path: str, images: Callable[..., Examples]) -> Examples:
    children = Path(path).iterdir()
    if any(child.is_dir() and not child.name.startswith(".") for child in children):
        paths, labels, names = image_folder(path)
        return images(paths.tolist(), labels, names)
    found = image_files(path)
    if not found:
        raise ValueError(f"{path!r} must have images, or subfolders of them. Received: none.")
    return images(found)


def _target_size(image_shape: Any, size: str | None) -> tuple[int, int]:
    height, width = image_shape[:2]
    if height is not None and width is not None:
        return height, width
    try:
        height, width = (int(side) for side in (size or "").lower().split("x"))
        if min(height, width) < 1:
            raise ValueError("no pixels")
    except ValueError:
        raise ValueError(
            f"--size must be like 224x224, as the model takes images of any size. Received: {size}."
        ) from None
    return height, width
