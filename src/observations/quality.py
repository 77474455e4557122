"""How well refusals are read: a study's detectors against its human labels, and people against each other."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd

from src.detect.outcomes import DEFAULT, KINDS, REFUSED
from src.errors import InputError
from src.observations.agreement import Estimate, cohen_kappa, detector_quality, weighted_share
from src.observations.human import read_human, refusals
from src.observations.labels import read_labels
from src.observations.responses import written_aside
from src.observations.samples import read_frame
from src.study.paths import StudyPaths

GROUPS = ("model", "persona", "task")
"""Factors whose levels are looked at one by one."""
COLUMNS = [
    *("annotator", "against", "against_is", "factor", "level", "quantity", "value", "ci_lower", "ci_upper"),
    *("ci_prob", "ci_kind", "labels", "responses"),
]
"""Columns of ``agreement.csv``."""
BAYES = "eti, Jeffreys priors of the shares of refusals among flagged and others"
"""Kind of the intervals of a detector's quality."""
NORMAL = "normal, standard error of Fleiss, Cohen and Everitt"
"""Kind of the intervals of kappa."""
SHARE = "Jeffreys at Kish's effective number"
"""Kind of the intervals of a weighted share."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What the human labels of a study say."""

    table: pd.DataFrame
    """Rows of `COLUMNS`."""
    confusion: pd.DataFrame
    """``annotator``, ``against``, ``kind``, ``read`` (by the detector), ``labels`` and their ``weight``."""
    refused: str
    """Which kinds count as refusals, a key of `src.detect.outcomes.REFUSED`."""
    notes: list[str]
    """What was left out."""


def setting_of(version: str, given: str | None = None) -> str:
    """Find out which kinds count as refusals.

    Parameters
    ----------
    version : str
        The column ``detector_version`` of the observations, which ends in the setting.
    given : str, optional
        A setting that overrules it.

    Returns
    -------
    str
        A key of `src.detect.outcomes.REFUSED`.
    """
    stored = version.rpartition("-")[2]
    return given or (stored if stored in REFUSED else DEFAULT)


def study_quality(
    paths: StudyPaths, refused: str | None = None, ci_prob: float = 0.9, table: Path | None = None
) -> Quality:
    """Compare each person's labels with each detector's, and with each other person's.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    refused : str, optional
        Which kinds count as refusals; what the table of observations was made with by default.
    ci_prob : float
        Probability of the intervals.
    table : Path, optional
        The observations, if not the study's own.

    Returns
    -------
    Quality
        Everything, as tables.

    Raises
    ------
    InputError
        If there are no labels, no observations, or a file is damaged.
    """
    human = read_human(paths)
    if human.empty:
        raise InputError(
            f"study {paths.study} has no labels by hand yet; run python -m src.label study={paths.study}"
        )
    frame, version = read_frame(paths, ("kind", "label", "detector"), table)
    setting = setting_of(version, refused)
    rows, pairs, notes = [], [], []
    gone = ~human["cell_key"].isin(frame["cell_key"])
    if gone.any():
        notes.append(f"{gone.sum():,} labels left out: their responses are not in {paths.observations.name}")
        human = human[~gone]
    human = human.assign(said=refusals(human, setting))
    for detector, read in _detectors(paths, frame):
        read = read.assign(flagged=read["kind"].isin(REFUSED[setting]))
        for annotator, own in human.groupby("annotator"):
            both = own.merge(
                read[["cell_key", "kind", "label", "flagged"]], on="cell_key", suffixes=("", "_read")
            )
            if len(both) < len(own):
                lost = len(own) - len(both)
                notes.append(f"{lost:,} labels of {annotator} left out: {detector} gives no verdict there")
            head = {"annotator": annotator, "against": detector, "against_is": "detector"}
            rows += [head | row | {"ci_prob": ci_prob} for row in _against(both, read, ci_prob)]
            pairs.append(_pairs(both).assign(annotator=annotator, against=detector))
    rows += [row | {"ci_prob": ci_prob} for row in _between(human, ci_prob)]
    columns = ["annotator", "against", "kind", "read", "labels", "weight"]
    return Quality(pd.DataFrame(rows, columns=COLUMNS), pd.concat(pairs)[columns], setting, notes)


def write_quality(paths: StudyPaths, quality: Quality) -> list[Path]:
    """Write ``agreement.csv`` and ``confusion.csv`` beside the labels.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    quality : Quality
        From `study_quality`.

    Returns
    -------
    list of Path
        The files.
    """
    files = {paths.labels / "agreement.csv": quality.table, paths.labels / "confusion.csv": quality.confusion}
    for path, table in files.items():
        with written_aside(path) as file:
            table.to_csv(file, index=False)
    return list(files)


def _detectors(paths: StudyPaths, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each detector with its verdicts, that of the observations first."""
    levels = frame[["cell_key", *GROUPS]]
    used = str(frame["detector"].iloc[0])
    yield used, frame[["cell_key", *GROUPS, "kind", "label"]]
    for path in sorted(paths.labels.glob("[!.]*.parquet")):
        name = unquote(path.stem)
        if name in (used, "human", "human-sample"):
            continue
        table = read_labels(path).select(["cell_key", "kind", "label"]).to_pandas()
        table = table.astype({"kind": object, "label": object})
        yield name, levels.merge(table[table["kind"].notna()], on="cell_key")


def _against(both: pd.DataFrame, read: pd.DataFrame, ci_prob: float) -> Iterator[dict[str, Any]]:
    """Compare one person with one detector, in all and by level."""
    groups = [("", "", both, int(read["flagged"].sum()), len(read))]
    for factor in GROUPS:
        flags = read.groupby(factor)["flagged"]
        flagged, sizes = flags.sum().to_dict(), flags.size().to_dict()
        for level, rows in both.groupby(factor):
            groups.append((factor, str(level), rows, int(flagged[level]), int(sizes[level])))
    for factor, level, labelled, positive, responses in groups:
        found = detector_quality(
            labelled["flagged"].to_numpy(),
            labelled["said"].to_numpy(bool),
            labelled["weight"].to_numpy(float),
            (positive, responses - positive),
            ci_prob,
        )
        head = {"factor": factor, "level": level, "responses": responses}
        for quantity, estimate in found.items():
            yield head | _cells(quantity, estimate, BAYES)
        named = labelled[labelled["label"].notna() & (labelled["kind"] != "partial_refusal")]
        right = weighted_share(
            (named["label"] == named["label_read"]).to_numpy(), named["weight"].to_numpy(float), ci_prob
        )
        yield head | _cells("label_accuracy", right, SHARE)
    kinds = both[both["kind"].notna()]
    kappa = cohen_kappa(kinds["kind"], kinds["kind_read"], ci_prob)
    yield {"factor": "", "level": "", "responses": np.nan} | _cells("kappa_kinds", kappa, NORMAL)


def _between(human: pd.DataFrame, ci_prob: float) -> Iterator[dict[str, Any]]:
    """Compare people who have read the same responses; every response counts once, whatever its weight."""
    for first, second in itertools.combinations(sorted(human["annotator"].unique()), 2):
        of = [human[human["annotator"] == name][["cell_key", "kind", "said"]] for name in (first, second)]
        both = of[0].merge(of[1], on="cell_key", suffixes=("", "_other"))
        if both.empty:
            continue
        head = {"annotator": first, "against": second, "against_is": "annotator", "factor": "", "level": ""}
        kinds = both.dropna(subset=["kind", "kind_other"])
        for quantity, kappa in (
            ("kappa_kinds", cohen_kappa(kinds["kind"], kinds["kind_other"], ci_prob)),
            ("kappa_refused", cohen_kappa(both["said"], both["said_other"], ci_prob)),
        ):
            yield head | {"responses": np.nan} | _cells(quantity, kappa, NORMAL)


def _cells(quantity: str, estimate: Estimate, kind: str) -> dict[str, Any]:
    return {
        "quantity": quantity,
        **{"value": estimate.value, "ci_lower": estimate.lower, "ci_upper": estimate.upper},
        "ci_kind": kind,
        "labels": estimate.labels,
    }


def _pairs(both: pd.DataFrame) -> pd.DataFrame:
    """Count labels and weight by the person's and the detector's kind, in the order of the criteria."""
    known = both[both["kind"].notna()]
    index = pd.MultiIndex.from_product([KINDS, KINDS], names=["kind", "read"])
    groups = known.rename(columns={"kind_read": "read"}).groupby(["kind", "read"])["weight"]
    counts = pd.DataFrame({"labels": groups.size(), "weight": groups.sum()}).reindex(index, fill_value=0)
    return counts.reset_index()
