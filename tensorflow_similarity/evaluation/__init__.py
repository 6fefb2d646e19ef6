"""Evaluation of embeddings: exact, streaming, with confidence intervals."""

from tensorflow_similarity.evaluation import metrics, splits
from tensorflow_similarity.evaluation._supervision import SameGroup
from tensorflow_similarity.evaluation.audit import AuditReport, audit
from tensorflow_similarity.evaluation.clustering import clustering
from tensorflow_similarity.evaluation.comparison import Comparison, compare
from tensorflow_similarity.evaluation.episodes import EpisodeResult, few_shot
from tensorflow_similarity.evaluation.match_sets import MatchSets, row_f1
from tensorflow_similarity.evaluation.metrics import Ranking, RankMetric
from tensorflow_similarity.evaluation.pair_metrics import equal_error_rate, roc_auc, tar_at_far
from tensorflow_similarity.evaluation.result import EvaluationResult
from tensorflow_similarity.evaluation.retrieval import evaluate, evaluate_lookup
from tensorflow_similarity.evaluation.trials import TrialResult, verify_trials
from tensorflow_similarity.evaluation.verification import VerificationResult, verify

__all__ = [
    "AuditReport",
    "Comparison",
    "EpisodeResult",
    "EvaluationResult",
    "MatchSets",
    "RankMetric",
    "Ranking",
    "SameGroup",
    "TrialResult",
    "VerificationResult",
    "audit",
    "clustering",
    "compare",
    "equal_error_rate",
    "evaluate",
    "evaluate_lookup",
    "few_shot",
    "metrics",
    "roc_auc",
    "row_f1",
    "splits",
    "tar_at_far",
    "verify",
    "verify_trials",
]


def __dir__() -> list[str]:
    return sorted(__all__)
