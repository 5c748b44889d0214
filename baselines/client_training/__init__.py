"""What all methods share whose clients train the ID classifier, or part of it, on their own recordings.

Federated averaging and split learning start from the same model, standardise frames alike, see the same windows, and
score alike.
"""
