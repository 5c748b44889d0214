"""Neural detectors that each client trains alone on log-mel frames: VAE, VIDNN and Glow. Re-implementations."""

from dataclasses import replace

from collab_asd.methods import TRAINING, MethodSpec

VAE = MethodSpec(
    summary="Nothing was shared: each site trained a network to squeeze its own normal recordings into a few numbers "
    "and restore them (a variational autoencoder); what it restores badly is unusual.",
    shares="nothing",
    build_strategy="baselines.local.strategy:LocalOnly",
    score="baselines.local_networks.client:score",
    encoders=("logmel",),
    scorer="vae",
    describe_costs="collab_asd.methods.costs:share_nothing",
    no_use_for=tuple(key for key in TRAINING if key != "epochs"),
)
VIDNN = replace(
    VAE,
    summary="Nothing was shared: each site trained a network on its own normal recordings to guess each moment of the "
    "sound from those just before and after it; what it guesses badly is unusual.",
    scorer="vidnn",
)
GLOW = replace(
    VAE,
    summary="Nothing was shared: each site trained a network to say how probable a sound is among its own normal "
    "recordings (a normalizing flow); what is improbable is unusual.",
    scorer="glow",
)
