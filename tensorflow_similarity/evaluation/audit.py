"""What is suspicious about a set of embeddings: duplicates, leaks, labels, outliers, hubs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances, targets
from tensorflow_similarity._extras import missing
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity.index import Groups, Index

__all__ = ["AuditReport", "audit"]

# Near duplicates, where nobody says how near: this share of the usual distance to a neighbour.
_NEAR = 0.1
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """What `audit` found. Positions are those in `embeddings`; the most suspicious come first.

    Attributes:
        count: How many examples were looked at.
        max_distance: The distance below which examples are near duplicates.
        duplicates: Pairs of near duplicates: `(first, second, distances)`.
        groups: The `index.Groups` that these pairs form, by position.
        leaks: Near duplicates in the reference: `(positions, positions in the reference,
            distances)`. Empty without one.
        mislabelled: Examples whose neighbours agree on another label: `(positions, their label,
            that of the neighbours, the share of neighbours that have it)`.
        outliers: Examples far from all others: `(positions, ratio)`, the distance to their
            k-th neighbour by that of their neighbours to theirs.
        hubs: Examples that are neighbours of unusually many: `(positions, of how many)`.
        neighbors: The nearest others of each example, as `visualization.viz_audit` draws
            them: `(positions, distances)`, `[count, k]` each; -1 where a search found fewer.
    """

    count: int
    max_distance: float
    duplicates: tuple[np.ndarray, np.ndarray, np.ndarray]
    groups: Groups
    leaks: tuple[np.ndarray, np.ndarray, np.ndarray]
    mislabelled: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    outliers: tuple[np.ndarray, np.ndarray]
    hubs: tuple[np.ndarray, np.ndarray]
    neighbors: tuple[np.ndarray, np.ndarray]

    @property
    def suspects(self) -> np.ndarray:
        """Positions of all examples with any finding, but for hubs: int64, ascending."""
        found = (self.groups.duplicates, self.leaks[0], self.mislabelled[0], self.outliers[0])
        return np.unique(np.concatenate(found)).astype(np.int64)

    def to_data_frame(self) -> Any:
        """All findings as a pandas data frame, a row for each.

        Returns:
            A `pandas.DataFrame` with the columns `finding` (`"duplicate"`, `"leak"`,
            `"mislabelled"`, `"outlier"` or `"hub"`), `position`, `other` (the position of the
            other example of a pair, or the label of the neighbours) and `value` (a
            distance, a share, a ratio, or a count).

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing("`to_data_frame`", "pandas", "pandas") from error
        columns = (
            ("duplicate", *self.duplicates),
            ("leak", *self.leaks),
            ("mislabelled", self.mislabelled[0], self.mislabelled[2], self.mislabelled[3]),
            ("outlier", self.outliers[0], [None] * len(self.outliers[0]), self.outliers[1]),
            ("hub", self.hubs[0], [None] * len(self.hubs[0]), self.hubs[1]),
        )
        rows = [
            (finding, int(position), other, float(value))
            for finding, *column in columns
            for position, other, value in zip(*column, strict=True)
        ]
        return pd.DataFrame(rows, columns=["finding", "position", "other", "value"])

    def __repr__(self) -> str:
        rows = [
            ["duplicates", len(self.groups.duplicates), self._first(self.groups.duplicates)],
            ["leaks", len(np.unique(self.leaks[0])), self._first(self.leaks[0])],
            ["mislabelled", len(self.mislabelled[0]), self._first(self.mislabelled[0])],
            ["outliers", len(self.outliers[0]), self._first(self.outliers[0])],
            ["hubs", len(self.hubs[0]), self._first(self.hubs[0])],
        ]
        table = text_table(["finding", "examples", "the first"], rows)
        return f"AuditReport of {self.count:,} examples\n{table}"

    @staticmethod
    def _first(positions: np.ndarray) -> str:
        shown = ", ".join(str(position) for position in positions[:_SHOWN].tolist())
        return shown + (", …" if len(positions) > _SHOWN else "")


def audit(
    embeddings: Any,
    labels: Any = None,
    reference: Any = None,
    *,
    distance: Any = "cosine",
    max_distance: float | None = None,
    k: int = 10,
    agreement: float = 0.8,
    outlier_ratio: float = 2.0,
    hub_factor: float = 10.0,
    search: Any = "auto",
) -> AuditReport:
    """Looks for what is suspicious about a set of examples, by their embeddings.

    Near duplicates, within the set and between it and a reference (such as the
    training data of a test set); examples whose neighbours agree on another label;
    outliers; and hubs, which are neighbours of a great many. All are worth a look,
    and none is a proof.

    Args:
        embeddings: Finite numbers `[n, dim]`.
        labels: Class ids or names `[n]`, None where the class is unknown. Without
            them, no labels are doubted.
        reference: Embeddings `[m, dim]` that none of the set should repeat.
        distance: Any that `distances.get` takes, but the inner product, by which a record is
            not nearest to itself.
        max_distance: How near near duplicates are. None: a tenth of the median
            distance of examples to their nearest.
        k: Neighbours to look at.
        agreement: The share of the neighbours with a label that must have another one
            than the example, and the same.
        outlier_ratio: How many times farther than for its neighbours (their median) the
            k-th nearest of an outlier is.
        hub_factor: How many times k examples a hub is a neighbour of.
        search: How neighbours are found, see `index.Index`.

    Returns:
        An `AuditReport`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, there are fewer than two examples, a number is
            out of range, or the distance is the inner product.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import audit

    rng = np.random.default_rng(0)
    centers = np.repeat(10 * np.eye(8)[:4], 50, axis=0)
    embeddings = centers + rng.normal(size=(200, 8))
    labels = np.repeat([0, 1, 2, 3], 50)
    labels[7] = 2  # wrong
    report = audit(embeddings, labels, distance="euclidean")
    report.mislabelled[0]  # array([7])
    ```
    """
    x = checks.embeddings(embeddings)
    k = min(checks.count(k, "k"), max(len(x) - 1, 1))
    if len(x) < 2:
        raise ValueError(f"`embeddings` must be at least two. Received: {len(x)}.")
    measure = distances.get(distance)
    if measure == distances.get("inner_product"):
        raise ValueError(
            "`distance` must be smallest between equal embeddings. Received: 'inner_product'. Use "
            "e.g. 'cosine'."
        )
    agreement = checks.positive(agreement, "agreement")
    if agreement > 1:
        raise ValueError(f"`agreement` must be at most 1. Received: {agreement}.")
    outlier_ratio = checks.positive(outlier_ratio, "outlier_ratio")
    hub_factor = checks.positive(hub_factor, "hub_factor")
    known = None if labels is None else targets.get(labels, "labels", length=len(x))
    index = Index(x.shape[1], measure, search)
    index.add(x)
    rows, near = _others(index, x, k)
    limit = _NEAR * float(np.median(near[:, 0])) if max_distance is None else max_distance
    pairs = index.pairs(limit).columns()
    groups = index.groups(limit)
    return AuditReport(
        count=len(x),
        max_distance=float(limit),
        duplicates=pairs,
        groups=groups,
        leaks=_leaks(x, reference, measure, search, float(limit)),
        mislabelled=_mislabelled(rows, known, agreement),
        outliers=_outliers(rows, near, outlier_ratio),
        hubs=_hubs(rows, hub_factor),
        neighbors=(rows, near),
    )


def _others(index: Index, x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest others of each example; -1 where an approximate search found fewer."""
    found = index.lookup(x, k=k + 1)
    own = found.ids == np.arange(len(x))[:, None]
    # Among many equal ones, an example may not find itself.
    own[~own.any(axis=1), -1] = True
    shape = len(x), k
    return found.ids[~own].reshape(shape), found.distances[~own].reshape(shape)


def _leaks(
    x: np.ndarray, reference: Any, distance: Any, search: Any, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    given = None if reference is None else checks.host_array(reference, "reference")
    if given is None or not given.size:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    known = Index(x.shape[1], distance, search)
    known.add(checks.embeddings(given, "reference", size=x.shape[1]))
    found = known.lookup(x, max_distance=limit)
    order = np.argsort(found.distances, kind="stable")
    return found.queries[order], found.ids[order], found.distances[order]


def _mislabelled(
    rows: np.ndarray, labels: targets.Targets | None, agreement: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    none = np.empty(0, np.int64)
    if labels is None:
        return none, none, none, np.empty(0)
    ids, known = labels.ids, labels.known
    theirs = np.where((rows >= 0) & known[rows], ids[rows], np.iinfo(np.int64).min)
    theirs.sort(axis=1)
    there = theirs != np.iinfo(np.int64).min
    # The longest run of equal ones in each row.
    places = np.arange(theirs.shape[1])
    starts = np.ones(theirs.shape, bool)
    starts[:, 1:] = theirs[:, 1:] != theirs[:, :-1]
    run = places - np.maximum.accumulate(np.where(starts, places, 0), axis=1) + 1
    run = np.where(there, run, 0)
    best = run.argmax(axis=1)
    each = np.arange(len(rows))
    label, votes = theirs[each, best], run[each, best]
    share = votes / np.maximum(there.sum(axis=1), 1)
    doubted = np.flatnonzero(known & (votes > 0) & (label != ids) & (share >= agreement))
    doubted = doubted[np.argsort(-share[doubted], kind="stable")]
    return (
        doubted,
        labels.decode(ids[doubted]),
        labels.decode(label[doubted]),
        share[doubted],
    )


def _outliers(rows: np.ndarray, near: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    reach = near[:, -1].astype(np.float64)
    usual = np.median(np.where(rows >= 0, reach[rows], np.inf), axis=1)
    # Among equal ones, anything else is infinitely far.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(reach > 0, reach / usual, 0)
    found = np.flatnonzero(ratios > ratio)
    found = found[np.argsort(-ratios[found], kind="stable")]
    return found, ratios[found]


def _hubs(rows: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    counts = np.bincount(rows[rows >= 0], minlength=len(rows))
    found = np.flatnonzero(counts > factor * rows.shape[1])
    found = found[np.argsort(-counts[found], kind="stable")]
    return found, counts[found]
