"""How payloads are drawn: images by path, texts by key."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from tensorflow_similarity.samplers.images import IMAGE_SUFFIXES, load_image

#: Keys of a payload that may hold the path of an image, in order of preference.
PATH_KEYS = ("path", "file", "image", "filename", "file_name", "image_path", "url")
_TEXT_KEYS = ("text", "title", "name", "sentence")


def drawable(data: object, folder: str | os.PathLike[str] | None = None) -> Any:
    """The image named by a payload, the text it holds, or the payload itself.

    Args:
        data: The payload of a record, or a query: a path that ends as images do, or a mapping
            with such a path under one of `PATH_KEYS`; anything else is returned.
        folder: The folder of relative paths. None: the working directory.

    Warns:
        UserWarning: If there is no such file. Then the payload is returned.
    """
    if isinstance(data, (str, np.str_, os.PathLike)):
        return _loaded(os.fspath(data), folder, data)
    if not isinstance(data, Mapping):
        return data
    for key in PATH_KEYS:
        value = data.get(key)
        if isinstance(value, (str, os.PathLike)):
            image = _loaded(os.fspath(value), folder, None)
            if image is not None:
                return image
        elif isinstance(value, np.ndarray):
            return value
    return text_of(data)


def text_of(data: object) -> Any:
    """The text that a mapping holds; anything else is returned."""
    if not isinstance(data, Mapping):
        return data
    return next((data[key] for key in _TEXT_KEYS if isinstance(data.get(key), str)), data)


def _loaded(name: str, folder: str | os.PathLike[str] | None, otherwise: Any) -> Any:
    parts = urlsplit(name)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        name = url2pathname(parts.path)
    # A sentence may end in ".png", but not a line of it that is a file.
    if not name.lower().endswith(IMAGE_SUFFIXES) or "\n" in name or "://" in name:
        return otherwise
    path = Path(folder or ".", name)
    if path.is_file():
        return load_image(str(path), dtype="uint8")
    if not any(letter.isspace() for letter in name):
        warnings.warn(
            f"There is no image {str(path)!r}, which stored data name: their text is drawn. "
            "Pass `folder=`, where relative paths begin.",
            stacklevel=3,
        )
    return otherwise
