"""Models and jobs that the engines' tests share."""

from pathlib import Path

import pytest

from src.engines.base import Engine, GenerationSettings, Job, Response
from src.study.prompts import Prompt
from tests.tiny_models import make_tiny_model

CPU = {"name": "transformers", "device": "cpu", "dtype": "float32", "batch_size": "auto"}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def make_jobs(engine: Engine, prompts: list[Prompt], seed: int = 0, repeats: int = 1) -> list[Job]:
    rendered = engine.render(prompts)
    return [
        Job(
            key=f"{i}-{k}",
            rendered=shown,
            prompt=prompt,
            seed=seed + 1000 * i + k,
            levels=(("persona", str(prompt.system)), ("gold", "yes"), ("labels", "yes|no")),
        )
        for i, (shown, prompt) in enumerate(zip(rendered, prompts, strict=True))
        for k in range(repeats)
    ]


def answer(engine: Engine, jobs: list[Job], **settings: float) -> dict[str, Response]:
    defaults = {"max_new_tokens": 12, "temperature": 1.0, "top_p": 1.0, "seed": 0}
    drawn = GenerationSettings(**{**defaults, **settings})
    responses = list(engine.generate(jobs, drawn))
    assert len(responses) == len(jobs)
    by_key = {response.key: response for response in responses}
    assert by_key.keys() == {job.key for job in jobs}
    return by_key
