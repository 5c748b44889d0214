"""Split learning of the ID classifier: its first stage at the clients, the rest at the server.

References
----------
O. Gupta and R. Raskar, "Distributed learning of deep neural network over multiple agents", JNCA, 2018.
P. Vepakomma, O. Gupta, T. Swedish, R. Raskar, "Split learning for health", NeurIPS workshop, 2018.
C. Thapa, M. A. P. Chamikara, S. Camtepe, L. Sun, "SplitFed: when federated learning meets split learning", AAAI 2022.
"""

from collab_asd.methods import MethodSpec

METHOD = MethodSpec(
    summary="Each site kept the first part of a model, and a server the rest: in every step of training the sites sent "
    "what their part made of a few recordings, and got back how to change it. "
    "Before that, each sent sums over all its embeddings. The recordings themselves were not sent.",
    shares="activations",
    build_strategy="baselines.split_learning.strategy:SplitLearning",
    score="collab_asd.methods.embedding_sharing.client:score",  # the classifier comes from the server
    handlers={
        "query.statistics": "baselines.client_training.client:statistics",
        "train.split": "baselines.split_learning.client:train",
    },
    describe_costs="baselines.split_learning.costs:describe_costs",
    no_use_for=("epochs",),
    encoders=("logmel", "random-conv"),  # their frames keep where in frequency something is: maps, which can be cut
)
"""Of ``split-learning`` and ``splitfed``: the configured method says which."""
