"""A few refused responses word for word, for readers who want to see what was counted as a refusal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from src.errors import InputError

MOST = 8
"""Responses shown."""
MOST_CHARACTERS = 600
"""Of one response."""


@dataclass(frozen=True, slots=True)
class Example:
    """One refused response."""

    where: str
    """Its levels, joined by commas."""
    response: str
    """What the model said: untrusted text."""


def refused_examples(table: Path, factors: Sequence[str], seed: int = 1) -> list[Example]:
    """Draw refused responses, each from another combination of levels if there are enough.

    Parameters
    ----------
    table : Path
        An ``observations.parquet``.
    factors : sequence of str
        Columns that say where a response comes from.
    seed : int
        Of the draw: the same table gives the same examples.

    Returns
    -------
    list of Example
        At most `MOST`, in the order of the table; empty if there is no table, no text or no refusal.

    Raises
    ------
    InputError
        If the table is damaged.
    """
    if not table.is_file():
        return []
    try:
        rows = ds.dataset(table, format="parquet")
        if not {"refused", "response"} <= set(rows.schema.names):
            return []
        shown = [factor for factor in factors if factor in rows.schema.names]
        # Where first, text last: the text is most of the table.
        where = rows.to_table(columns=["refused", *shown])
        refused = np.flatnonzero(where["refused"].cast(pa.bool_()).to_numpy(zero_copy_only=False))
        chosen = _spread(where.select(shown).take(refused), np.random.default_rng([seed, 8]))
        picked = rows.take(pa.array(refused[chosen]), columns=[*shown, "response"]).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        line = next(iter(str(error).splitlines()), "")
        raise InputError(f"{table} is damaged ({line}); run python -m src.detect to build it anew") from error
    return [
        Example(", ".join(f"{f} {row[f]}" for f in shown), _cut(str(row["response"] or ""))) for row in picked
    ]


def _spread(where: pa.Table, random: np.random.Generator) -> np.ndarray:
    """Choose rows at random, those of combinations not yet chosen first."""
    order = random.permutation(len(where))
    if not where.column_names:
        return np.sort(order[:MOST])
    keys = pc.binary_join_element_wise(*(column.cast(pa.string()) for column in where.columns), "\x1f")
    first = np.unique(
        keys.take(pa.array(order)).to_numpy(zero_copy_only=False).astype(str), return_index=True
    )[1]
    rest = np.setdiff1d(np.arange(len(order)), first)
    return np.sort(order[np.concatenate([np.sort(first), rest])[:MOST]])


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} […]"
