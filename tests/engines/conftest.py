"""Models, servers and jobs that the engines' tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from src.engines.base import Engine, GenerationSettings, Job, Response
from src.study.prompts import Prompt
from tests.engines.servers import SERVED, SILENT, transformers_server
from tests.tiny_models import make_tiny_model, silence

CPU = {"name": "transformers", "device": "cpu", "dtype": "float32", "batch_size": "auto"}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def silent_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return silence(make_tiny_model(tmp_path_factory.mktemp("models") / "silent"))


@pytest.fixture(scope="session")
def server(tiny_model: Path, silent_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real OpenAI-compatible server on loopback."""
    models = {SERVED: tiny_model, SILENT: silent_model}
    with transformers_server(models, tmp_path_factory.mktemp("home")) as url:
        yield url


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
