"""Refuses with known probability and asks no model: the truth that a fit must find again."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from src.engines.base import GenerationSettings, Identity, Job, Rendered, Response
from src.engines.local.sampling import seed_array, uniforms
from src.errors import InputError
from src.files import written_aside
from src.study.prompts import Prompt

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot answer this question.",
    "As an AI language model, I am not able to judge this.",
    "I'm unable to assist with this request.",
    "I must decline to answer.",
    "Sorry, I can't do that.",
)
"""Texts of a refusal; any detector has to call them one."""

ANSWERS = ("{}", "{}.", "Answer: {}", "The answer is {}.", "The answer is: {}")
"""Texts of an answer around its label."""

_CHUNK = 16_384
_OUTCOME, _WORDING, _RIGHT, _WRONG = range(4)


def check(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
    """Make sure that the effects are numbers; any model's file will do, its weights are not used."""
    for key in ("intercept", "accuracy"):
        if not _is_number(engine_cfg.get(key)):
            raise InputError(f"engine.{key} must be a number, received {engine_cfg.get(key)!r}")
    if not 0 <= engine_cfg["accuracy"] <= 1:
        raise InputError(f"engine.accuracy must be between 0 and 1, received {engine_cfg['accuracy']!r}")
    for term, sd in (engine_cfg.get("sds") or {}).items():
        if not _is_number(sd) or sd < 0:
            raise InputError(f"engine.sds.{term} must be a number of at least zero, received {sd!r}")


def create(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> "SimulatedEngine":
    """Make the engine."""
    return SimulatedEngine(model_cfg, engine_cfg)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class SimulatedEngine:
    """Draws outcomes from known effects.

    ``logit P(refused) = intercept + sum over terms of sd_term * z(seed, term, names of its levels)`` with
    standard normal z, so jobs in any order, run or machine agree on every effect. A job's outcome depends on
    its own seed alone. Texts are taken from `REFUSALS`, or from `ANSWERS` with a label: the level ``gold``
    with probability `accuracy`, else another one of the level ``labels`` (separated by ``|``).

    Parameters
    ----------
    model_cfg : mapping
        Its ``name`` is the level of the factor model.
    engine_cfg : mapping
        ``intercept``, ``sds`` (standard deviation by term), ``accuracy`` and ``seed``.
    """

    def __init__(self, model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
        self._model = str(model_cfg["name"])
        self._intercept = float(engine_cfg["intercept"])
        self._sds = {str(term): float(sd) for term, sd in (engine_cfg.get("sds") or {}).items()}
        self._accuracy = float(engine_cfg["accuracy"])
        self._seed = int(engine_cfg.get("seed", 0))
        settings = json.dumps([self._intercept, sorted(self._sds.items()), self._accuracy, self._seed])
        self._revision = f"simulated:{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def identity(self) -> Identity:
        """Say what answers; the revision names the effects."""
        return Identity(self._model, self._revision, dtype="none", engine="simulated", device="none")

    def render(self, prompts: Sequence[Prompt]) -> list[Rendered]:
        """Put system text and user text below each other."""
        return [
            Rendered(f"{p.system or ''}\n\n{p.user}", None, "native" if p.system else "none") for p in prompts
        ]

    def generate(self, jobs: Sequence[Job], settings: GenerationSettings) -> Iterator[Response]:
        """Answer jobs in order.

        Raises
        ------
        InputError
            If a term names a factor that the jobs do not have.
        """
        for start in range(0, len(jobs), _CHUNK):
            yield from self._answer(jobs[start : start + _CHUNK])

    def probabilities(self, levels: Sequence[Mapping[str, str]]) -> NDArray[np.float64]:
        """Compute the true refusal probability of cells.

        Parameters
        ----------
        levels : sequence of mapping
            Level by factor, for each cell.

        Returns
        -------
        ndarray of float64, shape (cells,)
            In (0, 1).
        """
        table = pd.DataFrame.from_records(levels)
        table["model"] = self._model
        logit = np.full(len(table), self._intercept)
        for term in self._sds:
            factors = term.split(":")
            if missing := [f for f in factors if f not in table]:
                raise InputError(
                    f"engine.sds.{term} names the factor {missing[0]!r}; known: {', '.join(table.columns)}"
                )
            groups = table.groupby(factors, sort=False)
            effects = np.array([self._effect(term, key) for key in groups.indices])  # type: ignore[arg-type]
            logit += effects[groups.ngroup()]
        return expit(logit)

    def write_truth(self, path: Path, levels: Mapping[str, Sequence[str]]) -> None:
        """Write the true effects of all levels, keeping those that other jobs of a sweep have written.

        Parameters
        ----------
        path : Path
            NetCDF file: ``intercept``, ``sd_<term>`` and ``u_<term>`` with one named coordinate per factor.
            Interactions cover every combination of levels, whether a design asks for it or not.
        levels : mapping
            Levels by factor; the model's is added.

        Raises
        ------
        InputError
            If the file holds other effects, or a term's factor has no levels.
        """
        import xarray as xr
        from filelock import FileLock

        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            names = {factor: set(values) for factor, values in levels.items()}
            names.setdefault("model", set()).add(self._model)
            if path.exists():
                with xr.open_dataset(path, engine="h5netcdf") as known:
                    if known.attrs["revision"] != self._revision:
                        raise InputError(
                            f"{path} holds other effects than engine.intercept, sds and seed ask for; "
                            "use another study"
                        )
                    for factor, values in known.coords.items():
                        names.setdefault(str(factor), set()).update(map(str, values.values))
            # In memory first: the HDF5 library does not survive a full disk.
            content = self._truth({f: sorted(v) for f, v in names.items()}).to_netcdf(engine="h5netcdf")
            with written_aside(path) as file:
                file.write(content)

    def load(self) -> None:
        """Do nothing: there are no weights."""

    def close(self) -> None:
        """Do nothing: no memory is held."""

    def _truth(self, levels: Mapping[str, list[str]]) -> Any:
        import xarray as xr

        variables: dict[str, Any] = {"intercept": self._intercept}
        for term, sd in self._sds.items():
            factors = term.split(":")
            if missing := [f for f in factors if f not in levels]:
                raise InputError(f"engine.sds.{term} names the factor {missing[0]!r}; it has no levels")
            grid = [levels[f] for f in factors]
            effects = np.reshape([self._effect(term, key) for key in product(*grid)], [len(g) for g in grid])
            variables[f"sd_{term}"] = sd
            variables[f"u_{term}"] = (factors, effects)
        used = {f for term in self._sds for f in term.split(":")}
        coords = {f: values for f, values in levels.items() if f in used}
        return xr.Dataset(variables, coords, {"revision": self._revision, "seed": self._seed})

    def _effect(self, term: str, key: str | tuple[str, ...]) -> float:
        return self._sds[term] * _standard_normal(self._seed, term, key if isinstance(key, tuple) else (key,))

    def _answer(self, jobs: Sequence[Job]) -> Iterator[Response]:
        # Replicates of a cell share one tuple of levels, so each cell's probability is computed once.
        levels = {job.levels: dict(job.levels) for job in jobs}
        chances = dict(zip(levels, self.probabilities(list(levels.values())).tolist(), strict=True))
        seeds = seed_array([job.seed for job in jobs])
        refused = (uniforms(seeds, _OUTCOME) < [chances[job.levels] for job in jobs]).tolist()
        wording = uniforms(seeds, _WORDING).tolist()
        right = (uniforms(seeds, _RIGHT) < self._accuracy).tolist()
        wrong = uniforms(seeds, _WRONG).tolist()
        for i, job in enumerate(jobs):
            if refused[i]:
                text = _pick(REFUSALS, wording[i])
            else:
                text = _pick(ANSWERS, wording[i]).format(_label(levels[job.levels], right[i], wrong[i]))
            yield Response(job.key, text, job.prompt.user.count(" ") + 1, text.count(" ") + 1, "stop", 1)


def _label(levels: Mapping[str, str], right: bool, which: float) -> str:
    """Label of an answer: the right one, or one of the others."""
    gold = levels.get("gold", "yes")
    others = () if right else [label for label in levels.get("labels", gold).split("|") if label != gold]
    return _pick(others, which) if others else gold


def _pick(options: Sequence[str], uniform: float) -> str:
    return options[int(uniform * len(options))]


@cache
def _standard_normal(seed: int, term: str, levels: tuple[str, ...]) -> float:
    """Draw a standard normal that depends on names alone."""
    name = json.dumps([seed, term, *levels]).encode()
    uniform = (int.from_bytes(hashlib.sha256(name).digest()[:8], "little") + 0.5) / 2**64
    return float(ndtri(uniform))
