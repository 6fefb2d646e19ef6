"""Mining: selecting the positives and negatives of a query that a loss uses."""

from tensorflow_similarity.mining.miners import (
    CallableMiner,
    DistanceRangeMiner,
    DistanceWeightedMiner,
    Miner,
    MultiSimilarityMiner,
    PairMarginMiner,
    StrategyMiner,
    TripletMarginMiner,
    get_miner,
)
from tensorflow_similarity.mining.pairs import (
    Pairs,
    Rows,
    get_relevance,
    hierarchy,
    jaccard,
    multi_hot,
)
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
    "CallableMiner",
    "DistanceRangeMiner",
    "DistanceWeightedMiner",
    "Farthest",
    "Miner",
    "MiningStrategy",
    "MultiSimilarityMiner",
    "Nearest",
    "PairMarginMiner",
    "Pairs",
    "Rows",
    "SemiHard",
    "StrategyMiner",
    "TripletMarginMiner",
    "get_miner",
    "get_negative",
    "get_positive",
    "get_relevance",
    "hierarchy",
    "jaccard",
    "multi_hot",
]


def __dir__() -> list[str]:
    return sorted(__all__)
