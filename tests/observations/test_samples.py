"""Samples for labelling: every stratum in turn, nested in larger ones, and weights that restore the study."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import InputError
from src.observations.samples import (
    Draw,
    check_draw,
    draw_sample,
    read_frame,
    sample_of,
    sample_path,
    weights,
)
from src.study.paths import StudyPaths

DRAW = Draw(40, ("persona", "task"), 1)


def frame(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "cell_key": [f"{seed}-{number:032x}" for number in range(rows)],
            "model": "m",
            "persona": draw.choice(["none", "muslim", "atheist"], rows, p=[0.8, 0.15, 0.05]),
            "task": draw.choice(["nli", "politeness"], rows),
            "paraphrase": "form",
            "item": draw.choice(["a", "b"], rows),
            "refused": draw.random(rows) < 0.1,
            "kind": "answered",
            "label": None,
            "detector": "rules",
            "detector_version": "1-any",
        }
    )


def study(folder, rows: pd.DataFrame) -> StudyPaths:
    paths = StudyPaths(folder, "mine")
    paths.root.mkdir(exist_ok=True)
    rows.to_parquet(paths.observations, index=False)
    return paths


def test_strata_take_turns():
    rows = frame()
    strata = rows.groupby(["persona", "task", "refused"]).size()
    sample = draw_sample(rows, DRAW)
    taken = sample["stratum"].value_counts()
    assert len(sample) == 40
    assert len(taken) == len(strata)
    # All have as many, within one, but those that have no more.
    full = 40 // len(strata)
    small = strata[strata < full]
    assert taken.max() - taken.drop([", ".join(map(str, key)) for key in small.index]).min() <= 1
    assert sample["responses"].groupby(sample["stratum"]).first().sum() == len(rows)


@given(st.integers(1, 700), st.integers(0, 5), st.integers(0, 3))
def test_weights_restore_the_study_and_smaller_samples_are_the_beginning(size, seed, rows_seed):
    rows = frame(300, rows_seed)
    sample = draw_sample(rows, Draw(size, ("persona", "task"), seed))
    assert sample["cell_key"].is_unique
    assert len(sample) == min(size, 300)
    represented = sample["responses"].groupby(sample["stratum"]).first().sum()
    assert sum(weights(sample, sample["cell_key"]).values()) == pytest.approx(represented)
    smaller = draw_sample(rows, Draw(max(size // 2, 1), ("persona", "task"), seed))
    pd.testing.assert_frame_equal(smaller, sample.head(len(smaller)))
    shuffled = rows.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(draw_sample(shuffled, Draw(size, ("persona", "task"), seed)), sample)


def test_every_response_of_a_stratum_is_as_likely():
    """The first of 30 unflagged responses of one stratum, under 3,000 seeds: chi-squared with 29 degrees."""
    rows = frame(30).assign(persona="none", task="nli", refused=False)
    first = [draw_sample(rows, Draw(1, ("persona",), seed))["cell_key"][0] for seed in range(3000)]
    counts = pd.Series(first).value_counts().reindex(rows["cell_key"], fill_value=0)
    assert ((counts - 100) ** 2 / 100).sum() < 58  # the .999 quantile is 58.3


def test_weights_count_only_what_is_labelled():
    sample = pd.DataFrame({"cell_key": list("abcd"), "stratum": list("xxxy"), "responses": [30, 30, 30, 5]})
    assert weights(sample, ["a", "b", "d"]) == {"a": 15, "b": 15, "d": 5}
    assert weights(sample, ["a", "elsewhere"]) == {"a": 30}
    assert weights(sample, []) == {}


def test_a_sample_stays_while_the_study_grows_and_is_read_anew(tmp_path):
    rows = frame()
    paths = study(tmp_path, rows)
    first, size = sample_of(paths, DRAW)
    assert len(first) == size == 40
    grown = pd.concat([rows, frame(400, seed=1)]).assign(detector_version="2-any", refused=False)
    study(tmp_path, grown)
    for asked in (40, 10):
        again, size = sample_of(paths, Draw(asked, DRAW.strata, 1))
        pd.testing.assert_frame_equal(again, first)
        assert size == asked
    before = sample_path(paths).read_bytes()
    with pytest.raises(InputError, match=r"flags of detector version 1-any.*now read by 2-any: size=40"):
        sample_of(paths, Draw(80, DRAW.strata, 1))
    for draw, said in ((Draw(40, ("task",), 1), "strata=\\[persona,task\\], received \\[task\\]"),
                       (Draw(40, DRAW.strata, 2), "seed=1, received 2")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            sample_of(paths, draw)
    assert sample_path(paths).read_bytes() == before


def test_a_larger_sample_of_a_larger_study_holds_the_earlier_one(tmp_path):
    rows = frame()
    paths = study(tmp_path, rows)
    first, _ = sample_of(paths, DRAW)
    study(tmp_path, pd.concat([rows, frame(400, seed=1)]))
    larger, size = sample_of(paths, Draw(60, DRAW.strata, 1))
    assert len(larger) == size >= 60
    assert set(first["cell_key"]) <= set(larger["cell_key"])
    assert larger["responses"].groupby(larger["stratum"]).first().sum() == 1000
    again, size = sample_of(paths, Draw(60, DRAW.strata, 1))
    assert len(again) == size == len(larger)
    everything, size = sample_of(paths, Draw(5000, DRAW.strata, 1))
    assert len(everything) == size == 1000
    pd.testing.assert_frame_equal(sample_of(paths, Draw(6000, DRAW.strata, 1))[0], everything)


@pytest.mark.parametrize(
    ("size", "strata", "seed", "said"),
    [
        (0, ["task"], 1, "size must be a whole number of at least 1, received 0"),
        (2.5, ["task"], 1, "size must be"),
        (True, ["task"], 1, "size must be"),
        (5, "task", 1, r"strata must be a list such as \[model, persona, task\], received 'task'"),
        (5, ["taks"], 1, "unknown stratum 'taks'; did you mean task"),
        (5, ["task"], "x", "seed must be a whole number"),
    ],
)
def test_unusable_draws(size, strata, seed, said):
    with pytest.raises(InputError, match=said):
        check_draw(size, strata, seed)


def test_no_table_and_a_damaged_one(tmp_path):
    paths = StudyPaths(tmp_path, "mine")
    with pytest.raises(InputError, match=r"has no .*observations.parquet; run python -m src.detect"):
        read_frame(paths)
    paths.root.mkdir()
    paths.observations.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is damaged"):
        read_frame(paths)
