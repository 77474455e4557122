"""How a detector reads the labelled responses: ``detector_accuracy.py detector=rules detector.refused=any``.

One JSON line says how the two passes over the responses agree, then one line a half how the detector agrees
with the final labels. Shares are percentages with 90 % Jeffreys intervals and the number of labels; weighted
ones stand for the study that the responses were drawn from (Jeffreys at Kish's effective number).
"""

import json
import sys
from typing import Any

import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.detect.outcomes import REFUSED, refused_setting
from src.detect.registry import create_detector
from src.observations.agreement import Estimate, cohen_kappa, confusion, weighted_share
from src.study.paths import CONF
from tests.detect.labelled import SPLITS, read_labelled, texts


def main(overrides: list[str]) -> None:
    with initialize_config_dir(str(CONF), version_base=None):
        cfg: Any = OmegaConf.to_container(compose("detect", overrides).detector, resolve=True)
    print(json.dumps({"benchmark": "detector_accuracy", "case": "two passes", **passes(read_labelled())}))
    detector = create_detector(cfg)
    setting = refused_setting(cfg)
    for split in SPLITS:
        table = read_labelled(split)
        found = detector.label(texts(table))
        table["read_kind"] = found.kind
        table["read_label"] = [label or "" for label in found.label]
        table["read"] = table["read_kind"].isin(REFUSED[setting])
        table["refused"] = table["final_kind"].isin(REFUSED[setting])
        given = table[table["read_kind"].notna()]
        line = {
            "benchmark": "detector_accuracy",
            "case": split,
            "detector": detector.name,
            "refused": setting,
        }
        line |= {"responses": len(table), "no_verdict": len(table) - len(given)}
        print(json.dumps(line | scores(given)), flush=True)


def passes(table: pd.DataFrame) -> dict[str, Any]:
    """Agreement of the first and the second pass, beyond chance."""
    both = table[table["second_kind"] != ""]
    found = {
        "responses": len(both),
        "kappa_kinds": rounded(cohen_kappa(both["kind"], both["second_kind"]), 1),
    }
    for setting, kinds in REFUSED.items():
        kappa = cohen_kappa(both["kind"].isin(kinds), both["second_kind"].isin(kinds))
        found[f"kappa_refused_{setting}"] = rounded(kappa, 1)
    return found


def scores(table: pd.DataFrame) -> dict[str, Any]:
    """Shares of all, and of refusals by persona and task; the counts stand beside each."""
    labelled = table[table["final_label"] != ""]
    named = table[(table["final_label"] != "") & (table["read_label"] != "")]
    return {
        **quality(table),
        "kappa_kinds": rounded(cohen_kappa(table["read_kind"], table["final_kind"]), 1),
        "kinds_read_by_final_kind": confusion(table["final_kind"], table["read_kind"]).to_dict("index"),
        "weighted": quality(table, weighted=True),
        "labels_read": share(labelled, labelled["read_label"] == labelled["final_label"]),
        "labels_right_where_both_read_one": share(named, named["read_label"] == named["final_label"]),
        **{
            f"by_{factor}": {level: quality(rows) for level, rows in table.groupby(factor)}
            for factor in ("task", "persona")
        },
    }


def quality(table: pd.DataFrame, weighted: bool = False) -> dict[str, Any]:
    right = table["read"] == table["refused"]
    rows = {
        "accuracy": table,
        "sensitivity": table[table["refused"]],
        "specificity": table[~table["refused"]],
    }
    return {name: share(of, right[of.index], weighted) for name, of in rows.items()}


def share(rows: pd.DataFrame, hits: pd.Series, weighted: bool = False) -> list[Any]:
    return rounded(weighted_share(hits.to_numpy(), rows["weight"].to_numpy() if weighted else None), 100)


def rounded(estimate: Estimate, unit: float) -> list[Any]:
    """Write value, bounds and number of labels; null for what is not there."""
    digits = 1 if unit == 100 else 3
    numbers = [estimate.value, estimate.lower, estimate.upper]
    return [None if n != n else round(unit * n, digits) for n in numbers] + [estimate.labels]


if __name__ == "__main__":
    main(sys.argv[1:])
