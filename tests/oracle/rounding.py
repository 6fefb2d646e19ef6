"""How far two computations of the same mathematics may lie apart.

The product promises equal bits where the same call is made twice, and after saving and loading.
Another batch size, block size, number of threads or kernel of a matrix product adds the same
terms in another order: then results agree up to the rounding of that sum, and tests compare them
within the bounds of this module.

A sum of n products in a float type with unit roundoff u has an error of at most n u times the
sum of the absolute products, in whatever order it is added (Higham, *Accuracy and Stability of
Numerical Algorithms*, chapter 3). Two such sums differ by at most twice that.
"""

from __future__ import annotations

import numpy as np


def sums(terms: int, dtype: str = "float32") -> float:
    """By what two sums of so many products may differ, relative to the absolute products."""
    return 2 * terms * float(np.finfo(dtype).eps) / 2


def embeddings(*terms: int, dtype: str = "float32") -> float:
    """By what two passes through layers of so many inputs may differ, for rows of length 1.

    Each layer adds the error of its own sums; a normalisation at the end adds that of one more.
    """
    return sum(sums(n, dtype) for n in terms) + sums(terms[-1], dtype)


def distances(error: float) -> float:
    """By what distances, of at most 2, may differ if each of two rows of length 1 moves so far.

    The Euclidean distance changes by at most both moves; the cosine distance, half its
    square, by at most twice as much.
    """
    return 4 * error
