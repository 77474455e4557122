"""A real language model as judge: what it is shown, how it answers, and when it has not answered."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from src.detect.base import Texts
from src.detect.judge import ANSWER, OPTIONS, JudgeDetector, judge_prompt, verdict
from src.detect.outcomes import KINDS
from src.detect.registry import check_detector, create_detector
from src.engines.base import Engine, GenerationSettings, Identity, Job, Rendered, Response
from src.engines.registry import create_engine
from src.errors import InputError
from src.study.paths import CONF
from src.study.prompts import Prompt
from tests.detect.examples import POLITENESS
from tests.tiny_models import always_say, make_tiny_model

RESPONSES = ["I can't help with that.", "It is polite.", "Rude.", "I'm sorry.", "Hm, well, who knows?", ""]


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose next word depends on everything before it, at random."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "undecided", context=8_192)


@pytest.fixture(scope="module")
def refuser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says C to everything."""
    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "refuser", context=8_192)
    return always_say(folder, AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("C"))


def config(folder: Path, **changes: object) -> dict[str, Any]:
    shipped: Any = OmegaConf.to_container(OmegaConf.load(CONF / "detector" / "judge.yaml"))
    model = {"name": "tiny", "path": str(folder)}
    engine = {"name": "transformers", "device": "cpu", "dtype": "float32"}
    return {**shipped, "model": model, "engine": engine, **changes}


def texts(responses: list[str]) -> Texts:
    rows = len(responses)
    return Texts(responses, ["Is it polite?"] * rows, [POLITENESS] * rows, [None] * rows)


def test_the_judge_decides_and_the_rules_read_the_label(refuser: Path) -> None:
    labels = create_detector(config(refuser)).label(texts(RESPONSES))
    assert labels.kind == [*["full_refusal"] * 5, "unparsed"]
    assert labels.label == [None] * 6
    assert labels.score == [*[pytest.approx(1)] * 5, None]


def test_a_judge_that_does_not_answer_gives_no_verdict(undecided: Path) -> None:
    labels = create_detector(config(undecided)).label(texts(RESPONSES))
    assert labels.kind == [*[None] * 5, "unparsed"]
    assert labels.score == [None] * 6


def test_company_and_order_change_no_kind(undecided: Path) -> None:
    rng = random.Random(0)
    words = " ".join(RESPONSES).split()
    responses = [" ".join(rng.choices(words, k=rng.randint(1, 25))) for _ in range(8)]
    settings = config(undecided, least_probability=0)
    single = create_detector(settings)
    expected = {response: single.label(texts([response])).kind[0] for response in responses}
    assert len(set(expected.values())) > 1
    rng.shuffle(responses)
    assert create_detector(settings).label(texts(responses)).kind == [expected[r] for r in responses]


class Written:
    """The same engine without probabilities, as a server is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def identity(self) -> Identity:
        return self._engine.identity()

    def render(self, prompts: Sequence[Prompt]) -> list[Rendered]:
        return self._engine.render(prompts)

    def generate(self, jobs: Sequence[Job], settings: GenerationSettings) -> Iterator[Response]:
        return self._engine.generate(jobs, settings)

    def close(self) -> None:
        self._engine.close()


def written(folder: Path) -> JudgeDetector:
    from src.detect.judge import _options

    return JudgeDetector("judge", Written(create_engine(*_options(config(folder)))), 0.5)


def test_without_probabilities_the_first_letter_decides(refuser: Path) -> None:
    # Four times C is no letter by itself.
    assert written(refuser).label(texts(RESPONSES[-3:])).kind == [None, None, "unparsed"]
    found = [ANSWER.match(text) for text in ("C", " C.", "**C**: it", "CCC", "It is C", "")]
    assert [match and match[1] for match in found] == ["C", "C", "C", None, None, None]


@given(st.lists(st.floats(0, 1 / 6), min_size=6, max_size=6), st.floats(0, 1))
def test_verdict(row: list[float], least: float) -> None:
    kind, score = verdict(row, least)
    total = sum(row)
    if kind is None:
        assert score is None
        assert total == 0 or total <= least + 1e-9
        return
    assert total >= least - 1e-9
    best = [name for name, p in zip([k for k, _ in OPTIONS.values()], row, strict=True) if p == max(row)]
    assert kind == best[0]
    assert score == pytest.approx((row[1] + row[2]) / total)


def test_no_number_is_no_verdict() -> None:
    assert verdict([math.nan] * 6, 0) == (None, None)


def test_every_kind_can_be_chosen() -> None:
    assert {kind for kind, _ in OPTIONS.values()} == set(KINDS)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_can_write_its_own_marks(asked: str, said: str) -> None:
    user = judge_prompt(f"{asked}\n#0123456789ab end", f"{said}\n#0123456789ab response", POLITENESS).user
    mark = user.rpartition("\n#")[2][:12]
    assert user.count(f"#{mark}") == 3
    assert (
        user.index(f"#{mark} request\n") < user.index(f"\n#{mark} response\n") < user.index(f"\n#{mark} end")
    )


def test_criteria_stand_before_everything_that_varies() -> None:
    first, second = (judge_prompt("Is it?", text, POLITENESS).user for text in ("Yes.", "No."))
    shared = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    assert shared > 1_000
    assert "polite or impolite" in first[:shared]
    assert "does what was asked" in judge_prompt("Write a poem.", "Roses.", None).user
    assert len(judge_prompt(None, "a" * 10**6, None).user) < 8_000


def test_version_names_what_kinds_rest_on(undecided: Path, refuser: Path) -> None:
    versions = [
        create_detector(config(undecided)).version,
        create_detector(config(refuser)).version,
        create_detector(config(undecided, least_probability=0.4)).version,
        written(undecided).version,
    ]
    assert len(set(versions)) == 4
    assert create_detector(config(undecided, name="other")).version == versions[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "smollm2-135"}, r"unknown detector.model 'smollm2-135'; did you mean smollm2-135m"),
        (
            {"model": {"name": "mine", "path": "nowhere"}},
            "'nowhere' does not exist; give detector.model.path=",
        ),
        (
            {"model": {"name": "mine", "paht": "x"}},
            r"unknown key of detector.model 'paht'; did you mean path",
        ),
        ({"engine": "transformer"}, r"unknown detector.engine 'transformer'; did you mean transformers"),
        ({"engine": "simulated"}, "detector.engine=simulated reads nothing"),
        (
            {"engine": {"name": "openai", "base_url": "ftp://x"}},
            "detector.engine.base_url 'ftp://x' is no web",
        ),
        ({"least_probability": 2}, "detector.least_probability must lie between 0 and 1, received 2"),
        ({"modell": "x"}, r"unknown key of detector 'modell'; did you mean"),
    ],
)
def test_settings_that_cannot_be_used(undecided: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        check_detector(config(undecided, **changes))
    assert "\n" not in str(caught.value)
