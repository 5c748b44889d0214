"""Detectors that each client builds alone: nothing is shared."""

from dataclasses import replace

from collab_asd.methods import TRAINING, MethodSpec

KNN = MethodSpec(
    summary="Nothing was shared: each site compared its new recordings with its own normal ones alone.",
    shares="nothing",
    build_strategy="baselines.local.strategy:LocalOnly",
    score="baselines.local.strategy:score",
    scorer="knn",
    describe_costs="collab_asd.methods.costs:share_nothing",
    no_use_for=TRAINING,
)
MAHALANOBIS = replace(
    KNN,
    summary="Nothing was shared: each site measured how far its new recordings lie from its own normal ones, in units "
    "of how much these differ among themselves.",
    scorer="mahalanobis",
)
SPECTRA = replace(
    MAHALANOBIS,
    summary="Nothing was shared: each site measured how far the spectra of its new recordings, and of each half second "
    "of them, lie from those of its own normal ones, in units of how much these vary together.",
    score="baselines.local.strategy:score_spectra",
)
