"""Connects a model to its index: its output, its distance, and the weights used."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import Index, engines
from tensorflow_similarity.models.embedding import Embedder
from tensorflow_similarity.models.fingerprint import WeightsFingerprint
from tensorflow_similarity.models.jax_batches import synced
from tensorflow_similarity.targets import TargetsLike

__all__ = ["IndexBinding"]

# The note of an index that holds the digest of the weights that embedded its records.
_MADE_WITH = "made_with_weights"
_EMPTY = "The index is empty: add records first, with model.index(x, y)."
_MILVUS = "milvus"
_OF_MILVUS, _OF_BOTH = ("uri", "collection"), ("search_params",)
# Settings of an index that do not depend on its distance.
_SETTINGS = ("target_recall", "search_params", "background", "storage")


def _settings_of(index: Index) -> dict[str, Any]:
    """Settings that carry over to a new index, besides its distance and engine."""
    if index.search == _MILVUS:
        return {}
    config = index.get_config()
    return {name: config[name] for name in _SETTINGS} | {"path": index.path}


class IndexBinding:
    """The index of a model, and the settings that it must agree with.

    Keras does not track this object: it is saved as an asset of the model, and
    its parts are never taken for layers.

    Args:
        model: The model.

    Attributes:
        index: The index, or None before there is one.
        distance: Its distance, or None before `configure`.
        search: Its search engine.
        embedding_output: Which output of the model it holds.
        settings: All else that a new index is to be: where it lives, how it keeps embeddings,
            what its engine shall find. Arguments of `Index`. Kept whatever the distance is.
        fingerprint: The digest of the weights as they are.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._embedder: Embedder | None = None
        self._record_embedder: Embedder | None = None
        self._warned = False
        self.index: Index | None = None
        self.distance: Distance | None = None
        self.search: Any = "auto"
        self.embedding_output: int | str | None = None
        self.settings: dict[str, Any] = {}
        self._left = ""
        self.fingerprint = WeightsFingerprint(model)

    def configure(
        self,
        distance: Distance,
        search: object = None,
        embedding_output: int | str | None = None,
        keep: bool = True,
        settings: dict[str, Any] | None = None,
    ) -> None:
        """Configures the index, and creates an empty one unless the old one is kept.

        Args:
            distance: Its distance.
            search: Its search engine; None for the one it has.
            embedding_output: Which output of the model it holds.
            keep: Whether the index that there is stays where it fits.
            settings: All other arguments of `Index`; None for those it has.

        Raises:
            ValueError: If the output or the search engine does not exist, or there are
                records to keep that would not fit. Nothing has changed then.
        """
        search = self.search if search is None else search
        if search != _MILVUS:
            engines.get(search)
        embedder = Embedder(self._model.towers()[0], embedding_output)
        wanted = (distance, search, embedding_output)
        present = (self.distance, self.search, self.embedding_output)
        if keep and self.index is not None and wanted != present and len(self.index):
            raise ValueError(
                f"The index holds {len(self.index)} records made with distance={present[0]!r}, "
                f"search={present[1]!r}, embedding_output={present[2]!r}. Received: "
                f"distance={distance!r}, search={search!r}, embedding_output="
                f"{embedding_output!r}. Pass the former to keep the records, or call "
                "reset_index() first to give them up."
            )
        if keep and self.index is not None and wanted == present:
            self._embedder = embedder
            return
        settings = self.settings if settings is None else settings
        if keep and (search == _MILVUS) != (self.search == _MILVUS):
            settings = {k: v for k, v in settings.items() if k != "search_params"}
        before = dict(vars(self))
        self._embedder = embedder
        self.distance, self.search, self.embedding_output = wanted
        self.settings, self.index, self._warned = settings, None, False
        try:
            # For records in Milvus, there is an index only once their location is known.
            if embedder.size is not None and (search != _MILVUS or settings.get("uri")):
                before["index"] = self._let_go(before["index"], settings)
                self.require_index(embedder.size)
        except BaseException:
            vars(self).update(before)
            raise

    def _let_go(self, index: Index | None, settings: Mapping[str, Any]) -> Index | None:
        """Closes the index of a folder that the next one will use, if that is allowed.

        Raises:
            ValueError: If what is there was made with another distance.
        """
        path = settings.get("path")
        if index is None or path is None or index.path != os.path.abspath(os.fspath(path)):
            return index
        if self.distance != index.distance:
            raise ValueError(
                f"The index lives in the folder {index.path!r}, where it was made with "
                f"distance={index.distance!r}. Received: distance={self.distance!r}. Pass the "
                "former, or begin one elsewhere: create_index(distance=..., path=another)."
            )
        index.close()
        return index

    def reset(self) -> None:
        """Removes all records and the calibration."""
        if self.index is not None:
            self.index.clear()
            self.index.calibration = None
            self.index.notes.pop(_MADE_WITH, None)
            self._warned = False

    def adopt(self, index: Index) -> None:
        """Replaces the index, and takes over the distance and engine of the new one.

        Raises:
            ValueError: If the model's embeddings have another size.
        """
        size = self.embedder.size
        if size is not None and size != index.embedding_size:
            raise ValueError(
                "The index must hold embeddings of the size that the model makes, "
                f"{size}. Received: an index of embedding size {index.embedding_size}."
            )
        self.index, self._warned = index, False
        self.distance, self.search = index.distance, index.search
        self.settings = _settings_of(index)

    def leave(self, place: Mapping[str, Any]) -> None:
        """Records that the model's records are in Milvus, and must be attached."""
        self.index, self.search = None, _MILVUS
        self._left = f", when it was saved in {place['uri']!r}, collection {place['collection']!r}"

    def attach(self, index: Index) -> None:
        """Attaches an index from elsewhere, whose records must come from this model.

        Raises:
            ValueError: If they have another size or distance, or were embedded with
                other weights.
        """
        if self.distance is not None and self.distance != index.distance:
            raise ValueError(
                f"The index must have the distance of the model, {self.distance!r}. Received: "
                f"one with {index.distance!r}. If it is meant so, assign it to "
                "`model.vector_index`."
            )
        made_with = index.notes.get(_MADE_WITH)
        if made_with not in (None, self.fingerprint.digest()):
            raise ValueError(
                "The records of the index must be embedded with the weights of this model. "
                "Received: an index whose records were embedded with others. Load the model that "
                "made them; or index anew, in another collection; or, if it is meant so, assign "
                "the index to `model.vector_index`."
            )
        self.adopt(index)

    @property
    def embedder(self) -> Embedder:
        """The forward pass to the embedding output; recreated after `forget_traces`."""
        synced(self._model)  # of which the embedder may know a tower only
        if self._embedder is None:
            self._embedder = Embedder(self._model.towers()[0], self.embedding_output)
        return self._embedder

    @property
    def record_embedder(self) -> Embedder:
        """Embeds records: differs from `embedder` if the model has a separate tower for them."""
        synced(self._model)
        queries, tower = self._model.towers()
        if tower is queries:
            return self.embedder
        if self._record_embedder is None:
            self._record_embedder = Embedder(tower, self.embedding_output)
        return self._record_embedder

    def forget_traces(self) -> None:
        """Call this when the computation of the model has changed."""
        self._embedder = self._record_embedder = None

    def require_index(self, embedding_size: int) -> Index:
        """The index, created now if the embedding size was not known before.

        Raises:
            ValueError: If neither `compile` nor `create_index` was called.
        """
        if self.index is None:
            if self.distance is None:
                raise ValueError(
                    "The model has no index yet: call compile() with a loss that has a distance, "
                    "or create_index(distance=...)."
                )
            self._require_place()
            self.index = Index(
                embedding_size=embedding_size,
                distance=self.distance,
                search=self.search,
                **{
                    name: value
                    for name, value in self.settings.items()
                    if (name in _OF_MILVUS) == (self.search == _MILVUS) or name in _OF_BOTH
                },
            )
        return self.index

    def _require_place(self) -> None:
        """Raises if the records are in Milvus and are not attached."""
        if self.search == _MILVUS and self.index is None and not self.settings.get("uri"):
            raise ValueError(
                f"The records of the model are in Milvus{self._left}: attach to them with "
                "model.load_index(uri=...), or begin an index there with "
                "model.create_index(search='milvus', uri=...)."
            )

    def require_made(self) -> Index:
        """The index, which may hold no records.

        Raises:
            ValueError: If there is none yet.
        """
        self._require_place()
        if self.index is None:
            raise ValueError(_EMPTY)
        return self.index

    def require_records(self) -> Index:
        """The index, which must hold records.

        Raises:
            ValueError: If it is empty.
        """
        index = self.require_made()
        if not len(index):
            raise ValueError(_EMPTY)
        return index

    def add(
        self,
        embeddings: np.ndarray,
        labels: TargetsLike | None = None,
        data: object = None,
        ids: ArrayLike | None = None,
        replace: bool = False,
    ) -> np.ndarray:
        """Adds records, and remembers which weights embedded the first of them.

        If `replace`, they take the place of those with the same ids.
        """
        index = self.require_index(embeddings.shape[1])
        fresh = not len(index)
        if not fresh:
            self.warn_if_stale()
        else:  # set first, so that it precedes the records in a journal
            index.notes[_MADE_WITH], self._warned = self.fingerprint.digest(), False
        if replace:
            return index.upsert(ids, embeddings, labels=labels, data=data)
        return index.add(embeddings, labels=labels, data=data, ids=ids)

    def warn_if_stale(self) -> None:
        """Warns once if the weights have changed since the records were embedded.

        The warning points at the caller of the caller of the caller of this: the
        user's line, if a method of the model comes here by one more function.
        """
        made_with = None if self.index is None else self.index.notes.get(_MADE_WITH)
        if self._warned or made_with is None:
            return
        if self.fingerprint.digest() != made_with:
            self._warned = True
            warnings.warn(
                "The model's weights changed after its records were indexed: distances between "
                "new and old embeddings mean little. Index the records anew, with reset_index() "
                "and index(x, y).",
                stacklevel=levels_to_the_caller(),
            )
