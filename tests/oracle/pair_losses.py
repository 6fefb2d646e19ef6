"""More losses from their formulas: loops over queries and their pairs, in float64.

As in `oracle.losses`, each takes a `Picture` and returns one loss for each query.
Similarities are 1 less the distance.
"""

import math

import numpy as np

from oracle.losses import (
    _log_sum_exp,
    _scaled_to_a_mean_over_pairs,
    negatives_of,
    positives_of,
)


def _log_one_plus_sum_exp(values):
    return _log_sum_exp([0.0, *values])


def _per_query(loss, picture):
    return np.array(
        [
            loss(row, positives, negatives)
            for row, positives, negatives in zip(
                picture.distances, picture.positives, picture.negatives, strict=True
            )
        ]
    )


def _mean_of_pairs(costs):
    """`costs`: for each query a list of the costs of its pairs."""
    return _scaled_to_a_mean_over_pairs([sum(c) for c in costs], [len(c) for c in costs])


def multi_similarity(picture, alpha=2.0, beta=40.0, epsilon=0.1, lmda=0.5, center=1.0):
    def loss(row, positives, negatives):
        if epsilon is not None:
            nearest = min((row[n] for n in negatives), default=math.inf)
            farthest = max((row[p] for p in positives), default=-math.inf)
            positives = [p for p in positives if row[p] > nearest - epsilon]
            negatives = [n for n in negatives if row[n] < farthest + epsilon]
        s = lmda - center
        pull = _log_one_plus_sum_exp([alpha * (row[p] + s) for p in positives])
        push = _log_one_plus_sum_exp([-beta * (row[n] + s) for n in negatives])
        return pull / alpha + push / beta

    return _per_query(loss, picture)


def circle(picture, gamma=80.0, margin=0.4, weights=None):
    """`weights`: the picture whose distances make the weights, if they are held fixed."""
    weighing = (weights or picture).distances
    losses = np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        terms = []
        for p in picture.positives[i]:
            similarity, weight = 1 - row[p], max(0, 1 + margin - (1 - weighing[i][p]))
            for n in picture.negatives[i]:
                other, push = 1 - row[n], max(0, (1 - weighing[i][n]) + margin)
                terms.append(
                    gamma * (push * (other - margin) - weight * (similarity - (1 - margin)))
                )
        losses[i] = _log_one_plus_sum_exp(terms) if terms else 0
    return losses


def pn(picture, positive="hard", negative="semi-hard", margin=1.0):
    losses = np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        if picture.positives[i] and picture.negatives[i]:
            [p] = positives_of(positive, row, picture.positives[i])
            [n] = negatives_of(negative, row, picture.negatives[i], row[p])
            gap = row[p] - min(row[n], picture.distances[p][n])
            losses[i] = np.logaddexp(0, gap) if margin is None else max(0, gap + margin)
    return losses


def soft_nearest_neighbor(picture, temperature=1.0):
    def loss(row, positives, negatives):
        if not positives:
            return 0.0
        alike = _log_sum_exp([-row[p] / temperature for p in positives])
        return _log_sum_exp([-row[k] / temperature for k in positives + negatives]) - alike

    return _per_query(loss, picture)


def supcon(picture, temperature=0.1):
    losses = np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        every = [-row[k] / temperature for k in picture.positives[i] + picture.negatives[i]]
        total = sum(picture.relevance[i][p] for p in picture.positives[i])
        for p in picture.positives[i]:
            weight = picture.relevance[i][p] / total
            losses[i] += weight * (_log_sum_exp(every) + row[p] / temperature)
    return losses


def ntxent(picture, temperature=0.07):
    costs = [
        [
            _log_sum_exp([-row[k] / temperature for k in [p, *negatives]]) + row[p] / temperature
            for p in positives
        ]
        for row, positives, negatives in zip(
            picture.distances, picture.positives, picture.negatives, strict=True
        )
    ]
    return _mean_of_pairs(costs)


def generalized_lifted_struct(picture, neg_margin=1.0, pos_margin=0.0):
    def loss(row, positives, negatives):
        pull = _log_sum_exp([row[p] - pos_margin for p in positives])
        push = _log_sum_exp([neg_margin - row[n] for n in negatives])
        return max(0, pull + push)

    return _per_query(loss, picture)


def margin(picture, margin=0.2, beta=1.2):
    costs = []
    for row, positives, negatives in zip(
        picture.distances, picture.positives, picture.negatives, strict=True
    ):
        terms = [
            term
            for p in positives
            for n in negatives
            for term in (max(0, row[p] - beta + margin), max(0, beta - row[n] + margin))
        ]
        costs.append([term for term in terms if term > 0])
    return _mean_of_pairs(costs)


def snr_contrastive(picture, pos_margin=0.0, neg_margin=1.0):
    pull = [
        [row[p] - pos_margin for p in positives if row[p] > pos_margin]
        for row, positives in zip(picture.distances, picture.positives, strict=True)
    ]
    push = [
        [neg_margin - row[n] for n in negatives if row[n] < neg_margin]
        for row, negatives in zip(picture.distances, picture.negatives, strict=True)
    ]
    return _mean_of_pairs(pull) + _mean_of_pairs(push)


def tuplet_margin(picture, margin=5.73, scale=64.0):
    slack = math.radians(margin)
    costs = []
    for row, positives, negatives in zip(
        picture.distances, picture.positives, picture.negatives, strict=True
    ):
        costs.append([])
        for p in positives:
            angle = math.acos(min(1, max(-1, 1 - row[p])))
            terms = [scale * (1 - row[n] - math.cos(angle - slack)) for n in negatives]
            costs[-1].append(_log_one_plus_sum_exp(terms))
    return _mean_of_pairs(costs)


def intra_pair_variance(picture, pos_eps=0.01, neg_eps=0.01):
    similarities = 1 - picture.distances

    def mean(pairs):
        values = [similarities[i][j] for i, of_query in enumerate(pairs) for j in of_query]
        return sum(values) / len(values) if values else 0.0

    low = (1 - pos_eps) * mean(picture.positives)
    high = (1 + neg_eps) * mean(picture.negatives)
    pull = [
        [max(0, low - similarities[i][p]) ** 2 for p in positives]
        for i, positives in enumerate(picture.positives)
    ]
    push = [
        [max(0, similarities[i][n] - high) ** 2 for n in negatives]
        for i, negatives in enumerate(picture.negatives)
    ]
    return _mean_of_pairs(pull) + _mean_of_pairs(push)


def threshold_consistent_margin(
    picture, positive_margin=0.9, negative_margin=0.5, positive_weight=1.0, negative_weight=1.0
):
    similarities = 1 - picture.distances
    pull = [
        [
            positive_weight * (positive_margin - similarities[i][p])
            for p in positives
            if similarities[i][p] < positive_margin
        ]
        for i, positives in enumerate(picture.positives)
    ]
    push = [
        [
            negative_weight * (similarities[i][n] - negative_margin)
            for n in negatives
            if similarities[i][n] > negative_margin
        ]
        for i, negatives in enumerate(picture.negatives)
    ]
    return _mean_of_pairs(pull) + _mean_of_pairs(push)


def _soft_histogram(values, bins, high=2.0):
    counts = np.zeros(bins + 1)
    for r in range(bins + 1):
        counts[r] = sum(max(0, 1 - abs(v - r * high / bins) / (high / bins)) for v in values)
    return counts


def fastap(picture, num_bins=10):
    def loss(row, positives, negatives):
        if not positives or not negatives:
            return 0.0
        alike = _soft_histogram([row[p] for p in positives], num_bins)
        every = _soft_histogram([row[k] for k in positives + negatives], num_bins)
        average = 0.0
        for j in range(num_bins + 1):
            if every[: j + 1].sum() > 0:
                average += alike[j] * alike[: j + 1].sum() / every[: j + 1].sum()
        return 1 - average / len(positives)

    return _per_query(loss, picture)


def histogram(picture, num_bins=100):
    """The definition sums over the batch; a query has its negatives' part of it."""
    pairs = list(zip(picture.distances, picture.positives, picture.negatives, strict=True))
    alike = _soft_histogram([row[p] for row, positives, _ in pairs for p in positives], num_bins)
    alike /= max(1, sum(len(positives) for _, positives, _ in pairs))
    sums = [
        sum(
            other * alike[r:].sum()
            for r, other in enumerate(_soft_histogram([row[n] for n in negatives], num_bins))
        )
        for row, _, negatives in pairs
    ]
    return _scaled_to_a_mean_over_pairs(sums, [len(negatives) for _, _, negatives in pairs])


def ranked_list(picture, margin=0.4, Tn=10.0, imbalance=0.5, alpha=None, Tp=0.0, weights=None):
    """`weights`: the picture whose distances make the weights, if they are held fixed."""
    alpha = 1 + margin / 2 if alpha is None else alpha
    weighing = (weights or picture).distances

    def weighted(violations, weight):
        violations = {k: v for k, v in violations.items() if v > 0}
        total = sum(weight(k) for k in violations)
        return sum(weight(k) * v for k, v in violations.items()) / total if violations else 0.0

    losses = np.zeros(len(picture))
    for i, row in enumerate(picture.distances):
        pull = weighted(
            {p: row[p] - (alpha - margin) for p in picture.positives[i]},
            lambda p, i=i: math.exp(Tp * (weighing[i][p] - (alpha - margin))),
        )
        push = weighted(
            {n: alpha - row[n] for n in picture.negatives[i]},
            lambda n, i=i: math.exp(Tn * (alpha - weighing[i][n])),
        )
        losses[i] = (1 - imbalance) * pull + imbalance * push
    return losses


def _sigmoid(x):
    return 0.5 * (1 + math.tanh(x / 2))


def _soft_rank(row, p, keys, temperature):
    return 1 + sum(_sigmoid((row[p] - row[k]) / temperature) for k in keys if k != p)


def smooth_ap(picture, temperature=0.01):
    def loss(row, positives, negatives):
        if not positives or not negatives:
            return 0.0
        ratios = [
            _soft_rank(row, p, positives, temperature)
            / _soft_rank(row, p, positives + negatives, temperature)
            for p in positives
        ]
        return 1 - sum(ratios) / len(ratios)

    return _per_query(loss, picture)


def pnp(picture, variant="Dq", alpha=1.0, b=2.0, temperature=0.01):
    penalty = {
        "O": lambda n: n,
        "Ds": lambda n: math.log(1 + n),
        "Dq": lambda n: 1 - 1 / (1 + n) ** alpha,
        "Iu": lambda n: (1 + n) * math.log(1 + n),
        "Ib": lambda n: (b * n - math.log(1 + b * n)) / b**2,
    }[variant]

    def loss(row, positives, negatives):
        if not positives or not negatives:
            return 0.0
        before = [
            sum(_sigmoid((row[p] - row[n]) / temperature) for n in negatives) for p in positives
        ]
        return sum(penalty(n) for n in before) / len(before)

    return _per_query(loss, picture)


def recall_at_k_surrogate(picture, k_vals=(1, 2, 4, 8, 16), k_temperature=1.0, temperature=0.01):
    def loss(row, positives, negatives):
        if not positives or not negatives:
            return 0.0
        ranks = [_soft_rank(row, p, positives + negatives, temperature) for p in positives]
        recalls = [
            sum(_sigmoid((k - rank) / k_temperature) for rank in ranks) / min(k, len(positives))
            for k in k_vals
        ]
        return 1 - sum(recalls) / len(recalls)

    return _per_query(loss, picture)


def angular(picture, alpha=40.0, keys=None):
    """`keys`: the picture of the keys against themselves, if the queries are other rows."""
    t = math.tan(math.radians(alpha)) ** 2
    similarities, among_keys = 1 - picture.distances, 1 - (keys or picture).distances
    costs = [
        [
            _log_one_plus_sum_exp(
                [
                    4 * t * (similarities[i][n] + among_keys[p][n])
                    - 2 * (1 + t) * similarities[i][p]
                    for n in picture.negatives[i]
                ]
            )
            for p in picture.positives[i]
        ]
        for i in range(len(picture))
    ]
    return _mean_of_pairs(costs)


def triplet_all(picture, margin=0.1, active_only=True):
    costs = [
        [max(0, margin + row[p] - row[n]) for p in positives for n in negatives]
        for row, positives, negatives in zip(
            picture.distances, picture.positives, picture.negatives, strict=True
        )
    ]
    if active_only:
        costs = [[cost for cost in of_query if cost > 0] for of_query in costs]
    return _mean_of_pairs(costs)
