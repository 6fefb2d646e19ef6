"""The distance contract: a matrix of values between queries and keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._configured import Configured
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.product import Product

__all__ = [
    "CallableDistance",
    "Distance",
    "DistanceLike",
    "product_of",
    "promote",
    "real_numbers",
]


def promote(a: Tensor, b: Tensor) -> tuple[Any, Any]:
    """Casts both to their common float type, float32 at least.

    Half precision has 8 to 11 significant bits: differences of near neighbours
    would be rounding. float64 stays float64.

    Raises:
        TypeError: If one is masked, sparse or ragged, or holds no real numbers.
        ValueError: If one is a single number, or their last axes differ.
    """
    a, b = real_numbers(a, "queries"), real_numbers(b, "keys")
    shapes = tuple(a.shape), tuple(b.shape)
    if not all(shapes):
        raise ValueError(
            "`queries` and `keys` must be rows, [..., dim]. Received: shapes "
            f"{shapes[0]} and {shapes[1]}."
        )
    # Broadcasting would compare one number with every coordinate.
    if None not in (shapes[0][-1], shapes[1][-1]) and shapes[0][-1] != shapes[1][-1]:
        raise ValueError(
            f"`queries` and `keys` must have one width. Received: shapes {shapes[0]} and "
            f"{shapes[1]}."
        )
    types = {keras.backend.standardize_dtype(x.dtype) for x in (a, b)}
    dtype = "float64" if "float64" in types else "float32"
    return ops.cast(a, dtype), ops.cast(b, dtype)


def real_numbers(values: Any, name: str) -> Tensor:
    """A tensor of real numbers of any type.

    Raises:
        TypeError: If they are masked, sparse or ragged, or no real numbers.
    """
    checks.refuse_partial(values, name)
    try:
        tensor = ops.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        # Lists may hold tensors of a traced function, so they are read by NumPy only now.
        array = checks.host_array(values, name)
        raise TypeError(
            f"`{name}` must be real numbers. Received: array of shape {array.shape} and dtype "
            f"{array.dtype}."
        ) from error
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string" or dtype.startswith("complex"):
        raise TypeError(f"`{name}` must be real numbers. Received: a tensor of dtype {dtype}.")
    return tensor


class Distance(Configured):
    """Base of all distances: smaller is nearer.

    A subclass writes `pairwise`, and `paired` too where a cheaper or more exact
    form exists, and `product` where one matrix product ranks it. Instances are
    called. The gradient must be finite where a query equals a key, as a batch is
    compared with itself: a root needs a floor.

    Example:

    ```python
    import keras
    from tensorflow_similarity.distances import Distance

    @keras.saving.register_keras_serializable(package="mine")
    class ChebyshevDistance(Distance):
        name = "chebyshev"

        def pairwise(self, queries, keys):
            return keras.ops.max(
                keras.ops.abs(queries[:, None, :] - keys[None, :, :]), axis=-1
            )

    ChebyshevDistance()([[0.0, 0.0]], [[1.0, 2.0], [3.0, 0.5]])  # [[2., 3.]]
    ```
    """

    #: The canonical name, by which `distances.get` finds it.
    name: str = "distance"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call" in vars(cls) and cls.pairwise is Distance.pairwise:
            raise TypeError(
                f"{cls.__name__} must write `pairwise(self, queries, keys)`. Received: a class "
                "with `call`, which is its name in TensorFlow Similarity; rename it. `name` is a "
                "class attribute here."
            )

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Values between every query and every key.

        Args:
            queries: `[n, dim]`, float32 or float64.
            keys: `[m, dim]`, of the same dtype.

        Returns:
            `[n, m]`, of that dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `pairwise`.")

    def product(self) -> Product | None:
        """The matrix product that ranks this distance; None, the default, where there is none.

        A subclass that overrides `pairwise` and not this has none: what its base says is of
        another distance.
        """
        return None

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        """Values between rows of the same position, `[..., dim]` and `[..., dim]` -> `[...]`.

        The leading axes are broadcast against each other. Built on `pairwise`
        unless a subclass knows better.
        """
        a, b = promote(a, b)
        leading = ops.shape(a[..., 0] + b[..., 0])
        dim = a.shape[-1]
        a = ops.reshape(ops.broadcast_to(a, (*leading, dim)), (-1, 1, dim))
        b = ops.reshape(ops.broadcast_to(b, (*leading, dim)), (-1, 1, dim))
        rows = ops.vectorized_map(lambda ab: self.pairwise(ab[0], ab[1])[0, 0], (a, b))
        return ops.reshape(rows, leading)

    def __call__(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Values between every query `[n, dim]` and every key `[m, dim]`: `[n, m]`.

        Computed in float32 at least, and in float64 where an input is float64.

        Raises:
            ValueError: If they are not matrices of one width.
        """
        queries, keys = promote(queries, keys)
        shapes = tuple(queries.shape), tuple(keys.shape)
        if any(len(shape) != 2 for shape in shapes):
            raise ValueError(
                f"`queries` and `keys` must be matrices, [n, dim] and [m, dim]. Received: shapes "
                f"{shapes[0]} and {shapes[1]}. For one vector write x[None, :]; for rows of the "
                "same position use `paired`."
            )
        return self.pairwise(queries, keys)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CallableDistance(Distance):
    """A plain function `(queries, keys) -> [n, m]` as a distance.

    Args:
        function: The function. To be saved with a model it must be registered
            with `keras.saving.register_keras_serializable`.

    Raises:
        TypeError: If `function` cannot be called.
    """

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        if isinstance(function, dict):
            function = keras.saving.deserialize_keras_object(function)
        if not callable(function):
            raise TypeError(f"`function` must be callable. Received: {function!r}.")
        if not _takes_two(function):
            raise TypeError(
                "`distance` must be a function of queries and keys, `(queries, keys) -> [n, m]`. "
                f"Received: {function!r}, which cannot be called with two arguments. (Functions "
                "of the embeddings alone, as TensorFlow Addons takes them, are for the losses of "
                "tensorflow_similarity.compat.tensorflow_addons.)"
            )
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        values = self.function(queries, keys)
        found = tuple(getattr(values, "shape", ()))
        expected = (queries.shape[0], keys.shape[0])
        fits = len(found) == 2 and all(
            a is None or b is None or a == b for a, b in zip(found, expected, strict=True)
        )
        if not fits:
            received = f"shape {found}" if hasattr(values, "shape") else repr(values)
            raise ValueError(
                f"The distance function {self.name!r} must return values [queries, keys], here "
                f"{list(expected)}. Received: {received}."
            )
        return values

    def get_config(self) -> dict[str, Any]:
        return {"function": keras.saving.serialize_keras_object(self.function)}

    def __repr__(self) -> str:
        return f"CallableDistance({self.name})"


#: A distance, by name or as an object, or a plain function `(queries, keys) -> [n, m]`.
DistanceLike: TypeAlias = str | Distance | Callable[[Any, Any], Any]


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with queries and keys; True where that is not known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


def product_of(distance: Distance) -> Product | None:
    """The product that ranks a distance, or None: asked of the object, never guessed.

    A class that overrides `pairwise` below the class that wrote `product` computes something else,
    which its product does not rank.
    """
    if "pairwise" in vars(distance):
        return None
    for cls in type(distance).__mro__:
        own = vars(cls)
        if "product" in own and ("__call__" not in own or cls is Distance):
            return distance.product()
        if "pairwise" in own or "__call__" in own:
            return None
    return None
