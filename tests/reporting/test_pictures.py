"""Pictures: the same bytes for the same fit, sharp, labelled, and marked where they must be."""

import io
import re
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pandas as pd
import pytest
from PIL import Image

from src.reporting.building import draw_pictures
from src.reporting.pictures import draw_by_model, draw_contrasts, draw_shares
from src.reporting.pictures_of_draws import draw_predictive_levels, draw_predictive_pairs, draw_ranks
from src.reporting.predictive import predictive_rates
from src.reporting.style import DPI, drawing
from src.reporting.words import APPROXIMATE, SIMULATED
from tests.reporting.conftest import MODELS, PERSONAS

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def rates(fit):
    groups = (fit.group(name) for name in ("posterior_predictive", "observed_data", "constant_data"))
    return predictive_rates(*groups, fit.nested, 0.9, "eti")


def written(picture) -> str:
    """Texts of a picture: matplotlib notes them in comments, and draws them as outlines."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", picture.svg.decode()))


def test_pictures_are_the_same_bytes_in_another_process(reported, runs, fit, rates):
    drawn = draw_pictures(fit, rates)
    plots = runs / "mine" / "report" / "plots"
    assert {path.name for path in plots.iterdir()} == {f"{n}.{k}" for n in drawn for k in ("png", "svg")}
    for name, picture in drawn.items():
        assert (plots / f"{name}.png").read_bytes() == picture.png, name
        assert (plots / f"{name}.svg").read_bytes() == picture.svg, name


def test_every_kind_of_picture_is_there(runs, reported):
    names = {path.stem for path in (runs / "mine" / "report" / "plots").iterdir()}
    assert names == {
        "shares", "contrasts", "by_model", "sensitivity", "standard_deviations", "predictive_levels",
        "predictive_pairs", "ranks",
    }  # fmt: skip


def test_files_are_sharp_whole_and_undated(runs, reported):
    for path in (runs / "mine" / "report" / "plots").glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
            assert DPI >= 150
            assert set(image.info) == {"dpi"}
            assert image.width == 8 * DPI
    for path in (runs / "mine" / "report" / "plots").glob("*.svg"):
        root = ET.parse(path).getroot()  # noqa: S314
        assert root.tag == f"{SVG}svg"
        assert not root.findall(f".//{SVG}script")
        assert not root.findall(f".//{SVG}image[@href]")
        assert not re.search(r"\d{4}-\d{2}-\d{2}", path.read_text())


def test_names_of_levels_are_drawn_as_text(fit):
    """A dollar sign starts no formula and a tag no element."""
    with drawing():
        picture = draw_by_model(fit.frames["contrasts"], [])
    root = ET.fromstring(picture.svg)  # noqa: S314
    assert not root.findall(f".//{SVG}script")
    assert "[bold]qwen[/bold]" in written(picture)
    assert "frac" in written(picture)


def test_banners_stand_in_the_picture(fit):
    with drawing():
        marked = draw_shares(fit.frames, fit.nested, [SIMULATED, APPROXIMATE])
        plain = draw_shares(fit.frames, fit.nested, [])
    assert SIMULATED in written(marked)
    assert APPROXIMATE in written(marked)
    assert "SIMULATED" not in written(plain)
    heights = [Image.open(io.BytesIO(picture.png)).height for picture in (marked, plain)]
    assert heights[0] > heights[1], "banners take room of their own"


def test_every_contrast_has_its_label(fit):
    with drawing():
        picture = draw_contrasts(fit.frames["contrasts"], [])
    for name in PERSONAS[1:3]:
        assert name in written(picture).splitlines()
    assert "difference in refusal probability, percentage points" in written(picture)
    assert "within ±2 points" in written(picture)


def test_there_is_no_picture_of_nothing(fit, rates):
    contrasts = fit.frames["contrasts"]
    one = contrasts[~contrasts["within"].isin([f"model={name}" for name in MODELS[1:]])]
    with drawing():
        assert draw_contrasts(contrasts.iloc[:0], []) is None
        assert draw_by_model(one, []) is None
        assert draw_predictive_pairs({("a",): rates[("model",)]}, 0.9, "eti", []) is None
        chain = fit.group("posterior", ["intercept", "sd"]).isel(chain=[0])
        assert draw_ranks(chain, fit.nested, []) is None


@pytest.mark.parametrize("levels", [1, 16, 43, 400])
def test_many_levels_keep_the_picture_readable(levels):
    """Labels stand apart, or are left out; the page of a picture stays one."""
    table = pd.DataFrame(
        {
            "level": [f"level-{i:03d}-of-a-factor-with-long-names" for i in range(levels)],
            "trials": 50,
            "observed": [i / levels for i in range(levels)],
            "predicted": [i / levels for i in range(levels)],
            "lower": [max(0.0, i / levels - 0.1) for i in range(levels)],
            "upper": [min(1.0, i / levels + 0.1) for i in range(levels)],
            "inside": True,
        }
    )
    with drawing():
        picture = draw_predictive_levels({("a",): table}, 0.9, "eti", [])
    assert Image.open(io.BytesIO(picture.png)).height < 15 * DPI
    shown = re.findall(r"^level-(\d{3})", written(picture), re.MULTILINE)
    assert len(set(shown)) == len(shown) == (levels if levels <= 60 else 0)


def test_settings_of_others_are_left_alone():
    before = mpl.rcParams["font.size"], mpl.rcParams["text.parse_math"]
    with drawing():
        assert not mpl.rcParams["text.parse_math"]
    assert (mpl.rcParams["font.size"], mpl.rcParams["text.parse_math"]) == before
