"""Retrieval metrics written from their formulas, one query and one rank at a time."""

import math


def ranked_hits(distances, relevant, own=-1, ignored=()):
    """Relevance of the gallery by rank, ties by position, leaving `own` and ignored keys out."""
    order = sorted((d, j) for j, d in enumerate(distances) if j != own and j not in ignored)
    return [relevant[j] for _, j in order]


def metric_of_query(name, grades):
    """Value of a metric for the relevance of a whole ranking; None where R = 0."""
    hits = [grade > 0 for grade in grades]
    relevant = sum(hits)
    if relevant == 0:
        return None
    family, _, cut = name.partition("@")
    if name == "r_precision":
        return sum(hits[:relevant]) / relevant
    if name == "mrr":
        return 1 / (hits.index(True) + 1)
    k = relevant if cut == "r" else int(cut)
    top = hits[:k]
    if family == "hit_rate":
        return float(any(top))
    if family == "recall":
        return sum(top) / relevant
    if family == "precision":
        return sum(top) / k
    if family == "mrr":
        return 1 / (top.index(True) + 1) if any(top) else 0.0
    if family == "map":
        total = 0.0
        for i, hit in enumerate(top, start=1):
            if hit:
                total += sum(top[:i]) / i
        return total / min(k, relevant)
    if family == "ndcg":
        ideal = sorted(grades, reverse=True)
        gain, best = (
            sum(float(grade) / math.log2(i + 1) for i, grade in enumerate(ranks[:k], start=1))
            for ranks in (grades, ideal)
        )
        return gain / best
    raise ValueError(name)


def evaluate(names, distances, relevance, own=None, ignored=None):
    """Metric -> value of every query (None where it has nothing relevant)."""
    own = [-1] * len(distances) if own is None else own
    out = [()] * len(distances) if ignored is None else [set(i.nonzero()[0]) for i in ignored]
    rows = zip(distances, relevance, own, out, strict=True)
    hits = [ranked_hits(d, r, o, i) for d, r, o, i in rows]
    return {name: [metric_of_query(name, h) for h in hits] for name in names}
