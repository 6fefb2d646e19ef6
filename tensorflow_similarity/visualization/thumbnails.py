"""Many small images in a few larger ones."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np

from tensorflow_similarity._extras import missing
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.visualization.drawing import image_values, is_image

_PER_SHEET = 1024


def sprite_sheets(images: ArrayLike, size: int) -> dict[str, Any]:
    """Thumbnails of images of one shape, as PNG data URLs of up to 1,024 each.

    Args:
        images: `[n, h, w]` or `[n, h, w, channels]`.
        size: Longest side of a thumbnail in pixels; smaller images keep theirs.

    Returns:
        `width` and `height` of one, `columns` and `per_sheet`, and the `sheets`.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("Showing thumbnails", "Pillow", "viz") from error
    pictures = [Image.fromarray(pixels) for pixels in _as_bytes(images)]
    width, height = pictures[0].size
    shrink = min(1.0, size / max(width, height))
    width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    columns = math.ceil(math.sqrt(min(len(pictures), _PER_SHEET)))
    sheets = []
    for start in range(0, len(pictures), _PER_SHEET):
        part = pictures[start : start + _PER_SHEET]
        sheet = Image.new(part[0].mode, (columns * width, math.ceil(len(part) / columns) * height))
        for k, picture in enumerate(part):
            small = picture.resize((width, height)) if shrink < 1 else picture
            sheet.paste(small, (k % columns * width, k // columns * height))
        stream = io.BytesIO()
        sheet.save(stream, "PNG", optimize=True)
        code = base64.b64encode(stream.getvalue()).decode("ascii")
        sheets.append(f"data:image/png;base64,{code}")
    return {
        "width": width,
        "height": height,
        "columns": columns,
        "per_sheet": _PER_SHEET,
        "sheets": sheets,
    }


def _as_bytes(images: ArrayLike) -> np.ndarray:
    """uint8 `[n, h, w]` or `[n, h, w, 3 or 4]`; without colours, scaled to the full range."""
    array = np.asarray(images)
    if array.ndim not in (3, 4) or not is_image(array[0]):
        raise ValueError(
            "`images` must have the shape [n, h, w], or [n, h, w, channels] with 1, 3 or 4 "
            f"channels. Received: shape {array.shape}, dtype {array.dtype}."
        )
    if array.shape[-1] in (3, 4) and array.ndim == 4:
        if array.dtype.kind != "f":
            return np.clip(array, 0, 255).astype(np.uint8)
        return np.stack([np.round(255 * image_values(one)).astype(np.uint8) for one in array])
    grey = array[..., 0] if array.ndim == 4 else array
    grey = grey.astype(np.float32)
    low, high = float(grey.min()), float(grey.max())
    return np.round(255 * (grey - low) / ((high - low) or 1.0)).astype(np.uint8)
