"""Batches of classes from a few categories."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.samplers.class_choice import ClassChoice, others
from tensorflow_similarity.targets import Targets

__all__ = ["HierarchicalClasses"]


class HierarchicalClasses(ClassChoice):
    """Chooses a few categories, then classes from these only.

    Many negatives of a query then come from its own category, birds beside birds and shoes
    beside shoes: these are the hard ones.

    Categories are drawn uniformly without replacement, and share the classes of the batch
    evenly. If a category has too few classes, the rest are drawn from all other classes.

    Args:
        categories: The category of each class: class id, or class name where labels are
            names, -> any value; or the `Targets.hierarchy` that the sampler draws by, whose
            last level but one is the category.
        categories_per_batch: Number of categories in a batch. Defaults to 2.

    Raises:
        ValueError: When passed to a sampler: if a class has no category, or if there are fewer
            categories, or fewer classes in a batch, than `categories_per_batch`.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import BalancedDraws, HierarchicalClasses

    labels = np.repeat(np.arange(6), 5)
    kinds = {0: "bird", 1: "bird", 2: "bird", 3: "shoe", 4: "shoe", 5: "shoe"}
    choice = HierarchicalClasses(kinds, categories_per_batch=1)
    draws = BalancedDraws(labels, 3, 2, class_choice=choice, seed=0)
    labels[draws.draw(epoch=0, step=0)]  # of 0, 1, 2 or of 3, 4, 5
    ```
    """

    def __init__(
        self, categories: Mapping[Any, Hashable] | Targets, categories_per_batch: int = 2
    ) -> None:
        if isinstance(categories, Targets):
            categories = _of_hierarchy(categories)
        if not isinstance(categories, Mapping):
            raise TypeError(
                "`categories` must be a mapping of class id or name to category, e.g. "
                f"dict(zip(class_ids, names)). Received: {type(categories).__name__}."
            )
        self.categories = {
            label if isinstance(label, str) else int(label): category
            for label, category in categories.items()
        }
        self.categories_per_batch = checks.count(categories_per_batch, "categories_per_batch")

    def prepare(self, count: int) -> None:
        labels: list[Any] = self.classes.tolist()
        if self.class_names is not None and any(isinstance(key, str) for key in self.categories):
            labels = [self.class_names[label] for label in labels]
        missing = [label for label in labels if label not in self.categories]
        if missing:
            raise ValueError(
                "`categories` must have every class. Received: none for "
                f"{len(missing)} of {len(self.classes)} classes, for instance {missing[0]!r}."
            )
        members: dict[Hashable, list[int]] = {}
        for place, label in enumerate(labels):
            members.setdefault(self.categories[label], []).append(place)
        self._members = [np.array(places) for places in members.values()]
        if not self.categories_per_batch <= min(len(self._members), count):
            raise ValueError(
                "`categories_per_batch` must not exceed the number of categories, nor that of "
                f"the classes in a batch. Received: {self.categories_per_batch}, with "
                f"{len(self._members)} categories and {count} classes."
            )

    def choose(self, rng: np.random.Generator, count: int) -> np.ndarray:
        each, more = divmod(count, self.categories_per_batch)
        chosen = rng.choice(len(self._members), self.categories_per_batch, replace=False)
        parts = []
        for place, category in enumerate(chosen):
            members = self._members[category]
            wanted = min(each + (place < more), len(members))
            parts.append(members[rng.choice(len(members), wanted, replace=False)])
        found = np.concatenate(parts)
        return np.concatenate([found, others(rng, len(self.classes), found, count - len(found))])

    def __repr__(self) -> str:
        return (
            f"HierarchicalClasses(categories={len(set(self.categories.values()))}, "
            f"categories_per_batch={self.categories_per_batch})"
        )


def _of_hierarchy(paths: Targets) -> dict[str, Hashable]:
    """The category of each class of a hierarchy."""
    if paths.kind != "hierarchy" or len(paths.columns) < 2:  # type: ignore[attr-defined]
        raise TypeError(
            "`categories` must be a mapping, or Targets.hierarchy with at least two levels. "
            f"Received: {paths!r}."
        )
    finest, above = paths.level(-1), paths.level(-2)
    places = np.unique(finest.ids[finest.known], return_index=True)[1]
    rows = np.flatnonzero(finest.known)[places]
    return dict(zip(finest.decode(finest.ids[rows]), above.ids[rows].tolist(), strict=True))
