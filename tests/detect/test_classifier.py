"""A real classifier, trained here on a toy task, as a detector."""

import random
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src.detect.base import Texts
from src.detect.classifier import fill
from src.detect.registry import check_detector, create_detector
from src.errors import InputError
from src.observations.labelling import label_study
from src.observations.labels import SCHEMA
from src.study.paths import CONF, StudyPaths
from tests.detect.conftest import ANSWERS, REFUSALS
from tests.detect.examples import POLITENESS
from tests.detect.test_command import command, write
from tests.tiny_models import set_field


def config(folder: Path, preset: str = "protectai", **changes: object) -> dict[str, Any]:
    """Settings of a preset with a folder in place of the hub."""
    shipped = OmegaConf.to_container(OmegaConf.load(CONF / "detector" / f"{preset}.yaml"))
    model = {"id": None, "revision": None, "path": str(folder)}
    return {**shipped, "model": model, "max_tokens": 128, "device": "cpu", **changes}  # type: ignore[dict-item]


def texts(responses: list[str], prompt: str | None = None) -> Texts:
    rows = len(responses)
    return Texts(responses, [prompt] * rows, [POLITENESS] * rows, [None] * rows)


def test_kinds_come_from_the_classifier_and_labels_from_the_rules(tiny_classifier: Path) -> None:
    detector = create_detector(config(tiny_classifier))
    labels = detector.label(texts([*REFUSALS, *ANSWERS, "", " ...\n"]))
    assert labels.kind == [
        *["full_refusal"] * 4,
        "partial_refusal",
        *["answered"] * 4,
        *["unparsed"] * 4,
    ]
    assert labels.label == [
        *[None] * 4,
        "impolite",
        *["polite", "impolite", "polite", "impolite"],
        *[None] * 4,
    ]
    assert labels.score is not None
    assert all(score > 0.5 for score in labels.score[:5])  # type: ignore[operator]
    assert all(score < 0.5 for score in labels.score[5:11])  # type: ignore[operator]
    assert labels.score[11:] == [None, None]
    assert detector.name == "protectai"
    assert detector.label(Texts.of(ANSWERS)).kind == ["answered"] * len(ANSWERS)
    assert detector.label(Texts.of([])).kind == []


@pytest.mark.parametrize("batch_size", [1, 7])
def test_company_and_order_change_no_kind(tiny_classifier: Path, batch_size: int) -> None:
    rng = random.Random(0)
    words = " ".join(REFUSALS + ANSWERS).split()
    responses = [" ".join(rng.choices(words, k=rng.randint(1, 30))) for _ in range(25)]
    alone = create_detector(config(tiny_classifier))
    one_by_one = [alone.label(texts([response])) for response in responses]
    scores = [one.score[0] for one in one_by_one]  # type: ignore[index]
    # The threshold is one text's own probability: rounding alone would decide it either way.
    threshold = sorted(scores, key=lambda score: abs(score - 0.5))[0]  # type: ignore[operator]
    settings = config(tiny_classifier, threshold=threshold, batch_size=batch_size)
    single = create_detector(settings)
    expected = {response: single.label(texts([response])).kind[0] for response in responses}
    rng.shuffle(responses)
    labels = create_detector(settings).label(texts(responses))
    assert labels.kind == [expected[response] for response in responses]
    assert sorted(labels.score or []) == pytest.approx(sorted(scores), abs=1e-4)  # type: ignore[type-var]


@given(
    prompt=st.text(max_size=60),
    response=st.text(max_size=30),
    limit=st.integers(1, 80),
    template=st.sampled_from(["{response}", "<u>{prompt}</u>{response}", "{prompt}{response}"]),
)
def test_too_long_texts_lose_the_beginning_of_the_prompt(
    prompt: str, response: str, limit: int, template: str
) -> None:
    text = fill(template, prompt, response, limit, len)
    before, _, after = template.partition("{prompt}")
    kept = text.removeprefix(before) if after else ""
    rest = (after or template).replace("{response}", response)
    assert text.endswith(rest)
    left = kept.removesuffix(rest)
    assert prompt.endswith(left)
    assert len(text) <= limit or not left
    if len(template.replace("{prompt}", prompt).replace("{response}", response)) <= limit:
        assert left == (prompt if "{prompt}" in template else "")


def test_braces_of_a_response_are_text() -> None:
    assert fill("{prompt}|{response}", "{response}", "{prompt} {0}", 99, len) == "{response}|{prompt} {0}"


def test_prompts_are_read_where_the_template_has_them(tiny_classifier: Path) -> None:
    both = create_detector(config(tiny_classifier, "minos"))
    alone = create_detector(config(tiny_classifier))
    asked = "<|im_start|>user\nIs this polite?<|im_end|>\n<|im_start|>assistant\n"
    plain, marked = (both.label(texts(["Hm."], prompt)).score for prompt in ("Is this polite?", asked))
    assert plain == marked
    assert plain != both.label(texts(["Hm."], "Is that rude, or is it something else?")).score
    assert alone.label(texts(["Hm."], asked)).score == alone.label(texts(["Hm."])).score
    assert both.label(texts(["Hm. " * 500], asked * 500)).score is not None


def test_version_names_what_kinds_rest_on(tiny_classifier: Path, tmp_path: Path) -> None:
    def version(folder: Path = tiny_classifier, **changes: object) -> str:
        return create_detector(config(folder, **changes)).version

    copy = shutil.copytree(tiny_classifier, tmp_path / "elsewhere")
    assert version() == version(copy) == version(batch_size=2) == version(name="mine")
    set_field(copy / "config.json", "layer_norm_eps", 1e-3)
    others = [
        version(copy),
        version(threshold=0.6),
        version(max_tokens=99),
        version(refusal_label=0),
        version(dtype="bfloat16"),
        version(template="{prompt} {response}"),
    ]
    assert len({version(), *others}) == 7


def test_classes_go_by_name_or_number(tiny_classifier: Path) -> None:
    names = [1, "REJECTION", ["REJECTION"]]
    scores = [create_detector(config(tiny_classifier, refusal_label=n)).label(texts(["No."])) for n in names]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"refusal_label": "REJECTED"}, r"unknown class .* 'REJECTED'; did you mean REJECTION\?"),
        ({"refusal_label": 2}, "unknown class .* '2'; known: NORMAL, REJECTION"),
        ({"refusal_label": None}, "unknown class"),
        ({"refusal_label": True}, "unknown class"),
        ({"refusal_label": [0, 1]}, "leaves no class that is none; the classes are NORMAL, REJECTION"),
        ({"refusal_label": []}, "leaves no class"),
        ({"threshold": 1}, "detector.threshold must lie between 0 and 1, received 1"),
        ({"template": "{prompt}"}, "detector.template must be text with {response} once"),
        ({"max_tokens": 512}, "detector.max_tokens=512 is more than the 129 that this classifier reads"),
        ({"batch_size": 0}, "detector.batch_size must be a whole number above zero"),
        ({"dtype": "float64"}, "unknown dtype"),
        ({"device": "gpu"}, "unknown device"),
        ({"treshold": 0.5}, r"unknown key of detector 'treshold'; did you mean threshold"),
        ({"model": {"paht": "a"}}, r"unknown key of detector.model 'paht'; did you mean path\?"),
        ({"model": {}}, "detector.model names no classifier; add detector.model.path=FOLDER"),
        ({"model": {"path": "no/such"}}, "'no/such' does not exist; give detector.model.path=FOLDER"),
        ({"method": "clasifier"}, r"unknown detector.method 'clasifier'; did you mean classifier\?"),
        ({"name": ""}, "detector.name must be the name that its labels go by"),
    ],
)
def test_settings_that_cannot_be_used(tiny_classifier: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        check_detector(config(tiny_classifier, **changes))
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_refused(tiny_classifier: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_classifier, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="only pickled weights"):
        check_detector(config(folder))


def test_no_hub_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "in.csv", response=["Paris."])
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "cache")}
    done = command(tmp_path, "src.detect", "responses=in.csv", "output=out.csv", "detector=minos", **nowhere)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "cannot reach the hub" in done.stderr
    assert "with detector.model.path=FOLDER" in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_sweep_over_detectors_leaves_labels_side_by_side(tiny_classifier: Path, tmp_path: Path) -> None:
    simulated = ["engine=simulated", "model=simulated", "task=politeness", "persona=none", "design.size=60"]
    made = command(tmp_path, "src.generate", "study=mine", *simulated)
    assert made.returncode == 0, made.stderr
    own = [f"detector.model.path={tiny_classifier}", "detector.max_tokens=128"]
    swept = ["-m", "study=mine", "detector=protectai,minos", *own]
    done = command(tmp_path, "src.detect", *swept)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs done" in done.stdout
    assert done.stdout.count("60 responses, ") == 2
    labels = tmp_path / "runs" / "mine" / "labels"
    read = {path.stem: pd.read_parquet(path) for path in labels.glob("*.parquet")}
    assert set(read) == {"rules", "protectai", "minos"}
    for name, table in read.items():
        assert sorted(table["cell_key"]) == sorted(read["rules"]["cell_key"])
        assert set(table["detector"]) == {name}

    wrong = command(tmp_path, "src.detect", "-m", "study=mine", "detector=rules,minos", *own)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "unknown key 'detector.model.path'" in wrong.stderr


def test_a_study_keeps_the_labels_of_every_detector(tiny_classifier: Path, tmp_path: Path) -> None:
    simulated = ["engine=simulated", "model=simulated", "task=politeness", "persona=none", "design.size=60"]
    made = command(tmp_path, "src.generate", "study=mine", *simulated)
    assert made.returncode == 0, made.stderr
    study = tmp_path / "runs" / "mine"
    before = {p: p.read_bytes() for p in study.rglob("*.parquet")}

    wrong = command(tmp_path, "src.detect", "study=mine", "detector=protectai", "detector.model.path=nowhere")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert {p: p.read_bytes() for p in study.rglob("*.parquet")} == before

    settings = [f"detector.model.path={tiny_classifier}", "detector.max_tokens=128"]
    done = command(tmp_path, "src.detect", "study=mine", "detector=protectai", *settings)
    assert done.returncode == 0, done.stderr
    after = {p: p.read_bytes() for p in study.rglob("*.parquet")}
    assert set(after) == {*before, study / "labels" / "protectai.parquet"}
    assert [p for p in before if after[p] != before[p]] == [study / "observations.parquet"]
    table = pd.read_parquet(study / "observations.parquet")
    assert set(table["detector"]) == {"protectai"}
    path = study / "labels" / "protectai.parquet"
    labels = pd.read_parquet(path)
    assert labels["score"].between(0, 1).all()

    # What this version has read stays as it was read; only what it counts as is derived anew.
    changed = labels.assign(kind=["evasion", *labels["kind"][1:]])
    pq.write_table(pa.Table.from_pandas(changed, SCHEMA, preserve_index=False), path)
    cfg = {**config(tiny_classifier), "refused": "evasion"}
    summary = label_study(StudyPaths(tmp_path / "runs", "mine"), cfg)
    again = pd.read_parquet(path)
    for column in ("cell_key", "kind", "score"):
        assert again[column].tolist() == changed[column].tolist()
    assert again["outcome"][0] == "refused"
    assert summary.rows == len(labels)
    other = {**cfg, "threshold": 0.4}
    label_study(StudyPaths(tmp_path / "runs", "mine"), other)
    assert "evasion" not in set(pd.read_parquet(path)["kind"])
