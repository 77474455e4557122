"""Runs a language model in this process with the transformers library."""

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from src.engines.base import NO_ROOM, GenerationSettings, Identity, Job, Rendered, Response
from src.engines.local.chat import Chat
from src.engines.local.checkpoint import Checkpoint, find_checkpoint, missing_library
from src.engines.local.hardware import (
    BALANCED,
    check_device,
    check_dtype,
    choose_device,
    choose_dtype,
    give_memory_back,
)
from src.engines.local.loading import load_part
from src.engines.local.requests import Completion, Request
from src.errors import InputError, unknown
from src.study.prompts import Prompt

CAN_STOP = True
SYSTEM_ROLES = ("auto", "native", "fold")
QUANTIZATIONS = ("bnb-8bit", "bnb-4bit")


def check(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
    """Make sure that libraries, files and settings are there; see `check_engine`."""
    for library in ("torch", "transformers"):
        if importlib.util.find_spec(library) is None:
            raise missing_library(library, "generate")
    check_dtype(engine_cfg.get("dtype", "auto"))
    check_dtype(model_cfg.get("dtype") or "auto")
    if (model_cfg.get("system_role") or "auto") not in SYSTEM_ROLES:
        raise unknown("model.system_role", model_cfg["system_role"], SYSTEM_ROLES)
    _check_quantization(model_cfg.get("quantization"))
    batch_size = engine_cfg.get("batch_size", "auto")
    if batch_size != "auto" and not (isinstance(batch_size, int) and batch_size > 0):
        raise InputError(f"engine.batch_size {batch_size!r} is no positive whole number; give one, or auto")
    if find_checkpoint(model_cfg).gguf_file and importlib.util.find_spec("gguf") is None:
        raise missing_library("gguf", "generate")
    check_device(engine_cfg.get("device", "auto"))


def create(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> "TransformersEngine":
    """Make the engine; loads nothing yet."""
    return TransformersEngine(model_cfg, engine_cfg)


def _check_quantization(setting: str | None) -> None:
    if setting is None:
        return
    if setting not in QUANTIZATIONS:
        raise unknown("model.quantization", setting, QUANTIZATIONS)
    if importlib.util.find_spec("bitsandbytes") is None:
        raise missing_library("bitsandbytes", "bitsandbytes")


class TransformersEngine:
    """One model, its tokenizer and the device it runs on, each loaded when first needed.

    Parameters
    ----------
    model_cfg, engine_cfg : mapping
        Files of ``conf/model`` and ``conf/engine``.
    """

    def __init__(self, model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
        self._model_cfg = model_cfg
        self._checkpoint: Checkpoint = find_checkpoint(model_cfg)
        self._batch_size = engine_cfg.get("batch_size", "auto")
        self._device = choose_device(engine_cfg.get("device", "auto"))
        self._dtype = choose_dtype(engine_cfg.get("dtype", "auto"), model_cfg.get("dtype"), self._device)
        self._tokenizer: Any = None
        self._chat: Chat | None = None
        self._model: Any = None
        self._decoder: Any = None
        self._identity: Identity | None = None

    def identity(self) -> Identity:
        """Say what answers; reads the files' contents once, loads no weights."""
        if self._identity is None:
            quantization = self._model_cfg.get("quantization")
            self._identity = Identity(
                model_id=self._checkpoint.model_id,
                model_revision=self._checkpoint.revision(),
                dtype=f"{self._dtype}+{quantization}" if quantization else self._dtype,
                engine="transformers",
                device=self._device,
            )
        return self._identity

    def render(self, prompts: Sequence[Prompt]) -> list[Rendered]:
        """Apply the model's own chat template; loads the tokenizer alone."""
        return self._load_chat().render(prompts)

    def generate(self, jobs: Sequence[Job], settings: GenerationSettings) -> Iterator[Response]:
        """Answer jobs, each exactly once, in an order that suits the machine.

        A prompt that fills the model's context ends as ``error`` and is never cut; one that leaves room for
        fewer tokens than the limit ends as ``length`` where the context does.
        """
        if not jobs:
            return
        model = self._load_model()
        context = _context_length(model)
        requests = []
        for index, job in enumerate(jobs):
            ids = job.rendered.token_ids or ()
            limit = min(settings.max_new_tokens, context - len(ids))
            if not ids or limit < 1:
                yield Response(job.key, "", len(ids), 0, "error", 1, NO_ROOM)
            else:
                requests.append(Request(index, ids, limit, job.seed, self._decided(job)))
        batch_size = None if self._batch_size == "auto" else int(self._batch_size)
        for completion in self._decoder.run(requests, settings, self._stop_ids(model), batch_size):
            yield self._response(jobs[completion.index], completion)

    def first_words(self, prompts: Sequence[Rendered], words: Sequence[str]) -> list[list[float]]:
        """Compute the probability that an answer begins with each of some words; see `ScoringEngine`."""
        if not prompts:
            return []
        tokens = [self._first_tokens(word) for word in words]
        model = self._load_model()
        context = _context_length(model)
        fitting = [i for i, prompt in enumerate(prompts) if 0 < len(prompt.token_ids or ()) <= context]
        found = [[math.nan] * len(words) for _ in prompts]
        if fitting:
            wanted = sorted(set().union(*tokens))
            rows = [prompts[i].token_ids for i in fitting]
            for i, row in zip(fitting, self._decoder.next_probabilities(rows, wanted).tolist(), strict=True):
                of = dict(zip(wanted, row, strict=True))
                found[i] = [sum(of[token] for token in tokens[word]) for word in range(len(words))]
        return found

    def _first_tokens(self, word: str) -> set[int]:
        """Find the tokens that are a word as a whole, at the beginning of a line or after a space."""
        self._load_chat()
        written = [self._tokenizer(text, add_special_tokens=False).input_ids for text in (word, f" {word}")]
        single = {ids[0] for ids in written if len(ids) == 1}
        if not single:
            raise InputError(f"{self._checkpoint.model_id} has no token for {word!r}; choose another model")
        return single

    def load(self) -> None:
        """Load the weights."""
        self._load_model()

    def close(self) -> None:
        """Give memory back; the next `generate` loads the weights again."""
        self._model = self._decoder = None
        give_memory_back(self._device)

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _decided(self, job: Job) -> Callable[[Sequence[int]], bool] | None:
        decided = job.decided
        return None if decided is None else lambda tokens: decided(self._text(tokens))

    def _response(self, job: Job, completion: Completion) -> Response:
        return Response(
            key=job.key,
            text="" if completion.reason == "error" else self._text(completion.tokens),
            prompt_tokens=len(job.rendered.token_ids or ()),
            new_tokens=len(completion.tokens),
            finish_reason=completion.reason,
            batch_size=completion.batch_size,
            cause=completion.cause,
        )

    def _stop_ids(self, model: Any) -> frozenset[int]:
        """Every token that ends an answer, by the model's files or by its template."""
        named = model.generation_config.eos_token_id
        listed = named if isinstance(named, list) else [named]
        return frozenset(self._load_chat().stop_ids() | set(listed) - {None})

    def _load_chat(self) -> Chat:
        if self._chat is None:
            self._tokenizer = load_part(self._checkpoint, "AutoTokenizer")
            self._chat = Chat(
                self._tokenizer,
                self._model_cfg.get("system_role") or "auto",
                self._model_cfg.get("template_options"),
            )
        return self._chat

    def _load_model(self) -> Any:
        if self._model is None:
            import torch

            from src.engines.local.decoding import Decoder

            self._load_chat()
            options: dict[str, Any] = {"dtype": getattr(torch, self._dtype)}
            quantization = self._model_cfg.get("quantization")
            if self._checkpoint.gguf_file is None:
                options["use_safetensors"] = True
            if self._device == BALANCED:
                options["device_map"] = "auto"
            elif self._device != "cpu":
                options["device_map"] = self._device
            if quantization:
                from transformers import BitsAndBytesConfig

                options["quantization_config"] = BitsAndBytesConfig(
                    load_in_8bit=quantization == "bnb-8bit",
                    load_in_4bit=quantization == "bnb-4bit",
                    bnb_4bit_compute_dtype=options["dtype"],
                )
            self._model = load_part(self._checkpoint, "AutoModelForCausalLM", **options).eval()
            self._decoder = Decoder(self._model, self._checkpoint.model_id)
        return self._model


def _context_length(model: Any) -> int:
    """Most tokens that the model can read and write together; practically endless where it names no limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
