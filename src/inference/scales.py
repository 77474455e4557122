"""The coordinate y of a standard deviation: sigma = -log(1 - Phi(y)), Phi the standard normal distribution.

Near zero sigma falls like Phi(y), so that a posterior which reaches down to zero has a normal tail in y. Its
tail in log sigma would be exponential, and a sampler would take long ways through it.
"""

import math

import numba as nb
import numpy as np
from scipy.special import ndtri

_SQRT_HALF = math.sqrt(0.5)


@nb.njit(cache=True, error_model="numpy")
def standard_deviation(y):
    """Return sigma at the coordinate `y`."""
    if y < 0:
        return -math.log1p(-0.5 * math.erfc(-y * _SQRT_HALF))
    return -math.log(0.5 * math.erfc(y * _SQRT_HALF))


@nb.njit(cache=True, error_model="numpy")
def log_slope(y, sigma):
    """Return log d sigma / d y, whose own slope by y is exp(log_slope) - y."""
    return sigma - 0.5 * y * y - 0.5 * math.log(2.0 * math.pi)


def coordinate(sigma: np.ndarray) -> np.ndarray:
    """Invert `standard_deviation`.

    Parameters
    ----------
    sigma : ndarray
        Standard deviations above zero.

    Returns
    -------
    ndarray
        Coordinates, of the same shape.
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    return np.where(sigma > 0.5, -ndtri(np.exp(-sigma)), ndtri(-np.expm1(-sigma)))


def standard_deviations(y: np.ndarray) -> np.ndarray:
    """Apply `standard_deviation` to an array.

    Parameters
    ----------
    y : ndarray
        Coordinates.

    Returns
    -------
    ndarray
        Standard deviations, of the same shape.
    """
    from scipy.special import log_ndtr

    return -log_ndtr(-np.asarray(y, dtype=np.float64))
