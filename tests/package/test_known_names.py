"""What users of TensorFlow Similarity and TensorFlow Addons import is where they look for it."""

import importlib

import pytest

NAMES = {
    "callbacks": ["EvalCallback"],
    "classification_metrics": ["BinaryAccuracy", "F1Score", "Precision", "Recall"],
    "distances": ["get"],
    "layers": ["MetricEmbedding"],
    "losses": [
        "Barlow",
        "CircleLoss",
        "ContrastiveLoss",
        "LiftedStructLoss",
        "MultiNegativesRankLoss",
        "MultiSimilarityLoss",
        "NpairsLoss",
        "NpairsMultilabelLoss",
        "PNLoss",
        "SimCLRLoss",
        "SimSiamLoss",
        "SoftNearestNeighborLoss",
        "TripletHardLoss",
        "TripletLoss",
        "TripletSemiHardLoss",
        "VicReg",
    ],
    "models": ["SimilarityModel"],
    "retrieval_metrics": ["BNDCG", "MapAtK", "PrecisionAtK", "RecallAtK"],
    "samplers": ["MultiShotMemorySampler", "SingleShotMemorySampler", "select_examples"],
    "training_metrics": ["DistanceGapMetric", "DistanceMetric"],
    "visualization": ["confusion_matrix", "projector", "viz_neigbors_imgs"],
}


@pytest.mark.parametrize("module", NAMES)
def test_resolves(module):
    found = importlib.import_module(f"tensorflow_similarity.{module}")
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []
