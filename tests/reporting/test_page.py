"""The page: refers to nothing outside, escapes everything, says what the tables say, warns when it must."""

import base64
import json
import re

import pandas as pd
import pytest

from src.effects.contrasts import MEAN
from src.reporting.examples import MOST, refused_examples
from src.reporting.findings import answer
from src.reporting.finished import read_fit
from src.reporting.page import render_page
from src.reporting.pictures import draw_capability
from src.reporting.style import drawing
from src.reporting.words import APPROXIMATE, FAILED, SIMULATED, percent, points
from tests.reporting.conftest import MODELS, PERSONAS, RESPONSE
from tests.reporting.pages import Page

ENDS = ("", "_ci_lower", "_ci_upper")


@pytest.fixture(scope="module")
def page(reported) -> Page:
    return Page(reported[1])


def rendered(fit, examples=(), **changed) -> Page:
    """Render the page of a fit whose diagnostics say something else."""
    other = type(fit)(fit.folder, {**fit.diagnostics, **changed}, fit.frames, fit.structure)
    return Page(render_page("mine", other, {}, {}, list(examples)))


def test_nothing_outside_is_referred_to(page):
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert name not in ("srcset", "action", "data", "background", "poster")
            assert not name.startswith("on"), "no event handler"
            if name in ("src", "href"):
                assert value.startswith(("data:image/", "#")), value
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    policies = [m["content"] for m in page.attributes("meta") if m.get("http-equiv")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_links_lead_somewhere(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"].removeprefix("#") for a in page.attributes("a")} <= set(ids)


def test_every_picture_is_embedded_whole_and_has_words(page, runs):
    plots = runs / "mine" / "report" / "plots"
    images = page.attributes("img")
    assert len(images) == len(list(plots.glob("*.png"))) == len(list(plots.glob("*.svg")))
    written = {path.read_bytes() for path in plots.iterdir()}
    for image in images:
        assert len(image["alt"]) > 20
        assert base64.b64decode(image["src"].partition(",")[2]) in written


def test_names_are_text_and_never_markup(page):
    assert "alert(1)" not in str(page.elements)
    for name in (*MODELS, *PERSONAS):
        assert name in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.source
    assert "<script" not in page.source


def test_responses_are_shown_as_untrusted_text(page):
    assert page.text.count(RESPONSE) == MOST
    assert "untrusted text" in page.text
    assert RESPONSE not in page.source
    assert "{{ 7 * 7 }}" in page.text


def rows(page: Page, start: str) -> dict[str, list[str]]:
    """Find a table by the start of its caption: first cell to the others."""
    found = [table for caption, table in page.tables.items() if caption.startswith(start)]
    assert len(found) == 1, start
    return {row[0]: row[1:] for row in found[0][1:]}


def test_shares_are_those_of_the_tables(page, fit):
    names = {"paraphrase within task": "task:paraphrase"}
    for start, columns in (
        (
            "Share of variance of the refusal probability",
            (
                ("variance", "probability_first"),
                ("variance", "probability_total"),
                ("variance_prior", "probability_first"),
                ("variance", "observation"),
            ),
        ),
        (
            "Share of variance of a response's log-odds",
            (("variance", "finite"), ("variance", "latent"), ("variance_prior", "latent")),
        ),
    ):
        table = rows(page, start)
        terms = {name: names.get(name, name.replace(" × ", ":")) for name in table}
        assert set(fit.structure["terms"] and map(":".join, fit.structure["terms"])) <= set(terms.values())
        for name, term in terms.items():
            if term not in map(":".join, fit.structure["terms"]):
                continue
            for cell, (frame, scale) in zip(table[name], columns, strict=False):
                data = fit.frames[frame]
                row = data[(data["term"] == term) & (data["scale"] == scale)].iloc[0]
                assert cell == percent(row["mean"], row["ci_lower"], row["ci_upper"])


def test_contrasts_are_those_of_the_table(page, fit):
    contrasts = fit.frames["contrasts"]
    overall = contrasts[(contrasts["factor"] == "persona") & (contrasts["within"] == "")]
    table = rows(page, "Difference of each persona from persona none: ")
    assert set(table) == set(overall["level"])
    for row in overall.to_dict("records"):
        cells = table[row["level"]]
        assert cells[1] == points(*(row[f"risk_difference{end}"] for end in ENDS))
        assert cells[2:] == [f"{row['prob_positive']:.2f}", f"{row['prob_rope']:.2f}"]


def test_no_contrast_is_left_out(page, fit):
    """Overall, within models, and of the other factors; those with the mean within models are in the file."""
    contrasts = fit.frames["contrasts"]
    shown = sum(len(table) - 1 for caption, table in page.tables.items() if caption.startswith("Difference"))
    left = (contrasts["baseline"] == MEAN) & contrasts["within"].str.startswith("model=")
    assert shown == len(contrasts) - left.sum()


def test_sensitivity_is_that_of_the_table(page, fit):
    table = rows(page, "Model-free sensitivity")
    data = fit.frames["sensitivity"].set_index(["term", "index"])
    for term, name in (("persona", "persona"), ("task:paraphrase", "paraphrase within task")):
        for place, index in enumerate(("sobol_first", "optimal_transport")):
            row = data.loc[(term, index)]
            assert table[name][2 * place] == percent(row["value"], row["ci_lower"], row["ci_upper"])
            assert table[name][2 * place + 1] == f"{100 * row['null_q95']:.1f}"


def test_every_table_of_numbers_says_which_interval(page):
    for caption in page.tables:
        assert "90 %" in caption or caption.startswith("Verdict"), caption


def test_the_answer_stands_in_the_page(page, fit):
    for sentence in answer(fit.frames, fit.diagnostics, fit.nested):
        assert sentence in page.text


def test_the_answer_says_what_the_tables_say(fit):
    words = " ".join(answer(fit.frames, fit.diagnostics, fit.nested))
    variance = fit.frames["variance"]
    own = variance[variance["scale"] == "probability_first"].set_index("term")
    row = own.loc["model"]
    found = re.search(r"model explains (\d+) % \[(\d+), (\d+)\]", words)
    numbers = [100 * row[column] for column in ("mean", "ci_lower", "ci_upper")]
    assert [int(number) for number in found.groups()] == [round(number) for number in numbers]
    refusals, trials = fit.diagnostics["refusals"], fit.diagnostics["trials"]
    assert f"{refusals:,} of {trials:,} responses are refusals ({100 * refusals / trials:.1f} %)." in words


def test_a_study_without_refusals_claims_nothing(fit):
    words = answer(fit.frames, {**fit.diagnostics, "refusals": 0}, fit.nested)
    assert len(words) == 2
    assert "nothing can be explained" in words[1]


@pytest.mark.parametrize(
    ("changed", "banners"),
    [
        ({"simulated": False, "verdict": "pass", "warnings": []}, []),
        ({"simulated": True, "verdict": "pass", "warnings": []}, [SIMULATED]),
        ({"simulated": False, "verdict": "approximate", "warnings": []}, [APPROXIMATE]),
        ({"simulated": True, "verdict": "fail", "warnings": ["a < b"]}, [SIMULATED, FAILED, "a < b"]),
    ],
)
def test_banners_appear_exactly_when_they_must(fit, changed, banners):
    page = rendered(fit, **changed)
    assert [" ".join(alert.split()) for alert in page.alerts] == banners


def test_notes_stand_above_the_answer(fit):
    page = rendered(fit, notes=["<b>first</b> & last"])
    assert "<b>first</b> & last" in page.text
    assert page.text.index("first") < page.text.index("The answer in words")
    assert "Before you read on" not in rendered(fit, notes=[]).text


def test_the_fit_of_simulated_data_says_so_in_page_and_pictures(runs):
    fast = read_fit(runs / "mine" / "fast")
    page = rendered(fast)
    assert [" ".join(alert.split()) for alert in page.alerts] == [SIMULATED, APPROXIMATE]


def test_origin_is_complete(page, fit):
    for text in (
        fit.diagnostics["observations_hash"],
        fit.diagnostics["created"],
        f"pymc {fit.diagnostics['versions']['pymc']}",
    ):
        assert text in page.text
    configuration = page.text.partition("Configuration of the fit")[2]
    assert json.loads(configuration) == fit.diagnostics["configuration"]


def test_sections_without_content_are_left_out(fit):
    empty = {**fit.frames, "contrasts": fit.frames["contrasts"].iloc[:0]}
    page = Page(render_page("mine", type(fit)(fit.folder, fit.diagnostics, empty, fit.structure), {}, {}, []))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert not ids & {"contrasts", "models", "examples"}
    assert {"shares", "sensitivity", "checks", "origin"} <= ids


def test_examples_come_from_different_places(runs, fit):
    table = runs / "mine" / "observations.parquet"
    factors = list(fit.structure["levels"])
    examples = refused_examples(table, factors)
    assert len(examples) == len({example.where for example in examples}) == MOST
    data = pd.read_parquet(table)
    refused = data[data["refused"]]
    places = {", ".join(f"{f} {row[f]}" for f in factors) for row in refused[factors].to_dict("records")}
    assert {example.where for example in examples} <= places
    assert examples == refused_examples(table, factors)


def test_examples_of_few_refusals_are_all_of_them(tmp_path):
    table = tmp_path / "observations.parquet"
    pd.DataFrame({"model": ["m"] * 3, "refused": [1, 0, 1], "response": ["x" * 2000, "b", None]}).to_parquet(
        table
    )
    first, second = refused_examples(table, ["model", "persona"])
    assert first.where == second.where == "model m"
    assert len(first.response) < 700
    assert second.response == ""
    assert refused_examples(tmp_path / "none.parquet", ["model"]) == []
    pd.DataFrame({"model": ["m"], "refused": [1]}).to_parquet(table)
    assert refused_examples(table, ["model"]) == []


def test_shares_that_depend_on_the_prior_say_so(fit):
    scaling = fit.frames["power_scaling"].iloc[:0].copy()
    scaling.loc[0] = ("model", "latent", 0.2, 0.01, "the prior matters")
    frames = {**fit.frames, "power_scaling": scaling}
    page = Page(
        render_page("mine", type(fit)(fit.folder, fit.diagnostics, frames, fit.structure), {}, {}, [])
    )
    table = rows(page, "Share of variance of a response's log-odds")
    assert {name: cells[-1] for name, cells in table.items() if cells[-1][:1].isalpha()} == {
        "model": "the prior matters"
    }
    assert "the prior matters" not in str(rows(page, "Share of variance of the refusal probability"))


def test_predictions_are_those_of_the_table(page, fit):
    table = rows(page, "Refusal probability of a new level")
    for row in fit.frames["predictions"].to_dict("records"):
        expected = percent(row["mean"], row["ci_lower"], row["ci_upper"])
        assert table[f"a new {row['factor']}"] == [expected]


def test_tables_that_were_asked_for_are_shown_and_no_others(page, runs):
    assert not any(
        caption.startswith(("Prediction of", "Standard deviation over")) for caption in page.tables
    )
    compared = read_fit(runs / "mine" / "fast")
    table = rows(rendered(compared), "Prediction of cells left out")
    assert set(table) == {"nothing", "persona × model", "model × task", "persona × task", "all interactions"}
    for row in compared.frames["compare"].to_dict("records"):
        name = row["left_out"].replace(":", " × ") or "nothing"
        assert table[name][0] == f"{row['elpd']:,.1f} ± {row['se']:,.1f}"
        assert table[name][2] == f"{row['pareto_k_bad']:.0f} of {row['cells']:.0f}"


def test_capability_is_answered_in_words_and_shown_by_model(fit):
    """The most capable model first; the factor of one standard deviation is the slope's exponential."""
    values = dict(zip(MODELS, [8.0, 10.0, 9.0], strict=True))
    common = {"ci_prob": 0.9, "ci_kind": "eti"}
    table = pd.DataFrame(
        [
            {"quantity": "slope", "model": "", "mean": -0.5, "ci_lower": -1.0, "ci_upper": 0.0, **common},
            {"quantity": "slope_negative", "model": "", "mean": 0.95, **common},
            *(
                {"quantity": quantity, "model": model, "capability": value, "mean": 1 / value, **common}
                | {"ci_lower": 0.5 / value, "ci_upper": 2 / value}
                for quantity in ("implied_sd", "spread_log_odds", "spread_probability")
                for model, value in values.items()
            ),
        ]
    )
    frames = {**fit.frames, "capability": table}
    words = " ".join(answer(frames, fit.diagnostics, fit.nested))
    assert (
        "is multiplied by 0.61 [0.37, 1.00]; the probability that it falls with capability is 0.95." in words
    )
    other = type(fit)(fit.folder, fit.diagnostics, frames, fit.structure)
    shown = rows(Page(render_page("mine", other, {}, {}, [])), "Standard deviation over personas")
    assert list(shown) == [MODELS[1], MODELS[2], MODELS[0]]
    assert shown[MODELS[1]] == ["10", "0.10 [0.05, 0.20]", "0.10 [0.05, 0.20]", "10.0 [5.0, 20.0]"]
    with drawing():
        picture = draw_capability(table, [])
        assert draw_capability(None, []) is None
    assert "[bold]qwen[/bold] (10)" in picture.svg.decode()
