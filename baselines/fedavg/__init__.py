"""Federated averaging of the ID classifier: weights travel, neither recordings nor embeddings.

References
----------
B. McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017.
"""

from collab_asd.methods import MethodSpec

METHOD = MethodSpec(
    summary="Each site trained the same model a little on its own recordings and sent the model's weights; a server "
    "averaged them, and so on for some rounds. Before that, each sent sums over all its embeddings, so that all scale "
    "them alike. Neither recordings nor single embeddings were sent.",
    shares="weights",
    build_strategy="baselines.fedavg.strategy:FederatedAveraging",
    score="collab_asd.methods.embedding_sharing.client:score",  # the classifier comes from the server
    handlers={
        "query.statistics": "baselines.client_training.client:statistics",
        "train": "baselines.fedavg.client:train",
    },
    describe_costs="baselines.client_training.costs:describe_model_exchange",
    no_use_for=("epochs", "server-batches"),
)
"""Of all that Flower's stock strategies make of it: the configured method says which."""
