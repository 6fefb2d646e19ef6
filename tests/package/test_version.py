from importlib import metadata

import tensorflow_similarity
from tensorflow_similarity._extras import DISTRIBUTION


def test_version_is_the_distributions():
    assert tensorflow_similarity.__version__ == metadata.version(DISTRIBUTION)
