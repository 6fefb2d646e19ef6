"""Matches of queries, with distances and probabilities."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tensorflow_similarity._extras import missing
from tensorflow_similarity._text_table import text_table

__all__ = ["Matches"]

_SHOWN = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Matches:
    """The matches of queries at a cutpoint, as arrays. Prints as a table.

    Attributes:
        labels: The result of `match`, `[queries]`: the label of the match, a class id or name,
            if it is accepted, else `no_match_label`.
        accepted: Whether the match is at or below the threshold: bool `[queries]`.
        candidates: The label of the match, accepted or not, `[queries]`; -1, or None among
            names, where there is no neighbour with a label.
        distances: float64 `[queries]`, the distance of the match; inf if there is none.
        probabilities: float64 `[queries]`, the estimated probability that the candidate is
            right, see `Calibration.probabilities`; 0 if there is none. NaN if the
            calibration has no estimate, because it was made by an earlier version or with
            another matcher.
        ids: int64 `[queries]`, the id of the nearest record with the candidate's label; -1
            if there is none, or ids were not given.
        cutpoint: The name of the threshold.
        class_names: The class names of the index; None if labels are ids.
        keys: The keys of the records of `ids`, `[queries]`, None where there is none; None where
            records have no keys.

    Example:

    ```python
    from tensorflow_similarity.calibration import calibrate

    calibration = calibrate([[0.1], [0.2], [0.4]], [[1], [2], [3]], [1, 2, 9])
    matches = calibration.match_details([[0.15], [0.9]], [[7], [8]], neighbor_ids=[[30], [31]])
    matches.labels  # [7, -1]
    matches.candidates  # [7, 8]
    matches.ids  # [30, 31]
    print(matches)  # a table
    ```
    """

    labels: np.ndarray
    accepted: np.ndarray
    candidates: np.ndarray
    distances: np.ndarray
    probabilities: np.ndarray
    ids: np.ndarray
    cutpoint: str = "optimal"
    class_names: tuple[str, ...] | None = None
    keys: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, queries: slice | np.ndarray) -> Matches:
        """Selects queries by a slice, or by an array of positions or bools."""
        if isinstance(queries, int | np.integer):
            raise TypeError(
                "Matches are columns: take `matches.labels[i]`, `matches.distances[i]` and so on, "
                f"or a slice. Received: {queries!r}."
            )
        own = {name: getattr(self, name)[queries] for name in self._columns()}
        return dataclasses.replace(self, **own)

    def to_data_frame(self) -> Any:
        """The matches as a pandas data frame, a row for each query.

        Returns:
            A `pandas.DataFrame` with the columns `label`, `accepted`, `candidate`,
            `distance`, `probability` and `id`, and `key` where records have keys.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing("`to_data_frame`", "pandas", "pandas") from error
        return pd.DataFrame({title: getattr(self, name) for name, title in self._columns().items()})

    def _columns(self) -> dict[str, str]:
        return _COLUMNS if self.keys is None else {**_COLUMNS, "keys": "key"}

    def __repr__(self) -> str:
        named = self._columns()
        columns = zip(*(getattr(self, name)[:_SHOWN].tolist() for name in named), strict=True)
        rows = [[number, *row] for number, row in enumerate(columns)]
        more = f"\n… {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""
        table = text_table(["query", *named.values()], rows)
        return f"Matches of {len(self):,} queries at {self.cutpoint!r}\n{table}{more}"


# Columns, and what they are called where each row is one match.
_COLUMNS = {
    "labels": "label",
    "accepted": "accepted",
    "candidates": "candidate",
    "distances": "distance",
    "probabilities": "probability",
    "ids": "id",
}
