"""Study names stay inside their folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import InputError
from src.study.paths import StudyPaths


@given(st.text(max_size=30))
def test_no_name_leads_outside(name):
    try:
        paths = StudyPaths(Path("runs"), name)
    except InputError:
        return
    assert paths.root.resolve().parent == Path("runs").resolve()


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "", ".", "..", ".hidden", "a\n", "-x"])
def test_escaping_names_are_refused(name):
    with pytest.raises(InputError, match="study name"):
        StudyPaths(Path("runs"), name)


def test_missing_study_names_its_neighbours(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="did you mean mine"):
        StudyPaths(tmp_path, "mien").require()
