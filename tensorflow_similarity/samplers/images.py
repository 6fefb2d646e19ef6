"""Finding and loading image files."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["IMAGE_SUFFIXES", "ImageFolder", "image_folder", "load_image"]

#: Suffixes of the formats that TensorFlow decodes.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")

# Images that are loaded at a time.
_AT_ONCE = 16
# Resizing methods, and whether they use antialiasing.
_INTERPOLATIONS = {
    "lanczos3": True,
    "bicubic": True,
    "area": False,
    "bilinear": False,
    "nearest": False,
}


class ImageFolder(NamedTuple):
    """Files of a folder, by class.

    Attributes:
        paths: Array of strings `[n]`, sorted by class and name.
        labels: int64 `[n]`, the position of the class in `class_names`.
        class_names: The names of the subfolders, sorted.
    """

    paths: np.ndarray
    labels: np.ndarray
    class_names: list[str]


def image_folder(
    folder: str | os.PathLike[str], suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> ImageFolder:
    """Lists the files of a folder with one subfolder per class.

    Args:
        folder: The folder. Files anywhere below a subfolder belong to its class; files
            directly in `folder` and hidden files are ignored.
        suffixes: Suffixes of the files to list, in lower case. Defaults to the image formats
            that TensorFlow decodes.

    Returns:
        `(paths, labels, class_names)`.

    Raises:
        ValueError: If the folder does not exist, or its subfolders have no such files.

    Example:

    ```python
    import keras
    import numpy as np
    from pathlib import Path
    from tensorflow_similarity.samplers import image_folder

    for name in ["cat/1.png", "cat/2.png", "dog/1.png"]:
        Path("pets", name).parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(f"pets/{name}", np.zeros((4, 4, 3)))
    paths, labels, class_names = image_folder("pets")
    labels  # [0, 0, 1]
    class_names  # "cat" is 0, "dog" is 1
    ```
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"`folder` must be a folder that exists. Received: {str(folder)!r}.")
    paths: list[str] = []
    labels: list[int] = []
    names: list[str] = []
    for child in sorted(path for path in root.iterdir() if path.is_dir()):
        if child.name.startswith("."):
            continue
        found = image_files(child, suffixes)
        if found:
            paths += found
            labels += [len(names)] * len(found)
            names.append(child.name)
    if not paths:
        raise ValueError(
            "`folder` must have a subfolder for each class, with files that end in "
            f"{', '.join(suffixes)}. Received: {str(folder)!r}, which has none."
        )
    return ImageFolder(np.array(paths), np.array(labels, np.int64), names)


def image_files(
    folder: str | os.PathLike[str], suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> list[str]:
    """The files anywhere below a folder, sorted, without hidden ones or those in hidden folders."""
    root = Path(folder)
    return [
        str(path)
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    ]


def load_image(
    path: Any,
    target_size: tuple[int, int] | None = None,
    channels: int = 3,
    dtype: str = "float32",
    interpolation: str = "lanczos3",
) -> np.ndarray:
    """Loads an image file: BMP, GIF (its first frame), JPEG or PNG.

    Args:
        path: The file.
        target_size: `(height, width)` to resize to. Defaults to `None`: no
            resizing.
        channels: 3 for colour (the default), 1 for greyscale (JPEG and PNG only).
        dtype: `"float32"` (the default) for values from 0 to 1, `"uint8"` for values from 0
            to 255, which is what `keras.applications` and `architectures.with_backbone`
            take.
        interpolation: How to resize: `"lanczos3"` (the default) or `"bicubic"`, both with
            antialiasing; or, several times as fast, `"area"`, `"bilinear"` or `"nearest"`.

    Returns:
        Array `[height, width, channels]`.

    Raises:
        ValueError: If `dtype` or `interpolation` is not one of these.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.samplers import load_image

    keras.utils.save_img("white.png", np.full((8, 6, 3), 255), scale=False)
    image = load_image("white.png", target_size=(4, 4))
    image.shape  # (4, 4, 3)
    image.max()  # 1.0
    ```
    """
    _check(dtype, interpolation)
    # Decoding releases the GIL, so that workers load images in parallel.
    import tensorflow as tf

    with tf.device("CPU"):
        image = _read(os.fspath(path), channels)
        if target_size is None:
            scaled = image.numpy()
            return scaled if dtype == "uint8" else scaled.astype("float32") / np.float32(255)
        return _scaled(_resized(image, target_size, interpolation).numpy(), dtype)


def load_images(
    paths: Sequence[Any],
    target_size: tuple[int, int] | None = None,
    channels: int = 3,
    dtype: str = "float32",
    interpolation: str = "lanczos3",
) -> np.ndarray | list[np.ndarray]:
    """Loads image files as `load_image` does, several at a time and on all cores.

    Args:
        paths: The files.
        target_size: As for `load_image`, like the others.
        channels: 3 or 1.
        dtype: `"float32"` or `"uint8"`.
        interpolation: How to resize.

    Returns:
        Array `[n, height, width, channels]`; without `target_size`, a list of arrays.
    """
    if target_size is None:
        return [load_image(path, None, channels, dtype, interpolation) for path in paths]
    _check(dtype, interpolation)
    import tensorflow as tf

    load = _loading((int(target_size[0]), int(target_size[1])), channels, interpolation)
    with tf.device("CPU"):
        names = tf.constant([os.fspath(path) for path in paths], tf.string)
        return _scaled(load(names).numpy(), dtype)


# How samplers know that many are loaded at once.
load_image.many = load_images  # type: ignore[attr-defined]


def _check(dtype: str, interpolation: str) -> None:
    if dtype not in ("float32", "uint8"):
        raise ValueError(f"`dtype` must be 'float32' or 'uint8'. Received: {dtype!r}.")
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(
            f"`interpolation` must be one of {tuple(_INTERPOLATIONS)}. Received: {interpolation!r}."
        )


def _read(path: Any, channels: int) -> Any:
    import tensorflow as tf

    encoded = tf.io.read_file(path)
    return tf.io.decode_image(encoded, channels=channels, expand_animations=False)


def _resized(image: Any, target_size: tuple[int, int], interpolation: str) -> Any:
    import tensorflow as tf

    return tf.image.resize(
        image, target_size, method=interpolation, antialias=_INTERPOLATIONS[interpolation]
    )


def _scaled(resized: np.ndarray, dtype: str) -> np.ndarray:
    scaled = np.clip(resized, 0, 255)
    return np.rint(scaled).astype("uint8") if dtype == "uint8" else scaled / np.float32(255)


@functools.lru_cache(maxsize=16)
def _loading(
    target_size: tuple[int, int], channels: int, interpolation: str
) -> Callable[[Any], Any]:
    """A function of paths, a tensor, as a graph: calling each operation takes most of the time."""
    import tensorflow as tf

    def one(path: Any) -> Any:
        image = _read(path, channels)
        image.set_shape([None, None, channels or None])
        return _resized(image, target_size, interpolation)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def many(paths: Any) -> Any:
        return tf.map_fn(one, paths, fn_output_signature=tf.float32, parallel_iterations=_AT_ONCE)

    return many
