"""Supervision of examples: one class, several labels, relevance, pairs or triplets.

Every part of the package that takes labels calls `get` at its boundary and works with the
same immutable value. Nothing is guessed from a shape: labels with one value per example
are class ids or class names, and everything else is wrapped by the constructor that says
what it is, such as `Targets.multi_hot(y)`.
"""

from __future__ import annotations

import abc
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import ArrayLike

__all__ = ["Targets", "align", "decode", "get"]

# Floats hold every whole number below this one exactly, by dtype.
_EXACT_BELOW = {"bfloat16": 2**8, "float16": 2**11}
_LARGEST_FLOAT_ID = 2**24

_ONE_VALUE = "class ids or class names of shape [n] or [n, 1]"
# Queries whose sets of labels are compared together.
_BLOCK_OF_SETS = 1024


class Targets(abc.ABC):
    """The supervision of `n` examples, explicit and immutable.

    Make it with one of the constructors below. Arguments of the package that take labels
    also accept class ids and names directly, and convert them by `targets.get`.

    | constructor | supervision of an example | relevance of two examples |
    |---|---|---|
    | `Targets.classes` | one class: an id or a name | same class |
    | `Targets.one_hot` | one class, as a row with a single 1 | same class |
    | `Targets.multi_hot` | several labels, as a row of 0 and 1 | a label in common |
    | `Targets.label_sets` | several labels, as a set of names or ids | a label in common |
    | `Targets.soft` | a probability for each class | probability of the same class |
    | `Targets.hierarchy` | category, product, …, coarse to fine | share of levels in common |
    | `Targets.relevance` | a matrix or a function | its values |
    | `Targets.pairs` | rows are pairs: the same, or not | |
    | `Targets.triplets` | rows are an anchor, a positive and a negative | |

    None stands for an example of unknown class. It is relevant to no other example, not
    even to another unknown one.

    Attributes:
        kind: `"classes"`, `"multi_hot"`, `"soft"`, `"hierarchy"`, `"relevance"`,
            `"pairs"` or `"triplets"`.
        known: bool `[n]`, read-only: False for examples of unknown class.
        class_names: The vocabulary, if classes have names: the class with id `i` is
            `class_names[i]`. None if classes are plain ids.

    Example:

    ```python
    from tensorflow_similarity.targets import Targets

    animals = Targets.classes(["cat", "dog", None, "cat"])
    animals.ids  # [0, 1, -1, 0]
    animals.class_names == ("cat", "dog")  # True
    animals.decode([1, 0]).tolist() == ["dog", "cat"]  # True
    films = Targets.label_sets([{"comedy", "crime"}, {"crime"}, {"war"}])
    films.relevance_to(films)
    # The first two share a label: [[1, 1, 0], [1, 1, 0], [0, 0, 1]].
    ```
    """

    kind: ClassVar[str]
    known: np.ndarray
    class_names: tuple[str, ...] | None = None

    # Constructors -----------------------------------------------------------------

    @staticmethod
    def classes(
        y: object,
        names: Sequence[object] | None = None,
        ignore_class: object = None,
        *,
        name: str = "y",
    ) -> Targets:
        """Returns targets of one class per example.

        Args:
            y: `[n]` or `[n, 1]`: integer ids of any integer dtype; whole numbers below
                2**24 in a float dtype, with a warning; or class names (text). None for
                an example of unknown class. The id −1 is read as None, with a warning
                unless `ignore_class=-1`. Unsigned ids from 2**63 up wrap around,
                which keeps them distinct.
            names: The names of classes 0, 1, 2, …. None: the sorted names in `y`, if `y`
                holds names.
            ignore_class: An id or name that stands for an unknown class in `y`.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If `y` is of another dtype: bool, complex, dates, objects that are
                neither text nor whole numbers, a masked array.
            ValueError: If the shape is wrong, a value is NaN or not a whole number, or a class
                is not among `names`.
        """
        return _classes(y, names, ignore_class, name)

    @staticmethod
    def one_hot(y: object, names: Sequence[object] | None = None, *, name: str = "y") -> Targets:
        """Returns targets of one class per example from rows with a single 1.

        Args:
            y: `[n, classes]`, a single 1 in each row and 0 elsewhere.
            names: The names of the columns, or None.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If `y` is not numbers.
            ValueError: If a row does not have exactly one 1, or `names` do not match.
        """
        matrix = _matrix(y, name, "one-hot rows [n, classes]")
        ones = matrix == 1
        bad = np.flatnonzero((ones.sum(axis=1) != 1) | ((matrix != 0) & ~ones).any(axis=1))
        if len(bad):
            raise ValueError(
                f"`{name}` must have a single 1 in each row, and 0 elsewhere. Received: "
                f"{matrix[bad[0]].tolist()} in row {bad[0]} (and {len(bad) - 1} more such rows). "
                "For several labels per example use Targets.multi_hot, for probabilities "
                "Targets.soft."
            )
        vocabulary = _vocabulary(names, matrix.shape[1], name)
        return _Classes(ones.argmax(axis=1), np.ones(len(matrix), bool), vocabulary)

    @staticmethod
    def multi_hot(y: object, names: Sequence[object] | None = None, *, name: str = "y") -> Targets:
        """Returns targets of several labels per example from rows of 0 and 1.

        Args:
            y: `[n, labels]` of 0 and 1 (bool, integers or floats); a SciPy sparse matrix
                too. A row of zeros is an example without a label: relevant to no other.
            names: The names of the columns, or None.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If `y` is not numbers.
            ValueError: If a value is neither 0 nor 1, or `names` do not match.
        """
        matrix = _matrix(y, name, "multi-hot rows [n, labels] of 0 and 1")
        ones = matrix == 1
        if not (ones | (matrix == 0)).all():
            row, column = np.argwhere(~(ones | (matrix == 0)))[0]
            raise ValueError(
                f"`{name}` must be 0 and 1. Received: {matrix[row, column]} in row {row}. For "
                "probabilities use Targets.soft, for grades of relevance Targets.relevance."
            )
        return _MultiHot(ones, None, _vocabulary(names, matrix.shape[1], name))

    @staticmethod
    def label_sets(y: Any, *, name: str = "y") -> Targets:
        """Returns targets of several labels per example from a list of sets.

        Args:
            y: For each example a set, list or tuple of labels, all names or all ids;
                None where the labels are unknown.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If an entry is not a collection of labels.
        """
        rows = list(y)
        for i, row in enumerate(rows):
            if row is not None and (
                isinstance(row, (str, bytes, Mapping)) or not isinstance(row, Iterable)
            ):
                raise TypeError(
                    f"`{name}` must hold a set of labels for each example, or None. Received: "
                    f"{row!r} at position {i}. For one class per example use Targets.classes."
                )
        sets = [[] if row is None else list(row) for row in rows]
        lengths = [len(row) for row in sets]
        flat = _classes([label for row in sets for label in row], None, None, name)
        if not flat.known.all():
            raise ValueError(f"`{name}` must have no None inside a set of labels. Received: one.")
        columns, codes = np.unique(flat.ids, return_inverse=True)
        ones = np.zeros((len(rows), len(columns)), bool)
        ones[np.repeat(np.arange(len(rows)), lengths), codes.reshape(-1)] = True
        known = np.array([row is not None for row in rows], bool)
        names = tuple(str(label) for label in flat.decode(columns).tolist())
        return _MultiHot(ones, known, names, None if flat.class_names else columns)

    @staticmethod
    def soft(y: object, names: Sequence[object] | None = None, *, name: str = "y") -> Targets:
        """Returns targets with class probabilities, as from mixup, label smoothing or a teacher.

        The relevance of two examples is the probability that they are of one class,
        the inner product of their rows.

        Args:
            y: `[n, classes]`, at least 0, with rows that sum to 1 (within 1e-3).
            names: The names of the columns, or None.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If `y` is not numbers.
            ValueError: If a value is negative or NaN, a row does not sum to 1, or `names`
                do not match.
        """
        matrix = _matrix(y, name, "rows of probabilities [n, classes]").astype(np.float64)
        sums = matrix.sum(axis=1)
        bad = np.flatnonzero(~((matrix >= 0).all(axis=1) & (np.abs(sums - 1) <= 1e-3)))
        if len(bad):
            raise ValueError(
                f"`{name}` must have rows of probabilities that sum to 1. Received: "
                f"{matrix[bad[0]].tolist()} in row {bad[0]} (and {len(bad) - 1} more such rows). "
                "For several labels per example use Targets.multi_hot."
            )
        return _Soft(matrix, _vocabulary(names, matrix.shape[1], name))

    @staticmethod
    def hierarchy(y: object, *, name: str = "y") -> Targets:
        """Returns targets with a path of classes per example, coarse to fine.

        Two examples share levels up to the first that differs, so a product `"small"` in two
        categories is two classes. Their relevance is the fraction of levels they share.

        Args:
            y: A sequence of tuples such as `("shoes", "boot-17")`, an array
                `[n, levels]`, or a mapping from the name of a level to its column `[n]`,
                coarse first. None in a column means unknown from that level on.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If a column is neither ids nor names.
            ValueError: If the paths are of different lengths.
        """
        if isinstance(y, Mapping):
            level_names = tuple(str(key) for key in y)
            columns = [_classes(y[key], None, None, f"{name}[{key!r}]") for key in y]
        else:
            rows = [tuple(row) for row in _sequence(y, name)]
            lengths = {len(row) for row in rows}
            if len(lengths) > 1 or lengths == {0}:
                raise ValueError(
                    f"`{name}` must hold paths of one length, at least 1. Received: lengths "
                    f"{sorted(lengths)}. Write None where a level is unknown."
                )
            columns = [
                _classes(list(column), None, None, f"{name}[:, {i}]")
                for i, column in enumerate(zip(*rows, strict=True))
            ]
            level_names = tuple(f"level {i}" for i in range(len(columns)))
        if len({len(column) for column in columns}) != 1:
            raise ValueError(
                f"`{name}` must have levels of one length. Received: "
                f"{[len(column) for column in columns]}."
            )
        return _Hierarchy(tuple(columns), level_names)

    @staticmethod
    def relevance(
        values: ArrayLike, labels: ArrayLike | None = None, *, name: str = "relevance"
    ) -> Targets:
        """Returns targets with explicit relevance between examples.

        Args:
            values: A matrix `[queries, keys]` of bools, or of grades of at least 0, with NaN
                for pairs of unknown relevance; or a function that maps the labels of some
                queries and of all keys to such a matrix.
            labels: The labels passed to the function: an array of any dtype with one row
                per example. Required with a function, not allowed with a matrix.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If the matrix is not numbers.
            ValueError: If it has a negative value or is not a matrix, or `labels` do not match.
        """
        if callable(values):
            if labels is None:
                raise ValueError(
                    f"`{name}` is a function of labels: pass them, as in "
                    "Targets.relevance(function, labels)."
                )
            rows = np.asarray(labels)
            if rows.ndim == 0:
                raise ValueError(f"`labels` must have one row per example. Received: {labels!r}.")
            return _RelevanceFunction(values, rows)
        if labels is not None:
            raise ValueError("`labels` are for a function of relevance. Received: a matrix.")
        matrix = _matrix(values, name, "a matrix [queries, keys] of bool or of grades from 0 up")
        if matrix.dtype != bool and (matrix < 0).any():
            raise ValueError(
                f"`{name}` must be grades from 0 up (NaN: unknown). Received: {matrix.min()}."
            )
        return _RelevanceMatrix(matrix)

    @staticmethod
    def pairs(
        same: ArrayLike,
        left: ArrayLike | None = None,
        right: ArrayLike | None = None,
        *,
        name: str = "same",
    ) -> Targets:
        """Returns targets of pairs, which tell whether the two examples of a pair match.

        Args:
            same: `[pairs]` or `[pairs, 1]`: 1 (or True) if they do, 0 if not, or a degree in
                between.
            left: int `[pairs]`, positions of the first examples; None if the inputs are
                pairs already.
            right: int `[pairs]`, positions of the second examples.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If `same` is not numbers.
            ValueError: If a value is outside 0 to 1, or lengths differ.
        """
        values = _host(same, name)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.dtype.kind not in "iubf":
            raise TypeError(
                f"`{name}` must be 0 or 1 for each pair. Received: {_describe(values)}."
            )
        if values.ndim != 1:
            raise ValueError(f"`{name}` must have shape [pairs]. Received: {_describe(values)}.")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(
                f"`{name}` must be from 0 (different) to 1 (same). Received: values from "
                f"{values.min()} to {values.max()}. For −1 and 1 pass (y + 1) / 2; class ids of "
                "two sides compare as left == right."
            )
        if (left is None) != (right is None):
            raise ValueError("`left` and `right` go together. Received: one of them.")
        sides = None
        if left is not None:
            sides = _positions(left, "left", len(values)), _positions(right, "right", len(values))
        return _Pairs(values, sides)

    @staticmethod
    def triplets(anchors: ArrayLike, positives: ArrayLike, negatives: ArrayLike) -> Targets:
        """Returns targets of triplets, by the positions of their examples.

        Args:
            anchors: int `[triplets]`.
            positives: int `[triplets]`, each relevant to its anchor.
            negatives: int `[triplets]`, each not relevant to its anchor.

        Raises:
            TypeError: If they are not integers.
            ValueError: If lengths differ.
        """
        first = _positions(anchors, "anchors", None)
        return _Triplets(
            first,
            _positions(positives, "positives", len(first)),
            _positions(negatives, "negatives", len(first)),
        )

    # What all kinds do ------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.known)

    @abc.abstractmethod
    def take(self, rows: np.ndarray | slice) -> Targets:
        """Returns the targets of the examples given by positions, a slice or a bool mask."""

    @property
    def ids(self) -> np.ndarray:
        """Class ids, int64 `[n]`, read-only; −1 for unknown classes.

        Raises:
            TypeError: If the kind has no single class per example.
        """
        raise TypeError(f"{_KINDS[self.kind]} have no single class per example.")

    def level(self, level: int) -> Targets:
        """Returns the classes at one level of a hierarchy, as targets of kind `"classes"`.

        Args:
            level: 0 is the coarsest, -1 the finest. Classes below the coarsest level are named by
                their path, such as `"shoes / boot-17"`.

        Raises:
            IndexError: If there is no such level.
            TypeError: If the kind has no levels.
        """
        raise TypeError(f"{_KINDS[self.kind]} have no levels. Received: {self!r}.")

    def levels(self) -> dict[str, Targets]:
        """Returns the classes at each level of a hierarchy, by the level's name, coarse to fine.

        Raises:
            TypeError: If the kind has no levels.
        """
        raise TypeError(f"{_KINDS[self.kind]} have no levels. Received: {self!r}.")

    def relevance_to(self, others: Targets, rows: Any = None) -> np.ndarray:
        """Returns how relevant each of `others` is to each example.

        Args:
            others: Targets of the same kind, possibly with a different vocabulary.
            rows: The examples to return: positions, a slice or a mask. None: all.

        Returns:
            `[rows, len(others)]`, bool or float64 (grades; NaN: unknown).

        Raises:
            TypeError: If the kinds differ or have no relevance, or one side has class
                names and the other ids.
        """
        mine = self if rows is None else self.take(rows)
        mine, others = align(mine, others)
        return mine._relevance_to(others)

    def _relevance_to(self, others: Targets) -> np.ndarray:
        raise TypeError(f"{_KINDS[self.kind]} do not say what is relevant to what.")

    def decode(self, ids: ArrayLike) -> np.ndarray:
        """Returns the names of class ids, in the same shape; None for −1.

        If classes have no names, returns the ids.

        Raises:
            ValueError: If an id has no name.
        """
        return decode(ids, self.class_names)

    def recode(self, class_names: Sequence[str], name: str = "y") -> Targets:
        """Returns the same targets, with the class ids of another vocabulary.

        Args:
            class_names: The vocabulary; missing names are appended.
            name: Name of the argument, for errors.

        Raises:
            TypeError: If the classes have no names.
        """
        if self.class_names is None:
            if not self.known.any():
                return self._with_codes(np.zeros(0, np.int64), tuple(class_names))
            raise TypeError(
                f"`{name}` must be class names, such as {list(class_names[:3])}. Received: class "
                "ids. Pass the names, or ids on both sides."
            )
        wanted = tuple(class_names)
        if wanted == self.class_names:
            return self
        position = {text: i for i, text in enumerate(wanted)}
        new = [text for text in self.class_names if text not in position]
        position.update((text, len(wanted) + i) for i, text in enumerate(new))
        codes = np.array([position[text] for text in self.class_names], np.int64)
        return self._with_codes(codes, wanted + tuple(new))

    def _with_codes(self, codes: np.ndarray, class_names: tuple[str, ...]) -> Targets:
        raise TypeError(f"{_KINDS[self.kind]} have no vocabulary.")

    def __repr__(self) -> str:
        unknown = len(self) - int(self.known.sum())
        parts = [f"{len(self)} examples"]
        if unknown:
            parts.append(f"{unknown} unknown")
        if self.class_names is not None:
            parts.append(f"{len(self.class_names)} names")
        return f"Targets({self.kind}: {', '.join(parts)})"


_KINDS = {
    "classes": "Class ids",
    "multi_hot": "Several labels per example",
    "soft": "Probabilities of classes",
    "hierarchy": "Paths of classes",
    "relevance": "Values of relevance",
    "pairs": "Pairs",
    "triplets": "Triplets",
}


class _Classes(Targets):
    kind = "classes"

    def __init__(
        self, ids: np.ndarray, known: np.ndarray, class_names: tuple[str, ...] | None
    ) -> None:
        self._ids = _frozen(ids.astype(np.int64))
        self.known = _frozen(known)
        self.class_names = class_names

    @property
    def ids(self) -> np.ndarray:
        return self._ids

    def take(self, rows: np.ndarray | slice) -> Targets:
        return _Classes(self._ids[rows], self.known[rows], self.class_names)

    def _relevance_to(self, others: Targets) -> np.ndarray:
        same = self.ids[:, None] == others.ids[None, :]
        return same & self.known[:, None] & others.known[None, :]

    def _with_codes(self, codes: np.ndarray, class_names: tuple[str, ...]) -> Targets:
        ids = self._ids.copy()
        ids[self.known] = codes[ids[self.known]]
        return _Classes(ids, self.known, class_names)


class _MultiHot(Targets):
    kind = "multi_hot"

    #: bool `[n, labels]`.
    matrix: np.ndarray
    #: The ids of the columns, increasing, if sets of ids were given.
    label_ids: np.ndarray | None

    def __init__(
        self,
        matrix: np.ndarray,
        known: np.ndarray | None,
        class_names: tuple[str, ...] | None,
        label_ids: np.ndarray | None = None,
    ) -> None:
        self.label_ids = label_ids
        self.matrix = _frozen(matrix)
        self.known = _frozen(np.ones(len(matrix), bool) if known is None else known)
        self.class_names = class_names

    def take(self, rows: np.ndarray | slice) -> Targets:
        return _MultiHot(self.matrix[rows], self.known[rows], self.class_names, self.label_ids)

    def _relevance_to(self, others: Targets) -> np.ndarray:
        theirs = _columns_of(self, others)
        return (self.matrix.astype(np.float32) @ theirs.T.astype(np.float32)) > 0

    def _with_codes(self, codes: np.ndarray, class_names: tuple[str, ...]) -> Targets:
        return _MultiHot(
            _moved_columns(self.matrix, codes, len(class_names)), self.known, class_names
        )


class _Soft(Targets):
    kind = "soft"

    #: float64 `[n, classes]`.
    matrix: np.ndarray

    def __init__(self, matrix: np.ndarray, class_names: tuple[str, ...] | None) -> None:
        self.matrix = _frozen(matrix)
        self.known = _frozen(np.ones(len(matrix), bool))
        self.class_names = class_names

    def take(self, rows: np.ndarray | slice) -> Targets:
        return _Soft(self.matrix[rows], self.class_names)

    def _relevance_to(self, others: Targets) -> np.ndarray:
        return self.matrix @ _columns_of(self, others).T

    def _with_codes(self, codes: np.ndarray, class_names: tuple[str, ...]) -> Targets:
        return _Soft(_moved_columns(self.matrix, codes, len(class_names)), class_names)


class _Hierarchy(Targets):
    kind = "hierarchy"

    def __init__(self, columns: tuple[Targets, ...], level_names: tuple[str, ...]) -> None:
        self.columns = columns
        self.level_names = level_names
        self.known = columns[0].known
        self._paths: list[Targets | None] = [None] * len(columns)

    @property
    def matrix(self) -> np.ndarray:
        """Class ids of each level, int64 `[n, levels]`; −1 from the first unknown level on."""
        ids = np.stack([column.ids for column in self.columns], axis=1)
        known = np.stack([column.known for column in self.columns], axis=1)
        return _frozen(np.where(np.logical_and.accumulate(known, axis=1), ids, -1))

    def levels(self) -> dict[str, Targets]:
        return {name: self.level(i) for i, name in enumerate(self.level_names)}

    def level(self, level: int) -> Targets:
        level = range(len(self.columns))[level]
        if level == 0:
            return self.columns[0]
        path = self._paths[level]
        if path is None:
            known = np.logical_and.reduce([column.known for column in self.columns[: level + 1]])
            stacked = np.stack([column.ids for column in self.columns[: level + 1]], axis=1)
            found, inverse = np.unique(stacked[known], axis=0, return_inverse=True)
            parts = [
                column.decode(found[:, i]).tolist()
                for i, column in enumerate(self.columns[: level + 1])
            ]
            names = tuple(" / ".join(map(str, row)) for row in zip(*parts, strict=True))
            ids = np.full(len(self), -1, np.int64)
            ids[known] = inverse.reshape(-1)
            path = self._paths[level] = _Classes(ids, known, names)
        return path

    @property
    def ids(self) -> np.ndarray:
        return self.level(-1).ids

    def take(self, rows: np.ndarray | slice) -> Targets:
        return _Hierarchy(tuple(column.take(rows) for column in self.columns), self.level_names)

    def _relevance_to(self, others: Targets) -> np.ndarray:
        if not isinstance(others, _Hierarchy) or len(self.columns) != len(others.columns):
            raise TypeError(
                "Paths of classes must have one number of levels. Received: "
                f"{self!r} and {others!r}."
            )
        common = np.ones((len(self), len(others)), bool)
        shared = np.zeros(common.shape)
        for mine, theirs in zip(self.columns, others.columns, strict=True):
            common &= mine.relevance_to(theirs)
            shared += common
        return shared / len(self.columns)


class _RelevanceMatrix(Targets):
    kind = "relevance"

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = _frozen(matrix)
        self.known = _frozen(np.ones(len(matrix), bool))

    def take(self, rows: np.ndarray | slice) -> Targets:
        return _RelevanceMatrix(self.matrix[rows])

    def _relevance_to(self, others: Targets) -> np.ndarray:
        if self.matrix.shape[1] != len(others):
            raise ValueError(
                f"The matrix of relevance must have one column per key, {len(others)}. Received: "
                f"shape {self.matrix.shape}."
            )
        return self.matrix


class _RelevanceFunction(Targets):
    kind = "relevance"

    def __init__(self, function: Callable[[Any, Any], Any], labels: np.ndarray) -> None:
        self.function = function
        self.labels = labels
        self.known = _frozen(np.ones(len(labels), bool))

    def take(self, rows: np.ndarray | slice) -> Targets:
        return _RelevanceFunction(self.function, self.labels[rows])

    def _relevance_to(self, others: Targets) -> np.ndarray:
        labels = getattr(others, "labels", None)
        if labels is None:
            raise TypeError(
                "A function of relevance needs the labels of both sides: pass "
                "Targets.relevance(function, labels) for the other side too."
            )
        matrix = np.asarray(self.function(self.labels, labels))
        expected = (len(self), len(others))
        if matrix.shape != expected or matrix.dtype.kind not in "biuf":
            raise ValueError(
                f"The function of relevance must return bool or numbers of shape {expected}. "
                f"Received: {_describe(matrix)}."
            )
        if matrix.dtype != bool and (matrix < 0).any():
            raise ValueError(
                f"The function of relevance must return grades from 0 up. Received: {matrix.min()}."
            )
        return matrix


class _Pairs(Targets):
    kind = "pairs"

    def __init__(self, same: np.ndarray, sides: tuple[np.ndarray, np.ndarray] | None) -> None:
        self.same = _frozen(same)
        self.sides = sides
        self.known = _frozen(np.ones(len(same), bool))

    def take(self, rows: np.ndarray | slice) -> Targets:
        if self.sides is None:
            return _Pairs(self.same[rows], None)
        return _Pairs(self.same[rows], (self.sides[0][rows], self.sides[1][rows]))

    @property
    def left(self) -> np.ndarray | None:
        """Positions of the first examples, or None."""
        return None if self.sides is None else self.sides[0]

    @property
    def right(self) -> np.ndarray | None:
        """Positions of the second examples, or None."""
        return None if self.sides is None else self.sides[1]


class _Triplets(Targets):
    kind = "triplets"

    def __init__(self, anchors: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> None:
        self.anchors, self.positives, self.negatives = anchors, positives, negatives
        self.known = _frozen(np.ones(len(anchors), bool))

    def take(self, rows: np.ndarray | slice) -> Targets:
        return _Triplets(self.anchors[rows], self.positives[rows], self.negatives[rows])


def get(
    y: object,
    name: str = "y",
    length: int | None = None,
    ignore_class: object = None,
    kinds: Sequence[str] = ("classes",),
) -> Targets:
    """Converts labels that a user passed to `Targets`.

    Args:
        y: Class ids or class names as `Targets.classes` takes them, or `Targets`.
        name: Name of the argument, for errors.
        length: The number of examples expected, or None for any.
        ignore_class: An id or name that stands for an unknown class in `y`.
        kinds: The kinds that the caller supports. If `"classes"` is among them but
            `"hierarchy"` is not, a hierarchy is converted to its finest level.

    Raises:
        TypeError: If `y` is neither ids nor names, or of a kind not among `kinds`.
        ValueError: If the shape or length is wrong.

    Example:

    ```python
    from tensorflow_similarity import targets

    targets.get([3, 3, None]).known.tolist()  # [True, True, False]
    ```
    """
    if isinstance(y, Targets):
        found = y
        if found.kind == "hierarchy" and "hierarchy" not in kinds and "classes" in kinds:
            found = found.level(-1)
        if ignore_class is not None and (found.kind == "classes" or found.kind in kinds):
            found = _without(found, ignore_class, name)
    else:
        found = _classes(y, None, ignore_class, name)
    if found.kind not in kinds:
        expected = " or ".join(kinds)
        raise TypeError(f"`{name}` must be targets of kind {expected} here. Received: {found!r}.")
    if length is not None and len(found) != length:
        raise ValueError(
            f"`{name}` must hold one label per example: expected {length}. Received: {len(found)}."
        )
    return found


def align(first: Targets, second: Targets, names: tuple[str, str] = ("y", "labels")) -> Any:
    """Returns two targets with a common vocabulary, so that equal ids mean equal classes.

    Args:
        first: Targets; their vocabulary comes first.
        second: Targets of the same kind.
        names: The names of both arguments, for errors.

    Raises:
        TypeError: If the kinds differ, or one side has class names and the other ids.
    """
    if first.kind != second.kind:
        raise TypeError(
            f"`{names[0]}` and `{names[1]}` must be of one kind. Received: {first!r} and "
            f"{second!r}."
        )
    if first.class_names == second.class_names:
        return first, second
    if first.class_names is None:
        return first.recode(second.class_names or (), names[0]), second
    second = second.recode(first.class_names, names[1])
    return first.recode(second.class_names or (), names[0]), second


def decode(ids: ArrayLike, class_names: Sequence[str] | None) -> np.ndarray:
    """Returns the names of class ids, in their shape; None for −1.

    Args:
        ids: Class ids, integers of any shape; −1 for none.
        class_names: The names of classes 0, 1, 2, …. None: returns the ids.

    Raises:
        ValueError: If an id has no name.
    """
    array = np.asarray(ids)
    if class_names is None:
        return array
    if array.size and (array.min() < -1 or array.max() >= len(class_names)):
        raise ValueError(
            f"`ids` must be from 0 to {len(class_names) - 1}, or -1. Received: ids from "
            f"{array.min()} to {array.max()}."
        )
    if 4 * array.size < len(class_names):  # A few of many names.
        found = np.empty(array.size, object)
        found[:] = [None if i < 0 else class_names[i] for i in array.reshape(-1).tolist()]
        return found.reshape(array.shape)
    table = np.empty(len(class_names) + 1, object)
    for place, class_name in enumerate(class_names):  # which may be a set of labels
        table[place] = class_name
    return np.asarray(table[array])


def shown_labels(found: Targets, given: object = None) -> np.ndarray:
    """Labels as results show them: ids, names, or rows of several labels."""
    if found.kind == "hierarchy":
        found = found.level(-1)
    if found.kind == "classes":
        if found.class_names is None and getattr(given, "dtype", None) == np.uint64:
            return np.where(found.known, found.ids.view(np.uint64), np.uint64(2**64 - 1))
        return found.decode(found.ids)
    matrix = getattr(found, "matrix", None)
    if found.kind == "soft" and matrix is not None:
        return found.decode(matrix.argmax(axis=1))
    if found.kind == "multi_hot" and matrix is not None:
        if found.class_names is None:
            return matrix.astype(np.int64)
        rows = np.empty(len(found), object)
        for i, row in enumerate(matrix):
            rows[i] = tuple(found.class_names[j] for j in np.flatnonzero(row))
        return rows
    labels = getattr(found, "labels", None)
    return np.arange(len(found)) if labels is None else np.asarray(labels)


def lookup_labels(
    neighbor_labels: ArrayLike, query_labels: TargetsLike, name: str = "neighbor_labels"
) -> tuple[np.ndarray, np.ndarray, Targets]:
    """Compares the labels of neighbours with those of queries.

    Args:
        neighbor_labels: Class ids or names `[queries, k]`, or tuples of them where records have
            several labels; −1 or None where there is no neighbour, or it has no label.
        query_labels: Labels of the queries `[queries]`: classes, or several labels.
        name: Name of the argument, for errors.

    Returns:
        `(right, known, queries)`: bool `[queries, k]`, whether the label of the neighbour is (one
        of) the query's; bool `[queries, k]`, whether it has a label; and the queries as `Targets`.
    """
    array = checks.host_array(neighbor_labels, name)
    if _holds_sets(array):
        found = get(query_labels, "query_labels", len(array), kinds=("classes", "multi_hot"))
        return *_sets_in_common(array, found, name), found
    table, known = label_table(neighbor_labels, name)
    found = get(query_labels, "query_labels", known.shape[0], kinds=("classes", "multi_hot"))
    if found.kind == "classes":
        found, table = align(found, table, ("query_labels", name))
        ids = table.ids.reshape(known.shape)
        return (ids == found.ids[:, None]) & known & found.known[:, None], known, found
    if found.class_names is not None and table.class_names is not None:
        found = found.recode(table.class_names, "query_labels")
        table = table.recode(found.class_names or (), name)
    elif (found.class_names is None) != (table.class_names is None) and known.any():
        raise TypeError(
            f"`query_labels` and `{name}` must both hold names, or both ids. Received: {found!r} "
            f"and {table!r}."
        )
    matrix = found.matrix  # type: ignore[attr-defined]
    ids = table.ids.reshape(known.shape)
    within = known & (ids >= 0) & (ids < matrix.shape[1])
    right = matrix[np.arange(len(ids))[:, None], np.where(within, ids, 0)] & within
    return right, known, found


def label_table(neighbor_labels: ArrayLike, name: str) -> tuple[Targets, np.ndarray]:
    """Labels of neighbours `[queries, k]`, flattened, and a mask of existing ones in their shape.

    None and −1, as returned by lookups, mean no label.
    """
    array = checks.host_array(neighbor_labels, name)
    if array.dtype.kind in "US" and isinstance(neighbor_labels, (list, tuple)):
        # NumPy converts None, and ids mixed with names, to text.
        array = np.asarray(neighbor_labels, dtype=object)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"`{name}` must have shape [queries, k]. Received: shape {array.shape}.")
    flat = get(array.reshape(-1), name, ignore_class=-1)
    return flat, flat.known.reshape(array.shape)


def label_ids_of(found: Targets) -> np.ndarray | None:
    """The ids of the columns of several labels, if these were given as sets of ids."""
    ids: np.ndarray | None = getattr(found, "label_ids", None)
    return ids


def set_codes(neighbor_labels: Any, name: str) -> tuple[np.ndarray, tuple[Any, ...]] | None:
    """Numbers sets of labels, in their shape, with −1 for None; and returns the sets in order.

    None if labels are not sets.
    """
    array = checks.host_array(neighbor_labels, name)
    if not _holds_sets(array):
        return None
    known: dict[Any, int] = {}
    codes = [
        -1 if each is None else known.setdefault(tuple(each), len(known)) for each in array.flat
    ]
    return np.array(codes, np.int64).reshape(array.shape), tuple(known)


def _holds_sets(array: np.ndarray) -> bool:
    return array.dtype == object and any(isinstance(each, tuple) for each in array.flat)


def _sets_in_common(
    array: np.ndarray, queries: Targets, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which sets of labels `[queries, k]` share one with the query; and which are known."""
    codes, sets = set_codes(array, name) or (np.full(array.shape, -1), ())
    vocabulary: dict[Any, int] = {}
    for own in sets:
        for label in own:
            vocabulary.setdefault(label, len(vocabulary))
    named = any(isinstance(label, str) for label in vocabulary)
    mine = queries.class_names if label_ids_of(queries) is None else None
    if vocabulary and queries.known.any() and named != (mine is not None):
        raise TypeError(
            f"`query_labels` and `{name}` must both hold names, or both ids. Received: {queries!r} "
            f"and sets such as {sets[0]!r}."
        )
    theirs = np.zeros((len(sets), len(vocabulary)), np.float32)
    for place, own in enumerate(sets):
        theirs[place, [vocabulary[label] for label in own]] = 1
    known = codes >= 0
    right = np.zeros(codes.shape, bool)
    for start in range(0, len(codes), _BLOCK_OF_SETS):
        rows = np.arange(start, min(start + _BLOCK_OF_SETS, len(codes)))
        asked = _in_vocabulary(queries.take(rows), vocabulary, mine)
        found = np.take_along_axis(asked @ theirs.T, np.maximum(codes[rows], 0), axis=1) > 0
        right[rows] = found & known[rows] & queries.known[rows, None]
    return right, known


def _in_vocabulary(
    queries: Targets, vocabulary: dict[Any, int], names: tuple[str, ...] | None
) -> np.ndarray:
    """The labels of queries over a vocabulary, multi-hot: float32 `[queries, labels]`."""
    result = np.zeros((len(queries), len(vocabulary)), np.float32)
    if queries.kind == "classes":
        rows, labels = np.arange(len(queries)), queries.ids
    else:
        rows, labels = np.nonzero(queries.matrix)  # type: ignore[attr-defined]
    ids = label_ids_of(queries)
    if names is None and ids is not None:
        labels = ids[labels]
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        value = label if names is None else (names[label] if label >= 0 else None)
        if value in vocabulary:
            result[row, vocabulary[value]] = 1
    return result


def _without(found: Targets, ignore_class: object, name: str) -> Targets:
    """The targets with one class marked unknown."""
    if found.kind != "classes":
        raise TypeError(f"`ignore_class` is for class ids and names. Received: {found!r}.")
    ids, known = found.ids.copy(), found.known.copy()
    ignored = _ignored_id(ignore_class, found.class_names, name)
    drop = known & (ids == ignored) if ignored is not None else np.zeros(len(ids), bool)
    ids[drop], known[drop] = -1, False
    return _Classes(ids, known, found.class_names)


def _ignored_id(ignore_class: Any, names: tuple[str, ...] | None, name: str) -> int | None:
    """The id of the ignored class, or None if no example can have it."""
    text = _text(ignore_class)
    if text is not None and names is not None:
        return names.index(text) if text in names else None
    whole = hasattr(ignore_class, "__index__") and not isinstance(ignore_class, (bool, np.bool_))
    whole = whole and not np.ndim(ignore_class)
    if text is None and whole and (names is None or int(ignore_class) == -1):
        return int(ignore_class)
    expected = "an integer class id" if names is None else "a class name"
    raise TypeError(
        f"`ignore_class` must be {expected}, as `{name}` holds. Received: {ignore_class!r}."
    )


def _text(value: object) -> str | None:
    if isinstance(value, (bytes, np.bytes_)):
        return bytes(value).decode("utf-8")
    return str(value) if isinstance(value, str) else None


def _frozen(array: np.ndarray) -> np.ndarray:
    array = array.view()
    array.flags.writeable = False
    return array


def _describe(array: np.ndarray) -> str:
    return f"array of shape {array.shape} and dtype {array.dtype}"


def _host(y: Any, name: str) -> np.ndarray:
    """`y` as a NumPy array, with None for missing values of pandas."""
    if isinstance(y, Targets):
        raise TypeError(f"`{name}` must be an array or a list. Received: {y!r}.")
    if isinstance(y, Mapping):
        raise TypeError(
            f"`{name}` must be one array. Received: a mapping with keys {list(y)}. Pass the entry "
            "that holds the classes."
        )
    if isinstance(y, (set, frozenset, str, bytes)):
        raise TypeError(f"`{name}` must be an array or a list. Received: {type(y).__name__}.")
    if np.ma.isMaskedArray(y):
        raise TypeError(
            f"`{name}` must not be a masked array: its mask would be lost. Say which labels are "
            f"unknown by None, e.g. {name}.astype(object).filled(None), or leave them out, "
            f"{name}.compressed()."
        )
    if hasattr(y, "detach"):  # A torch tensor, on any device.
        y = y.detach().cpu()
    if hasattr(y, "iloc") and np.ndim(y) == 2 and np.shape(y)[1] == 1:
        y = y.iloc[:, 0]
    if hasattr(y, "isna") and hasattr(y, "dtype"):  # pandas: Series, Categorical, Index.
        missing = np.asarray(y.isna())
        if missing.any() and getattr(y.dtype, "kind", "O") != "f":
            array = np.array(y.astype(object))
            array[missing] = None
            return array
    if hasattr(y, "toarray"):  # A SciPy sparse matrix.
        y = y.toarray()
    if not hasattr(y, "__array__") and isinstance(y, Iterable) and not isinstance(y, Sequence):
        y = list(y)
    try:
        array = np.asarray(y)
        if array.dtype.kind in "US" and isinstance(y, (list, tuple)) and array.ndim == 1:
            # NumPy converts [1, "cat"] to text. Mixing names and ids is an error.
            array = np.array(y, dtype=object)
    except (ValueError, OverflowError) as error:
        if isinstance(error, OverflowError) or "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            f"`{name}` must be {_ONE_VALUE}. Received: rows of different lengths. For several "
            "labels per example use Targets.label_sets(y)."
        ) from None
    return array.astype(object) if array.dtype.kind == "T" else array


def _sequence(y: Any, name: str) -> Any:
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    if not isinstance(y, (list, tuple)):
        y = _host(y, name)
        if y.ndim != 2:
            raise ValueError(f"`{name}` must have shape [n, levels]. Received: {_describe(y)}.")
        y = y.tolist()
    for i, row in enumerate(y):
        if isinstance(row, (str, bytes)) or not isinstance(row, Iterable):
            raise TypeError(
                f"`{name}` must hold a tuple for each example, coarse to fine. Received: {row!r} "
                f"at position {i}."
            )
    return y


def _matrix(y: object, name: str, expected: str) -> np.ndarray:
    array = _host(y, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must be {expected}. Received: {_describe(array)}.")
    if array.ndim != 2:
        raise ValueError(f"`{name}` must be {expected}. Received: {_describe(array)}.")
    return array.copy()


def _positions(values: ArrayLike | None, name: str, length: int | None) -> np.ndarray:
    array = _host(values, name)
    if array.ndim == 1 and not array.size:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be integer positions. Received: {_describe(array)}.")
    if array.ndim != 1 or (length is not None and len(array) != length):
        expected = "[n]" if length is None else f"[{length}]"
        raise ValueError(f"`{name}` must have shape {expected}. Received: {_describe(array)}.")
    return _frozen(array.astype(np.int64))


def _vocabulary(names: Any, columns: int | None, name: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"`names` must be a sequence of names. Received: {names!r}.")
    if isinstance(names, Mapping):
        missing = [i for i in range(len(names)) if i not in names]
        if missing:
            raise ValueError(
                f"`names` must name classes 0 to {len(names) - 1}. Received: a mapping without "
                f"{missing[0]}. For other ids pass the names as labels: [names[i] for i in {name}]."
            )
        names = [names[i] for i in range(len(names))]
    texts = [_text(value) for value in names]
    if any(text is None for text in texts):
        raise TypeError(f"`names` must be text. Received: {list(names)!r}.")
    if len(set(texts)) != len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise ValueError(f"`names` must differ from each other. Received: {twice!r} twice.")
    if columns is not None and len(texts) != columns:
        raise ValueError(
            f"`names` must name each column of `{name}`: expected {columns}. Received: "
            f"{len(texts)}."
        )
    return tuple(text for text in texts if text is not None)


def _columns_of(mine: Any, others: Any) -> np.ndarray:
    if mine.matrix.shape[1] != others.matrix.shape[1]:
        raise ValueError(
            "Both sides must have the same columns. Received: "
            f"{mine.matrix.shape[1]} and {others.matrix.shape[1]} of them. Name them to compare "
            "columns in another order."
        )
    return others.matrix


def _moved_columns(matrix: np.ndarray, codes: np.ndarray, columns: int) -> np.ndarray:
    moved = np.zeros((len(matrix), columns), matrix.dtype)
    moved[:, codes] = matrix
    return moved


def _classes(y: object, names: Sequence[object] | None, ignore_class: object, name: str) -> Targets:
    vocabulary = _vocabulary(names, None, name)
    array = _host(y, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    _check_one_value(array, name)
    known = np.ones(len(array), bool)
    if array.dtype.kind == "O":
        array, known = _without_none(array, name)
    if not known.any():
        ids = np.full(len(known), -1, np.int64)
        return _Classes(ids, known, vocabulary)
    if array.dtype.kind in "US":
        return _named(array, known, vocabulary, ignore_class, name)
    values = _whole(array, name)
    if values.dtype == np.uint64 and (values == np.uint64(2**64 - 1)).any():
        raise ValueError(
            f"`{name}` must not hold 2**64 - 1, which is -1 in 64 bits, no class. Received: it."
        )
    ids = np.full(len(known), -1, np.int64)
    ids[known] = values.astype(np.int64)
    if ignore_class is not None:
        ignored = _ignored_id(ignore_class, None, name)
        known = known & (ids != ignored)
    none = known & (ids == -1)
    if none.any() and not _wraps(values):
        warnings.warn(
            f"`{name}` holds -1 at {int(none.sum())} of {len(ids)} examples: read as unknown, no "
            "class. Write None, or say so by ignore_class=-1. If -1 is a class of yours, number "
            "the classes from 0.",
            stacklevel=levels_to_the_caller(),
        )
        known = known & ~none
    ids[~known] = -1
    if vocabulary is not None:
        bad = ids[known][(ids[known] < 0) | (ids[known] >= len(vocabulary))]
        if len(bad):
            raise ValueError(
                f"`{name}` must be ids from 0 to {len(vocabulary) - 1}, the classes that `names` "
                f"names. Received: {bad[0]}."
            )
    return _Classes(ids, known, vocabulary)


def _wraps(values: np.ndarray) -> bool:
    return values.dtype == np.uint64


def _check_one_value(array: np.ndarray, name: str) -> None:
    """Raises unless there is one value per example, saying how to wrap anything else."""
    if array.ndim == 1:
        return
    advice = "Pass one id or name per example."
    if array.ndim == 2 and array.dtype.kind in "biuf" and array.size:
        binary = bool(((array == 0) | (array == 1)).all())
        sums = array.sum(axis=1)
        if binary and (sums == 1).all():
            advice = (
                "Say what the columns are: Targets.one_hot(y) for one class per example, "
                "Targets.multi_hot(y) for several labels, Targets.relevance(y) for a matrix of "
                "which key is relevant to which query."
            )
        elif binary:
            advice = (
                "Say what the columns are: Targets.multi_hot(y) for several labels per example, "
                "Targets.relevance(y) for a matrix of which key is relevant to which query."
            )
        elif array.dtype.kind == "f":
            advice = (
                "Say what the columns are: Targets.soft(y) for probabilities of classes, "
                "Targets.relevance(y) for grades of relevance."
            )
        else:
            advice = (
                "Say what the columns are: Targets.hierarchy(y) for classes from coarse to fine, "
                "or pass the column that holds the classes, y[:, 0]."
            )
    elif array.ndim == 2:
        advice = (
            "Say what the columns are: Targets.hierarchy(y) for classes from coarse to fine, "
            "Targets.label_sets(y) for several labels per example."
        )
    raise ValueError(f"`{name}` must be {_ONE_VALUE}. Received: {_describe(array)}. {advice}")


def _without_none(array: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of an object array as numbers or text, and a mask of those that are not None."""
    known = np.array([value is not None for value in array.tolist()], bool)
    values = array[known].tolist()
    texts = [_text(value) for value in values]
    if values and all(text is not None for text in texts):
        return np.array(texts), known
    for value, text in zip(values, texts, strict=True):
        nan = isinstance(value, (float, np.floating)) and np.isnan(value)
        if nan or type(value).__name__ in ("NAType", "NaTType"):
            raise ValueError(
                f"`{name}` must have no NaN. Received: {value!r}. Write None for an unknown class."
            )
        if text is None and isinstance(value, Iterable):
            raise ValueError(
                f"`{name}` must be {_ONE_VALUE}. Received: {value!r} for one example. For several "
                "labels per example use Targets.label_sets(y), for a path of classes "
                "Targets.hierarchy(y)."
            )
    if any(text is not None for text in texts):
        other = next(v for v, text in zip(values, texts, strict=True) if text is None)
        raise TypeError(
            f"`{name}` must be class ids or class names, not both. Received: "
            f"{next(text for text in texts if text is not None)!r} and {other!r}."
        )
    whole = all(hasattr(v, "__index__") and not isinstance(v, (bool, np.bool_)) for v in values)
    number = [isinstance(v, (int, float, np.number)) for v in values]
    if not all(number) or any(isinstance(v, (bool, np.bool_)) for v in values):
        bad = next(
            v
            for v, ok in zip(values, number, strict=True)
            if not ok or isinstance(v, (bool, np.bool_))
        )
        raise TypeError(
            f"`{name}` must be {_ONE_VALUE}. Received: {bad!r} of type {type(bad).__name__}."
        )
    if whole:
        integers = [int(v) for v in values]
        if integers and (min(integers) < -(2**63) or max(integers) >= 2**63):
            if min(integers) < 0 or max(integers) >= 2**64:
                raise ValueError(
                    f"`{name}` must be ids of 64 bits. Received: {max(integers, key=abs)}."
                )
            return np.array(integers, np.uint64), known
        return np.array(integers, np.int64), known
    return np.array(values, np.float64), known


def _whole(array: np.ndarray, name: str) -> np.ndarray:
    """Ids as integers, converting whole floats with a warning."""
    kind = array.dtype.kind
    received = f"Received: {_describe(array)}."
    if kind in "iu":
        return array
    if kind == "b":
        raise TypeError(
            f"`{name}` must be {_ONE_VALUE}. {received} For two classes pass "
            f"{name}.astype('int64'); for whether pairs are the same Targets.pairs(y)."
        )
    if kind in "Mm":
        raise TypeError(
            f"`{name}` must be {_ONE_VALUE}. {received} For one class per date pass "
            f"{name}.astype(str)."
        )
    if kind != "f" and array.dtype.name != "bfloat16":
        raise TypeError(f"`{name}` must be {_ONE_VALUE}. {received}")
    below = _EXACT_BELOW.get(array.dtype.name, _LARGEST_FLOAT_ID)
    values = array.astype(np.float64)
    if np.isnan(values).any():
        raise ValueError(
            f"`{name}` must have no NaN. Received: NaN at {int(np.isnan(values).sum())} of "
            f"{len(values)} examples. Write None for an unknown class, e.g. "
            f"[None if np.isnan(v) else int(v) for v in {name}]."
        )
    if (values != np.floor(values)).any() or (np.abs(values) >= below).any():
        bad = values[(values != np.floor(values)) | (np.abs(values) >= below)][0]
        raise TypeError(
            f"`{name}` must be integer class ids. Received: {bad!r} in an {_describe(array)}; "
            f"in {array.dtype} whole numbers below {below} are exact. Cast the ids before they "
            "become floats, e.g. y.astype('int64')."
        )
    warnings.warn(
        f"`{name}` holds whole numbers of dtype {array.dtype}, read as class ids. Cast them to "
        "silence this: y.astype('int64').",
        stacklevel=levels_to_the_caller(),
    )
    return values.astype(np.int64)


def _named(
    array: np.ndarray,
    known: np.ndarray,
    vocabulary: tuple[str, ...] | None,
    ignore_class: object,
    name: str,
) -> Targets:
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    found, inverse = np.unique(array, return_inverse=True)
    texts = found.tolist()
    ids = np.full(len(known), -1, np.int64)
    ids[known] = inverse.reshape(-1)
    ignored = None if ignore_class is None else _ignored_id(ignore_class, tuple(texts), name)
    if ignored is not None and ignored >= 0:
        known = known & (ids != ignored)
        ids[~known] = -1
        ids[ids > ignored] -= 1
        del texts[ignored]
    if vocabulary is None:
        return _Classes(ids, known, tuple(texts))
    strangers = [text for text in texts if text not in vocabulary]
    if strangers:
        raise ValueError(
            f"`{name}` must hold classes of `names`. Received: {strangers[0]!r}, which is not "
            f"among {list(vocabulary[:10])}{' …' if len(vocabulary) > 10 else ''}."
        )
    return _Classes(ids, known, tuple(texts)).recode(vocabulary, name)


def __dir__() -> list[str]:
    return sorted(__all__)


#: Labels in any form: class ids, class names, or `Targets` of any kind.
TargetsLike: TypeAlias = ArrayLike | Targets
