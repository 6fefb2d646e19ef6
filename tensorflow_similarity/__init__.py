"""Metric learning for Keras 3."""

__version__ = "0.20.0"
