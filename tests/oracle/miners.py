"""Miners from their definitions: loops over pairs and triplets.

Each returns the pairs that are kept, as lists of keys for each query.
"""


def multi_similarity(row, positives, negatives, epsilon=0.1):
    near = min((row[n] for n in negatives), default=float("inf"))
    far = max((row[p] for p in positives), default=-float("inf"))
    return (
        [p for p in positives if row[p] > near - epsilon],
        [n for n in negatives if row[n] < far + epsilon],
    )


def pair_margin(row, positives, negatives, positive_margin=0.2, negative_margin=0.8):
    return (
        [p for p in positives if row[p] > positive_margin],
        [n for n in negatives if row[n] < negative_margin],
    )


def distance_range(row, positives, negatives, positive_range, negative_range):
    return (
        [p for p in positives if positive_range[0] <= row[p] <= positive_range[1]],
        [n for n in negatives if negative_range[0] <= row[n] <= negative_range[1]],
    )


def triplet_margin(row, positives, negatives, margin=0.2, kind="all"):
    wanted = {
        "all": lambda gap: gap <= margin,
        "hard": lambda gap: gap <= 0,
        "semi-hard": lambda gap: 0 < gap <= margin,
        "easy": lambda gap: gap > margin,
    }[kind]
    triplets = [(p, n) for p in positives for n in negatives if wanted(row[n] - row[p])]
    return sorted({p for p, _ in triplets}), sorted({n for _, n in triplets})


def mined(picture, miner, **settings):
    """A `Picture` with the pairs that a miner keeps of it."""
    for i, row in enumerate(picture.distances):
        kept = miner(row, picture.positives[i], picture.negatives[i], **settings)
        picture.positives[i], picture.negatives[i] = kept
    return picture
