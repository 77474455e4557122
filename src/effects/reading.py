"""Reads the plain random effects back from the DataTree of a fit, posterior or prior."""

import json
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from src.effects.grid import Effects


def read_effects(tree: xr.DataTree, group: str = "posterior", step: int = 1) -> Effects:
    """Collect the draws of one group.

    Parameters
    ----------
    tree : xarray.DataTree
        As ``posterior.nc`` holds it.
    group : str
        ``posterior`` or ``prior``.
    step : int
        Take every so manieth draw of each chain.

    Returns
    -------
    Effects
        Draws with chains one after another.
    """
    structure = json.loads(tree.attrs["structure"])
    levels, nested = structure["levels"], structure["nested"]
    positions = {child: np.array(table) for child, table in structure["positions"].items()}
    sizes = {f: int(positions[f].max()) + 1 if f in nested else len(levels[f]) for f in levels}
    data = tree[group].to_dataset().isel(draw=slice(None, None, step))
    terms = {":".join(term): tuple(term) for term in structure["terms"]}
    present = {}
    for child, table in positions.items():
        present[child] = np.zeros((len(table), sizes[child]), dtype=bool)
        parents, codes = np.nonzero(table >= 0)
        present[child][parents, table[parents, codes]] = True
    return Effects(
        intercept=_flat(data["intercept"]),
        sds={name: _flat(data["sd"].sel(term=name)) * _inflation(tree, data, name) for name in terms},
        terms=terms,
        effects={
            name: _padded(data[f"u_{name}"], term, levels, nested, positions, sizes)
            for name, term in terms.items()
        },
        levels=levels,
        nested=nested,
        present=present,
        sizes=sizes,
        positions=positions,
    )


def _inflation(tree: xr.DataTree, data: xr.Dataset, term: str) -> np.ndarray | float:
    """Root mean square, over models, of what a capability slope makes of a term's standard deviation."""
    capability = json.loads(tree.attrs.get("capability", "{}"))
    if capability.get("term") != term:
        return 1.0
    slope = _flat(data["capability_slope"])
    return np.sqrt(np.exp(2.0 * slope[:, None] * np.array(capability["z"])).mean(axis=1))


def _flat(values: xr.DataArray) -> np.ndarray:
    array = values.values
    return np.ascontiguousarray(array.reshape(-1, *array.shape[2:]))


def _padded(
    values: xr.DataArray,
    term: tuple[str, ...],
    levels: dict[str, list[str]],
    nested: dict[str, str],
    positions: dict[str, np.ndarray],
    sizes: dict[str, int],
) -> np.ndarray:
    """Spread the joined axes of parents and nested factors over one axis each."""
    array = _flat(values)
    index: list[Any] = [None] * len(term)
    groups = [str(dim).split(":") for dim in values.dims[2:]]
    for place, group in enumerate(groups):
        shape = [1] * len(groups)
        shape[place] = -1
        codes = _axis_codes(group, levels, positions)
        for column, factor in enumerate(group):
            index[term.index(factor)] = codes[:, column].reshape(shape)
    result = np.zeros((len(array), *(sizes[f] for f in term)))
    result[(slice(None), *index)] = array
    return result


def _axis_codes(
    group: list[str], levels: dict[str, list[str]], positions: dict[str, np.ndarray]
) -> np.ndarray:
    """List the codes of a joined axis in the order in which the tree names them, shape (levels, factors)."""
    codes = []
    for code in range(len(levels[group[0]])):
        inside = [[p for p in positions[child][code] if p >= 0] for child in group[1:]]
        codes += [[code, *chosen] for chosen in product(*inside)]
    return np.array(codes)
