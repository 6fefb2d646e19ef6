"""Evaluation of embeddings: exact, streaming, with confidence intervals."""

from tensorflow_similarity.evaluation import metrics
from tensorflow_similarity.evaluation.metrics import Ranking, RankMetric
from tensorflow_similarity.evaluation.result import EvaluationResult
from tensorflow_similarity.evaluation.retrieval import evaluate, evaluate_lookup

__all__ = [
    "EvaluationResult",
    "RankMetric",
    "Ranking",
    "evaluate",
    "evaluate_lookup",
    "metrics",
]
