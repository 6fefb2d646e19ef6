"""Losses: embeddings and labels in, one loss per query out."""

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.losses.compatible_loss import CompatibleLoss
from tensorflow_similarity.losses.cross_batch_memory import CrossBatchMemory
from tensorflow_similarity.losses.distillation_losses import (
    DistillationLoss,
    EmbeddingDistillationLoss,
    RelationalDistillationLoss,
    SimilarityDistillationLoss,
)
from tensorflow_similarity.losses.given_triplets import TripletMarginLoss
from tensorflow_similarity.losses.margin_losses import (
    ContrastiveLoss,
    IntraPairVarianceLoss,
    MarginLoss,
    SNRContrastiveLoss,
    ThresholdConsistentMarginLoss,
)
from tensorflow_similarity.losses.metric_loss import MetricLoss, MinedLoss, StatisticsLoss
from tensorflow_similarity.losses.partial_loss import PartialProxyLoss
from tensorflow_similarity.losses.proxy_losses import (
    ArcFaceLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    P2SGradLoss,
    ProxyAnchorLoss,
    ProxyLoss,
    ProxyNCALoss,
    SoftTripleLoss,
    SphereFaceLoss,
    SubCenterArcFaceLoss,
)
from tensorflow_similarity.losses.ranking_losses import (
    FastAPLoss,
    HistogramLoss,
    PNPLoss,
    RecallAtKSurrogateLoss,
    SmoothAPLoss,
)
from tensorflow_similarity.losses.softmax_losses import (
    AngularLoss,
    NCALoss,
    NpairsLoss,
    NpairsMultilabelLoss,
    NTXentLoss,
    SoftNearestNeighborLoss,
    SupConLoss,
    TupletMarginLoss,
)
from tensorflow_similarity.losses.triplet_losses import (
    PNLoss,
    TripletAllLoss,
    TripletHardLoss,
    TripletLoss,
    TripletSemiHardLoss,
)
from tensorflow_similarity.losses.two_view_losses import (
    BarlowTwinsLoss,
    DecoupledContrastiveLoss,
    DINOLoss,
    InfoNCELoss,
    MultiNegativesRankLoss,
    SigmoidContrastiveLoss,
    SimCLRLoss,
    SimSiamLoss,
    TwoViewLoss,
    VICRegLoss,
)
from tensorflow_similarity.losses.weighted_pair_losses import (
    CircleLoss,
    GeneralizedLiftedStructLoss,
    LiftedStructLoss,
    MultiSimilarityLoss,
    RankedListLoss,
)
from tensorflow_similarity.losses.wrappers import MatryoshkaLoss, WeightedSumLoss

#: The names of TensorFlow Similarity 0.17.
Barlow = BarlowTwinsLoss
VicReg = VICRegLoss

__all__ = [
    "AngularLoss",
    "ArcFaceLoss",
    "Barlow",
    "BarlowTwinsLoss",
    "CircleLoss",
    "CompatibleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CrossBatchMemory",
    "DINOLoss",
    "DecoupledContrastiveLoss",
    "DistillationLoss",
    "EmbeddingDistillationLoss",
    "FastAPLoss",
    "GeneralizedLiftedStructLoss",
    "HistogramLoss",
    "InfoNCELoss",
    "IntraPairVarianceLoss",
    "LiftedStructLoss",
    "MarginLoss",
    "MatryoshkaLoss",
    "MetricLoss",
    "MinedLoss",
    "MultiNegativesRankLoss",
    "MultiSimilarityLoss",
    "NCALoss",
    "NTXentLoss",
    "NormalizedSoftmaxLoss",
    "NpairsLoss",
    "NpairsMultilabelLoss",
    "P2SGradLoss",
    "PNLoss",
    "PNPLoss",
    "PartialProxyLoss",
    "ProxyAnchorLoss",
    "ProxyLoss",
    "ProxyNCALoss",
    "RankedListLoss",
    "RecallAtKSurrogateLoss",
    "RelationalDistillationLoss",
    "SNRContrastiveLoss",
    "SigmoidContrastiveLoss",
    "SimCLRLoss",
    "SimSiamLoss",
    "SimilarityDistillationLoss",
    "SmoothAPLoss",
    "SoftNearestNeighborLoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "StatisticsLoss",
    "SubCenterArcFaceLoss",
    "SupConLoss",
    "ThresholdConsistentMarginLoss",
    "TripletAllLoss",
    "TripletHardLoss",
    "TripletLoss",
    "TripletMarginLoss",
    "TripletSemiHardLoss",
    "TupletMarginLoss",
    "TwoViewLoss",
    "VICRegLoss",
    "VicReg",
    "WeightedSumLoss",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
