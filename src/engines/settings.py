"""Reads and checks how responses are drawn."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from src.engines.base import GenerationSettings
from src.errors import InputError, unknown


def read_settings(node: Mapping[str, Any]) -> GenerationSettings:
    """Read the ``generation`` node.

    Parameters
    ----------
    node : mapping
        Resolved configuration.

    Returns
    -------
    GenerationSettings
        Checked.

    Raises
    ------
    InputError
        If a key is unknown or a number is out of range.
    """
    known = [field.name for field in fields(GenerationSettings)]
    for key in node:
        if key not in known:
            raise unknown("key of generation", key, known)
    return GenerationSettings(
        max_new_tokens=int(_number(node, "max_new_tokens", "a whole number above zero", whole=True, least=1)),
        temperature=_number(node, "temperature", "zero (greedy) or above", least=0),
        top_p=_number(node, "top_p", "above 0 and at most 1", least=1e-6, most=1),
        seed=int(_number(node, "seed", "a whole number of at least zero", whole=True, least=0)),
        stop_when_decided=_switch(node, "stop_when_decided"),
    )


def _switch(node: Mapping[str, Any], key: str) -> bool:
    value = node.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"generation.{key} must be true or false, received {value!r}")
    return value


def _number(
    node: Mapping[str, Any],
    key: str,
    right: str,
    *,
    whole: bool = False,
    least: float,
    most: float = float("inf"),
) -> float:
    value = node.get(key)
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        raise InputError(f"generation.{key} must be {right}, received {value!r}")
    return value
