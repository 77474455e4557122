"""The shipped responses with their labels, as the tests and benchmarks read them."""

import hashlib
from pathlib import Path

import pandas as pd
import yaml

from src.detect.base import Texts
from src.study.paths import CONF

TABLE = Path(__file__).resolve().parents[2] / "docs" / "data" / "refusals-smollm2.csv"
SPLITS = ("development", "heldout", "fresh_development", "fresh_heldout")
"""A half of the items each, of the first study and of the second (``fresh``)."""
KINDS = ("full_refusal", "partial_refusal", "answered", "evasion", "unparsed")
REFUSED = {
    "any": {"full_refusal", "partial_refusal"},
    "full": {"full_refusal"},
    "evasion": {"full_refusal", "partial_refusal", "evasion"},
}
"""Kinds that are refusals, by the setting ``detector.refused``; written down again so that it is checked."""


def read_labelled(split: str | None = None) -> pd.DataFrame:
    """Read the table, or one half of it; empty text where there is no label."""
    table = pd.read_csv(TABLE, dtype=str, keep_default_na=False)
    table["weight"] = table["weight"].astype(float)
    table["cut"] = table["cut"] == "True"
    return table if split is None else table[table["split"] == split].reset_index(drop=True)


def split_of(item: str, fresh: bool = False) -> str:
    """Say which half of its study an item belongs to."""
    return SPLITS[2 * fresh + int(hashlib.sha256(item.encode()).hexdigest(), 16) % 2]


def label_words(task: str) -> dict[str, list[str]]:
    """Read the words that stand for each label of a task."""
    words: dict[str, list[str]] = yaml.safe_load((CONF / "task" / f"{task}.yaml").read_text())["labels"]
    return words


def texts(table: pd.DataFrame) -> Texts:
    """Put the responses as a detector gets them."""
    words = {task: label_words(task) for task in table["task"].unique()}
    return Texts(
        responses=table["response"].tolist(),
        prompts=[f"{s}\n{a}" for s, a in zip(table["system"], table["asked"], strict=True)],
        label_words=[words[task] for task in table["task"]],
        finish_reasons=["length" if cut else "stop" for cut in table["cut"]],
    )
