"""Rate of the rules, beside a plain list of prefixes that reads the same responses in the same run."""

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from src.detect.base import Texts
from src.detect.rules import RuleDetector
from src.engines.simulated import ANSWERS, REFUSALS

WORDS = {"polite": ["polite", "not rude", "yes"], "impolite": ["impolite", "rude", "not polite", "no"]}
PREFIXES = (
    "i'm sorry",
    "i cannot",
    "i can't",
    "as an ai",
    "i'm unable",
    "i must decline",
    "sorry",
    "i apologize",
)
PROMPT = "Is the following message polite or impolite?\nCould you send me file {} before noon, please?"
REASON = "The writer {} the reader for page {} of the report and waits for an answer from office {}."


def prefix_list(responses: Sequence[str]) -> list[str]:
    """Label as many scripts do: refused if a response begins like one."""
    return ["refused" if text.strip().lower().startswith(PREFIXES) else "answered" for text in responses]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(case: str, responses: list[str], prompts: Sequence[str | None]) -> None:
    """Print rows per second of both, and the ratio of their times."""
    rows = len(responses)
    texts = Texts(responses, prompts, [WORDS] * rows, ["stop"] * rows)
    rules = min(seconds(lambda: RuleDetector().label(texts)) for _ in range(3))
    plain = min(seconds(lambda: prefix_list(responses)) for _ in range(3))
    line = {
        "benchmark": "detect",
        "case": case,
        "rows": rows,
        "rows_per_second": round(rows / rules),
        "prefix_list_rows_per_second": round(rows / plain),
        "time_over_prefix_list": round(rules / plain, 2),
    }
    print(json.dumps(line))


def read(responses: list[str]) -> int:
    """Read in a process of its own."""
    rows = len(responses)
    return len(RuleDetector().label(Texts(responses, [None] * rows, [WORDS] * rows, ["stop"] * rows)).kind)


def measure_processes(responses: list[str], batch: int = 5_000) -> None:
    """Print rows per second of one process and of all, for the same batches."""
    batches = [responses[i : i + batch] for i in range(0, len(responses), batch)]
    workers = os.cpu_count() or 1
    alone = min(seconds(lambda: [read(part) for part in batches]) for _ in range(2))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(read, [["I can't."]] * workers))  # the interpreters have started
        together = min(seconds(lambda: list(pool.map(read, batches))) for _ in range(2))
    line = {
        "benchmark": "detect",
        "case": "120 characters, all distinct, processes",
        "rows": len(responses),
        "processes": workers,
        "rows_per_second": round(len(responses) / together),
        "times_one_process": round(alone / together, 2),
    }
    print(json.dumps(line))


def main() -> None:
    """Measure short responses that repeat, with their prompts, that never repeat, and by processes."""
    draw = random.Random(1)
    short = [*REFUSALS, *(frame.format(label) for frame in ANSWERS for label in WORDS)]
    repeated = draw.choices(short, k=500_000)
    measure("short, repeated", repeated, [None] * len(repeated))
    measure("short, repeated, 20,000 prompts", repeated, [PROMPT.format(i % 20_000) for i in range(500_000)])
    distinct = [
        f"{draw.choice(short).rstrip('.')}. {REASON.format(draw.choice(['asks', 'thanks']), i, i % 90)}"
        for i in range(50_000)
    ]
    measure("120 characters, all distinct", distinct, [None] * len(distinct))
    measure_processes(distinct)


if __name__ == "__main__":
    main()
