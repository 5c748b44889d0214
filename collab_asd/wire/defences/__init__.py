"""Defences: what a client does to its embeddings before anything leaves, beside the codec.

Each is a stage of a codec that the server knows nothing of (`CodecPlan.with_own`). They stand behind pooling and before
all that learns: so neither statistics nor embeddings leave that have not gone through them.
"""
