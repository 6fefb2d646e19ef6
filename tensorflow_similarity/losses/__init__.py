"""Losses: embeddings and labels in, one loss per query out."""

from tensorflow_similarity.losses.contrastive_loss import ContrastiveLoss
from tensorflow_similarity.losses.lifted_struct_loss import LiftedStructLoss
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.losses.mined_loss import MinedLoss
from tensorflow_similarity.losses.npairs_loss import NpairsLoss, NpairsMultilabelLoss
from tensorflow_similarity.losses.triplet_loss import TripletHardLoss, TripletLoss
from tensorflow_similarity.losses.triplet_semihard_loss import TripletSemiHardLoss

__all__ = [
    "ContrastiveLoss",
    "LiftedStructLoss",
    "MetricLoss",
    "MinedLoss",
    "NpairsLoss",
    "NpairsMultilabelLoss",
    "TripletHardLoss",
    "TripletLoss",
    "TripletSemiHardLoss",
]
