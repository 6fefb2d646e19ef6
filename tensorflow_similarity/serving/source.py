"""The source of answers: a model with its index, or just an index."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tensorflow_similarity.index import Index, Neighbors
from tensorflow_similarity.models import SimilarityModel, assessment

__all__ = ["Source"]


class Source:
    """Wraps a model or an index, and turns inputs into neighbours.

    Attributes:
        shape: What an input must look like; None for sides of any size.
        dtype: Its dtype: that of a NumPy array, or `"string"`.
    """

    def __init__(self, served: object) -> None:
        self._model: SimilarityModel | None = None
        if isinstance(served, SimilarityModel):
            inputs = keras.tree.flatten(served.input)
            if len(inputs) != 1:
                raise ValueError(
                    f"The model must take one array. Received: a model with {len(inputs)} inputs."
                )
            self._model = served
            self.shape: tuple[int | None, ...] = tuple(inputs[0].shape[1:])
            self.dtype = keras.backend.standardize_dtype(inputs[0].dtype)
        elif isinstance(served, Index):
            self._index = served
            self.shape, self.dtype = (served.embedding_size,), "float32"
        else:
            raise TypeError(
                "What is served must be a SimilarityModel or an Index. "
                f"Received: {type(served).__name__}."
            )

    @property
    def index(self) -> Index:
        """The index, which may still be empty."""
        return self._index if self._model is None else self._model.vector_index

    def __len__(self) -> int:
        return self._model.index_size() if self._model is not None else len(self._index)

    def answer(self, x: np.ndarray, k: int, cutpoint: str | None) -> tuple[Neighbors, Any]:
        """The neighbours of inputs, and their matches if a cutpoint is named."""
        embeddings = x if self._model is None else self._model.embed(x, verbose=0)
        neighbors = self.index.lookup(embeddings, k=min(k, len(self)))
        if cutpoint is None:
            return neighbors, None
        return neighbors, assessment.match(self.index, embeddings, cutpoint, -1, None, None)

    def warm_up(self) -> None:
        """Compiles the model before the first request."""
        if self.dtype == "string" or not len(self):
            return
        example = np.zeros([2, *(size or 1 for size in self.shape)], self.dtype)
        for x in (example, example[:1]):
            self.answer(x, 1, None)
