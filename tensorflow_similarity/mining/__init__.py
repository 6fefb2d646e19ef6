"""Mining: which of a query's positives and negatives a loss looks at."""

from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.strategies import (
    All,
    Farthest,
    MiningStrategy,
    Nearest,
    SemiHard,
    get_negative,
    get_positive,
)

__all__ = [
    "All",
    "Farthest",
    "MiningStrategy",
    "Nearest",
    "Rows",
    "SemiHard",
    "get_negative",
    "get_positive",
]
