"""How the models of a table were asked, and what a reader must know if that changed between runs."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_HOW = ("model_id", "model_revision", "dtype", "engine")


def read_configurations(path: Path) -> list[dict[str, Any]]:
    """Read how each model was asked, as the table of a study of ours says.

    Parameters
    ----------
    path : Path
        An ``observations.parquet``.

    Returns
    -------
    list of dict
        ``model``, ``generation_hash``, ``settings``, ``responses``, ``newest`` and more, each model's oldest
        first; empty for a table from elsewhere.
    """
    if path.suffix != ".parquet":
        return []
    import pyarrow.parquet as pq

    kept = (pq.read_schema(path).metadata or {}).get(b"whyrefuse")
    return list(json.loads(kept).get("configurations", [])) if kept else []


def configuration_notes(path: Path, generation: str) -> list[str]:
    """Say which responses of earlier configurations are left out or counted, and where models differ.

    Parameters
    ----------
    path : Path
        The table.
    generation : str
        ``newest``, ``all`` or a ``generation_hash``: the responses that count.

    Returns
    -------
    list of str
        Nothing if every model was asked in one way, the same for all.
    """
    by_model: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in read_configurations(path):
        by_model[one["model"]].append(one)
    notes = [_note(model, found, generation) for model, found in by_model.items() if len(found) > 1]
    return [*notes, *_differences({model: found[-1] for model, found in by_model.items()}, generation)]


def _note(model: str, found: Sequence[Mapping[str, Any]], generation: str) -> str:
    newest, changes = found[-1], []
    for old in found[:-1]:
        differ = _different([old, newest])
        what = ", ".join(f"{name} {_of(old, name)}, now {_of(newest, name)}" for name in differ)
        changes.append(f"{old['responses']:,} responses of generation {old['generation_hash']} ({what})")
    total = sum(one["responses"] for one in found)
    if generation == "newest":
        return (
            f"{model} was asked again under other settings: {' and '.join(changes)} left out; "
            "generation=all counts them too, generation=HASH those alone"
        )
    if generation == "all":
        return (
            f"{model} was asked in {len(found)} ways, all {total:,} responses are counted as alike: "
            f"{' and '.join(changes)}"
        )
    count = sum(one["responses"] for one in found if one["generation_hash"] == generation)
    return f"{model}: {count:,} of {total:,} responses are of generation {generation}, the others left out"


def _differences(newest: Mapping[str, Mapping[str, Any]], generation: str) -> list[str]:
    """Name settings of generation that are not the same for every model."""
    if generation not in ("newest", "all") or len(newest) < 2:
        return []
    notes = []
    for name in _different(list(newest.values())):
        if name in _HOW:
            continue  # every model has its own weights, and some their own number format
        values: dict[str, list[str]] = defaultdict(list)
        for model, one in newest.items():
            values[str(_of(one, name))].append(model)
        told = "; ".join(f"{value} for {', '.join(models)}" for value, models in sorted(values.items()))
        notes.append(f"models were asked with different {name} ({told}): part of what differs between them")
    return notes


def _different(found: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [*dict.fromkeys(name for one in found for name in one["settings"]), *_HOW]
    return [name for name in names if len({json.dumps(_of(one, name)) for one in found}) > 1]


def _of(one: Mapping[str, Any], name: str) -> Any:
    return one[name] if name in _HOW else one["settings"].get(name)
