"""Labels what a study has stored and rebuilds its table of observations; generates nothing."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.detect.base import Detector, Texts
from src.detect.outcomes import refused_setting
from src.detect.registry import create_detector
from src.errors import InputError
from src.observations.labels import label_rows, labels_path, write_labels
from src.observations.responses import ResponseStore
from src.observations.table import Summary, build_observations, observations_lock
from src.study.paths import StudyPaths


def label_study(paths: StudyPaths, detector_cfg: Mapping[str, Any], output: Path | None = None) -> Summary:
    """Read an outcome for every stored response and join both into one table.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    detector_cfg : mapping
        One file of ``conf/detector``.
    output : Path, optional
        Where to write the table, with the labels beside it; by default the study's own places, which all
        commands share.

    Returns
    -------
    Summary
        What the table holds.

    Raises
    ------
    InputError
        If the detector cannot be used, there are no responses, or a file is damaged.
    """
    detector = create_detector(detector_cfg)
    store = ResponseStore(paths.require().responses)
    if not store.parts():
        raise InputError(
            f"study {paths.study} holds no responses yet; run python -m src.generate study={paths.study}"
        )
    where = labels_path(paths, detector.name) if output is None else output.with_name("labels.parquet")
    with observations_lock(paths):
        write_labels(where, _labels(store, detector, refused_setting(detector_cfg)))
        return build_observations(paths, where, output=output)


def _labels(store: ResponseStore, detector: Detector, refused: str) -> Iterator[pa.Table]:
    columns = ["cell_key", "response", "prompt", "task_labels", "finish_reason"]
    for rows in store.scan(columns):
        if rows.num_rows:
            labels = detector.label(_texts(rows))
            yield label_rows(rows["cell_key"], labels, detector.name, detector.version, refused)


def _texts(rows: pa.Table) -> Texts:
    encoded = rows["task_labels"].to_pylist()
    # Few tasks, many rows: each text of labels is parsed once.
    words = {text: json.loads(text) for text in set(encoded)}
    return Texts(
        rows["response"].to_pylist(),
        rows["prompt"].to_pylist(),
        [words[text] for text in encoded],
        rows["finish_reason"].to_pylist(),
    )
