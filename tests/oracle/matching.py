"""Matching and calibration, one query and one threshold at a time."""

import math
from collections import Counter

import numpy as np


def match_of_query(distances, labels, matcher):
    """Label and distance of one query's match; distance inf where there is none."""
    found = [(float(d), int(c)) for d, c in zip(distances, labels, strict=True) if math.isfinite(d)]
    if not found:
        return None, math.inf
    if matcher == "match_nearest":
        return found[0][1], found[0][0]
    votes = Counter(c for _, c in found)
    most = max(votes.values())
    winner = next(c for _, c in found if votes[c] == most)
    # In float32, like the distances themselves: means that equal a threshold count.
    total = np.float32(0)
    for d, _ in found:
        total += np.float32(d)
    return winner, float(total / np.float32(len(found)))


def matches(distances, labels, matcher):
    """Matches of all queries."""
    return [match_of_query(d, c, matcher) for d, c in zip(distances, labels, strict=True)]


def outcomes(matched, queries, threshold):
    """tp, fp, tn, fn at a threshold."""
    tp = fp = tn = fn = 0
    for (label, distance), query in zip(matched, queries, strict=True):
        right, accepted = label == query, distance <= threshold
        tp += right and accepted
        fp += accepted and not right
        fn += right and not accepted
        tn += not right and not accepted
    return tp, fp, tn, fn


def metric(name, tp, fp, tn, fn):
    """A metric from the counts; 0 where it is 0 / 0."""
    top, bottom = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "binary_accuracy": (tp, tp + fp + tn + fn),
        "npv": (tn, tn + fn),
        "fpr": (fp, fp + tn),
    }[name]
    return top / bottom if bottom else 0.0


def cutpoint(distances, matched, queries, name, target):
    """The threshold a target asks for, or None."""
    candidates = sorted({float(d) for d in np.ravel(distances) if math.isfinite(d)})
    holds = []
    for threshold in candidates:
        counts = outcomes(matched, queries, threshold)
        value = metric(name, *counts)
        enough = value <= target if name == "fpr" else value >= target
        if enough and counts[0] + counts[1] > 0:
            holds.append(threshold)
    if not holds:
        return None
    return holds[-1] if name in ("precision", "fpr") else holds[0]
