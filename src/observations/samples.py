"""Draws the responses that people label: every stratum in turn, the same again, and more of it later."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from src.errors import InputError, unknown
from src.observations.human import LEVELS
from src.observations.responses import DamagedFileError, read_checked, written_aside
from src.study.paths import StudyPaths

FLAG = "refused"
"""The detector's flag, which is always a stratum, so that both of its errors can be seen."""
STRATA = (*LEVELS, "persona_template")
"""Columns that may be strata."""
SCHEMA = pa.schema(
    [
        ("cell_key", pa.string()),
        *((name, pa.string()) for name in LEVELS),
        ("stratum", pa.string()),
        ("responses", pa.int64()),
    ]
)
"""Columns of a sample, in the order of labelling: what a response is, its stratum, and how many responses of
the study are in that."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How a sample is drawn."""

    size: int
    """Responses, as many as there are at most."""
    strata: tuple[str, ...]
    """Columns of the observations; the detector's flag comes by itself."""
    seed: int
    """Of the order."""


def check_draw(size: object, strata: object, seed: object) -> Draw:
    """Read how a sample is to be drawn.

    Parameters
    ----------
    size, strata, seed : object
        As configured.

    Returns
    -------
    Draw
        Checked.

    Raises
    ------
    InputError
        If one of them is not usable.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"size must be a whole number of at least 1, received {size!r}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"seed must be a whole number, received {seed!r}")
    if isinstance(strata, str) or not isinstance(strata, Sequence):
        raise InputError(f"strata must be a list such as [model, persona, task], received {strata!r}")
    for name in strata:
        if name not in STRATA:
            raise unknown("stratum", name, STRATA)
    return Draw(size, tuple(dict.fromkeys(strata)), seed)


def sample_of(paths: StudyPaths, draw: Draw) -> tuple[pd.DataFrame, int]:
    """Take up the study's sample, or draw it; it is kept, so that nothing shifts while it is being labelled.

    Parameters
    ----------
    paths : StudyPaths
        The study; needs a table of observations.
    draw : Draw
        How; a larger size than before adds to the sample.

    Returns
    -------
    sample : pandas.DataFrame
        Columns of `SCHEMA`, in the order of labelling.
    size : int
        How many of them are asked for: `draw.size`, or as many as there are; more where a larger sample of a
        study that has grown must hold the earlier one.

    Raises
    ------
    InputError
        If there are no observations, a file is damaged, or the sample at hand was drawn otherwise.
    """
    path = sample_path(paths)
    before: pd.DataFrame | None = None
    if path.is_file():
        before, how = _read(path)
        for key, now in (("strata", list(draw.strata)), ("seed", draw.seed)):
            if how[key] != now:
                raise InputError(
                    f"{path} was drawn with {key}={_shown(how[key])}, received {_shown(now)}; "
                    f"go on with {key}={_shown(how[key])}, or move that file away to draw another sample"
                )
        if draw.size < how["asked"]:
            return before, draw.size
        if draw.size == how["asked"] or len(before) >= min(draw.size, how["population"]):
            return before, len(before)
    frame, version = read_frame(paths, draw.strata)
    if before is not None and how["detector_version"] != version:
        raise InputError(
            f"{path} was drawn by the flags of detector version {how['detector_version']}, and the study is "
            f"now read by {version}: size={how['asked']} goes on with it; move that file away to draw another"
        )
    sample = draw_sample(frame, draw, () if before is None else before["cell_key"])
    how = {"asked": draw.size, "strata": list(draw.strata), "seed": draw.seed, "population": len(frame)}
    how["detector_version"] = version
    table = pa.Table.from_pandas(sample, SCHEMA, preserve_index=False)
    table = table.replace_schema_metadata({"sample": json.dumps(how)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    return sample, len(sample)


def draw_sample(frame: pd.DataFrame, draw: Draw, keep: Collection[str] = ()) -> pd.DataFrame:
    """Order responses for labelling and take the first ones.

    Each response has a random number from the seed and its key, and so has each stratum. The strata take
    turns in the order of theirs, each with the smallest number that it has left. So any beginning of the
    order is a random sample of random strata, a response keeps its number in a larger study, and a rare
    stratum comes as often as a common one.

    Parameters
    ----------
    frame : pandas.DataFrame
        The study's responses: ``cell_key``, `LEVELS`, the strata, and `FLAG`.
    draw : Draw
        How many, of which strata.
    keep : collection of str
        Keys that must be in the sample; it becomes larger than asked if need be.

    Returns
    -------
    pandas.DataFrame
        Columns of `SCHEMA`.
    """
    strata = [*draw.strata, FLAG]
    stratum = frame.groupby(strata, sort=True, observed=True).ngroup().to_numpy()
    first = frame[strata].iloc[np.unique(stratum, return_index=True)[1]]
    names = np.array([", ".join(map(str, row)) for row in first.itertuples(index=False)], object)
    turn = _random(names, draw.seed, "strata")
    number = _random(frame["cell_key"].to_numpy(object), draw.seed, "rows")
    within = np.lexsort((number, stratum))
    sizes = np.bincount(stratum, minlength=len(names))
    rank = np.empty(len(frame), int)
    rank[within] = np.arange(len(frame)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order = np.lexsort((turn[stratum], rank))
    kept = frame["cell_key"].iloc[order].isin(set(keep)).to_numpy()
    size = max(draw.size, int(kept.nonzero()[0].max()) + 1 if kept.any() else 0)
    chosen = frame.iloc[order[:size]]
    return pd.DataFrame(
        {
            **{name: chosen[name].astype(str).to_numpy() for name in ("cell_key", *LEVELS)},
            "stratum": names[stratum[order[:size]]],
            "responses": sizes[stratum[order[:size]]],
        }
    )


def weights(sample: pd.DataFrame, labelled: Collection[str]) -> dict[str, float]:
    """Say how many responses each label stands for: those of its stratum, over the labels in it.

    Parameters
    ----------
    sample : pandas.DataFrame
        From `sample_of`.
    labelled : collection of str
        Keys of responses that have a label.

    Returns
    -------
    dict of str to float
        Weight by key, of those that are in the sample.
    """
    rows = sample[sample["cell_key"].isin(set(labelled))]
    if rows.empty:
        return {}
    counts = rows["stratum"].map(rows["stratum"].value_counts())
    return dict(zip(rows["cell_key"], rows["responses"] / counts, strict=True))


def sample_path(paths: StudyPaths) -> Path:
    """Name the file of a study's sample.

    Parameters
    ----------
    paths : StudyPaths
        The study.

    Returns
    -------
    Path
        ``runs/<study>/labels/human-sample.parquet``.
    """
    return paths.labels / "human-sample.parquet"


def read_frame(
    paths: StudyPaths, columns: Collection[str] = (), table: Path | None = None
) -> tuple[pd.DataFrame, str]:
    """Read what a sample is drawn from.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    columns : collection of str
        Columns of the observations beside the key, `LEVELS` and `FLAG`.
    table : Path, optional
        The observations, if not the study's own.

    Returns
    -------
    frame : pandas.DataFrame
        One row a response.
    version : str
        The detector's, as it stands in the table.

    Raises
    ------
    InputError
        If there is no table, or it is damaged.
    """
    path = table or paths.observations
    if not path.is_file():
        raise InputError(
            f"study {paths.study} has no {path}; run python -m src.detect study={paths.study} once it has "
            "responses"
        )
    wanted = dict.fromkeys(("cell_key", *LEVELS, FLAG, *columns, "detector_version"))
    try:
        rows = pq.read_table(path, columns=list(wanted), page_checksum_verification=True)
        lacking = [name for name in wanted if name not in rows.column_names]
        if lacking:
            raise InputError(
                f"{path} has no column {lacking[0]!r}; run python -m src.detect to build it anew"
            )
        frame = rows.to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFileError(path, str(error).splitlines()[0]) from error
    versions = sorted(frame.pop("detector_version").astype(str).unique())
    return frame, ", ".join(versions)


def _random(keys: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Give each key a number that depends on nothing but key, seed and purpose."""
    secret = hashlib.sha256(f"{seed} {purpose}".encode()).hexdigest()[:16]
    return pd.util.hash_array(keys, hash_key=secret, categorize=False)


def _read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    table = read_checked(path, SCHEMA)
    try:
        how = json.loads((pq.read_schema(path).metadata or {})[b"sample"])
    except (KeyError, ValueError) as error:
        raise DamagedFileError(path, "it does not say how it was drawn") from error
    return table.to_pandas(), how


def _shown(value: object) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
