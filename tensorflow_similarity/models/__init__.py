"""Models that carry their own search index."""

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.models.baselines import BaselineResult
from tensorflow_similarity.models.compatibility import CompatibilityResult
from tensorflow_similarity.models.contrastive_model import ContrastiveModel
from tensorflow_similarity.models.dual_encoder import DualEncoder
from tensorflow_similarity.models.hard_negatives import HardNegatives, mine_hard_negatives
from tensorflow_similarity.models.siamese_model import SiameseModel
from tensorflow_similarity.models.similarity_model import SimilarityModel

__all__ = [
    "BaselineResult",
    "CompatibilityResult",
    "ContrastiveModel",
    "DualEncoder",
    "HardNegatives",
    "SiameseModel",
    "SimilarityModel",
    "mine_hard_negatives",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
