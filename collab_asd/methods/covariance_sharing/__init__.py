"""Covariance sharing: clients add up how their machines' spectra vary, and each backs its own covariance with the sum.

`sums` holds what travels and how it is checked, `client` and `strategy` are the two halves on Flower, `state` is what a
server keeps for machines that join later. The arithmetic is in `collab_asd.detection.second_order`.
"""

from collab_asd.methods import TRAINING, MethodSpec

METHOD = MethodSpec(
    summary="Each site sent how the bands of its machines' spectra vary together (one matrix, whatever the number of "
    "recordings); a server added the matrices up, and each site scored with its own and the sum. No recording, "
    "embedding or mean was sent. The sums were not encrypted: whoever sees one site's matrix, or two sums between "
    "which one site joined or left, and holds a recording, can tell whether it is in it.",
    shares="statistics",
    build_strategy="collab_asd.methods.covariance_sharing.strategy:build_strategy",
    score="collab_asd.methods.covariance_sharing.client:score",
    handlers={
        "train.variances": "collab_asd.methods.covariance_sharing.client:variances",
        "train.scatter": "collab_asd.methods.covariance_sharing.client:scatter",
    },
    scorer="mahalanobis",
    describe_costs="collab_asd.methods.covariance_sharing.sums:describe_costs",
    no_use_for=TRAINING,
)
