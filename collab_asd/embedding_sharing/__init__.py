"""Collaborative anomalous sound detection by embedding sharing (Dohi & Kawaguchi).

`algorithm` holds Algorithms 1 and 2 on arrays; `client` and `strategy` are their two halves on Flower; `codec` is what
travels between them.
"""
