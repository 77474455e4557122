"""How much effective sample a second of fitting buys, against Bambi's defaults on the same data.

Each case is one JSON line. ``ess_per_second`` is the smallest bulk effective sample size over intercept,
standard deviations and main effects, by the whole wall time of a fresh process: imports, compilation and
sampling. What is taken off, for everybody alike, is the simulation of the data and the judging of the draws.
``seconds_processor`` is the processor time of the whole process, which other work on the machine changes
less. ``cold`` starts without compiled code, ``warm`` with that of a fit of the same shape.

    python tests/benchmarks/fit.py                     # paper scale: 5,000, 50,000 and 500,000 responses
    python tests/benchmarks/fit.py --no-bambi          # ours alone, in a minute
    python tests/benchmarks/fit.py --fast              # fit.method=fast: seconds, and its error against NUTS
    python tests/benchmarks/fit.py --labels            # with and without the detector's error
    python tests/benchmarks/fit.py --cells             # 7k, 70k and 700k cells
    python tests/benchmarks/fit.py --items             # one million distinct rows with 1,500 items
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

CHAINS = 4


def main() -> None:
    """Run the cases that the arguments ask for."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--responses", type=int, nargs="*", default=[5_000, 50_000, 500_000])
    arguments.add_argument("--no-bambi", action="store_true")
    arguments.add_argument("--fast", action="store_true")
    arguments.add_argument("--cells", action="store_true")
    arguments.add_argument("--items", action="store_true")
    arguments.add_argument("--labels", action="store_true")
    arguments.add_argument(
        "--one", nargs=3, metavar=("KIND", "RESPONSES", "SHAPE"), help="one fit, in this process"
    )
    chosen = arguments.parse_args()
    if chosen.one:
        kind, responses, shape = chosen.one
        print(json.dumps(KINDS[kind](int(responses), tuple(map(int, shape.split("x"))))))
    elif chosen.fast:
        for responses in chosen.responses:
            compare_fast(responses)
    elif chosen.cells:
        for scale in (1, 10, 100):
            show({"case": "cells", **ours(50_000 * scale, f"16x16x3x{9 * scale}", warm=True)})
    elif chosen.items:
        show({"case": "items", **run("items", 1_000_000, "16x16x3x9x500")})
    elif chosen.labels:
        for responses in chosen.responses:
            compare_labels(responses)
    else:
        for responses in chosen.responses:
            compare(responses, bambi=not chosen.no_bambi)


def compare(responses: int, bambi: bool) -> None:
    """Fit the same table cold, warm, and by Bambi, in one run."""
    shape = "16x16x3x9"
    with tempfile.TemporaryDirectory() as cache:
        cold = run("ours", responses, shape, cache)
        warm = run("ours", responses + 1, shape, cache)
    result = {"case": "paper scale", "responses": responses, "cold": cold, "warm": warm}
    if bambi:
        theirs = run("bambi", responses, shape)
        result |= {
            "bambi": theirs,
            "ratio_cold": round(cold["ess_per_second"] / theirs["ess_per_second"]),
            "ratio_warm": round(warm["ess_per_second"] / theirs["ess_per_second"]),
            "ratio_processor_cold": round(per_processor_second(cold) / per_processor_second(theirs)),
            "ratio_processor_warm": round(per_processor_second(warm) / per_processor_second(theirs)),
        }
    show(result)


def per_processor_second(result: dict[str, Any]) -> float:
    """Divide the effective sample size by processor time."""
    return result["ess_min"] / result["seconds_processor"]


def compare_fast(responses: int) -> None:
    """Time the approximation beside NUTS, both with compiled code at hand, and measure its error."""
    shape = "16x16x3x9"
    with tempfile.TemporaryDirectory() as cache:
        run("error", 2_000, "4x4x3x3", cache)
        fast = run("fast", responses, shape, cache)
        nuts = run("ours", responses, shape, cache)
        error = run("error", responses, shape, cache)
    show(
        {
            "case": "fast",
            "responses": responses,
            "seconds": fast["seconds"],
            "seconds_nuts": nuts["seconds"],
            "ratio": round(nuts["seconds"] / fast["seconds"], 1),
            "seconds_processor": fast["seconds_processor"],
            "ratio_processor": round(nuts["seconds_processor"] / fast["seconds_processor"], 1),
            **{
                name: error[name]
                for name in ("mean_error_max", "mean_error_of", "sd_ratio_min", "sd_ratio_max")
            },
        }
    )


def compare_labels(responses: int) -> None:
    """Fit flags taken for refusals, and with the detector's error, in one run; code compiled before."""
    shape = "16x16x3x9"
    with tempfile.TemporaryDirectory() as cache:
        found = {}
        for kind in ("flags", "labels"):
            run(kind, 2_000, "4x4x3x3", cache)
            found[kind] = run(kind, responses, shape, cache)
    ratio = found["labels"]["ess_per_second"] / found["flags"]["ess_per_second"]  # type: ignore[operator]
    show({"case": "labels", "responses": responses, **found, "ratio": round(ratio, 2)})


def ours(responses: int, shape: str, warm: bool) -> dict[str, object]:
    """Run our fit in a fresh process, with compiled code at hand if `warm`."""
    with tempfile.TemporaryDirectory() as cache:
        if warm:
            run("ours", 2_000, "4x4x3x3", cache)
        return run("ours", responses, shape, cache)


def run(kind: str, responses: int, shape: str, cache: str | None = None) -> dict[str, Any]:
    """Time one fit in a process of its own; simulating its data and judging its draws are taken off."""
    environment = {**os.environ, **({"NUMBA_CACHE_DIR": cache} if cache else {})}
    before, began = processor_seconds(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--one", kind, str(responses), shape],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    found = {"seconds_processor": round(processor_seconds() - before, 2)}
    seconds -= result.pop("seconds_data") + result.pop("seconds_judging", 0.0)
    if "ess_min" in result:
        found["ess_per_second"] = float(f"{result['ess_min'] / seconds:.3g}")
    return {"seconds": round(seconds, 2), **found, **result}


def processor_seconds() -> float:
    """Processor time of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fit_paper(
    responses: int, shape: tuple[int, ...], labels: int | None = None, **settings: Any
) -> tuple[Any, ...]:
    """Simulate and fit at paper scale; return cells, structure, the fit, and the seconds of simulation.

    With `labels` the counts are flags of a detector that errs by model, and so many responses are labelled.
    """
    from dataclasses import replace

    from src.inference.fitting import FitSettings, fit_cells
    from src.inference.priors import read_prior
    from src.inference.terms import build_structure
    from tests.inference.simulate import INTERACTIONS, NESTED, flagged, simulate

    began = time.perf_counter()
    cells = simulate(responses, shape).cells  # type: ignore[arg-type]
    if labels is not None:
        by_model = np.random.default_rng(1).uniform(0.4, 0.95, shape[1])
        sample = flagged(cells, {"model": by_model.tolist()}, 0.97, labels or 1)
        cells = replace(sample.cells, error=sample.error(["model"]) if labels else None)
    data = time.perf_counter() - began
    structure = build_structure(cells, INTERACTIONS, NESTED)
    prior = read_prior({"family": "half_normal"}, structure.names)
    fitted = fit_cells(cells, structure, prior, FitSettings(progress=False, **settings))
    return cells, structure, fitted, data


def fit_fast(responses: int, shape: tuple[int, ...]) -> dict[str, object]:
    """Approximate with the defaults of ``conf/fit.yaml``."""
    *_, data = fit_paper(responses, shape, method="fast")
    return {"seconds_data": data}


def fit_error(responses: int, shape: tuple[int, ...]) -> dict[str, object]:
    """Measure the approximation against NUTS: standard deviations, main effects and shares of variance.

    ``mean_error_max`` is the largest difference of posterior means in posterior standard deviations, at
    ``mean_error_of``; the ratios are of posterior standard deviations.
    """
    columns = {}
    for method in ("fast", "nuts"):
        _, structure, fitted, _ = fit_paper(responses, shape, method=method)
        columns[method] = named_quantities(structure, fitted.plain)
    means = {name: draws.mean() - columns["nuts"][name].mean() for name, draws in columns["fast"].items()}
    spreads = {name: draws.std() for name, draws in columns["nuts"].items()}
    errors = {name: abs(means[name]) / spreads[name] for name in means}
    worst = max(errors, key=lambda name: errors[name])
    ratios = [draws.std() / spreads[name] for name, draws in columns["fast"].items()]
    return {
        "seconds_data": 0.0,
        "mean_error_max": round(float(errors[worst]), 3),
        "mean_error_of": worst,
        "sd_ratio_min": round(float(min(ratios)), 3),
        "sd_ratio_max": round(float(max(ratios)), 3),
    }


def named_quantities(structure: Any, plain: Any) -> dict[str, np.ndarray]:
    """Name the draws of intercept, standard deviations, latent shares and main effects."""
    from src.effects.variance import LOGISTIC_VARIANCE

    total = (plain.sds**2).sum(axis=1) + LOGISTIC_VARIANCE
    found = {"intercept": plain.intercept}
    for t, (name, term, effects) in enumerate(
        zip(structure.names, structure.terms, plain.effects, strict=True)
    ):
        found[f"sd {name}"] = plain.sds[:, t]
        found[f"latent share {name}"] = plain.sds[:, t] ** 2 / total
        if len(term) == 1:
            found |= {f"{name} {k}": effects[:, k] for k in range(effects.shape[1])}
    return found


def fit_flags(responses: int, shape: tuple[int, ...]) -> dict[str, object]:
    """Fit flags of a detector that errs by model, taken for refusals."""
    return fit_ours(responses, shape, labels=0)


def fit_labels(responses: int, shape: tuple[int, ...]) -> dict[str, object]:
    """Fit the same flags with 1,000 labelled responses."""
    return fit_ours(responses, shape, labels=1000)


def fit_ours(responses: int, shape: tuple[int, ...], labels: int | None = None) -> dict[str, object]:
    """Fit with the defaults of ``conf/fit.yaml``."""
    cells, structure, fitted, data = fit_paper(responses, shape, labels)
    main_effects = [
        u for u, term in zip(fitted.plain.effects, structure.terms, strict=True) if len(term) == 1
    ]
    return {
        "seconds_data": data,
        "cells": len(cells.trials),
        "seconds_set_up": round(fitted.seconds_compile, 2),
        "seconds_sample": round(fitted.seconds_sample, 2),
        **judge(
            [fitted.plain.intercept[:, None], fitted.plain.sds, *main_effects],
            fitted.statistics["diverging"],
            fitted.statistics["n_steps"],
        ),
    }


def fit_items(responses: int, shape: tuple[int, ...]) -> dict[str, object]:
    """Fit distinct rows of one trial each, with items nested in tasks."""
    from src.inference.cells import Cells
    from src.inference.fitting import FitSettings, fit_cells
    from src.inference.priors import read_prior
    from src.inference.terms import build_structure

    began = time.perf_counter()
    rng = np.random.default_rng(1)
    factors = ("persona", "model", "task", "paraphrase", "item")
    flat = rng.choice(np.prod(shape), size=responses, replace=False)
    codes = np.stack(np.unravel_index(flat, shape), axis=1).astype(np.int32)
    # Items have names of their own within each task.
    codes[:, 4] += codes[:, 2] * shape[4]
    sizes = [*shape[:4], shape[2] * shape[4]]
    log_odds = -2.5 + sum(
        sd * rng.normal(size=k)[codes[:, i]]
        for i, (sd, k) in enumerate(zip((0.35, 1.4, 0.9, 0.5, 0.8), sizes, strict=True))
    )
    levels = {f: [f"{f}{i:04d}" for i in range(k)] for f, k in zip(factors, sizes, strict=True)}
    refused = (rng.random(responses) < 1 / (1 + np.exp(-log_odds))).astype(float)
    cells = Cells(levels, np.ascontiguousarray(codes), refused, np.ones(responses))
    data = time.perf_counter() - began
    structure = build_structure(
        cells, [["persona", "model"], ["model", "task"]], {"paraphrase": "task", "item": "task"}
    )
    prior = read_prior({"family": "half_normal"}, structure.names)
    fitted = fit_cells(cells, structure, prior, FitSettings(draws=250, tune=300, progress=False))
    return {
        "seconds_data": data,
        "cells": len(cells.trials),
        "seconds_set_up": round(fitted.seconds_compile, 2),
        "seconds_sample": round(fitted.seconds_sample, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        **judge(
            [fitted.plain.intercept[:, None], fitted.plain.sds],
            fitted.statistics["diverging"],
            fitted.statistics["n_steps"],
        ),
    }


def fit_bambi(responses: int, shape: tuple[int, ...]) -> dict[str, object]:
    """Fit the same counts with Bambi's defaults: its priors, its sampler, the same chains and draws."""
    import bambi
    import pandas as pd

    from tests.inference.simulate import simulate

    began = time.perf_counter()
    cells = simulate(responses, shape).cells  # type: ignore[arg-type]
    table = pd.DataFrame({f: np.array(v)[cells.codes[:, i]] for i, (f, v) in enumerate(cells.levels.items())})
    table = table.assign(refusals=cells.refusals.astype(int), trials=cells.trials.astype(int))
    for pair in ("task:paraphrase", "persona:model", "model:task"):
        one, two = pair.split(":")
        table[f"{one}_{two}"] = table[one] + table[two]
    data = time.perf_counter() - began
    terms = ["persona", "model", "task", "task_paraphrase", "persona_model", "model_task"]
    formula = "p(refusals, trials) ~ 1 + " + " + ".join(f"(1|{term})" for term in terms)
    model = bambi.Model(formula, table, family="binomial")
    tree = model.fit(draws=1000, tune=1000, chains=CHAINS, cores=2, random_seed=1, progressbar=False)
    posterior = tree["posterior"]
    names = ["Intercept", *(f"1|{t}_sigma" for t in terms), *(f"1|{t}" for t in terms[:3])]
    flat = [posterior[n].values.reshape(CHAINS * 1000, -1) for n in names]
    stats = tree["sample_stats"]
    return {"seconds_data": data, **judge(flat, stats["diverging"].values, stats["n_steps"].values)}


def judge(columns: list[np.ndarray], diverging: np.ndarray, steps: np.ndarray) -> dict[str, object]:
    """Summarise convergence over the compared quantities."""
    began = time.perf_counter()
    from src.effects.summaries import convergence

    draws = np.concatenate(columns, axis=1)
    found = convergence(draws.reshape(CHAINS, -1, draws.shape[1]))
    return {
        "ess_min": round(float(np.nanmin(found["ess_bulk"])), 1),
        "rhat_max": round(float(np.nanmax(found["r_hat"])), 4),
        "divergences": int(diverging.sum()),
        "gradients_per_draw": round(float(steps.mean()), 1),
        "seconds_judging": time.perf_counter() - began,
    }


def show(result: dict[str, object]) -> None:
    """Print one case."""
    print(json.dumps(result), flush=True)


KINDS = {
    "ours": fit_ours,
    "bambi": fit_bambi,
    "items": fit_items,
    "fast": fit_fast,
    "error": fit_error,
    "flags": fit_flags,
    "labels": fit_labels,
}

if __name__ == "__main__":
    main()
