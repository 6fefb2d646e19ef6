"""Relevance of several labels, from its definition."""

import numpy as np


def shares_a_label(queries, records):
    """Whether each query and each record, all sets, have a label in common."""
    return np.array([[bool(set(own) & set(theirs)) for theirs in records] for own in queries])
