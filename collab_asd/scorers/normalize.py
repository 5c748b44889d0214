"""Points on the unit sphere, where Euclidean distance is a monotone function of cosine distance."""

import numpy as np

from collab_asd.interfaces import FloatArray


def unit_length(points: FloatArray) -> FloatArray:
    """Scale each row of ``[n, d]`` to length 1; a zero row stays zero.

    Examples
    --------
    >>> unit_length(np.array([[3.0, 4.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
