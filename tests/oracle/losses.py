"""Losses from their formulas: loops over queries and their pairs, in float64.

Each takes a `Picture` and returns one loss for each query.
"""

import math

import numpy as np

from oracle import distances


class Picture:
    """Distances of queries to keys, and each query's positives and negatives.

    `positives[i]` and `negatives[i]` are lists of keys; a query is in neither of
    its own. `relevance[i, j]` says how alike a positive pair is, 1 by class ids.
    """

    def __init__(
        self,
        distance,
        labels,
        queries,
        key_labels=None,
        keys=None,
        queries_are_keys=True,
        relevance=None,
    ):
        keys = queries if keys is None else keys
        key_labels = labels if key_labels is None else key_labels
        self.distances = distances.matrix(distance, queries, keys)
        n, m = self.distances.shape
        self.relevance = np.ones((n, m)) if relevance is None else np.asarray(relevance, float)
        self.positives, self.negatives = [], []
        for i in range(n):
            others = [j for j in range(m) if not (queries_are_keys and i == j)]
            if relevance is None:
                alike = {j for j in others if int(labels[i]) == int(key_labels[j])}
            else:
                alike = {j for j in others if relevance[i][j] > 0}
            self.positives.append([j for j in others if j in alike])
            self.negatives.append([j for j in others if j not in alike])

    def __len__(self):
        return len(self.distances)


def nearest(row, candidates):
    return min(candidates, key=lambda j: row[j])


def farthest(row, candidates):
    return max(candidates, key=lambda j: row[j])


def semi_hard(row, candidates, threshold):
    beyond = [j for j in candidates if row[j] > threshold]
    return nearest(row, beyond) if beyond else farthest(row, candidates)


def positives_of(strategy, row, candidates):
    if strategy == "all" or not candidates:
        return list(candidates)
    return [{"easy": nearest, "hard": farthest}[strategy](row, candidates)]


def negatives_of(strategy, row, candidates, threshold):
    if strategy == "all" or not candidates:
        return list(candidates)
    if strategy == "semi-hard":
        return [semi_hard(row, candidates, threshold)]
    return [{"hard": nearest, "easy": farthest}[strategy](row, candidates)]


def triplet(picture, positive="hard", negative="semi-hard", margin=1.0):
    losses = np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        if picture.positives[i] and picture.negatives[i]:
            [p] = positives_of(positive, row, picture.positives[i])
            [n] = negatives_of(negative, row, picture.negatives[i], row[p])
            gap = row[p] - row[n]
            losses[i] = np.logaddexp(0, gap) if margin is None else max(0, gap + margin)
    return losses


def triplet_hard(picture, margin=1.0, soft=False):
    return triplet(picture, "hard", "hard", None if soft else margin)


def _scaled_to_a_mean_over_pairs(sums, pairs):
    """Scales per-query sums so that their mean is their total over the number of pairs."""
    return np.asarray(sums) * len(sums) / max(1, sum(pairs))


def _mean_of_pairs(costs):
    """`costs`: for each query a list of the costs of its pairs."""
    return _scaled_to_a_mean_over_pairs([sum(c) for c in costs], [len(c) for c in costs])


def triplet_semi_hard(picture, margin=1.0):
    sums = np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        for p in picture.positives[i]:
            if picture.negatives[i]:
                n = semi_hard(row, picture.negatives[i], row[p])
                sums[i] += max(0, margin + row[p] - row[n])
    return _scaled_to_a_mean_over_pairs(sums, [len(p) for p in picture.positives])


def _log_sum_exp(values):
    if not values:
        return -math.inf
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def lifted_struct(picture, margin=1.0, positive="all", keys_to_queries=None):
    """`keys_to_queries`: the picture of the keys as queries, if they are not the same rows."""
    back = keys_to_queries or picture
    sums, pairs = np.zeros(len(picture)), np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        for j in positives_of(positive, row, picture.positives[i]):
            pushes = [margin - row[n] for n in picture.negatives[i]]
            pushes += [margin - back.distances[j][n] for n in back.negatives[j]]
            cost = _log_sum_exp(pushes) + row[j]
            sums[i] += max(0, cost) ** 2
            pairs[i] += 1
    return _scaled_to_a_mean_over_pairs(sums, pairs) / 2


def contrastive(picture, margin=1.0, power=2, positive="all", negative="all"):
    pull, push = [], []
    for i, row in enumerate(picture.distances):
        pulled = positives_of(positive, row, picture.positives[i])
        threshold = max((row[p] for p in pulled), default=-math.inf)
        pushed = negatives_of(negative, row, picture.negatives[i], threshold)
        pull.append([row[p] ** power for p in pulled])
        push.append([(margin - row[n]) ** power for n in pushed if row[n] < margin])
    return _mean_of_pairs(pull) + _mean_of_pairs(push)


def npairs(picture):
    losses = np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        every = _log_sum_exp([-row[k] for k in picture.positives[i] + picture.negatives[i]])
        total = sum(picture.relevance[i][p] for p in picture.positives[i])
        for p in picture.positives[i]:
            losses[i] += picture.relevance[i][p] / total * (every + row[p])
    return losses


def contrastive_of_values(alike, values, margin=1.0):
    return np.array(
        [
            float(y) * d**2 + (1 - float(y)) * max(0, margin - d) ** 2
            for y, d in zip(alike, np.asarray(values, float), strict=True)
        ]
    )


def npairs_of_values(relevance, similarities):
    losses = np.zeros(len(similarities))
    for i, row in enumerate(np.asarray(similarities, float)):
        total = sum(relevance[i])
        for j, similarity in enumerate(row):
            if relevance[i][j]:
                losses[i] += relevance[i][j] / total * (_log_sum_exp(list(row)) - similarity)
    return losses
