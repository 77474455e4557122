"""What a fit knows of the detector's error: responses that a person has read too, and how they are modelled.

A flag is not a refusal. With p the probability of a true refusal, Se the detector's sensitivity and Sp its
specificity, P(flag) = Se p + (1 - Sp) (1 - p) (Rogan & Gladen 1978). logit Se and logit Sp are each a crossed
random-effects model of their own over a few factors (the model of the responses, by default), so that they
are partially pooled. Of a response that a person has read, truth and flag enter together:

    P(refused, flagged) = p Se,   P(refused, not flagged) = p (1 - Se),
    P(answered, flagged) = (1 - p) (1 - Sp),   P(answered, not flagged) = (1 - p) Sp.

So whoever chose what to read may have looked at flags and cells, but at nothing else about the response
(missing at random; Rubin 1976): a sample stratified by the flag is no error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.errors import InputError, unknown
from src.inference.cells import Cells
from src.inference.priors import PriorArrays, read_prior
from src.inference.terms import Structure, build_structure

VERDICTS = ("hit", "miss", "false_alarm", "pass")
"""A labelled response: refused and flagged, refused and not, answered and flagged, answered and not."""
RATES = ("sensitivity", "specificity")
"""What is learned of a detector."""
AUTO = "auto"
"""Take the study's own labels if there are some."""
FEW = 10
"""Below this many labelled responses a group's rate rests on the prior and on the other groups."""


@dataclass(frozen=True, slots=True)
class ErrorSettings:
    """The ``detector_error`` node of a configuration."""

    labels: str | None
    """`AUTO`, a table, or None: flags are taken for the truth."""
    by: list[str]
    """Factors that sensitivity and specificity may differ by."""
    priors: Mapping[str, Mapping[str, Any]]
    """Of each of `RATES`, as `src.inference.priors.read_prior` reads them."""


@dataclass(frozen=True, slots=True)
class DetectorError:
    """Labelled responses of a table of cells, with structure and prior of the detector's rates."""

    structure: Structure
    """Terms of logit Se, and of logit Sp; a group is a combination of their factors' levels."""
    priors: dict[str, PriorArrays]
    """Of each of `RATES`."""
    labelled: np.ndarray
    """Labelled responses of each cell by `VERDICTS`, float64, shape (cells, 4); all are among its trials."""
    elsewhere: np.ndarray
    """Labelled responses that are in no cell, by group and `VERDICTS`, float64, shape (groups, 4)."""
    group: np.ndarray
    """Group of each cell, int32, shape (cells,)."""

    @property
    def by(self) -> list[str]:
        """Factors of the groups."""
        return list(self.structure.levels)

    @property
    def known(self) -> np.ndarray:
        """Labelled responses by group and `VERDICTS`, shape (groups, 4)."""
        total = self.elsewhere.copy()
        np.add.at(total, self.group, self.labelled)
        return total

    def trials_of(self, rate: str) -> Cells:
        """Count what speaks of one of `RATES`, a cell for each group.

        Parameters
        ----------
        rate : {"sensitivity", "specificity"}
            Successes are flags among true refusals, or no flags among true answers.

        Returns
        -------
        Cells
            Successes as refusals.
        """
        hit, miss, false_alarm, passed = self.known.T
        right, wrong = (hit, miss) if rate == "sensitivity" else (passed, false_alarm)
        return Cells(self.structure.levels, group_codes(self.structure.levels), right, right + wrong)

    def unlabelled(self, cells: Cells) -> np.ndarray:
        """Count flagged and unflagged responses of each cell that nobody has read, shape (cells, 2)."""
        hit, miss, false_alarm, passed = self.labelled.T
        flagged, other = cells.refusals, cells.trials - cells.refusals
        return np.stack([flagged - hit - false_alarm, other - miss - passed], axis=1)

    def truths(self) -> np.ndarray:
        """Count refused and answered responses of each cell as a person has read them, shape (cells, 2)."""
        hit, miss, false_alarm, passed = self.labelled.T
        return np.stack([hit + miss, false_alarm + passed], axis=1)


def read_error(node: Mapping[str, Any] | None) -> ErrorSettings:
    """Read the ``detector_error`` node.

    Parameters
    ----------
    node : mapping or None
        ``labels``, ``by``, and for each of `RATES` the ``median`` of its average over groups, the ``sd`` of
        the average's log-odds, and the ``scale`` of the half-normal prior of their spread over levels.

    Returns
    -------
    ErrorSettings
        Checked, but for the factors, which the table knows.

    Raises
    ------
    InputError
        If a key is unknown or a value cannot be used.
    """
    node = {"labels": None, "by": ["model"]} if node is None else dict(node)
    known = ["labels", "by", *RATES]
    for key in node:
        if key not in known:
            raise unknown("key of detector_error", key, known)
    labels, by = node.get("labels"), node.get("by")
    if labels is not None and (not isinstance(labels, str) or not labels.strip()):
        raise InputError(f"detector_error.labels must be null, auto or a table, received {labels!r}")
    by = [] if by is None else by
    if isinstance(by, str) or not isinstance(by, Sequence) or len(set(by)) < len(by):
        raise InputError(f"detector_error.by must be a list of different factors, received {by!r}")
    priors = {rate: _prior(rate, node.get(rate) or {}) for rate in RATES}
    return ErrorSettings(labels, [str(f) for f in by], priors)


def build_error(
    cells: Cells,
    settings: ErrorSettings,
    labelled: np.ndarray,
    elsewhere: np.ndarray | None = None,
) -> DetectorError:
    """Set up the model of the detector's error.

    Parameters
    ----------
    cells : Cells
        The counts of flags.
    settings : ErrorSettings
        Groups and priors; factors that the table lacks are left out.
    labelled : ndarray
        Labelled responses of each cell by `VERDICTS`, shape (cells, 4).
    elsewhere : ndarray, optional
        Labelled responses in no cell, by group and `VERDICTS`, shape (groups, 4).

    Returns
    -------
    DetectorError
        For ``cells.error``.
    """
    levels = group_levels(cells, settings.by)
    columns = [cells.factors.index(f) for f in levels]
    shape = tuple(len(names) for names in levels.values())
    group = np.zeros(len(cells.codes), dtype=np.int32)
    if columns:
        group = np.ravel_multi_index(tuple(cells.codes[:, columns].T), shape).astype(np.int32)
    codes = group_codes(levels)
    empty = np.zeros(len(codes))
    structure = build_structure(Cells(levels, codes, empty, empty))
    priors = {rate: read_prior(settings.priors[rate], structure.names) for rate in RATES}
    if elsewhere is None:
        elsewhere = np.zeros((len(codes), len(VERDICTS)))
    return DetectorError(structure, priors, labelled, elsewhere, group)


def group_levels(cells: Cells, by: Sequence[str]) -> dict[str, list[str]]:
    """List the levels of the factors that rates may differ by, of those that the table has."""
    return {factor: cells.levels[factor] for factor in cells.factors if factor in by}


def group_codes(levels: Mapping[str, Sequence[str]]) -> np.ndarray:
    """List every combination of levels, the last factor fastest, int32, shape (groups, factors)."""
    shape = [len(names) for names in levels.values()]
    return (
        np.stack([axis.ravel() for axis in np.indices(shape)], axis=1).astype(np.int32)
        if shape
        else (np.zeros((1, 0), dtype=np.int32))
    )


def error_notes(error: DetectorError) -> list[str]:
    """Say what the detector's error is learned from, and where that is little."""
    known = error.known
    read, here = int(known.sum()), int(error.labelled.sum())
    hit, miss, false_alarm, passed = (int(n) for n in known.sum(axis=0))
    notes = [
        f"the detector's error is in the likelihood: {read} responses read by a person"
        f"{'' if here == read else f', {read - here} of them not of this table'} "
        f"({hit} of {hit + miss} refusals flagged, {false_alarm} of {false_alarm + passed} others); shares, "
        "effects and contrasts speak of true refusals, counts and model-free indices of flags"
    ]
    for rate, few_of in (("sensitivity", "refusals"), ("specificity", "answers")):
        counts = error.trials_of(rate)
        low = np.flatnonzero(counts.trials < FEW)
        if len(low):
            names = [group_name(error.structure.levels, counts.codes[g]) for g in low]
            shown = ", ".join(
                f"{name} ({counts.trials[g]:.0f})" for name, g in list(zip(names, low, strict=True))[:3]
            )
            more = f" and {len(low) - 3} more" if len(low) > 3 else ""
            notes.append(
                f"{rate} rests on its prior{' and on the other groups' if len(counts.trials) > 1 else ''} "
                f"where few labelled {few_of} speak of it: {shown}{more}"
            )
    return notes


def group_name(levels: Mapping[str, Sequence[str]], codes: np.ndarray) -> str:
    """Name a group: its levels joined by colons, ``all`` if rates differ by nothing."""
    return ":".join(names[code] for names, code in zip(levels.values(), codes, strict=True)) or "all"


def _prior(rate: str, node: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"median": {"sensitivity": 0.9, "specificity": 0.97}[rate], "sd": 1.0, "scale": 1.0}
    for key in node:
        if key not in defaults:
            raise unknown(f"key of detector_error.{rate}", key, defaults)
    values = {**defaults, **node}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise InputError(f"detector_error.{rate}.{key} must be a number above zero, received {value!r}")
    median = float(values["median"])
    if not 0.5 < median < 1:
        # At one half and below, flags would say nothing, or the opposite, before a label is seen.
        raise InputError(f"detector_error.{rate}.median must lie between 0.5 and 1, received {median!r}")
    intercept = {"mean": float(np.log(median / (1 - median))), "sd": values["sd"]}
    return {"family": "half_normal", "intercept": intercept, "scale": values["scale"]}
