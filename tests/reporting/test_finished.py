"""A finished fit is read back as it was written, and a bad one is named in one line."""

import json

import numpy as np
import pytest

from src.effects.reading import read_effects
from src.effects.tables import TableSettings, effects_table, variance_table
from src.effects.variance import variance_shares
from src.errors import InputError
from src.reporting.finished import COLUMNS, find_fit, inside, read_fit
from src.study.paths import StudyPaths
from tests.reporting.conftest import MODELS, PERSONAS


def test_names_come_back_as_they_were(fit):
    contrasts = fit.frames["contrasts"]
    personas = contrasts[contrasts["factor"] == "persona"]
    assert set(personas["level"]) == set(PERSONAS) - {"none"}
    assert set(personas["baseline"]) == {"none"}
    assert set(personas["within"]) == {"", *(f"model={name}" for name in MODELS)}
    assert fit.structure["levels"]["model"] == sorted(MODELS)
    assert fit.nested == {"paraphrase": "task"}


def test_tables_are_those_of_the_draws(fit):
    """Recomputed from posterior.nc; six digits are written."""
    import xarray as xr

    with xr.open_datatree(fit.folder / "posterior.nc", engine="h5netcdf") as tree:
        shares = variance_table(variance_shares(read_effects(tree)), TableSettings())
        effects = effects_table(tree["posterior"].to_dataset(), TableSettings())
    for name, fresh in (("variance", shares), ("effects", effects)):
        numbers = [c for c in COLUMNS[name] if fresh[c].dtype == float]
        np.testing.assert_allclose(fit.frames[name][numbers], fresh[numbers], rtol=1e-5, atol=1e-12)


def test_groups_hold_what_is_asked_for(fit):
    assert set(fit.group("posterior", ["sd"]).data_vars) == {"sd"}
    assert fit.group("observed_data")["refusals"].sum() == fit.diagnostics["refusals"]


@pytest.mark.parametrize("name", ["diagnostics.json", "posterior.nc", *(f"{table}.csv" for table in COLUMNS)])
def test_a_missing_file_is_named(copied, name):
    (copied / "fit" / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        read_fit(copied / "fit")


@pytest.mark.parametrize("name", ["diagnostics.json", "posterior.nc", *(f"{table}.csv" for table in COLUMNS)])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\x00", b"{}", b'a,b\n"1,2\n'])
def test_a_damaged_file_is_named_in_one_line(copied, name, content):
    (copied / "fit" / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as raised:
        read_fit(copied / "fit")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_posterior_cut_short_is_named(copied, kept):
    path = copied / "fit" / "posterior.nc"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"posterior\.nc is damaged"):
        read_fit(copied / "fit")


@pytest.mark.parametrize("table", list(COLUMNS))
def test_a_number_that_is_none_is_named_with_its_line(copied, table):
    path = copied / "fit" / f"{table}.csv"
    lines = path.read_text().splitlines()
    column = next(
        i for i, name in enumerate(lines[0].split(",")) if name in ("mean", "value", "odds_ratio", "prior")
    )
    cells = lines[2].rsplit(",", lines[0].count(",") - column + 1)
    cells[1] = "0.5.5"
    lines[2] = ",".join(cells)
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"{table}\.csv is damaged: .* is '0\.5\.5' in line 3"):
        read_fit(copied / "fit")


@pytest.mark.parametrize("table", [name for name in COLUMNS if name != "power_scaling"])
def test_a_table_without_a_column_is_named(copied, table):
    path = copied / "fit" / f"{table}.csv"
    header, _, rest = path.read_text().partition("\n")
    path.write_text(f"{header.replace('ci_lower', 'lower')}\n{rest}")
    with pytest.raises(InputError, match=rf"{table}\.csv is damaged: it has no column .*ci_lower"):
        read_fit(copied / "fit")


def test_diagnostics_of_another_kind_are_named(copied):
    path = copied / "fit" / "diagnostics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rhat_max": "1.0"}))
    with pytest.raises(InputError, match=r"rhat_max is '1\.0'"):
        read_fit(copied / "fit")


def test_files_of_two_fits_are_not_mixed(copied):
    path = copied / "fit" / "diagnostics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "observations_hash": "0" * 16}))
    with pytest.raises(InputError, match="of another fit"):
        read_fit(copied / "fit")


def test_the_nearest_study_and_fit_are_named(copied):
    with pytest.raises(InputError, match="did you mean mine"):
        find_fit(StudyPaths(copied.parent, "nime"), "fit")
    with pytest.raises(InputError, match="did you mean fit"):
        find_fit(StudyPaths(copied.parent, "mine"), "fti")
    (copied / "fit").rename(copied.parent / "elsewhere")
    with pytest.raises(InputError, match=r"run python -m src\.fit study=mine"):
        find_fit(StudyPaths(copied.parent, "mine"), "fit")


@pytest.mark.parametrize("name", ["..", "../other", "/tmp", "", ".", "a/../.."])  # noqa: S108
def test_a_folder_outside_the_study_is_refused(copied, name):
    with pytest.raises(InputError, match="output must be a folder inside"):
        inside(StudyPaths(copied.parent, "mine"), "output", name)


def test_a_fit_of_a_sweep_is_found(copied):
    (copied / "fit").rename(copied / "moved")
    (copied / "fit").mkdir()
    (copied / "moved").rename(copied / "fit" / "priors=r2d2")
    paths = StudyPaths(copied.parent, "mine")
    assert find_fit(paths, "fit/priors=r2d2").folder == copied / "fit" / "priors=r2d2"
    with pytest.raises(InputError, match=r"did you mean fit/priors=r2d2"):
        find_fit(paths, "fit/priors=r2d")
    with pytest.raises(InputError, match="holds the fits of a sweep; choose one: fit=fit/priors=r2d2"):
        find_fit(paths, "fit")
