"""All recordings in one place: what a network gets out of them that may hear the waveform itself.

References
----------
Y. Liu, J. Guan, Q. Zhu, W. Wang, "Anomalous sound detection using spectral-temporal information fusion", ICASSP 2022.
"""

from dataclasses import replace

from collab_asd.methods import embedding_sharing

METHOD = replace(
    embedding_sharing.METHOD,
    summary="Each site sent its normal recordings as they are to a server, which trained one model for all sites.",
    shares="recordings",
    build_strategy="baselines.centralized.settings:build_strategy",
    encoders=("waveform",),
    describe_costs="baselines.centralized.settings:describe_costs",
)
"""Embedding sharing whose embeddings are the recordings."""
