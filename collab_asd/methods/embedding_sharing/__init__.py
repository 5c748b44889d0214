"""Collaborative anomalous sound detection by embedding sharing (Dohi & Kawaguchi).

`algorithm` holds Algorithms 1 and 2 on arrays; `client` and `strategy` are their two halves on Flower; `pages` is what
travels between them.
"""

from collab_asd.methods import MethodSpec

METHOD = MethodSpec(
    summary="Each site turned its recordings into compact numbers (embeddings) and sent those, not the recordings, to "
    "a server, which trained one model for all sites.",
    shares="embeddings",
    build_strategy="collab_asd.methods.embedding_sharing.strategy:build_strategy",
    score="collab_asd.methods.embedding_sharing.client:score",
    handlers={
        "query.describe": "collab_asd.methods.embedding_sharing.client:describe",
        "train.embeddings": "collab_asd.methods.embedding_sharing.client:embeddings",
    },
    describe_costs="collab_asd.methods.embedding_sharing.costs:describe_costs",
    no_use_for=("rounds", "class-head", "server-batches"),
)
