"""Lookups over HTTP: a saved model or index as a service. Needs the extra `serve`."""

from tensorflow_similarity.serving.app import make_app
from tensorflow_similarity.serving.limits import Limits
from tensorflow_similarity.serving.server import serve

__all__ = ["Limits", "make_app", "serve"]


def __dir__() -> list[str]:
    return sorted(__all__)
