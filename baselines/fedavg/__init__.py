"""Federated averaging of f_s: weights travel, neither recordings nor embeddings.

References
----------
B. McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017.
"""
