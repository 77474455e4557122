"""Responses per second against plain ``model.generate`` (padded batches of 32) on the study's own prompts.

Both answer the same prompts greedily with the same weights, number format and limit of new tokens, in turn,
one JSON line a case: a number format and a number of items that share persona, persona template and wording.
``ratio`` is ours over plain by wall time, ``ratio_cpu`` by processor time, which other jobs on the machine
disturb less; ``over_plain_float32`` compares with plain float32 in the same round. Arithmetic and bandwidth
limits are what the machine did in the same minute: a large matrix product and a large sum.

    python tests/benchmarks/generate.py                        # every format that the processor computes in
    python tests/benchmarks/generate.py --quick                # the same cases, few prompts, one round
    python tests/benchmarks/generate.py --threads 1            # steadier where others use the machine
    python tests/benchmarks/generate.py --llama PYTHON         # and llama.cpp; PYTHON has llama-cpp-python
"""

import argparse
import copy
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from transformers import GenerationConfig  # noqa: E402
from transformers.utils import logging  # noqa: E402

from src.engines.base import GenerationSettings  # noqa: E402
from src.engines.local.chat import Chat  # noqa: E402
from src.engines.local.checkpoint import find_checkpoint  # noqa: E402
from src.engines.local.decoding import Decoder  # noqa: E402
from src.engines.local.hardware import choose_dtype  # noqa: E402
from src.engines.local.loading import load_part  # noqa: E402
from src.engines.local.requests import Request  # noqa: E402
from src.engines.local.sharing import shared_tokens, sharing_order  # noqa: E402
from src.study.paths import CONF  # noqa: E402
from src.study.prompts import Prompt, build_prompt  # noqa: E402
from src.study.reading import read_factors  # noqa: E402
from tests.benchmarks.machine import matrix_rate, reading_rate  # noqa: E402

LIMIT = 32
PLAIN_BATCH = 32
GREEDY = GenerationSettings(max_new_tokens=LIMIT, temperature=0.0, top_p=1.0, seed=0)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Answers = dict[int, tuple[int, ...]]
Pairs = dict[str, tuple[Any, Decoder]]


@dataclass(frozen=True)
class Timed:
    """Answers with the wall and processor seconds that they took."""

    answers: Answers
    wall: float
    cpu: float


def main() -> None:
    """Run the cases that the arguments ask for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--prompts", type=int)
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--items", type=int, nargs="*", default=[1, 4, 16])
    # Where the processor has no bfloat16, a product takes a hundred times as long in it.
    quick = dict.fromkeys(["float32", choose_dtype("auto", None, "cpu")])
    arguments.add_argument("--dtypes", nargs="*", default=list(quick), choices=list(DTYPES))
    arguments.add_argument("--llama", help="interpreter with llama-cpp-python")
    chosen = arguments.parse_args()
    prompts = chosen.prompts or (128 if chosen.quick else 256)
    rounds = chosen.rounds or (1 if chosen.quick else 2)
    torch.set_num_threads(chosen.threads)
    study = Study()
    pairs = {dtype: study.pair(DTYPES[dtype]) for dtype in chosen.dtypes}
    for items in chosen.items:
        requests = study.requests(items, prompts)
        timed = [measure(study, pairs, requests) for _ in range(rounds)]
        for dtype, (model, _) in pairs.items():
            case = {"benchmark": "generate", "dtype": dtype, "items_per_prefix": items}
            last = timed[-1][dtype]
            line = case | {"threads": chosen.threads, "prompts": len(requests), "rounds": rounds}
            line |= (
                rates(dtype, timed) | texts(model, requests, *last) | limits(model, requests, last[1].answers)
            )
            if chosen.llama:
                line |= against_llama(study, requests, last[1], chosen.llama, chosen.threads)
            print(json.dumps(line), flush=True)


class Study:
    """The project's personas, tasks and items as the embedded model reads them."""

    def __init__(self) -> None:
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        with initialize_config_dir(str(CONF), version_base=None):
            found = compose("generate", ["persona_template=all", "model=smollm2-135m"])
        cfg: dict[str, Any] = OmegaConf.to_container(found, resolve=True)  # type: ignore[assignment]
        self._factors = read_factors(cfg)
        self._checkpoint = find_checkpoint(cfg["model"])
        self.file = f"{self._checkpoint.location}/{self._checkpoint.gguf_file}"
        tokenizer = self._load("AutoTokenizer")
        self._chat = Chat(tokenizer)
        self.stops = frozenset(self._chat.stop_ids())
        self.pad = min(self.stops)

    def _load(self, kind: str, **options: Any) -> Any:
        return load_part(self._checkpoint, kind, **options)

    def pair(self, dtype: torch.dtype) -> tuple[Any, Decoder]:
        """Load a model twice: as the library runs it, and in our decoder."""
        plain, ours = (self._load("AutoModelForCausalLM", dtype=dtype).eval() for _ in range(2))
        return plain, Decoder(ours, "smollm2-135m")

    def requests(self, items: int, count: int) -> list[Request]:
        """Draw prompts, so many items to each persona, template and wording, in an order like a study's."""
        draw = random.Random(items)
        factors = self._factors
        prefixes = [
            (persona, template, task, wording)
            for persona in factors.personas
            for template in (factors.templates if persona.description else factors.templates[:1])
            for task in factors.tasks
            for wording in task.wordings
        ]
        prompts: list[Prompt] = [
            build_prompt(persona, template, task, wording, item)
            for persona, template, task, wording in draw.sample(prefixes, count // items)
            for item in draw.sample(list(task.items), items)
        ]
        draw.shuffle(prompts)
        rendered = self._chat.render(prompts)
        return [Request(i, shown.token_ids or (), LIMIT, seed=i) for i, shown in enumerate(rendered)]


def plain_generate(model: Any, requests: list[Request], stops: Iterable[int], pad: int) -> Answers:
    """Answer as most scripts do: batches in the order given, padded on the left."""
    config = GenerationConfig(
        max_new_tokens=LIMIT, do_sample=False, eos_token_id=sorted(stops), pad_token_id=pad
    )
    answers = {}
    for start in range(0, len(requests), PLAIN_BATCH):
        batch = requests[start : start + PLAIN_BATCH]
        width = max(len(r.prompt) for r in batch)
        ids = torch.tensor([[pad] * (width - len(r.prompt)) + list(r.prompt) for r in batch])
        mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in batch])
        with torch.inference_mode():
            rows = model.generate(ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
        for request, row in zip(batch, rows, strict=True):
            end = next((place for place, token in enumerate(row) if token in stops), LIMIT)
            answers[request.index] = tuple(row[: end + 1])
    return answers


def slots_generate(decoder: Decoder, requests: list[Request], stops: frozenset[int]) -> Answers:
    return {c.index: c.tokens for c in decoder.run(requests, GREEDY, stops, None)}


def time_it(work: Callable[[], Answers]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    answers = work()
    return Timed(answers, time.perf_counter() - wall, time.process_time() - cpu)


def measure(study: Study, pairs: Pairs, requests: list[Request]) -> dict[str, tuple[Timed, Timed]]:
    """Answer all requests once in each number format, plainly and in slots."""
    timed = {}
    for dtype, (model, decoder) in pairs.items():
        plain = time_it(partial(plain_generate, model, requests, study.stops, study.pad))
        timed[dtype] = (plain, time_it(partial(slots_generate, decoder, requests, study.stops)))
    return timed


def rates(dtype: str, timed: list[dict[str, tuple[Timed, Timed]]]) -> dict[str, float]:
    """Medians over rounds, of rates and of ratios within a round."""
    rows = []
    for found in timed:
        plain, ours = found[dtype]
        row = {
            "plain_per_second": len(plain.answers) / plain.wall,
            "slots_per_second": len(ours.answers) / ours.wall,
            "ratio": plain.wall / ours.wall,
            "ratio_cpu": plain.cpu / ours.cpu,
        }
        if "float32" in found:
            row["over_plain_float32"] = found["float32"][0].wall / ours.wall
            row["over_plain_float32_cpu"] = found["float32"][0].cpu / ours.cpu
        rows.append(row)
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


def texts(model: Any, requests: list[Request], plain: Timed, ours: Timed) -> dict[str, Any]:
    """Count differing texts; in float32 say how close the two tokens score, in float64, where they part."""
    differing = [r for r in requests if plain.answers[r.index] != ours.answers[r.index]]
    gaps = []
    if differing and model.dtype == torch.float32:
        exact = copy.deepcopy(model).double()
        for request in differing:
            a, b = plain.answers[request.index], ours.answers[request.index]
            place = next(i for i in range(min(len(a), len(b))) if a[i] != b[i])
            with torch.inference_mode():
                scores = exact(torch.tensor([[*request.prompt, *a[:place]]])).logits[0, -1]
            gaps.append(float((scores[a[place]] - scores[b[place]]).abs() / scores.std()))
    return {"differing_texts": len(differing), "largest_tie_gap": max(gaps) if gaps else None}


def against_llama(
    study: Study, requests: list[Request], ours: Timed, python: str, threads: int
) -> dict[str, float]:
    """Answer the same with llama.cpp in the order that shares most, on the same file."""
    ordered = sharing_order(requests)
    asked = {"model": study.file, "threads": threads, "limit": LIMIT, "stops": sorted(study.stops)}
    asked["prompts"] = [request.prompt for request in ordered]
    command = [python, str(ROOT / "tests/benchmarks/_llama.py")]
    run = subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(run.stdout)
    pairs = zip(ordered, found["answers"], strict=True)
    return {
        "llama_per_second": round(len(requests) / found["wall"], 2),
        "over_llama": round(found["wall"] / ours.wall, 2),
        "over_llama_cpu": round(found["cpu"] / ours.cpu, 2),
        "differing_from_llama": sum(ours.answers[r.index] != tuple(answer) for r, answer in pairs),
    }


def limits(model: Any, requests: list[Request], answers: Answers) -> dict[str, float]:
    """Say what a response costs if each distinct beginning is read once, and what the machine could do."""
    count, config = len(requests), model.config
    ordered = [request.prompt for request in sharing_order(requests)]
    given = sum(map(len, ordered))
    read = given - sum(map(shared_tokens, [(), *ordered], ordered))
    written = sum(map(len, answers.values()))
    head = model.get_output_embeddings().weight.numel()
    body = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    # The token that ends a response is written but never read.
    operations = 2 * (body * (read + written - count) + head * written) / count
    # Weights are read once a step, which writes a token in each of 64 slots; keys and values for each token.
    weights = (body + head) * written / 64
    position = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    looked_at = sum((len(r.prompt) + len(answers[r.index]) / 2) * len(answers[r.index]) for r in requests)
    moved = (weights + position * looked_at) * model.dtype.itemsize / count
    arithmetic, bandwidth = matrix_rate(model.dtype), reading_rate()
    found = {
        "prompt_tokens": given / count,
        "prompt_tokens_read": read / count,
        "new_tokens": written / count,
        "gflop_per_response": operations / 1e9,
        "machine_gflops": arithmetic / 1e9,
        "arithmetic_limit_per_second": arithmetic / operations,
        "machine_gigabytes_per_second": bandwidth / 1e9,
        "bandwidth_limit_per_second": bandwidth / moved,
    }
    return {name: round(number, 1) for name, number in found.items()}


if __name__ == "__main__":
    main()
