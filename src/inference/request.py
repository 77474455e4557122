"""What a configuration asks a fit to do: read, checked, and carried out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from src.effects.grid import GRID_CELLS
from src.effects.summaries import CI_KINDS
from src.effects.tables import TableSettings
from src.errors import InputError, unknown
from src.inference.capability import capability_slope, read_capability
from src.inference.cells import NEWEST, Cells, read_cells
from src.inference.detector_error import ErrorSettings, build_error, error_notes, read_error
from src.inference.fitting import FitSettings, Fitted, check_settings, fit_cells
from src.inference.labelled import read_labelled
from src.inference.priors import PriorArrays, read_prior
from src.inference.recover import PlainDraws, draw_prior
from src.inference.terms import Structure, build_structure

PRIOR_DRAWS = 1000
"""Draws from the prior, for what is shown beside the posterior."""
SHIPPED_BASELINE = ("persona", "none")
"""Factor and level that ``conf/fit.yaml`` names; a table from elsewhere may lack it."""
FEW_LEVELS = 5
"""Below this a standard deviation is mostly its prior's."""
KNOWN_FACTORS = ("persona", "model", "task", "paraphrase", "item", "persona_template")
"""Factors of a study of ours; interactions of those that a fit leaves out are left out too."""


@dataclass(frozen=True, slots=True)
class Request:
    """One fit, as configured."""

    factors: list[str]
    """Names of the factors."""
    nested: dict[str, str]
    """Nested factor to parent."""
    interactions: list[list[str]]
    """Sets of factors."""
    columns: dict[str, str]
    """Our column names to theirs."""
    priors: dict[str, Any]
    """The ``priors`` node."""
    settings: FitSettings
    """How to draw."""
    tables: TableSettings
    """How draws become numbers."""
    capability: dict[str, float] | None = None
    """Capability by model, if the spread of personas may follow it."""
    compare: bool = False
    """Whether to fit again without each interaction and compare."""
    error: ErrorSettings = field(default_factory=lambda: read_error(None))
    """How the detector's error is learned from labels."""
    generation: str = NEWEST
    """Which responses count where a model was asked under several configurations."""

    def prepare(
        self, table: Path, labels: Path | None = None
    ) -> tuple[Cells, Structure, PriorArrays, list[str]]:
        """Read the table and set the model up.

        Parameters
        ----------
        table : Path
            Responses or counts.
        labels : Path, optional
            A person's labels, as `src.inference.labelled.read_labelled` takes them; without them flags are
            taken for the truth.

        Returns
        -------
        cells : Cells
            Counts.
        structure : Structure
            Terms.
        prior : PriorArrays
            The prior.
        notes : list of str
            What a reader must know about data, labels and terms.

        Raises
        ------
        InputError
            If the table, a factor or a prior cannot be used.
        """
        cells = read_cells(table, self.factors, self.columns, self.generation)
        slope = None if self.capability is None else capability_slope(cells, self.capability)
        structure = build_structure(cells, self.interactions, self.nested, slope)
        prior = read_prior(self.priors, structure.names)
        combinations = math.prod(structure.sizes.values())
        if combinations > GRID_CELLS:
            raise InputError(
                f"{' x '.join(structure.sizes)} have {combinations:,} combinations of levels, more than the "
                f"{GRID_CELLS:,} that can be averaged over; leave out a factor, or nest it in another"
            )
        notes = [*cells.notes, *_notes(cells, structure), *self._baseline_notes(cells)]
        if labels is not None:
            cells, about = self._with_error(cells, table, labels)
            notes = [*about, *notes]
        return cells, structure, prior, notes

    def _with_error(self, cells: Cells, table: Path, labels: Path) -> tuple[Cells, list[str]]:
        """Add what labels say of the detector."""
        for factor in self.error.by:
            if factor in self.nested and factor in cells.factors:
                raise InputError(
                    f"detector_error.by cannot hold {factor}: it is nested in {self.nested[factor]}"
                )
            if factor not in cells.factors and factor not in KNOWN_FACTORS:
                raise unknown("factor of detector_error.by", factor, cells.factors)
        labelled, elsewhere, notes = read_labelled(
            labels, table, cells, self.columns, self.error.by, self.generation
        )
        error = build_error(cells, self.error, labelled, elsewhere)
        if error.known.sum() == 0:
            raise InputError(
                f"no label of {labels} is of a response of {table}; detector_error.labels=null fits without"
            )
        return replace(cells, error=error), [*error_notes(error), *notes]

    def _baseline_notes(self, cells: Cells) -> list[str]:
        """Make sure of the baselines before anything is sampled; a table need not have the shipped one."""
        notes = []
        for factor, level in self.tables.baseline.items():
            levels = cells.levels.get(factor, [level])
            if level in levels:
                continue
            if (factor, level) != SHIPPED_BASELINE:
                raise unknown(f"baseline level of {factor}", level, levels)
            notes.append(f"no {factor} is called {level!r}: contrasts are with the mean over its levels")
        return notes


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that a fit found out."""

    tree: Any
    """DataTree with all groups."""
    cells: Cells
    """The counts behind it."""
    fitted: Fitted
    """How it was drawn."""


def read_request(cfg: Mapping[str, Any]) -> Request:
    """Read and check the configuration of ``src.fit``.

    Parameters
    ----------
    cfg : mapping
        Resolved configuration.

    Returns
    -------
    Request
        What to do.

    Raises
    ------
    InputError
        If a value cannot be used.
    """
    factors = _names("factors", cfg["factors"])
    for child, parent in dict(cfg["nested"] or {}).items():
        for name in (child, parent):
            if name not in factors and name not in KNOWN_FACTORS:
                raise unknown("factor of nested", name, factors)
    interactions = [_names("interactions", one) for one in cfg["interactions"] or []]
    for factor in [f for one in interactions for f in one]:
        if factor not in factors and factor not in KNOWN_FACTORS:
            raise unknown("factor of an interaction", factor, factors)
    fit_keys = [*FitSettings.__dataclass_fields__, "compare"]
    for key in cfg["fit"]:
        if key not in fit_keys:
            raise unknown("key of fit", key, fit_keys)
    compare = cfg["fit"].get("compare", False)
    if not isinstance(compare, bool):
        raise InputError(f"fit.compare must be true or false, received {compare!r}")
    settings = FitSettings(**{key: value for key, value in cfg["fit"].items() if key != "compare"})
    check_settings(settings)
    return Request(
        factors=factors,
        nested=dict(cfg["nested"] or {}),
        interactions=[one for one in interactions if set(one) <= set(factors)],
        columns=dict(cfg["columns"] or {}),
        priors=dict(cfg["priors"]),
        settings=settings,
        tables=_table_settings(cfg),
        capability=read_capability(cfg.get("capability")),
        compare=compare,
        error=read_error(cfg.get("detector_error")),
        generation=str(cfg.get("generation", NEWEST)),
    )


def fit_request(request: Request, cells: Cells, structure: Structure, prior: PriorArrays) -> Result:
    """Draw from posterior and prior and arrange the DataTree.

    Parameters
    ----------
    request : Request
        How.
    cells, structure, prior
        From `Request.prepare`.

    Returns
    -------
    Result
        The DataTree without attributes of the run.
    """
    from src.inference.tree import build_tree

    seed = request.settings.seed
    fitted = fit_cells(cells, structure, prior, request.settings)
    prior_draws = draw_prior(structure, prior, PRIOR_DRAWS, np.random.default_rng([seed, 5]))
    return Result(build_tree(cells, structure, fitted, prior_draws, prior, seed), cells, fitted)


def prior_extremes(prior: PriorArrays, structure: Structure, draws: int = 10_000) -> float:
    """Estimate the prior mass of cells with a refusal rate below .01 or above .99.

    Parameters
    ----------
    prior : PriorArrays
        The prior.
    structure : Structure
        Terms.
    draws : int
        Draws of the estimate.

    Returns
    -------
    float
        Share of draws; any one cell's, since all have the same prior.
    """
    one_level = replace(structure, sizes=dict.fromkeys(structure.sizes, 1), slope=None)
    drawn: PlainDraws = draw_prior(one_level, prior, draws, np.random.default_rng(0))
    log_odds = drawn.intercept + sum(effect.reshape(draws) for effect in drawn.effects)
    return float((np.abs(log_odds) > np.log(99)).mean())


def _notes(cells: Cells, structure: Structure) -> list[str]:
    """Say what in data and terms makes numbers mean less than they seem to."""
    notes = []
    total, trials = cells.refusals.sum(), cells.trials.sum()
    if total == 0:
        notes.append(f"no refusal in {trials:.0f} responses: the data bound the rate from above and no more")
    if total == trials:
        notes.append(f"nothing but refusals in {trials:.0f} responses: the data bound the rate from below")
    for name, term in zip(structure.names, structure.terms, strict=True):
        levels = effect_count(structure, term)
        if levels == 1:
            notes.append(f"{name} has one level: the data say nothing about its share, the prior all")
        elif levels < FEW_LEVELS:
            notes.append(f"{name} has {levels} levels: its latent share is mostly the prior's")
        if len(term) > 1 and all(
            effect_count(structure, (f,)) == 1 for f in term if f not in structure.nested
        ):
            continue
        seen = len(np.unique(cells.codes[:, [cells.factors.index(f) for f in term]], axis=0))
        if len(term) > 1 and not set(term) & set(structure.nested) and seen < levels:
            notes.append(f"{name}: {levels - seen} of {levels} combinations were never asked")
    return notes


def effect_count(structure: Structure, term: tuple[str, ...]) -> int:
    """Count the combinations of levels of a term's factors."""
    count = 1
    for factor in term:
        if factor in structure.nested:
            count = (
                count
                * int((structure.positions[factor] >= 0).sum())
                // len(structure.levels[structure.nested[factor]])
            )
        else:
            count *= len(structure.levels[factor])
    return count


def _names(key: str, value: object) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise InputError(f"{key} must be a list of names, received {value!r}")
    names = [str(name) for name in value]
    if len(set(names)) < len(names):
        raise InputError(f"{key} names a factor twice: {names}")
    return names


def _table_settings(cfg: Mapping[str, Any]) -> TableSettings:
    probability, rope = cfg["ci_prob"], cfg["rope"]
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 < probability < 1:
        raise InputError(f"ci_prob must lie between 0 and 1, received {probability!r}")
    if cfg["ci_kind"] not in CI_KINDS:
        raise unknown("ci_kind", cfg["ci_kind"], CI_KINDS)
    if isinstance(rope, bool) or not isinstance(rope, int | float) or not 0 < rope < 1:
        raise InputError(f"rope must be a difference in probability between 0 and 1, received {rope!r}")
    return TableSettings(
        float(probability), cfg["ci_kind"], float(rope), dict(cfg["baseline"] or {}), cfg["fit"]["seed"]
    )
