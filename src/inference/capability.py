"""The capability of models as a covariate of how far personas spread within them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.errors import InputError, unknown
from src.inference.cells import Cells
from src.inference.terms import Slope
from src.study.paths import CONF

TERM = ("persona", "model")
"""The term whose standard deviation follows the covariate."""


def read_capability(node: Any) -> dict[str, float] | None:
    """Read the ``capability`` key of a fit.

    Parameters
    ----------
    node : None, str or mapping
        null, ``cards``, or value by model.

    Returns
    -------
    dict or None
        Value by model; None if the question is not asked.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if node is None:
        return None
    if node == "cards":
        return _cards()
    if not isinstance(node, Mapping):
        raise InputError(f"capability must be null, cards or a mapping of model to number, received {node!r}")
    for model, value in node.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"capability of {model} must be a number, received {value!r}")
    return {str(model): float(value) for model, value in node.items()}


def capability_slope(cells: Cells, capability: Mapping[str, float]) -> Slope:
    """Standardise the covariate over the models of a table.

    Parameters
    ----------
    cells : Cells
        The counts; their factors must hold persona and model.
    capability : mapping
        Value by model.

    Returns
    -------
    Slope
        Of the term ``persona:model``.

    Raises
    ------
    InputError
        If a model has no value, there are fewer than three models, or all have the same value.
    """
    for factor in TERM:
        if factor not in cells.levels:
            raise InputError(f"capability needs the factors persona and model, received {cells.factors}")
    models = cells.levels["model"]
    for model in models:
        if model not in capability:
            raise unknown("model of capability (one value for each model of the table)", model, capability)
    values = np.array([capability[model] for model in models])
    if len(models) < 3 or values.std() == 0:
        raise InputError(
            f"capability needs three models or more that differ in it, received {values.tolist()}"
        )
    return Slope(TERM, "model", (values - values.mean()) / values.std(), values)


def _cards() -> dict[str, float]:
    """Read the values that the model files give."""
    import yaml

    found = {}
    for path in sorted((CONF / "model").glob("*.yaml")):
        card = yaml.safe_load(path.read_text(encoding="utf-8"))
        value = (card.get("capability") or {}).get("value")
        if value is not None:
            found[str(card["name"])] = float(value)
    return found
