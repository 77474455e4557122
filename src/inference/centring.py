"""What the counts say of each effect's coordinate, as one normal observation: precision I and score a.

The likelihood near its mode is about exp(a z - I z^2 / 2) in a coordinate z of a component. The compiled
density (`src.inference.density`) uses I and a to make coordinates about standard normal at every value of the
standard deviations; they steer the sampler and change nothing of the posterior.
"""

import numpy as np

from src.inference.terms import Component, Structure
from src.inference.zero_sum import expand


def by_coordinate(structure: Structure, information: np.ndarray) -> np.ndarray:
    """Give every coordinate its own I and a.

    Parameters
    ----------
    structure : Structure
        Components.
    information : ndarray
        I and a of each coordinate, shape (2, coordinates), or I of each component, shape (components,), for
        a of zero.

    Returns
    -------
    ndarray
        Shape (2, coordinates), float64, contiguous.
    """
    information = np.asarray(information, dtype=np.float64)
    if information.ndim == 1:
        spread = np.repeat(information, [component.size for component in structure.components])
        information = np.stack([spread, np.zeros_like(spread)])
    return np.ascontiguousarray(information)


def observed_information(structure: Structure, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Measure I of each coordinate: the squared basis of the zero-sum space, by the weights of its cells.

    Parameters
    ----------
    structure : Structure
        Components.
    codes : ndarray
        Level codes of the cells, shape (cells, factors).
    weights : ndarray
        n p (1 - p) of each cell, the information on its log-odds, shape (cells,).

    Returns
    -------
    ndarray
        Diagonal of the components' information matrices, shape (coordinates,).
    """
    axis = structure.axis_codes(codes)
    return np.concatenate(
        [_of_component(component, axis, weights).ravel() for component in structure.components]
    )


def _of_component(component: Component, axis: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    shape = component.shape
    flat = np.zeros(len(weights), dtype=np.int64)
    for factor, size in zip(component.factors, shape, strict=True):
        flat = flat * size + axis[factor]
    by_effect = np.bincount(flat, weights, minlength=int(np.prod(shape, dtype=np.int64))).reshape(shape)
    for place, zero_sum in enumerate(component.zero_sum):
        if zero_sum:
            squares = expand(np.eye(shape[place] - 1), 1) ** 2
            by_effect = np.moveaxis(np.tensordot(squares, by_effect, axes=(1, place)), 0, place)
    return by_effect
