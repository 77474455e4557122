"""What every engine promises, asked of each one that runs here."""

import pytest

from src.engines.base import Engine
from src.engines.registry import create_engine
from src.study.prompts import Prompt
from tests.engines.conftest import CPU, answer, make_jobs
from tests.engines.servers import SERVED, SILENT, engine_config
from tests.tiny_models import model_config

PROMPTS = [
    Prompt(None, "Is the sentence polite?"),
    Prompt("You are a woman.", "Is the sentence polite?"),
    Prompt("You are a woman.", "What is it?"),
    Prompt("You are a person.", "yes or no"),
    Prompt(None, "Ünïcödé: 你好, مرحبا, \U0001f600, e\u0301"),
    Prompt("", ""),
]


@pytest.fixture(scope="module", params=["transformers", "simulated", "openai"])
def engine(request, tiny_model) -> Engine:
    if request.param == "simulated":
        cfg = {"name": "simulated", "intercept": 0.0, "sds": {"persona": 1.0}, "accuracy": 0.5, "seed": 1}
        return create_engine({"name": "m"}, cfg)
    if request.param == "openai":
        return served(request.getfixturevalue("server"), SERVED)
    return create_engine(model_config(tiny_model), CPU)


@pytest.fixture(scope="module", params=["transformers", "openai"])
def silent_engine(request, silent_model) -> Engine:
    if request.param == "openai":
        return served(request.getfixturevalue("server"), SILENT)
    return create_engine(model_config(silent_model), CPU)


def few(engine: Engine, repeats: int) -> int:
    """A real server takes its time."""
    return min(repeats, 2) if engine.identity().engine == "openai" else repeats


def served(url: str, model: str) -> Engine:
    # One request at a time: this server keeps one seed for all that are under way.
    return create_engine({"name": "m", "id": model}, engine_config(url, concurrency=1))


def test_identity_is_stable_and_complete(engine):
    identity = engine.identity()
    assert identity == engine.identity()
    assert all((identity.model_id, identity.model_revision, identity.dtype, identity.engine, identity.device))


def test_every_job_is_answered_once_within_the_limits(engine):
    jobs = make_jobs(engine, PROMPTS, repeats=few(engine, 7))
    for limit in (1, 9):
        for response in answer(engine, jobs, max_new_tokens=limit).values():
            assert response.finish_reason in ("stop", "length")
            assert response.batch_size >= 1
            assert response.prompt_tokens > 0
            if engine.identity().engine != "simulated":
                assert 1 <= response.new_tokens <= limit
                assert (response.finish_reason == "length") <= (response.new_tokens == limit)


def test_no_jobs_no_responses(engine):
    assert answer(engine, []) == {}
    assert engine.render([]) == []


def texts(responses):
    return {key: (r.text, r.new_tokens, r.finish_reason) for key, r in responses.items()}


def test_order_batching_and_subsets_do_not_change_a_text(engine):
    jobs = make_jobs(engine, PROMPTS, repeats=few(engine, 5))
    whole = texts(answer(engine, jobs))
    assert texts(answer(engine, jobs[::-1])) == whole
    some = jobs[3::4]
    assert texts(answer(engine, some)) == {job.key: whole[job.key] for job in some}
    assert texts(answer(engine, jobs[8:9])) == {jobs[8].key: whole[jobs[8].key]}


def test_seeds_change_texts(engine):
    first = answer(engine, make_jobs(engine, PROMPTS, repeats=few(engine, 20)))
    second = answer(engine, make_jobs(engine, PROMPTS, repeats=few(engine, 20), seed=10**12))
    assert texts(first) != texts(second)
    assert len({r.text for r in first.values()}) > 1


def test_greedy_text_does_not_depend_on_the_seed(engine):
    if engine.identity().engine == "simulated":
        return
    first = answer(engine, make_jobs(engine, PROMPTS), temperature=0.0)
    assert texts(answer(engine, make_jobs(engine, PROMPTS, seed=99), temperature=0.0)) == texts(first)


def test_long_prompts_run_and_endless_ones_are_never_lost(engine):
    long = Prompt(None, "yes " * 200)
    endless = Prompt("You are a woman.", "yes no " * 3000)
    jobs = make_jobs(engine, [PROMPTS[0], long, endless])
    responses = answer(engine, jobs)
    assert responses["0-0"].finish_reason in ("stop", "length")
    assert responses["1-0"].finish_reason in ("stop", "length")
    if engine.identity().engine == "transformers":
        assert responses["2-0"].finish_reason == "error"
        assert responses["2-0"].text == ""
        assert responses["2-0"].prompt_tokens > 3000


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_may_be_empty(silent_engine, temperature):
    for response in answer(
        silent_engine, make_jobs(silent_engine, PROMPTS), temperature=temperature
    ).values():
        assert (response.text, response.new_tokens, response.finish_reason) == ("", 1, "stop")


def test_what_ends_an_answer_is_no_part_of_it(engine):
    responses = answer(
        engine, make_jobs(engine, PROMPTS, repeats=few(engine, 10)), max_new_tokens=30
    ).values()
    ended = [response for response in responses if response.finish_reason == "stop"]
    assert ended
    assert not any("<|" in response.text for response in ended)


def test_closed_engine_answers_again_loaded_before_or_not(engine):
    jobs = make_jobs(engine, PROMPTS)
    before = texts(answer(engine, jobs))
    engine.close()
    engine.load()
    engine.load()
    assert texts(answer(engine, jobs)) == before
    engine.close()
    assert texts(answer(engine, jobs)) == before
