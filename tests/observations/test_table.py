"""The table of observations equals a join done by hand, whatever the order of the parts."""

import json
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.detect.base import Labels
from src.detect.outcomes import KINDS, OUTCOMES, REFUSED, outcome_of
from src.engines.base import Response
from src.engines.keys import generation_hash
from src.errors import InputError
from src.observations import table
from src.observations.labels import label_rows, labels_path, read_labels, write_labels
from src.observations.planning import PlannedJob
from src.observations.responses import ResponseStore
from src.observations.table import ORDER, ROW_GROUP, Summary, build_observations, observations_lock
from src.study.paths import StudyPaths
from tests.observations.test_responses import ROOT, SETTINGS, answer, write

CONTRACT = [
    "model",
    "persona",
    "task",
    "paraphrase",
    "item",
    "replicate",
    "outcome",
    "refused",
    "label",
    "gold",
    "response",
    "cell_key",
    "model_revision",
    "dtype",
    "engine",
    "generation_hash",
    "prompt_tokens",
    "new_tokens",
    "detector",
    "detector_version",
    "persona_template",
    "system_role",
    "finish_reason",
    "batch_size",
    "kind",
    "superseded",
]

NAMING = ("answered", "partial_refusal")

Answer = tuple[PlannedJob, Response]


def label_all(
    paths: StudyPaths, kinds: Mapping[str, str | None], detector: str = "rules", refused: str = "any"
) -> Path:
    """Label keys with kinds; answers and partial refusals name the label yes."""
    labels = ["yes" if kind in NAMING else None for kind in kinds.values()]
    path = labels_path(paths, detector)
    write_labels(path, [label_rows(list(kinds), Labels([*kinds.values()], labels), detector, "v1", refused)])  # type: ignore[list-item]
    return path


def fill(paths: StudyPaths, answers: list[Answer], pieces: int = 1) -> None:
    """Store answers in several parts a model."""
    for model in {planned.levels["model"] for planned, _ in answers}:
        of_model = [a for a in answers if a[0].levels["model"] == model]
        for piece in range(pieces):
            write(paths.responses, *of_model[piece::pieces], model=model)


def rows_of(paths: StudyPaths) -> list[dict]:
    return pq.read_table(paths.observations, page_checksum_verification=True).to_pylist()


def test_a_row_holds_the_contract_s_columns_in_order(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "mine")
    fill(paths, [answer("k", "I cannot.", persona="muslim", replicate=2)])
    summary = build_observations(paths, label_all(paths, {"k": "full_refusal"}), {"whyrefuse": "0.1.0"})
    configuration = {
        "model": "m",
        "generation_hash": generation_hash(SETTINGS),
        "model_id": "org/model",
        "model_revision": "abc123",
        "dtype": "float32",
        "engine": "simulated",
        "settings": {k: v for k, v in asdict(SETTINGS).items() if k != "stop_when_decided"},
        "responses": 1,
        "newest": True,
    }
    counts = {"m": {"answered": 0, "refused": 1, "unparsed": 0}}
    assert summary == Summary(1, 0, 0, 0, True, counts, [configuration])
    (row,) = rows_of(paths)
    assert len(row.pop("generation_hash")) == 16
    assert [*row] == [name for name in CONTRACT if name != "generation_hash"]
    assert row == {
        "model": "m",
        "persona": "muslim",
        "task": "nli",
        "paraphrase": "p0",
        "item": "i0",
        "replicate": 2,
        "outcome": "refused",
        "refused": True,
        "label": None,
        "gold": "yes",
        "response": "I cannot.",
        "cell_key": "k",
        "model_revision": "abc123",
        "dtype": "float32",
        "engine": "simulated",
        "prompt_tokens": 3,
        "new_tokens": 2,
        "detector": "rules",
        "detector_version": "v1-any",
        "persona_template": "you_are",
        "system_role": "none",
        "finish_reason": "stop",
        "batch_size": 4,
        "kind": "full_refusal",
        "superseded": False,
    }
    assert pq.read_schema(paths.observations).names == CONTRACT
    assert not any(pa.types.is_dictionary(field.type) for field in pq.read_schema(paths.observations))
    metadata = json.loads(pq.read_schema(paths.observations).metadata[b"whyrefuse"])
    assert metadata.pop("created").endswith("+00:00")
    assert metadata == {
        "versions": {"whyrefuse": "0.1.0"},
        "rows": 1,
        "errors_excluded": 0,
        "unlabelled": 0,
        "missing": 0,
        "simulated": True,
        "configurations": [configuration],
    }


CELLS = st.lists(
    st.tuples(
        st.sampled_from(["m1", "m2", "Ω"]),
        st.sampled_from(["none", "muslim", "Éa"]),
        st.sampled_from(["i0", "i1", "i10"]),
        st.integers(0, 11),
        st.sampled_from([*KINDS, "error", "unlabelled", "missing"]),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda cell: cell[:4],
)


@given(
    CELLS,
    st.randoms(use_true_random=False),
    st.integers(1, 3),
    st.sampled_from([*REFUSED]),
    st.sampled_from([1, 3, 1000]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_table_equals_a_join_by_hand(
    tmp_path_factory: pytest.TempPathFactory,
    cells: list,
    shuffler: random.Random,
    pieces: int,
    refused: str,
    at_once: int,
) -> None:
    paths = StudyPaths(tmp_path_factory.mktemp("runs"), "mine")
    answers, kinds, expected = [], {}, []
    for number, (model, persona, item, replicate, kind) in enumerate(cells):
        key, reason = f"key {number}", "error" if kind == "error" else "stop"
        answers.append(
            answer(key, model=model, persona=persona, item=item, replicate=replicate, reason=reason)
        )
        if kind != "unlabelled":
            kinds[key] = {"error": "unparsed", "missing": None}.get(kind, kind)
        if kind in KINDS:
            outcome = outcome_of(kind, "yes", refused)
            expected.append((model, persona, item, replicate, outcome, outcome == "refused", key, kind))
    shuffler.shuffle(answers)
    fill(paths, answers, pieces)
    shuffled = dict(shuffler.sample(sorted(kinds.items()), len(kinds)))
    labels = label_all(paths, shuffled, refused=refused)
    if not expected:
        with pytest.raises(InputError, match="study mine holds no labelled response"):
            build_observations(paths, labels)
        assert not paths.observations.exists()
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "AT_ONCE", at_once)
        summary = build_observations(paths, labels)
    columns = ("model", "persona", "item", "replicate", "outcome", "refused", "cell_key", "kind")
    rows = rows_of(paths)
    assert [tuple(row[c] for c in columns) for row in rows] == sorted(expected)
    assert [row["label"] for row in rows] == ["yes" if e[4] == "answered" else None for e in sorted(expected)]
    assert summary.rows == len(expected)
    assert summary.errors_excluded == sum(cell[4] == "error" for cell in cells)
    assert summary.unlabelled == sum(cell[4] == "unlabelled" for cell in cells)
    assert summary.missing == sum(cell[4] == "missing" for cell in cells)
    assert summary.counts == {
        model: {o: sum(e[0] == model and e[4] == o for e in expected) for o in OUTCOMES}
        for model in sorted({e[0] for e in expected})
    }


def test_an_error_that_was_mended_counts_once(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "mine")
    for text, reason in [("", "error"), ("", "error"), ("Yes.", "stop"), ("Again.", "stop")]:
        fill(paths, [answer("k", text, reason=reason)])
    summary = build_observations(paths, label_all(paths, {"k": "answered"}))
    assert (summary.rows, summary.errors_excluded) == (1, 0)
    assert [row["response"] for row in rows_of(paths)] == ["Yes."]


def test_the_detector_s_labels_are_those_asked_for_and_the_order_of_parts_changes_no_row(
    tmp_path: Path,
) -> None:
    answers = [answer(f"k{i}", item=f"i{i % 3}", persona=f"p{i % 2}", replicate=i) for i in range(12)]
    found = []
    for study, order in [("one", answers), ("two", answers[::-1])]:
        paths = StudyPaths(tmp_path, study)
        fill(paths, order, 3)
        label_all(paths, dict.fromkeys([f"k{i}" for i in range(12)], "answered"))
        strict = label_all(paths, dict.fromkeys([f"k{i}" for i in range(12)], "full_refusal"), "strict")
        build_observations(paths, strict)
        found.append(rows_of(paths))
    assert found[0] == found[1]
    assert found[0] == sorted(found[0], key=lambda row: [row[name] for name in ORDER])
    assert {(row["detector"], row["refused"]) for row in found[0]} == {("strict", True)}


def test_row_groups_join_to_one_sorted_table(tmp_path: Path) -> None:
    rows = ROW_GROUP + 1
    paths = StudyPaths(tmp_path, "mine")
    fill(paths, [answer(f"k{i}", replicate=i) for i in range(rows)], 2)
    build_observations(paths, label_all(paths, {f"k{i}": "answered" for i in range(rows)}))
    assert pq.read_metadata(paths.observations).num_row_groups == 2
    replicates = pq.read_table(paths.observations, columns=["replicate"])["replicate"]
    assert replicates.to_pylist() == list(range(rows))


def test_an_earlier_table_stays_when_building_fails(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "mine")
    fill(paths, [answer("a"), answer("b")])
    labels = label_all(paths, {"a": "answered"})
    build_observations(paths, labels)
    before = paths.observations.read_bytes()
    (part,) = ResponseStore(paths.responses).parts()
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(InputError, match=part.name):
        build_observations(paths, labels)
    assert paths.observations.read_bytes() == before
    assert not list(paths.root.glob("*.new"))


def test_a_study_without_folder_labels_or_responses_is_named(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "mine")
    with pytest.raises(InputError, match=r"unknown study .* 'mine'"):
        build_observations(paths, labels_path(paths, "rules"))
    paths.root.mkdir()
    with pytest.raises(InputError, match="no labels of detector 'rules'"):
        build_observations(paths, labels_path(paths, "rules"))
    with pytest.raises(InputError, match="study mine holds no labelled response: 0 errors, 0 not in"):
        build_observations(paths, label_all(paths, {}))


def test_what_a_later_configuration_or_wording_replaces_is_marked(tmp_path: Path) -> None:
    """Two models; one asked again hotter, and then one cell of it in other words."""
    paths = StudyPaths(tmp_path, "mine")
    hotter = replace(SETTINGS, temperature=1.0)
    write(paths.responses, answer("a0"), answer("a1", item="i1"), model="m")
    write(paths.responses, answer("b0", model="other"), model="other")
    write(paths.responses, answer("a2"), answer("a3", replicate=1), model="m", settings=hotter)
    write(paths.responses, answer("a4", replicate=1), model="m", settings=hotter)
    keys = ["a0", "a1", "a2", "a3", "a4", "b0"]
    summary = build_observations(paths, label_all(paths, dict.fromkeys(keys, "full_refusal")))
    marked = {row["cell_key"]: row["superseded"] for row in rows_of(paths)}
    assert marked == {"a0": True, "a1": True, "a2": False, "a3": True, "a4": False, "b0": False}
    found = [
        (one["model"], one["settings"]["temperature"], one["responses"], one["newest"])
        for one in summary.configurations
    ]
    assert found == [("m", 0.0, 2, False), ("m", 1.0, 3, True), ("other", 0.0, 1, True)]


LABEL_AND_BUILD = """
import sys
from collections.abc import Mapping
from pathlib import Path
from src.observations.table import build_observations, observations_lock
from src.study.paths import StudyPaths
from tests.observations.test_responses import answer, good_keys
from tests.observations.test_table import fill, label_all

paths, model = StudyPaths(Path(sys.argv[1]), "mine"), sys.argv[2]
for i in range(5):
    fill(paths, [answer(f"{model} {i}", model=model, replicate=i)])
    with observations_lock(paths):
        keys = good_keys(paths.responses)
        build_observations(paths, label_all(paths, dict.fromkeys(keys, "full_refusal")))
"""


def test_jobs_that_finish_together_leave_a_table_of_all_responses(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", LABEL_AND_BUILD, str(tmp_path), model] for model in ("one", "two")]
    processes = [subprocess.Popen(c, cwd=ROOT, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    paths = StudyPaths(tmp_path, "mine")
    keys = [f"{model} {i}" for model in ("one", "two") for i in range(5)]
    assert [row["cell_key"] for row in rows_of(paths)] == keys
    assert read_labels(labels_path(paths, "rules")).num_rows == 10
    with observations_lock(paths), observations_lock(paths):
        assert build_observations(paths, labels_path(paths, "rules")).rows == 10
