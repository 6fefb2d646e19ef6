"""How well clusters of the embeddings agree with the classes."""

from __future__ import annotations

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._extras import missing
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.targets import TargetsLike

__all__ = ["clustering"]


def clustering(
    embeddings: ArrayLike | None = None,
    labels: TargetsLike | None = None,
    clusters: ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Adjusted and normalised mutual information of classes and clusters.

    Without `clusters`, k-means finds as many clusters as there are classes. AMI is 0 on
    average for random clusters; NMI is not, and grows with the number of clusters.

    Args:
        embeddings: `[n, dim]`; not needed with `clusters`. k-means is Euclidean:
            normalise the rows for cosine distance.
        labels: Class ids or names `[n]`; None where the class is unknown: such
            examples are left out.
        clusters: Precomputed cluster ids `[n]`. None: k-means.
        seed: Seed of k-means.

    Returns:
        `{"ami": value, "nmi": value}`, both with the arithmetic mean as normaliser.

    Raises:
        ImportError: If scikit-learn is not installed.
        TypeError: If labels are neither ids nor names.
        ValueError: If lengths differ, or neither embeddings nor clusters are given.

    Example:

    ```python
    from tensorflow_similarity.evaluation import clustering

    clustering(labels=[0, 0, 1, 1], clusters=[5, 5, 7, 7])  # {'ami': 1.0, 'nmi': 1.0}
    ```
    """
    try:
        from sklearn import cluster, metrics
    except ImportError as error:
        raise missing("`clustering`", "scikit-learn", "evaluation") from error
    x = None if embeddings is None else checks.embeddings(embeddings)
    if x is None and clusters is None:
        raise ValueError("Pass `embeddings` or `clusters`. Received: neither.")
    classes = targets.get(labels, "labels", None if x is None else len(x))
    known, ids = classes.known, classes.ids[classes.known]
    if clusters is None and x is not None:
        kmeans = cluster.KMeans(len(set(ids.tolist())), n_init=3, random_state=seed)
        found = kmeans.fit_predict(x[known])
    else:  # -1, for examples in no cluster, counts as a cluster here.
        found = checks.class_ids(clusters, "clusters", len(classes))[known]
    return {
        "ami": float(metrics.adjusted_mutual_info_score(ids, found)),
        "nmi": float(metrics.normalized_mutual_info_score(ids, found)),
    }
