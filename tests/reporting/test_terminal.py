"""Terminal tables: no number is ever broken, nothing is wider than the terminal, pipes get plain text."""

import io
import re

import pytest
from rich.console import Console

from src.reporting.findings import overall_contrasts, share
from src.reporting.finished import read_fit
from src.reporting.terminal import contrasts_table, show_tables, show_verdict
from src.reporting.words import SIMULATED, percent, points
from tests.reporting.conftest import MODELS, PERSONAS

NUMBER = r"-?\+?\d[\d,.]*(?:e[+-]?\d+)?"
INTERVAL = re.compile(rf"{NUMBER} \[{NUMBER}, {NUMBER}\]")


def shown(fit, width: int, **changed) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False)
    diagnostics = {**fit.diagnostics, **changed}
    show_tables(console, fit.frames, diagnostics, fit.nested)
    show_verdict(console, diagnostics)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_tables_fit_and_no_interval_is_broken(fit, width):
    text = shown(fit, width)
    tables = text.partition("note:")[0].splitlines()
    assert max(map(len, tables)) <= width
    # Every opened bracket of an interval is closed in its line.
    for line in tables:
        assert line.count(" [") == len(INTERVAL.findall(line)) + line.count("interval]") + line.count(
            " [bold"
        )
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_every_share_is_there(fit, width):
    text = shown(fit, width)
    variance, prior = fit.frames["variance"], fit.frames["variance_prior"]
    for frame, scales in (
        (variance, ("probability_first", "probability_total", "latent", "finite")),
        (prior, ("probability_first", "latent")),
    ):
        for row in frame[frame["scale"].isin(scales)].to_dict("records"):
            assert percent(row["mean"], row["ci_lower"], row["ci_upper"]) in text


def test_numbers_stand_under_each_other(fit):
    """Right ends of a column of intervals are aligned."""
    lines = shown(fit, 80).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Share of variance of the refusal"))
    block = lines[start : lines.index("", start) if "" in lines[start:] else start + 12][:12]
    ends = {m.end() for line in block for m in list(INTERVAL.finditer(line))[:1] if "within" not in line}
    assert len(ends) == 1


def test_names_are_shown_as_they_are(fit):
    """Neither markup nor a long name is lost; a name may be folded."""
    text = shown(fit, 120)
    for name in (*MODELS[:2], "muslim", "NA"):
        assert name in text
    squeezed = re.sub(r"\s+", "", shown(fit, 200))
    assert PERSONAS[3].replace(" ", "") in squeezed


def test_contrasts_are_the_largest_first(fit):
    overall = overall_contrasts(fit.frames["contrasts"])
    assert overall["risk_difference"].abs().is_monotonic_decreasing
    assert len(overall) == len(PERSONAS) - 1
    file = io.StringIO()
    Console(file=file, width=100).print(contrasts_table(overall.head(2), len(overall)))
    found = [line for line in file.getvalue().splitlines() if INTERVAL.search(line)]
    assert len(found) == 2
    first = overall.iloc[0]
    ends = ("", "_ci_lower", "_ci_upper")
    assert points(*(first[f"risk_difference{end}"] for end in ends)) in found[0]
    assert ", 2 of 3" in file.getvalue()


def test_shares_are_looked_up_by_scale_and_term(fit):
    variance = fit.frames["variance"]
    row = share(variance, "latent", "model")
    assert row is not None
    assert row["scale"] == "latent"
    assert share(variance, "probability_total", "residual") is None


def test_banners_stand_first_and_last(fit):
    assert SIMULATED not in shown(fit, 120, simulated=False)
    lines = shown(fit, 120, simulated=True).splitlines()
    assert lines[0] == lines[-1] == SIMULATED


def test_warnings_are_shown(fit):
    text = shown(fit, 120, verdict="fail", warnings=["R-hat [bad] of <x>"])
    assert "warning: R-hat [bad] of <x>" in text
    assert "CHECKS FAILED" in text


def test_a_pipe_gets_plain_text_and_whole_sentences(reported):
    done, _ = reported
    assert "\x1b" not in done.stdout
    assert re.search(r"^verdict: \w+   R-hat .* s to sample$", done.stdout, re.MULTILINE)
    assert "Of the variance of the refusal probability over the grid, model explains" in done.stdout
    assert done.stderr == ""


def test_shares_that_depend_on_the_prior_are_starred(fit):
    """On the scale of their table, and nowhere else."""
    rows = [("model", "latent", 0.2, 0.01, "the prior matters"), ("persona", "latent", 0.01, 0.2, "")]
    scaling = fit.frames["power_scaling"].iloc[:0].copy()
    for row in rows:
        scaling.loc[len(scaling)] = row
    file = io.StringIO()
    frames = {**fit.frames, "power_scaling": scaling}
    show_tables(Console(file=file, width=100), frames, fit.diagnostics, fit.nested)
    probability, log_odds, *others = file.getvalue().split("[90 % equal-tailed interval]")[1:]
    assert "*" not in probability
    assert re.findall(r"^ (\S+) \*  ", log_odds, re.MULTILINE) == ["model"]
    assert "moves with the weight of the prior" in log_odds
    assert not any(re.search(r" \*  ", table) for table in others)


def test_a_comparison_is_shown_best_first(runs):
    compared = read_fit(runs / "mine" / "fast")
    table = shown(compared, 80).partition("Prediction of cells left out")[2].partition("note:")[0]
    elpds = [float(found.replace(",", "")) for found in re.findall(r" (-[\d,]+\.\d) ± ", table)]
    assert elpds == sorted(elpds, reverse=True)
    assert len(elpds) == 5
    assert "-0.0 ±" not in table
