"""Losses: embeddings and labels in, one loss per query out."""

from tensorflow_similarity.losses.angular_loss import AngularLoss
from tensorflow_similarity.losses.arcface_loss import ArcFaceLoss, SubCenterArcFaceLoss
from tensorflow_similarity.losses.barlow_twins_loss import BarlowTwinsLoss
from tensorflow_similarity.losses.circle_loss import CircleLoss
from tensorflow_similarity.losses.contrastive_loss import ContrastiveLoss
from tensorflow_similarity.losses.cosface_loss import CosFaceLoss
from tensorflow_similarity.losses.cross_batch_memory import CrossBatchMemory
from tensorflow_similarity.losses.dino_loss import DINOLoss
from tensorflow_similarity.losses.fastap_loss import FastAPLoss
from tensorflow_similarity.losses.generalized_lifted_struct_loss import GeneralizedLiftedStructLoss
from tensorflow_similarity.losses.histogram_loss import HistogramLoss
from tensorflow_similarity.losses.info_nce_loss import InfoNCELoss
from tensorflow_similarity.losses.intra_pair_variance_loss import IntraPairVarianceLoss
from tensorflow_similarity.losses.lifted_struct_loss import LiftedStructLoss
from tensorflow_similarity.losses.margin_loss import MarginLoss
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.losses.mined_loss import MinedLoss
from tensorflow_similarity.losses.multi_negatives_rank_loss import MultiNegativesRankLoss
from tensorflow_similarity.losses.multi_similarity_loss import MultiSimilarityLoss
from tensorflow_similarity.losses.normalized_softmax_loss import NormalizedSoftmaxLoss
from tensorflow_similarity.losses.npairs_loss import NpairsLoss, NpairsMultilabelLoss
from tensorflow_similarity.losses.ntxent_loss import NTXentLoss
from tensorflow_similarity.losses.pn_loss import PNLoss
from tensorflow_similarity.losses.proxy_anchor_loss import ProxyAnchorLoss
from tensorflow_similarity.losses.proxy_loss import ProxyLoss
from tensorflow_similarity.losses.proxy_nca_loss import ProxyNCALoss
from tensorflow_similarity.losses.ranked_list_loss import RankedListLoss
from tensorflow_similarity.losses.recall_at_k_surrogate_loss import RecallAtKSurrogateLoss
from tensorflow_similarity.losses.simclr_loss import SimCLRLoss
from tensorflow_similarity.losses.simsiam_loss import SimSiamLoss
from tensorflow_similarity.losses.smooth_ap_loss import SmoothAPLoss
from tensorflow_similarity.losses.snr_contrastive_loss import SNRContrastiveLoss
from tensorflow_similarity.losses.soft_nearest_neighbor_loss import NCALoss, SoftNearestNeighborLoss
from tensorflow_similarity.losses.soft_triple_loss import SoftTripleLoss
from tensorflow_similarity.losses.sphereface_loss import SphereFaceLoss
from tensorflow_similarity.losses.supcon_loss import SupConLoss
from tensorflow_similarity.losses.triplet_all_loss import TripletAllLoss
from tensorflow_similarity.losses.triplet_loss import TripletHardLoss, TripletLoss
from tensorflow_similarity.losses.triplet_semihard_loss import TripletSemiHardLoss
from tensorflow_similarity.losses.tuplet_margin_loss import TupletMarginLoss
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss
from tensorflow_similarity.losses.vicreg_loss import VICRegLoss

#: The names of TensorFlow Similarity 0.17.
Barlow = BarlowTwinsLoss
VicReg = VICRegLoss

__all__ = [
    "AngularLoss",
    "ArcFaceLoss",
    "Barlow",
    "BarlowTwinsLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CrossBatchMemory",
    "DINOLoss",
    "FastAPLoss",
    "GeneralizedLiftedStructLoss",
    "HistogramLoss",
    "InfoNCELoss",
    "IntraPairVarianceLoss",
    "LiftedStructLoss",
    "MarginLoss",
    "MetricLoss",
    "MinedLoss",
    "MultiNegativesRankLoss",
    "MultiSimilarityLoss",
    "NCALoss",
    "NTXentLoss",
    "NormalizedSoftmaxLoss",
    "NpairsLoss",
    "NpairsMultilabelLoss",
    "PNLoss",
    "ProxyAnchorLoss",
    "ProxyLoss",
    "ProxyNCALoss",
    "RankedListLoss",
    "RecallAtKSurrogateLoss",
    "SNRContrastiveLoss",
    "SimCLRLoss",
    "SimSiamLoss",
    "SmoothAPLoss",
    "SoftNearestNeighborLoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
    "SupConLoss",
    "TripletAllLoss",
    "TripletHardLoss",
    "TripletLoss",
    "TripletSemiHardLoss",
    "TupletMarginLoss",
    "TwoViewLoss",
    "VICRegLoss",
    "VicReg",
]


def __dir__() -> list[str]:
    return sorted(__all__)
