from importlib import metadata

import tensorflow_similarity


def test_version_is_the_distributions():
    assert tensorflow_similarity.__version__ == metadata.version("tensorflow_similarity")
