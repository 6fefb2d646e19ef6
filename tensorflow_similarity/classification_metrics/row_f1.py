"""F1 of match sets, query by query."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity.classification_metrics.classification_metric import ClassificationMetric

__all__ = ["RowF1"]


class RowF1(ClassificationMetric):
    """The mean over queries of the F1 between their match set and their true set.

    The match set of a query is all records at most as far as the threshold; the true set all
    records of its class. It is not made of the outcomes of single matches: calibration takes it
    from `evaluation.MatchSets`.

    Args:
        name: What results call it.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.calibration import calibrate
    from tensorflow_similarity.evaluation import MatchSets
    from tensorflow_similarity.index import Index

    index = Index(embedding_size=1, distance="euclidean")
    index.add([[0.0], [1.0], [4.0], [9.0]], labels=[1, 1, 2, 3])
    found = index.lookup([[0.4], [8.0]], k=4)
    sets = MatchSets.of_labels(found, [1, 3], relevant=[2, 1])
    calibration = calibrate(
        found.distances, found.labels, [1, 3], calibration_metric="row_f1", match_sets=sets
    )
    calibration.distance()  # 1.0
    ```
    """

    needs_sets = True

    def __init__(self, name: str = "row_f1") -> None:
        super().__init__(name=name, canonical_name="row_f1")

    def compute(self, tp: Any, fp: Any, tn: Any, fn: Any, count: int) -> np.ndarray:
        raise ValueError(
            "`row_f1` is a metric of match sets, not of single matches: pass `match_sets`, see "
            "evaluation.MatchSets; or use model.calibrate, which makes them."
        )

    def of_sets(self, row_f1: np.ndarray) -> np.ndarray:
        return row_f1
