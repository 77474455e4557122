"""The orthonormal zero-sum transform: K - 1 free coordinates to K effects that sum to zero, along one axis.

Columns of the basis are Helmert contrasts, h_j = (1, ..., 1, -j, 0, ..., 0) / sqrt(j (j + 1)), so that equal,
independent normals go to equal normals on the zero-sum subspace. Cumulative sums apply it in O(K).
"""

import numpy as np


def expand(free: np.ndarray, axis: int) -> np.ndarray:
    """Map free coordinates to zero-sum effects.

    Parameters
    ----------
    free : ndarray
        K - 1 coordinates along `axis`.
    axis : int
        Axis to expand.

    Returns
    -------
    ndarray
        K effects along `axis`; they sum to zero, and sums of squares are kept.
    """
    free = np.moveaxis(free, axis, -1)
    j = np.arange(1, free.shape[-1] + 1)
    scaled = free / np.sqrt(j * (j + 1.0))
    full = np.zeros((*free.shape[:-1], free.shape[-1] + 1))
    full[..., :-1] = np.cumsum(scaled[..., ::-1], axis=-1)[..., ::-1]
    full[..., 1:] -= j * scaled
    return np.moveaxis(full, -1, axis)


def project(full: np.ndarray, axis: int) -> np.ndarray:
    """Map effects to free coordinates: the transpose of `expand`, which also removes the mean.

    Parameters
    ----------
    full : ndarray
        K effects along `axis`.
    axis : int
        Axis to reduce.

    Returns
    -------
    ndarray
        K - 1 coordinates along `axis`.
    """
    full = np.moveaxis(full, axis, -1)
    j = np.arange(1, full.shape[-1])
    free = (np.cumsum(full, axis=-1)[..., :-1] - j * full[..., 1:]) / np.sqrt(j * (j + 1.0))
    return np.moveaxis(free, -1, axis)
