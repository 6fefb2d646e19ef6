"""Samplers: batches with several examples of each of their classes."""

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.epochs import FollowEpochs
from tensorflow_similarity.samplers.files import MultiShotFileSampler
from tensorflow_similarity.samplers.hard_classes import HardClasses
from tensorflow_similarity.samplers.hierarchical import HierarchicalClasses
from tensorflow_similarity.samplers.hugging_face import HuggingFaceSampler
from tensorflow_similarity.samplers.images import image_folder, load_image
from tensorflow_similarity.samplers.memory import MultiShotMemorySampler
from tensorflow_similarity.samplers.padding import Padding
from tensorflow_similarity.samplers.queries import QuerySampler
from tensorflow_similarity.samplers.rows import RowSampler
from tensorflow_similarity.samplers.sampler import Sampler
from tensorflow_similarity.samplers.selection import select_examples
from tensorflow_similarity.samplers.single_shot import SingleShotMemorySampler
from tensorflow_similarity.samplers.stream import balanced_stream
from tensorflow_similarity.samplers.tf_data import TFDataSampler
from tensorflow_similarity.samplers.tf_datasets import TFDatasetMultiShotMemorySampler
from tensorflow_similarity.samplers.tfrecord_files import tfrecord_parser, write_tfrecords
from tensorflow_similarity.samplers.tfrecords import (
    MultiShotTFRecordSampler,
    TFRecordDatasetSampler,
)

__all__ = [
    "BalancedDraws",
    "ClassChoice",
    "FollowEpochs",
    "HardClasses",
    "HierarchicalClasses",
    "HuggingFaceSampler",
    "MultiShotFileSampler",
    "MultiShotMemorySampler",
    "MultiShotTFRecordSampler",
    "Padding",
    "QuerySampler",
    "RowSampler",
    "Sampler",
    "SingleShotMemorySampler",
    "TFDataSampler",
    "TFDatasetMultiShotMemorySampler",
    "TFRecordDatasetSampler",
    "balanced_stream",
    "image_folder",
    "load_image",
    "select_examples",
    "tfrecord_parser",
    "write_tfrecords",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
