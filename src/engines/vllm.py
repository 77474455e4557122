"""Runs a language model in this process with vLLM on CUDA cards; unverified until it has run on one."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from src.engines.base import NO_ROOM, FinishReason, GenerationSettings, Identity, Job, Rendered, Response
from src.engines.local.chat import Chat
from src.engines.local.checkpoint import find_checkpoint, missing_library
from src.engines.local.hardware import check_dtype, choose_dtype, give_memory_back
from src.errors import InputError, unknown
from src.study.prompts import Prompt

SYSTEM_ROLES = ("auto", "native", "fold")

_FINISH: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}
_CARD = "cuda:0"
_PART = 2048
"""Jobs handed over at once: vLLM answers when the last of them is done."""


def check(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
    """Make sure that settings, vLLM, a card and the model's files are there; see `check_engine`."""
    check_dtype(engine_cfg.get("dtype", "auto"))
    check_dtype(model_cfg.get("dtype") or "auto")
    if (model_cfg.get("system_role") or "auto") not in SYSTEM_ROLES:
        raise unknown("model.system_role", model_cfg["system_role"], SYSTEM_ROLES)
    cards = engine_cfg.get("tensor_parallel_size", 1)
    if isinstance(cards, bool) or not isinstance(cards, int) or cards < 1:
        raise InputError(f"engine.tensor_parallel_size must be a whole number of cards, received {cards!r}")
    share = engine_cfg.get("gpu_memory_utilization", 0.9)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError(f"engine.gpu_memory_utilization must be above 0 and at most 1, received {share!r}")
    if model_cfg.get("quantization") or model_cfg.get("gguf_file"):
        raise InputError(
            f"engine vllm loads plain safetensors, and model {model_cfg.get('name')!r} is quantised; "
            "use engine=transformers, or a server of your own with engine=openai"
        )
    if importlib.util.find_spec("vllm") is None:
        raise missing_library("vllm", "vllm")
    import torch

    if torch.cuda.device_count() < cards:
        raise InputError(
            f"engine vllm needs {cards} CUDA card(s), {torch.cuda.device_count()} are here; "
            "use engine=transformers"
        )
    find_checkpoint(model_cfg)


def create(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> "VLLMEngine":
    """Make the engine; loads nothing yet."""
    return VLLMEngine(model_cfg, engine_cfg)


class VLLMEngine:
    """One model on one or several cards; prompts reach it as the token ids that every engine here renders.

    Parameters
    ----------
    model_cfg, engine_cfg : mapping
        Files of ``conf/model`` and ``conf/engine``.
    """

    def __init__(self, model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
        self._model_cfg = model_cfg
        self._checkpoint = find_checkpoint(model_cfg)
        self._dtype = choose_dtype(engine_cfg.get("dtype", "auto"), model_cfg.get("dtype"), _CARD)
        self._cards = int(engine_cfg.get("tensor_parallel_size", 1))
        self._memory = float(engine_cfg.get("gpu_memory_utilization", 0.9))
        self._identity: Identity | None = None
        self._tokenizer: Any = None
        self._chat: Chat | None = None
        self._llm: Any = None

    def identity(self) -> Identity:
        """Say what answers; reads the files' contents once, loads no weights."""
        if self._identity is None:
            device = _CARD if self._cards == 1 else f"cuda:0-{self._cards - 1}"
            self._identity = Identity(
                self._checkpoint.model_id, self._checkpoint.revision(), self._dtype, "vllm", device
            )
        return self._identity

    def render(self, prompts: Sequence[Prompt]) -> list[Rendered]:
        """Apply the model's own chat template; loads the tokenizer alone."""
        return self._load_chat().render(prompts)

    def generate(self, jobs: Sequence[Job], settings: GenerationSettings) -> Iterator[Response]:
        """Answer jobs part by part; vLLM shares prefixes and refills its batch within a part.

        A prompt that fills the model's context ends as ``error`` and is never cut; one that leaves room for
        fewer tokens than the limit ends as ``length`` where the context does.
        """
        if not jobs:
            return
        llm = self._load_llm()
        context = llm.llm_engine.model_config.max_model_len
        fitting = []
        for job in jobs:
            prompt_tokens = len(job.rendered.token_ids or ())
            if 0 < prompt_tokens < context:
                fitting.append(job)
            else:
                yield Response(job.key, "", prompt_tokens, 0, "error", 1, NO_ROOM)
        for start in range(0, len(fitting), _PART):
            yield from self._answer(llm, fitting[start : start + _PART], settings, context)

    def load(self) -> None:
        """Load the weights."""
        self._load_llm()

    def close(self) -> None:
        """Give memory back; the next `generate` loads the weights again."""
        self._llm = None
        give_memory_back(_CARD)

    def _answer(
        self, llm: Any, jobs: Sequence[Job], settings: GenerationSettings, context: int
    ) -> Iterator[Response]:
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        stops = sorted(self._load_chat().stop_ids())
        prompts = [TokensPrompt(prompt_token_ids=list(job.rendered.token_ids or ())) for job in jobs]
        params = [
            SamplingParams(
                temperature=settings.temperature,
                top_p=settings.top_p,
                seed=job.seed,
                max_tokens=min(settings.max_new_tokens, context - len(job.rendered.token_ids or ())),
                stop_token_ids=stops,
                detokenize=False,
            )
            for job in jobs
        ]
        # vLLM returns results in the order of the prompts.
        for job, result in zip(jobs, llm.generate(prompts, params, use_tqdm=False), strict=True):
            output = result.outputs[0]
            reason = _FINISH.get(output.finish_reason, "error")
            text = self._tokenizer.decode(
                output.token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            yield Response(
                key=job.key,
                text="" if reason == "error" else text,
                prompt_tokens=len(job.rendered.token_ids or ()),
                new_tokens=len(output.token_ids),
                finish_reason=reason,
                batch_size=len(jobs),
                cause=f"vLLM ended it as {output.finish_reason!r}: see its log" if reason == "error" else "",
            )

    def _revision(self) -> str | None:
        return self._checkpoint.commit if self._checkpoint.folder is None else None

    def _load_chat(self) -> Chat:
        if self._chat is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(
                self._checkpoint.location, revision=self._revision() or "main", trust_remote_code=False
            )
            self._chat = Chat(
                self._tokenizer,
                self._model_cfg.get("system_role") or "auto",
                self._model_cfg.get("template_options"),
            )
        return self._chat

    def _load_llm(self) -> Any:
        if self._llm is None:
            from vllm import LLM

            self._load_chat()
            try:
                self._llm = LLM(
                    model=self._checkpoint.location,
                    revision=self._revision(),
                    tokenizer_revision=self._revision(),
                    dtype=self._dtype,
                    tensor_parallel_size=self._cards,
                    gpu_memory_utilization=self._memory,
                    enable_prefix_caching=True,
                    trust_remote_code=False,
                    load_format="safetensors",
                )
            except (OSError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:300]
                raise InputError(f"vLLM cannot load {self._checkpoint.model_id}: {reason}") from error
        return self._llm
