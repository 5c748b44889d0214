"""Federated z-scores: the clients pool means and spreads, and measure distances in these units."""

from collab_asd.methods import MethodSpec

METHOD = MethodSpec(
    summary="Each site told a server the sums over its own sound frames; the server told all sites one mean and one "
    "spread, and each site measured in these units how far its new recordings lie from its own normal ones.",
    shares="statistics",
    build_strategy="collab_asd_extras.strategy:FederatedZScore",
    score="collab_asd_extras.client:score",
    handlers={"query.sums": "collab_asd_extras.client:tell_sums"},
    scorer="knn",
)
