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
from src.observations.labelling import ROWS_AT_ONCE
from tests.detect.labelled import read_labelled, texts

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


def measure(case: str, batch: Texts) -> None:
    """Print rows per second of both, and the ratio of their times."""
    rows = len(batch)
    rules = min(seconds(lambda: RuleDetector().label(batch)) for _ in range(3))
    plain = min(seconds(lambda: prefix_list(batch.responses)) for _ in range(3))
    line = {
        "benchmark": "detect",
        "case": case,
        "rows": rows,
        "rows_per_second": round(rows / rules),
        "prefix_list_rows_per_second": round(rows / plain),
        "time_over_prefix_list": round(rules / plain, 2),
    }
    print(json.dumps(line), flush=True)


def read(batch: Texts) -> int:
    """Read in a process of its own."""
    return len(RuleDetector().label(batch).kind)


def measure_processes(case: str, batch: Texts) -> None:
    """Print rows per second of one process and of all, for the same batches."""
    rows = len(batch)
    batches = [batch.take(range(i, min(i + ROWS_AT_ONCE, rows))) for i in range(0, rows, ROWS_AT_ONCE)]
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(read, [batch.take([0])] * workers))  # the interpreters have started
        together = min(seconds(lambda: list(pool.map(read, batches))) for _ in range(2))
    alone = min(seconds(lambda: [read(part) for part in batches]) for _ in range(2))
    line = {
        "benchmark": "detect",
        "case": f"{case}, processes",
        "rows": rows,
        "processes": workers,
        "rows_per_second_alone": round(rows / alone),
        "rows_per_second": round(rows / together),
        "times_one_process": round(alone / together, 2),
    }
    print(json.dumps(line), flush=True)


def of_politeness(responses: list[str], prompts: Sequence[str | None] | None = None) -> Texts:
    rows = len(responses)
    return Texts(responses, prompts or [None] * rows, [WORDS] * rows, ["stop"] * rows)


def written_by_a_model(rows: int, labelled: bool = True) -> Texts:
    """Repeat the shipped responses of a model with their prompts, each time with another end."""
    table = read_labelled()
    shipped = texts(table)
    more = shipped.take([row % len(table) for row in range(rows)])
    responses = [f"{text} {row}" if row >= len(table) else text for row, text in enumerate(more.responses)]
    words = more.label_words if labelled else [None] * rows
    return Texts(responses, more.prompts, words, more.finish_reasons)


def main() -> None:
    """Measure short responses that repeat, with their prompts, that never repeat, and by processes."""
    draw = random.Random(1)
    short = [*REFUSALS, *(frame.format(label) for frame in ANSWERS for label in WORDS)]
    repeated = draw.choices(short, k=500_000)
    measure("short, repeated", of_politeness(repeated))
    prompts = [PROMPT.format(i % 20_000) for i in range(len(repeated))]
    measure("short, repeated, 20,000 prompts", of_politeness(repeated, prompts))
    rows = 4 * ROWS_AT_ONCE
    distinct = [
        f"{draw.choice(short).rstrip('.')}. {REASON.format(draw.choice(['asks', 'thanks']), i, i % 90)}"
        for i in range(rows)
    ]
    for case, batch in {
        "120 characters, all distinct": of_politeness(distinct),
        "written by a model, with prompts, all distinct": written_by_a_model(rows),
        "written by a model, with prompts, as free text, all distinct": written_by_a_model(rows, False),
    }.items():
        measure(case, batch)
        measure_processes(case, batch)


if __name__ == "__main__":
    main()
