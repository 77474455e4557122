"""python -m src.report as a user runs it: one line for bad input, nothing half-written or heavy loaded."""

import subprocess
import sys

import pytest

from tests.commands import ROOT, run


def test_the_terminal_says_where_the_page_is(reported, runs):
    done, _ = reported
    assert done.stdout.splitlines()[-1] == f"written: {runs}/mine/report/index.html"


def test_a_report_replaces_the_one_before(runs, reported):
    """The same bytes again; pictures that are no longer drawn go; neither PyMC nor torch is loaded."""
    folder = runs / "mine" / "report"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "plots" / "old.png").write_bytes(b"of an earlier fit")
    (folder / "index.html").write_text("earlier")
    code = (
        "import atexit, runpy, sys\n"
        "heavy = {'pymc', 'pytensor', 'torch', 'nutpie'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "runpy.run_module('src.report', run_name='__main__')"
    )
    arguments = [sys.executable, "-c", code, f"runs_dir={runs}", "study=mine"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_sweep_over_fits_makes_a_report_of_each(runs):
    run("report", "-m", f"runs_dir={runs}", "study=mine", "fit=fit,fast", "output=reports")
    exact, fast = (runs / "mine" / "reports" / f"fit={name},output=reports" for name in ("fit", "fast"))
    assert (exact / "index.html").read_bytes() == (runs / "mine" / "report" / "index.html").read_bytes()
    assert "APPROXIMATE POSTERIOR" in (fast / "index.html").read_text()
    assert not (fast / "plots" / "ranks.png").exists(), "independent draws have no chains"
    for path in (fast / "plots").glob("*.svg"):
        assert "SIMULATED DATA" in path.read_text(), path.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study=nime"], "did you mean mine?"),
        (["study=mine", "fit=fti"], "did you mean fit?"),
        (["study=mine", "output=../../x"], "output must be a folder inside"),
        (["study=mine", "ftt=fit"], "did you mean fit?"),
        (["study=../x"], "is not usable"),
    ],
)
def test_bad_input_gets_one_line(copied, arguments, message):
    done = run("report", f"runs_dir={copied.parent}", *arguments, status=2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not (copied / "report").exists()


@pytest.mark.parametrize("name", ["diagnostics.json", "variance.csv", "posterior.nc"])
def test_a_damaged_fit_gets_one_line_that_names_the_file(copied, name):
    path = copied / "fit" / name
    path.write_bytes(path.read_bytes()[:100])
    done = run("report", f"runs_dir={copied.parent}", "study=mine", status=2)
    assert done.stderr.count("\n") == 1
    assert f"{path} is damaged" in done.stderr
    assert not (copied / "report").exists()


def test_a_fit_that_was_interrupted_gets_one_line(copied):
    (copied / "fit" / "diagnostics.json").unlink()
    done = run("report", f"runs_dir={copied.parent}", "study=mine", status=2)
    assert done.stderr.count("\n") == 1
    assert "diagnostics.json is missing: the fit is not finished" in done.stderr


def test_damaged_responses_get_one_line_and_leave_no_report(copied):
    (copied / "observations.parquet").write_bytes(b"PAR1 and no more")
    done = run("report", f"runs_dir={copied.parent}", "study=mine", status=2)
    assert done.stderr.count("\n") == 1
    assert "observations.parquet is damaged" in done.stderr
    assert not (copied / "report").exists()
