"""Codecs: what a client sends in place of its embeddings, as stages joined by ``+``, such as ``pool:8+pca:32+int8``.

A codec is lossy, and all that scores or learns sees what is left: `Codec.round_trip` of frames ``[T, D]`` is again
``[T, D]``. What the stages learn, they learn from statistics that each client sends once (`statistics`).
"""

from collab_asd.wire.codecs.codec import Codec, CodecPlan, parse
from collab_asd.wire.codecs.statistics import FrameStatistics

__all__ = ["Codec", "CodecPlan", "FrameStatistics", "parse"]
