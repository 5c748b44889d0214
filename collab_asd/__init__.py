"""Collaborative anomalous sound detection by sharing embeddings."""

__version__ = "0.1.0"
"""That of ``pyproject.toml``: Flower runs the app from a bundle, whose metadata no installation knows."""
