"""The engine for OpenAI-compatible servers, against real ones on loopback: good, failing and dying."""

import json
import logging
import threading
from email.utils import formatdate
from time import time

import pytest

from src.engines.base import GenerationSettings
from src.engines.registry import check_engine, create_engine
from src.errors import InputError
from src.study.prompts import Prompt
from tests.engines.conftest import CPU, answer, make_jobs
from tests.engines.servers import (
    SERVED,
    Scripted,
    completion,
    engine_config,
    free_port,
    listing,
    scripted_server,
)
from tests.tiny_models import model_config

MODEL = {"name": "m", "id": SERVED, "template_options": {}}
PROMPTS = [Prompt(None, f"number {i}") for i in range(12)]
SETTINGS = GenerationSettings(12, 1.0, 0.9, 0)


def number(body) -> int:
    """Number of the prompt; -1 for the engine's own question whether the server still answers."""
    last = body["messages"][-1]["content"].split()[-1]
    return int(last) if last.isdigit() else -1


def echo(handler: Scripted, body) -> None:
    handler.send(completion(body["messages"][-1]["content"]))


def client(server, model_cfg=MODEL, **changes):
    return create_engine(model_cfg, engine_config(server.url, **changes))


def ask(server, prompts=PROMPTS, **changes):
    engine = client(server, **changes)
    return answer(engine, make_jobs(engine, prompts))


def once_then(first):
    """Fail each request once, then echo it."""
    seen = set()

    def reply(handler, body):
        if number(body) in seen:
            return echo(handler, body)
        seen.add(number(body))
        return first(handler, body)

    return reply


def hang_up(handler, _) -> None:
    handler.close_connection = True
    handler.connection.close()


# What is asked


def test_a_request_says_all_that_decides_an_answer():
    with scripted_server(echo) as server:
        engine = client(server, {**MODEL, "template_options": {"reasoning": "low"}})
        [job] = make_jobs(engine, [Prompt("You are a woman.", "number 1")], seed=2**31 + 7)
        list(engine.generate([job], SETTINGS))
    [request] = server.requests
    options = request.pop("chat_template_kwargs")
    assert request == {
        "model": SERVED,
        "messages": [
            {"role": "system", "content": "You are a woman."},
            {"role": "user", "content": "number 1"},
        ],
        "max_tokens": 12,
        "temperature": 1.0,
        "top_p": 0.9,
        "seed": 7,
    }
    assert options == {"enable_thinking": False, "date_string": "10 Sep 2025", "reasoning": "low"}


def test_strict_servers_can_be_spared_template_options():
    with scripted_server(echo) as server:
        engine = client(server, {**MODEL, "template_options": None})
        list(engine.generate(make_jobs(engine, PROMPTS[:1]), SETTINGS))
    assert "chat_template_kwargs" not in server.requests[0]


@pytest.mark.parametrize(("setting", "role"), [("auto", "native"), ("native", "native"), ("fold", "folded")])
def test_system_text_goes_where_the_model_file_says(setting, role):
    prompt = Prompt("You are a woman.", "number 1")
    with scripted_server(echo) as server:
        engine = client(server, {**MODEL, "system_role": setting})
        shown, plain = engine.render([prompt, PROMPTS[1]])
        list(engine.generate(make_jobs(engine, [prompt]), SETTINGS))
    assert (shown.system_role, shown.token_ids) == (role, None)
    assert plain.system_role == "none"
    assert json.loads(shown.text) == server.requests[0]["messages"]
    assert (server.requests[0]["messages"][0]["role"] == "system") == (role == "native")


def test_template_options_show_in_the_rendered_prompt():
    with scripted_server(echo) as server:
        plain = client(server).render(PROMPTS[:1])[0].text
        low = client(server, {**MODEL, "template_options": {"reasoning": "low"}}).render(PROMPTS[:1])[0].text
    assert plain != low
    assert json.loads(low)["messages"] == json.loads(plain)


def test_no_more_requests_at_once_than_asked_for():
    now, most, lock, together = 0, 0, threading.Lock(), threading.Barrier(3)

    def reply(handler, body):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(timeout=30)  # three are under way, or nobody goes on
        with lock:
            now -= 1
        echo(handler, body)

    with scripted_server(reply) as server:
        ask(server, concurrency=3)
    assert most == 3


# What comes back


def test_unicode_survives_both_ways():
    texts = ["Ünïcödé 你好 مرحبا \U0001f600 e\u0301", "\u2028 \x00 \\ \" '", " leading and trailing \n"]
    with scripted_server(echo) as server:
        responses = ask(server, [Prompt(None, text) for text in texts])
    assert [responses[f"{i}-0"].text for i in range(3)] == texts


@pytest.mark.parametrize("text", ["", None])
def test_empty_answers_are_answers(text):
    with scripted_server(lambda handler, _: handler.send(completion(text, usage=(5, 1)))) as server:
        for response in ask(server).values():
            assert (response.text, response.finish_reason, response.new_tokens) == ("", "stop", 1)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "stop"), ("content_filter", "error"),
     ("abort", "error"), (None, "error")],
)  # fmt: skip
def test_finish_reasons(said, kept):
    def reply(handler, body):
        handler.send(completion("some text", said if number(body) == 0 else "stop"))

    with scripted_server(reply) as server:
        [response] = ask(server, PROMPTS[:1]).values()
    assert response.finish_reason == kept
    assert response.text == ("" if kept == "error" else "some text")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "completion_tokens": "7"}])
def test_tokens_count_zero_where_the_server_does_not_say(usage):
    body = completion("text", usage=None) | ({} if usage is None else {"usage": usage})
    with scripted_server(lambda handler, _: handler.send(body)) as server:
        [response] = ask(server, PROMPTS[:1]).values()
    assert (response.text, response.prompt_tokens, response.new_tokens) == ("text", 0, 0)


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"<html>", b"\xff\xfe", [], "text", 7, None, {}, {"choices": None}, {"choices": []},
     {"choices": [None]}, {"choices": "abc"}, {"choices": [{"finish_reason": "stop"}]},
     {"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]},
     {"choices": [{"message": "a", "finish_reason": "stop"}]},
     {"choices": [{"message": {"content": "a"}, "finish_reason": ["stop"]}]},
     {"choices": [{"message": {"content": "\ud83d"}, "finish_reason": "stop"}]}],
)  # fmt: skip
def test_malformed_answers_end_as_error_and_stop_no_other(body):
    def reply(handler, asked):
        handler.send(body) if number(asked) == 3 else echo(handler, asked)

    with scripted_server(reply) as server:
        responses = ask(server)
    assert [key for key, r in responses.items() if r.finish_reason == "error"] == ["3-0"]
    assert responses["3-0"].text == ""


# Failures that pass


@pytest.mark.parametrize(
    "first",
    [
        lambda handler, _: handler.send({"error": "slow down"}, 429, Retry_After="0.01"),
        lambda handler, _: handler.send({"error": "slow"}, 429, Retry_After=formatdate(time(), usegmt=True)),
        lambda handler, _: handler.send(b"oops", 500),
        lambda handler, _: handler.send({"error": "loading"}, 503),
        hang_up,
    ],
    ids=["429", "429-date", "500", "503", "hang-up"],
)
def test_passing_failures_are_repeated_until_answered(first):
    with scripted_server(once_then(first)) as server:
        responses = ask(server, concurrency=12)
    assert {key: r.text for key, r in responses.items()} == {f"{i}-0": p.user for i, p in enumerate(PROMPTS)}
    assert len(server.requests) == 2 * len(PROMPTS)


def test_a_slow_answer_is_asked_for_again():
    release = threading.Event()
    with scripted_server(once_then(lambda *_: release.wait(30))) as server:
        responses = ask(server, PROMPTS[:3], timeout_s=0.5)
        release.set()
    assert {r.finish_reason for r in responses.values()} == {"stop"}


# Failures that stay


@pytest.mark.parametrize("status", [400, 413, 422, 429, 500])
def test_a_job_that_fails_for_good_ends_as_error_and_stops_no_other(status, caplog):
    def reply(handler, body):
        if number(body) % 4 == 0:
            handler.send({"error": {"message": "no\x1b[31m\nway"}}, status, Retry_After="0.01")
        else:
            echo(handler, body)

    with caplog.at_level(logging.WARNING), scripted_server(reply) as server:
        responses = ask(server, retries=1)
    assert {key for key, r in responses.items() if r.finish_reason == "error"} == {"0-0", "4-0", "8-0"}
    [line] = [line for line in caplog.messages if "failed for good" in line]
    assert f"status {status}" in line
    assert line.isprintable()


def test_prompts_that_the_server_refuses_never_stop_a_run():
    with scripted_server(lambda handler, _: handler.send({"error": "too long"}, 400)) as server:
        responses = ask(server, [Prompt(None, f"number {i}") for i in range(60)])
    assert {r.finish_reason for r in responses.values()} == {"error"}


def give_up(engine, jobs):
    """Responses until the engine gives up, and its line."""
    responses = []
    with pytest.raises(InputError) as failed:
        responses.extend(engine.generate(jobs, SETTINGS))
    line = str(failed.value)
    assert "\n" not in line
    assert "the same command goes on from here" in line
    return responses, line


def test_a_server_that_dies_in_the_middle_loses_nothing_that_it_answered():
    prompts = [Prompt(None, f"number {i}") for i in range(200)]
    dying = threading.Event()

    def reply(handler, body):
        if number(body) < 60:
            echo(handler, body)
        else:
            dying.set()
            hang_up(handler, body)

    with scripted_server(reply) as server:
        threading.Thread(target=lambda: dying.wait(60) and server.die(), daemon=True).start()
        engine = client(server)
        responses, line = give_up(engine, make_jobs(engine, prompts))
    assert {r.key for r in responses} == {f"{i}-0" for i in range(60)}
    assert all(r.text == f"number {r.key[:-2]}" and r.finish_reason == "stop" for r in responses)
    assert "no longer answers" in line


def test_a_server_that_fails_everything_is_given_up():
    with scripted_server(lambda handler, _: handler.send({}, 500, Retry_After="0.01")) as server:
        engine = client(server, retries=1)
        responses, line = give_up(engine, make_jobs(engine, PROMPTS * 10))
    assert {r.finish_reason for r in responses} == {"error"}
    assert len(responses) <= 4  # one for each request under way at once
    assert "status 500" in line


def test_a_server_that_asks_for_too_long_a_pause_is_given_up_without_repeating():
    with scripted_server(lambda handler, _: handler.send({}, 429, Retry_After="3600")) as server:
        engine = client(server, concurrency=1)
        responses, line = give_up(engine, make_jobs(engine, PROMPTS))
    assert responses == []
    assert "status 429" in line
    assert len(server.requests) == 2


def test_a_prompt_that_always_fails_never_stops_a_run():
    def reply(handler, body):
        handler.send({}, 500) if number(body) >= 6 else echo(handler, body)

    with scripted_server(reply) as server:
        prompts = [Prompt(None, f"number {i}") for i in range(40)]
        responses = ask(server, prompts, retries=0)
    assert sum(r.finish_reason == "stop" for r in responses.values()) == 6


def test_a_prompt_that_cuts_the_connection_never_stops_a_run():
    def reply(handler, body):
        hang_up(handler, body) if number(body) >= 6 else echo(handler, body)

    with scripted_server(reply) as server:
        responses = ask(server, retries=0)
    assert sum(r.finish_reason == "stop" for r in responses.values()) == 6


@pytest.mark.parametrize(("status", "words"), [(401, "refuses the key"), (404, "has the model no more")])
def test_what_no_job_can_survive_stops_at_once(status, words):
    with scripted_server(lambda handler, _: handler.send({}, status)) as server:
        engine = client(server)
        responses, line = give_up(engine, make_jobs(engine, PROMPTS))
    assert responses == []
    assert words in line


def test_an_abandoned_iterator_cancels_what_is_under_way():
    release = threading.Event()

    def reply(handler, body):
        if number(body) >= 4:
            release.wait(30)
        echo(handler, body)

    with scripted_server(reply) as server:
        engine = client(server, concurrency=2)
        iterator = engine.generate(make_jobs(engine, PROMPTS), SETTINGS)
        assert {next(iterator).text for _ in range(4)} == {f"number {i}" for i in range(4)}
        iterator.close()  # returns although two requests still hang
        assert not [thread for thread in threading.enumerate() if "portal" in thread.name]
        release.set()
        assert len(server.requests) <= 6


# Before anything is asked


def test_identity_takes_the_commit_if_the_server_names_it():
    commit = "89ab" * 10
    root = f"/cache/models--a--b/snapshots/{commit}"
    with scripted_server(echo, listing(SERVED, root=root)) as server:
        identity = client(server).identity()
    assert (identity.model_id, identity.model_revision, identity.dtype) == (SERVED, commit, "server")
    with scripted_server(echo, listing("other-name", root="/models/x")) as server:
        identity = client(server, model="other-name").identity()
    assert (identity.model_id, identity.model_revision) == (SERVED, "unknown:other-name")


def test_a_server_without_a_list_is_taken_at_its_word():
    with scripted_server(echo, listing()) as server:
        assert client(server).identity().model_revision == f"unknown:{SERVED}"


def refuse(status):
    return lambda handler, _: handler.send({}, status)


@pytest.mark.parametrize(
    ("list_models", "words"),
    [
        (listing("tests/tinny"), "did you mean tests/tinny"),
        (refuse(401), "refuses the key"),
        (refuse(404), "mostly ends with /v1"),
        (refuse(500), "status 500"),
        (lambda handler, _: handler.send(b"<html>"), "no list of models"),
        (lambda handler, _: handler.send({"data": "x"}), "no list of models"),
        (hang_up, "no server answers"),
    ],
)
def test_a_server_that_cannot_serve_the_model_is_found_before_the_run(list_models, words):
    with scripted_server(echo, list_models) as server, pytest.raises(InputError) as failed:
        check_engine(MODEL, engine_config(server.url))
    assert words in str(failed.value)
    assert "\n" not in str(failed.value)


def test_no_server_at_all():
    with pytest.raises(InputError, match="no server answers"):
        check_engine(MODEL, engine_config(f"http://127.0.0.1:{free_port()}/v1"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"concurrency": 0}, "engine.concurrency"),
        ({"concurrency": True}, "engine.concurrency"),
        ({"concurrency": 2.5}, "engine.concurrency"),
        ({"retries": -1}, "engine.retries"),
        ({"timeout_s": 0}, "engine.timeout_s"),
        ({"timeout_s": "soon"}, "engine.timeout_s"),
        ({"base_url": "localhost:8000"}, "engine.base_url"),
        ({"base_url": None}, "engine.base_url"),
        ({"base_url": "http://127.0.0.1:99999/v1"}, "engine.base_url"),
        ({"base_url": "ftp://127.0.0.1/v1"}, "engine.base_url"),
    ],
)
def test_settings_that_make_no_sense(changes, words):
    with pytest.raises(InputError, match=words):
        check_engine(MODEL, engine_config("http://127.0.0.1:9/v1") | changes)


def test_an_unknown_system_role():
    with pytest.raises(InputError, match="did you mean fold"):
        check_engine({**MODEL, "system_role": "folded"}, engine_config("http://127.0.0.1:9/v1"))


# Secrets


SECRET = "sk-very-secret-42"  # noqa: S105


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": f"http://user:{SECRET}@127.0.0.1:9/v1"},
        {"base_url": f"http://{SECRET}@127.0.0.1:9/v1"},
        {"base_url": f"http://127.0.0.1:9/v1?key={SECRET}"},
        {"base_url": f"http://user:{SECRET}@127.0.0.1:99999/v1"},
        {"api_key_env": SECRET},
    ],
)
def test_a_secret_in_the_configuration_is_refused_and_not_repeated(changes):
    with pytest.raises(InputError) as failed:
        check_engine(MODEL, engine_config("http://127.0.0.1:9/v1") | changes)
    assert SECRET not in str(failed.value)


def test_the_key_comes_from_the_environment_and_shows_nowhere(monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", f"{SECRET}\n")

    def reply(handler, body):
        handler.send({"error": {"message": f"bad request with key {SECRET}"}}, 400)

    with caplog.at_level(logging.DEBUG), scripted_server(reply) as server:
        engine = client(server, api_key_env="MY_KEY")
        list(engine.generate(make_jobs(engine, PROMPTS[:2]), SETTINGS))
    assert {seen["Authorization"] for seen in server.headers_seen} == {f"Bearer {SECRET}"}
    assert SECRET not in caplog.text
    assert SECRET not in repr(vars(engine))


def test_servers_without_a_key_need_none(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with scripted_server(echo) as server:
        ask(server, PROMPTS[:1], api_key_env=None)
    assert SECRET not in "".join(map(str, server.headers_seen))


# A real server


def test_many_requests_at_once_give_the_greedy_texts_of_one_by_one(server):
    texts = []
    for concurrency in (1, 4):
        engine = create_engine(MODEL, engine_config(server, concurrency=concurrency))
        responses = answer(engine, make_jobs(engine, PROMPTS[:6]), temperature=0.0)
        texts.append({key: r.text for key, r in responses.items()})
    assert texts[0] == texts[1]


def test_the_server_reads_the_prompt_as_the_model_does_here(server, tiny_model):
    prompts = [Prompt("You are a woman.", "Is the sentence polite?"), Prompt(None, "yes or no")]
    here = create_engine(model_config(tiny_model), CPU)
    there = create_engine(MODEL, engine_config(server))
    at_home = answer(here, make_jobs(here, prompts), temperature=0.0)
    far = answer(there, make_jobs(there, prompts), temperature=0.0)
    for key, response in far.items():
        assert (response.text, response.prompt_tokens, response.new_tokens) == (
            at_home[key].text, at_home[key].prompt_tokens, at_home[key].new_tokens
        )  # fmt: skip
