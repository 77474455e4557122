"""Asks a server that speaks the OpenAI chat protocol: vLLM, SGLang, llama.cpp, Ollama, transformers serve."""

import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from src.engines.base import FinishReason, GenerationSettings, Identity, Job, Rendered, Response
from src.engines.local.chat import TEMPLATE_DATE, messages
from src.engines.local.checkpoint import missing_library
from src.errors import InputError, unknown
from src.study.prompts import Prompt

SYSTEM_ROLES = ("auto", "native", "fold")

SEEDS = 2**31
"""Servers disagree about the width of a seed; all take a non-negative 32-bit integer."""

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    # No tools are offered; a server that takes an answer for a call of one still got an answer.
    "tool_calls": "stop",
    "function_call": "stop",
}
_REFUSES_US = {401: "refuses the key", 403: "refuses the key", 404: "has the model no more"}
_REFUSES_JOB = (400, 413, 422)  # this prompt alone, such as one longer than the context
_LIST_TIMEOUT_S = 10.0
_ANY_QUESTION = [{"role": "user", "content": "Say yes."}]
_COMMIT = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")

log = logging.getLogger(__name__)


def check(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
    """Make sure that the settings are sound and that the server is there and lists the model."""
    for library in ("openai", "anyio"):
        if importlib.util.find_spec(library) is None:
            raise missing_library(library, "openai")
    if (model_cfg.get("system_role") or "auto") not in SYSTEM_ROLES:
        raise unknown("model.system_role", model_cfg["system_role"], SYSTEM_ROLES)
    _check_number(engine_cfg, "concurrency", int, least=1)
    _check_number(engine_cfg, "retries", int, least=0)
    _check_number(engine_cfg, "timeout_s", int | float, least=0.001)
    _check_url(str(engine_cfg.get("base_url")))
    variable = engine_cfg.get("api_key_env")
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(variable)):
        # Not repeated: it may well be the key itself.
        raise InputError("engine.api_key_env is no name of an environment variable; give one, or null")
    _find_model(model_cfg, engine_cfg)


def create(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> "OpenAIEngine":
    """Make the engine; asks nothing yet."""
    # Both libraries tell of every single request otherwise.
    for library in ("openai", "httpx", "httpx2"):
        logging.getLogger(library).setLevel(logging.WARNING)
    return OpenAIEngine(model_cfg, engine_cfg)


class OpenAIEngine:
    """One model of one server, asked by several requests at a time.

    Failed requests are repeated by the client library: growing, jittered pauses from half a second to eight,
    or what the server's ``Retry-After`` asks for, up to two minutes.

    Parameters
    ----------
    model_cfg, engine_cfg : mapping
        Files of ``conf/model`` and ``conf/engine``.
    """

    def __init__(self, model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
        self._model_cfg = model_cfg
        self._engine_cfg = engine_cfg
        self._served = _served_name(model_cfg, engine_cfg)
        self._template_options = model_cfg.get("template_options", {})
        self._identity: Identity | None = None
        self._failed_in_row = 0
        self._told: set[str] = set()

    def identity(self) -> Identity:
        """Say what answers; asks the server once for its list of models."""
        if self._identity is None:
            self._identity = Identity(
                model_id=str(self._model_cfg.get("id") or self._served),
                model_revision=_revision(_find_model(self._model_cfg, self._engine_cfg), self._served),
                dtype="server",
                engine="openai",
                device="server",
            )
        return self._identity

    def render(self, prompts: Sequence[Prompt]) -> list[Rendered]:
        """Show the messages, and what else the server's chat template is given, as JSON."""
        fold = self._model_cfg.get("system_role") == "fold"
        told = "folded" if fold else "native"
        options = self._template_options
        rendered = []
        for prompt in prompts:
            turns = messages(prompt, fold)
            shown = {"messages": turns, "chat_template_kwargs": options} if options else turns
            text = json.dumps(shown, ensure_ascii=False)
            rendered.append(Rendered(text, None, told if prompt.system else "none"))  # type: ignore[arg-type]
        return rendered

    def generate(self, jobs: Sequence[Job], settings: GenerationSettings) -> Iterator[Response]:
        """Answer jobs as the server does; a job that fails for good ends as ``error``.

        Abandoning the iterator cancels the requests under way.

        Raises
        ------
        InputError
            If the server is gone, refuses the key or the model, or fails request after request; everything
            that it answered has been yielded before.
        """
        if not jobs:
            return
        from anyio.from_thread import start_blocking_portal

        # Holds at most one small response a job, so it needs no bound of its own.
        answers: SimpleQueue[Response | None] = SimpleQueue()
        # The requests run in a thread of their own, so the server stays busy while responses are written.
        # Leaving the portal by an exception, as an abandoned generator does, cancels what is under way.
        with start_blocking_portal() as portal:
            asking = portal.start_task_soon(self._ask_all, jobs, settings, answers)
            asking.add_done_callback(lambda _: answers.put(None))
            while (response := answers.get()) is not None:
                yield response
            asking.result()

    def load(self) -> None:
        """Do nothing: the server has the weights."""

    def close(self) -> None:
        """Do nothing: connections are closed when jobs are done."""

    async def _ask_all(
        self, jobs: Sequence[Job], settings: GenerationSettings, answers: SimpleQueue[Response | None]
    ) -> None:
        from anyio import create_task_group
        from openai import AsyncOpenAI

        workers = min(int(self._engine_cfg["concurrency"]), len(jobs))
        waiting = iter(jobs)

        async def work(client: Any) -> None:
            for job in waiting:
                answers.put(await self._ask(client, job, settings, workers))

        options = _client_options(self._engine_cfg)
        try:
            async with AsyncOpenAI(**options) as client, create_task_group() as group:
                for _ in range(workers):
                    group.start_soon(work, client)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _ask(self, client: Any, job: Job, settings: GenerationSettings, workers: int) -> Response:
        """Ask for one response; raise `InputError` if no other job would fare better."""
        import openai

        try:
            completion = await client.chat.completions.create(**self._request(job, settings))
            response = _read(completion, job.key, workers)
        except openai.APIStatusError as error:
            reason = f"status {error.status_code}"
            if error.status_code in _REFUSES_US:
                raise self._stop(_REFUSES_US[error.status_code]) from None
            self._tell(reason, error.message)
            if error.status_code not in _REFUSES_JOB:
                await self._count(client, reason, workers)
        except openai.APIConnectionError as error:
            reason = "time-out" if isinstance(error, openai.APITimeoutError) else "connection lost"
            self._tell(reason)
            await self._count(client, reason, 1)
        except (openai.OpenAIError, ValueError) as error:
            reason = f"malformed answer ({type(error).__name__})"
            self._tell(reason, str(error))
            await self._count(client, reason, workers)
        else:
            self._failed_in_row = 0
            return response
        return Response(job.key, "", 0, 0, "error", workers, f"the server: {reason}, see the log")

    def _request(self, job: Job, settings: GenerationSettings) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._served,
            "messages": messages(job.prompt, job.rendered.system_role == "folded"),
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "seed": job.seed % SEEDS,
        }
        if self._template_options is not None:
            # As the in-process engines have it: no thinking aloud, and no date of today.
            fixed = {"enable_thinking": False, "date_string": TEMPLATE_DATE.strftime("%d %b %Y")}
            request["extra_body"] = {"chat_template_kwargs": {**fixed, **self._template_options}}
        return request

    async def _count(self, client: Any, reason: str, patience: int) -> None:
        """Count a failure; after `patience` in a row tell a server that fails from jobs that do."""
        import openai

        self._failed_in_row += 1
        if self._failed_in_row < patience:
            return
        try:
            question = {"model": self._served, "messages": _ANY_QUESTION, "max_tokens": 1}
            _read(await client.with_options(max_retries=0).chat.completions.create(**question), "", 1)
        except openai.APIStatusError as error:
            if error.status_code not in _REFUSES_JOB:
                raise self._stop(f"fails request after request ({reason})") from None
        except (openai.OpenAIError, ValueError):
            raise self._stop(f"no longer answers ({reason})") from None
        self._failed_in_row = 0

    def _stop(self, what: str) -> InputError:
        return InputError(
            f"the server at {self._engine_cfg['base_url']} {what}; everything it answered is kept: "
            "once that is put right, the same command goes on from here"
        )

    def _tell(self, reason: str, message: str = "") -> None:
        """Log the first failure of each kind, since a stored error has no room for its reason."""
        if reason in self._told:
            return
        self._told.add(reason)
        details = f": {_one_line(message, _key(self._engine_cfg))}" if message else ""
        log.warning("a request failed for good, %s%s; further ones like it are not shown", reason, details)


def _read(completion: Any, key: str, workers: int) -> Response:
    """Read the server's answer.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        choice = completion.choices[0]
        text, finish = choice.message.content or "", choice.finish_reason
    except (AttributeError, IndexError, TypeError, KeyError) as error:
        raise ValueError("no choice with a message") from error
    if not isinstance(text, str):
        raise ValueError(f"content of type {type(text).__name__}")
    text.encode()  # half a surrogate pair, which JSON can spell, could not be stored
    reason = _FINISH.get(str(finish))
    if reason is None:
        raise ValueError(f"finish_reason {finish!r}")
    usage = getattr(completion, "usage", None)
    return Response(
        key=key,
        text=text,
        prompt_tokens=_tokens(usage, "prompt_tokens"),
        new_tokens=_tokens(usage, "completion_tokens"),
        finish_reason=reason,
        batch_size=workers,
    )


def _tokens(usage: Any, name: str) -> int:
    count = getattr(usage, name, None)
    return count if isinstance(count, int) and count > 0 else 0


def _check_number(engine_cfg: Mapping[str, Any], key: str, kind: Any, least: float) -> None:
    value = engine_cfg.get(key)
    if isinstance(value, bool) or not isinstance(value, kind) or value < least:
        wanted = "a whole number" if kind is int else "a number"
        raise InputError(f"engine.{key} must be {wanted} of at least {least:g}, received {value!r}")


def _check_url(url: str) -> None:
    """Let no secret into a value that is stored and shown."""
    try:
        parts = urlsplit(url)
        has_secret = parts.username is not None or parts.password is not None or bool(parts.query)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        has_secret, sound = "@" in url, False
    if has_secret:
        raise InputError(
            "engine.base_url must hold no user, password or query; a key comes from the environment variable "
            "that engine.api_key_env names"
        )
    if not sound:
        raise InputError(f"engine.base_url {url!r} is no web address; it looks like http://127.0.0.1:8000/v1")


def _served_name(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> str:
    return str(engine_cfg.get("model") or model_cfg.get("id") or model_cfg.get("name"))


def _key(engine_cfg: Mapping[str, Any]) -> str:
    """Take the key from the environment; servers that want none get a word that is none."""
    variable = engine_cfg.get("api_key_env")
    return (os.environ.get(str(variable), "").strip() if variable else "") or "no-key"


def _client_options(engine_cfg: Mapping[str, Any]) -> dict[str, Any]:
    from openai import Timeout

    seconds = float(engine_cfg["timeout_s"])
    return {
        "base_url": engine_cfg["base_url"],
        "api_key": _key(engine_cfg),
        "max_retries": engine_cfg["retries"],
        "timeout": Timeout(seconds, connect=min(seconds, _LIST_TIMEOUT_S)),
    }


def _find_model(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> Any:
    """Find the model in the server's list; None if the server lists nothing at all.

    Raises
    ------
    InputError
        If the server cannot be reached, refuses the key, has no such list or not this model.
    """
    import openai

    url, served = engine_cfg["base_url"], _served_name(model_cfg, engine_cfg)
    options = {**_client_options(engine_cfg), "max_retries": 0, "timeout": _LIST_TIMEOUT_S}
    try:
        with openai.OpenAI(**options) as client:
            listed = {str(model.id): model for model in client.models.list().data or []}
    except openai.APITimeoutError:
        raise InputError(f"the server at {url} does not answer within {_LIST_TIMEOUT_S:g} s") from None
    except openai.APIConnectionError:
        raise InputError(f"no server answers at {url}; start one, or give engine.base_url=URL") from None
    except openai.APIStatusError as error:
        raise InputError(_refusal(error.status_code, engine_cfg)) from None
    except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"the server at {url} gives no list of models ({type(error).__name__}); "
            "engine.base_url must be that of an OpenAI-compatible server"
        ) from None
    if listed and served not in listed:
        hint = unknown("model of the server", served, listed)
        raise InputError(f"{hint}; give engine.model=NAME as the server at {url} lists it")
    return listed.get(served)


def _refusal(status: int, engine_cfg: Mapping[str, Any]) -> str:
    url, variable = engine_cfg["base_url"], engine_cfg.get("api_key_env")
    if status in (401, 403):
        return (
            f"the server at {url} refuses the key (status {status}); put the right one into an environment "
            f"variable and its name into engine.api_key_env (now {variable})"
        )
    if status == 404:
        return f"the server at {url} has no list of models there; engine.base_url mostly ends with /v1"
    return f"the server at {url} answers with status {status}; look into its log"


def _revision(entry: Any, served: str) -> str:
    """Commit of the weights if the server's list names one, or is silent about all but the name."""
    for field in ("revision", "sha", "root"):
        if commit := _COMMIT.search(str(getattr(entry, field, None))):
            return commit[0]
    return f"unknown:{served}"


def _one_line(message: str, secret: str) -> str:
    """Make a server's words fit for a log: one short printable line without the key."""
    line = " ".join(message.replace(secret, "***").split())
    return "".join(letter for letter in line if letter.isprintable())[:300]
