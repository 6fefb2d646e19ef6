import keras
import pytest

from tensorflow_similarity.distances import CosineDistance, EuclideanDistance
from tensorflow_similarity.losses import NpairsLoss, TripletLoss
from tensorflow_similarity.models.index_distance import distance_and_output

COSINE, EUCLIDEAN = TripletLoss(distance="cosine"), TripletLoss(distance="l2")
XENT = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"loss": COSINE}, (CosineDistance(), None)),
        ({"loss": TripletLoss}, (CosineDistance(), None)),
        ({"loss": [EUCLIDEAN], "names": ["e"]}, (EuclideanDistance(), None)),
        ({"loss": "mse", "distance": "l2"}, (EuclideanDistance(), None)),
        ({"loss": None, "distance": "l2"}, (EuclideanDistance(), None)),
        ({"loss": NpairsLoss(), "distance": "cosine"}, (CosineDistance(), None)),
        # Several outputs: the one whose loss has a distance is the one to index.
        ({"loss": {"e": EUCLIDEAN, "c": XENT}, "names": ["c", "e"]}, (EuclideanDistance(), "e")),
        ({"loss": [XENT, EUCLIDEAN], "names": ["c", "e"]}, (EuclideanDistance(), 1)),
        ({"loss": {"e": EUCLIDEAN, "c": XENT}}, (EuclideanDistance(), "e")),
        # Both have one: the chosen output's own distance.
        (
            {"loss": {"a": COSINE, "b": EUCLIDEAN}, "names": ["a", "b"], "embedding_output": "b"},
            (EuclideanDistance(), "b"),
        ),
        (
            {"loss": {"a": COSINE, "b": EUCLIDEAN}, "names": ["a", "b"], "embedding_output": 1},
            (EuclideanDistance(), 1),
        ),
        (
            {"loss": [COSINE, EUCLIDEAN], "names": ["a", "b"], "embedding_output": "b"},
            (EuclideanDistance(), "b"),
        ),
        # The embedding has no loss of its own, its head's loss has the distance.
        (
            {"loss": COSINE, "names": ["logits"], "embedding_output": "embedding"},
            (CosineDistance(), "embedding"),
        ),
        (
            {"loss": {"a": None, "b": COSINE}, "names": ["a", "b"], "embedding_output": "a"},
            (CosineDistance(), "a"),
        ),
    ],
)
def test_distance_and_output_are_settled(arguments, expected):
    assert distance_and_output(**arguments) == expected


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("`loss` must have a distance.*'mse'.*distance=", {"loss": "mse"}),
        ("`loss` must have a distance.*None", {"loss": None}),
        ("`loss` must have a distance", {"loss": keras.losses.MeanSquaredError()}),
        (r"NpairsLoss with distance=None.*NpairsLoss\(distance=", {"loss": NpairsLoss()}),
        (
            "NpairsLoss with distance=None",
            {
                "loss": {"a": NpairsLoss(), "b": COSINE},
                "names": ["a", "b"],
                "embedding_output": "a",
            },
        ),
        ("embedding_output.*'a', 'b'", {"loss": [COSINE, EUCLIDEAN], "names": ["a", "b"]}),
        (
            "embedding_output",
            {"loss": [XENT, "mse"], "names": ["a", "b"], "distance": "cosine"},
        ),
        (
            "different ones.*'cosine', 'euclidean'",
            {
                "loss": [COSINE, EUCLIDEAN],
                "names": ["a", "b"],
                "embedding_output": "inner_layer",
            },
        ),
        ("[Uu]nknown|must be", {"loss": COSINE, "distance": "no_such_distance"}),
    ],
)
def test_what_cannot_be_told_is_refused(match, arguments):
    with pytest.raises(ValueError, match=match):
        distance_and_output(**arguments)
