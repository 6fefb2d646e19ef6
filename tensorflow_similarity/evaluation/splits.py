"""Train/test splits by class, and a check for examples in both parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.targets import TargetsLike

__all__ = ["class_disjoint", "class_disjoint_folds", "shared_examples"]


def class_disjoint(
    labels: TargetsLike, test_size: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Splits examples so that no class is on both sides.

    A similarity model is meant for new classes, on which a split by example tells nothing.

    Args:
        labels: Class ids or names `[n]`; None where the class is unknown: such
            examples are on neither side.
        test_size: Fraction of the classes on the test side, between 0 and 1. Each side gets
            at least one class.
        seed: Seed of the choice of classes.

    Returns:
        Positions of the training and of the test examples, int64, ascending.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If there is only one class, or `test_size` is out of range.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import splits

    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    train, test = splits.class_disjoint(labels, test_size=0.25)
    set(labels[train]) & set(labels[test])  # set()
    ```
    """
    test_size, rng = checks.fraction(test_size, "test_size"), checks.rng(seed)
    places, classes, inverse = _classes(labels)
    _check_classes(len(classes), 2)
    number = int(np.clip(round(test_size * len(classes)), 1, len(classes) - 1))
    in_test = np.zeros(len(classes), bool)
    in_test[rng.permutation(len(classes))[:number]] = True
    return places[~in_test[inverse]], places[in_test[inverse]]


def class_disjoint_folds(
    labels: TargetsLike, folds: int = 4, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cross-validation by class: every class is in the test part of exactly one fold.

    Args:
        labels: Class ids or names `[n]`; None where the class is unknown: such
            examples are on neither side.
        folds: Number of folds. Their numbers of classes differ by at most one.
        seed: Seed of the assignment of classes to folds.

    Yields:
        Positions of the training and of the test examples, int64, ascending.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If there are fewer classes than folds, or fewer than two folds.

    Example:

    ```python
    from tensorflow_similarity.evaluation import splits

    for train, test in splits.class_disjoint_folds([0, 0, 1, 1, 2, 2], folds=3):
        print(train, test)
    ```
    """
    number = checks.count(folds, "folds", minimum=2)
    rng = checks.rng(seed)
    places, classes, inverse = _classes(labels)
    _check_classes(len(classes), number)
    fold = np.empty(len(classes), np.int64)
    fold[rng.permutation(len(classes))] = np.arange(len(classes)) % number
    return ((places[fold[inverse] != i], places[fold[inverse] == i]) for i in range(number))


def shared_examples(train: ArrayLike, test: ArrayLike) -> np.ndarray:
    """Finds test examples that are also training examples, and warns of them.

    Args:
        train: Training examples `[n, ...]`: images, embeddings, any array.
        test: Test examples `[m, ...]`, of the same shape and dtype.

    Returns:
        Positions in `test` of examples that are equal, bit for bit, to one in
        `train`: int64, ascending.

    Raises:
        ValueError: If shapes or dtypes differ.

    Example:

    ```python
    import warnings
    from tensorflow_similarity.evaluation import splits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        splits.shared_examples([[1, 2], [3, 4]], [[5, 6], [3, 4]])  # [1]
    ```
    """
    known, new = checks.host_array(train, "train"), checks.host_array(test, "test")
    if known.shape[1:] != new.shape[1:] or known.dtype != new.dtype or not known.ndim:
        raise ValueError(
            "`train` and `test` must be examples of one shape and dtype. Received: "
            f"{known.shape} {known.dtype} and {new.shape} {new.dtype}."
        )
    if known.dtype.hasobject:
        raise ValueError(f"`train` must be numbers or fixed-size text. Received: {known.dtype}.")
    seen = {row.tobytes() for row in known}
    shared = np.array([i for i, row in enumerate(new) if row.tobytes() in seen], np.int64)
    if len(shared):
        warnings.warn(
            f"{len(shared)} of {len(new)} test examples are training examples too, the first at "
            f"position {shared[0]}. Their scores say nothing about new data: leave them out, e.g. "
            "by np.delete(test, shared, axis=0).",
            stacklevel=2,
        )
    return shared


def _classes(labels: TargetsLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of examples of known class, the classes, and the class index of each example."""
    if not isinstance(labels, targets.Targets) and np.asarray(labels).dtype.kind in "iu":
        ids = checks.class_ids(labels)  # -1 too: what is of no class stays together.
        places = np.arange(len(ids))
    else:
        found = targets.get(labels, "labels")
        places = np.flatnonzero(found.known)
        ids = found.ids[places]
    classes, inverse = np.unique(ids, return_inverse=True)
    return places, classes, inverse.reshape(-1)


def _check_classes(classes: int, needed: int) -> None:
    if classes < needed:
        raise ValueError(
            f"`labels` must hold at least {needed} classes to be split. Received: {classes}."
        )
