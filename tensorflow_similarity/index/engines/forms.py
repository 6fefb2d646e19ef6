"""Ranks each distance quickly, and then computes it exactly.

Ranking uses scores (higher is nearer) that a matrix product gives for many
pairs at once, with a bound on their rounding error. What the bound cannot rule
out is computed again, by direct difference: exactly 0 for equal rows, and
without the digits that the expansion of a square loses.

NumPy throughout: these are searches on the host, never differentiated.
"""

from __future__ import annotations

import math

import keras
import numpy as np

from tensorflow_similarity.distances import Distance, Product, product_of
from tensorflow_similarity.distances.rows import NEARLY_ONE, inverse_norms, norms, unit_rows
from tensorflow_similarity.index._columns import RowArray
from tensorflow_similarity.index.engines.forks import refuse_tensorflow
from tensorflow_similarity.index.engines.products import Operands

__all__ = ["Form", "MatrixForm", "ProductForm", "form_of"]

# Numbers in one temporary of the exact distances: 1 MB, which the caches of a core hold.
_TEMPORARY = 1 << 18


class Form:
    """One distance over one set of keys. `terms` holds a number per key."""

    #: Whether scores are approximate, and distances must be computed again.
    approximate = True

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def fit(self, keys: np.ndarray) -> None:
        """Looks at some first keys `[n, dim]`, once."""

    def terms(self, keys: np.ndarray) -> np.ndarray:
        """The number cached for each key: float32 `[n]`."""
        return np.zeros(len(keys), np.float32)


class ProductForm(Form):
    """Base of the distances whose order is that of a matrix product.

    For few queries, compared to `dim`, keys are multiplied as they are and the
    scores corrected; for many, it is cheaper to correct the keys first.
    """

    def left(self, queries: np.ndarray) -> np.ndarray:
        """The queries, prepared for the product."""
        return queries

    def operands(self, keys: np.ndarray, terms: np.ndarray, few: bool) -> Operands:
        """The keys, prepared for the product."""
        return Operands(keys)

    def errors(
        self, left: np.ndarray, terms: np.ndarray, few: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bounds the rounding error of scores: `(a, b, c)`, error <= a[q] * b[x] + c[x]."""
        raise NotImplementedError

    def least(self, queries: np.ndarray, limits: np.ndarray, few: bool) -> np.ndarray:
        """The scores that keys within a distance have at least, but for their error.

        Args:
            queries: `[q, dim]`.
            limits: The distance, for each query, `[q]`.
            few: As for `operands`.
        """
        raise NotImplementedError

    def compare(self, queries: np.ndarray, keys: np.ndarray, terms: np.ndarray) -> np.ndarray:
        """True distances of `[q, 1, dim]` prepared queries and `[q, m, dim]` keys: `[q, m]`.

        The keys are a copy, which may be overwritten.
        """
        raise NotImplementedError

    def prepare(self, queries: np.ndarray) -> np.ndarray:
        """The queries, prepared for `compare`."""
        return queries

    def distances(
        self, queries: np.ndarray, keys: RowArray, terms: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """True distances between each query and its own rows of the keys.

        Args:
            queries: `[q, dim]`.
            keys: `[n, dim]`.
            terms: `[n]`.
            rows: int `[q, m]`; negative for padding.

        Returns:
            float32 `[q, m]`, inf at padding.
        """
        prepared = self.prepare(queries)
        step = max(1, _TEMPORARY // max(1, rows.shape[1] * keys.shape[1]))
        parts = []
        for start in range(0, max(len(rows), 1), step):
            part = rows[start : start + step]
            own = prepared[start : start + step, None]
            # Several times faster than indexing.
            parts.append(self.compare(own, keys.take(part, axis=0), terms.take(part)))
        result = np.concatenate(parts) if len(parts) > 1 else parts[0]
        if rows.size and rows.min() < 0:
            result[rows < 0] = np.inf
        return result


def _unit_error(dim: int) -> float:
    # Errors of a sum of `dim` products grow with sqrt(dim) as they have both
    # signs; measured ones stay below a third of this.
    return (4 + math.sqrt(dim)) * 2.0**-23


def _squares(keys: np.ndarray, queries: np.ndarray) -> np.ndarray:
    np.subtract(keys, queries, out=keys)
    return np.vecdot(keys, keys)


class _Cosine(ProductForm):
    """Terms: 1 / |x|, and 0 for rows of zeros, which are at distance 1 from all."""

    def terms(self, keys: np.ndarray) -> np.ndarray:
        return inverse_norms(keys)

    def left(self, queries: np.ndarray) -> np.ndarray:
        return unit_rows(queries)

    prepare = left

    def operands(self, keys: np.ndarray, terms: np.ndarray, few: bool) -> Operands:
        if bool((terms == 1).all()):
            return Operands(keys)
        return Operands(keys, scale=terms) if few else Operands(keys * terms[:, None])

    def errors(
        self, left: np.ndarray, terms: np.ndarray, few: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        error = _unit_error(left.shape[1]) + 2 * NEARLY_ONE
        return (
            np.full(len(left), error, np.float32),
            np.ones(len(terms), np.float32),
            np.zeros(len(terms), np.float32),
        )

    def least(self, queries: np.ndarray, limits: np.ndarray, few: bool) -> np.ndarray:
        return 1 - limits

    def compare(self, queries: np.ndarray, keys: np.ndarray, terms: np.ndarray) -> np.ndarray:
        # |u - v|^2 / 2 = 1 - <u, v> for unit rows, without cancellation.
        unit = bool((terms == 1).all())
        result = _squares(keys if unit else keys * terms[..., None], queries) / 2
        nonzero = queries.any(axis=-1)
        if not nonzero.all() or not (unit or terms.all()):
            result[(terms == 0) | ~nonzero] = 1
        return result


class _InnerProduct(ProductForm):
    """Terms: |x|, for the error bound."""

    def terms(self, keys: np.ndarray) -> np.ndarray:
        return norms(keys).astype(np.float32)

    def errors(
        self, left: np.ndarray, terms: np.ndarray, few: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        error = norms(left).astype(np.float32) * np.float32(_unit_error(left.shape[1]))
        return error, terms, np.zeros(len(terms), np.float32)

    def least(self, queries: np.ndarray, limits: np.ndarray, few: bool) -> np.ndarray:
        return -limits

    def compare(self, queries: np.ndarray, keys: np.ndarray, terms: np.ndarray) -> np.ndarray:
        return -np.einsum("qmd,qmd->qm", np.broadcast_to(queries, keys.shape), keys)


class _SquaredEuclidean(ProductForm):
    """Terms: |x - centre|^2 / 2. The order is that of <q - c, x - c> - |x - c|^2 / 2."""

    _centre: np.ndarray | None = None
    # Terms are compared to this one; where all are close to it, as those of
    # normalised embeddings are, they need not be subtracted.
    _usual = np.float32(0)

    def fit(self, keys: np.ndarray) -> None:
        # Keys that share a large offset would lose their differences in it.
        centre = keys.mean(axis=0, dtype=np.float64)
        spread = float(keys.var(axis=0, dtype=np.float64).sum())
        if float(centre @ centre) > 4 * spread:
            self._centre = centre.astype(np.float32)
        self._usual = np.median(self.terms(keys))

    def left(self, queries: np.ndarray) -> np.ndarray:
        return queries if self._centre is None else queries - self._centre

    def terms(self, keys: np.ndarray) -> np.ndarray:
        return (norms(self.left(keys)) ** 2 / 2).astype(np.float32)

    def operands(self, keys: np.ndarray, terms: np.ndarray, few: bool) -> Operands:
        # <q - c, x> and <q - c, x - c> differ by the same for all keys.
        keys, bias = keys if few else self.left(keys), self._usual - terms
        return Operands(keys, bias=None if self._alike(bias).all() else bias)

    def errors(
        self, left: np.ndarray, terms: np.ndarray, few: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        error = np.float32(_unit_error(left.shape[1]))
        reach = np.sqrt(2 * terms)
        if few and self._centre is not None:
            reach = reach + np.linalg.norm(self._centre)
        bias = self._usual - terms
        dropped = np.where(self._alike(bias), np.abs(bias), 0)
        return norms(left).astype(np.float32) * error, reach, 2 * error * terms + dropped

    def _alike(self, bias: np.ndarray) -> np.ndarray:
        return np.abs(bias) <= NEARLY_ONE * self._usual

    def least(self, queries: np.ndarray, limits: np.ndarray, few: bool) -> np.ndarray:
        left = self.left(queries).astype(np.float64)
        scores = (np.vecdot(left, left) - limits) / 2 + self._usual
        if few and self._centre is not None:
            scores += left @ self._centre
        return np.where(limits < 0, np.inf, scores)

    def compare(self, queries: np.ndarray, keys: np.ndarray, terms: np.ndarray) -> np.ndarray:
        return _squares(keys, queries)


class _Euclidean(_SquaredEuclidean):
    def least(self, queries: np.ndarray, limits: np.ndarray, few: bool) -> np.ndarray:
        return super().least(queries, np.where(limits < 0, -1, limits**2), few)

    def compare(self, queries: np.ndarray, keys: np.ndarray, terms: np.ndarray) -> np.ndarray:
        return np.sqrt(super().compare(queries, keys, terms))


class MatrixForm(Form):
    """Any distance, computed as its matrix `[n, m]` of true values."""

    approximate = False

    def scores(self, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Negative distances, float32 `[q, n]`."""
        refuse_tensorflow(f"The distance {self.distance.name!r}")
        matrix = keras.ops.convert_to_numpy(self.distance(queries, keys))
        scores = -np.asarray(matrix, np.float32)
        if np.isnan(scores).any():
            raise ValueError(
                f"The distance {self.distance.name!r} gave NaN between finite embeddings."
            )
        return scores


class _Transformed(ProductForm):
    """A distance that is another one's on transformed rows, or increases with it."""

    def __init__(self, distance: Distance, product: Product) -> None:
        super().__init__(distance)
        self._product = product
        self._form = _FORMS[product.space](distance)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self._product.rows(rows, np), np.float32)

    def fit(self, keys: np.ndarray) -> None:
        self._form.fit(self._rows(keys))

    def terms(self, keys: np.ndarray) -> np.ndarray:
        return self._form.terms(self._rows(keys))

    def left(self, queries: np.ndarray) -> np.ndarray:
        return self._form.left(self._rows(queries))

    def operands(self, keys: np.ndarray, terms: np.ndarray, few: bool) -> Operands:
        return self._form.operands(self._rows(keys), terms, few)

    def errors(
        self, left: np.ndarray, terms: np.ndarray, few: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._form.errors(left, terms, few)

    def least(self, queries: np.ndarray, limits: np.ndarray, few: bool) -> np.ndarray:
        # Of the space, the largest value whose distance is within the limit. Found by halving
        # what floats there are, as a distance only tells that it increases with it.
        queries = self._rows(queries)
        none = np.full(len(queries), np.inf)
        low, high = _ordered(-none), _ordered(none)
        while (high - low > 1).any():
            middle = (low + high) >> 1
            values = self._product.values(_from_ordered(middle)[:, None], queries, np)[:, 0]
            inside = values <= limits
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        found = _from_ordered(high).astype(np.float64)
        return self._form.least(queries, found + 1e-5 * np.abs(found), few)

    def prepare(self, queries: np.ndarray) -> np.ndarray:
        return self._rows(queries)

    def compare(self, queries: np.ndarray, keys: np.ndarray, terms: np.ndarray) -> np.ndarray:
        prepared = self._form.prepare(queries[:, 0])
        values = self._form.compare(prepared[:, None], self._rows(keys), terms)
        return self._product.values(values, queries[:, 0], np).astype(np.float32, copy=False)


_MAGNITUDE = np.int64(0x7FFFFFFF)


def _ordered(values: np.ndarray) -> np.ndarray:
    """Floats as integers of the same order."""
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & _MAGNITUDE), bits)


def _from_ordered(numbers: np.ndarray) -> np.ndarray:
    bits = np.where(numbers < 0, -numbers | (1 << 31), numbers)
    return bits.astype(np.uint32).view(np.float32)


_FORMS: dict[str, type[ProductForm]] = {
    "cosine": _Cosine,
    "euclidean": _Euclidean,
    "inner_product": _InnerProduct,
    "squared_euclidean": _SquaredEuclidean,
}


def form_of(distance: Distance) -> ProductForm | MatrixForm:
    """The form of a distance: a new one, not yet fitted."""
    product = product_of(distance)
    if product is None:
        return MatrixForm(distance)
    return _FORMS[product.space](distance) if product.plain else _Transformed(distance, product)
