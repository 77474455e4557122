"""Labels what a study has stored and rebuilds its table of observations; generates nothing."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from src.detect.base import Detector, Labels, Texts
from src.detect.outcomes import refused_setting
from src.detect.registry import create_detector
from src.errors import InputError
from src.observations.labels import label_rows, labels_path, read_labels, write_labels
from src.observations.responses import ResponseStore
from src.observations.table import Summary, build_observations, observations_lock
from src.study.paths import StudyPaths

ROWS_AT_ONCE = 2**15
"""Responses that are read together; where there are no more, further processes are not worth their start."""
_COLUMNS = ("cell_key", "response", "prompt", "task_labels", "finish_reason")


def label_study(
    paths: StudyPaths, detector_cfg: Mapping[str, Any], output: Path | None = None, workers: int | None = None
) -> Summary:
    """Read an outcome for every stored response and join both into one table.

    A slow detector (one that is ``slow``) reads only what this version of it has not read before.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    detector_cfg : mapping
        One file of ``conf/detector``.
    output : Path, optional
        Where to write the table, with the labels beside it; by default the study's own places, which all
        commands share.
    workers : int, optional
        Processes that read what comes after the first `ROWS_AT_ONCE` responses; by default one, or all
        processors for a detector that asks for them (``by_processes``).

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
    if workers is None:
        workers = (os.cpu_count() or 1) if getattr(detector, "by_processes", False) else 1
    where = labels_path(paths, detector.name) if output is None else output.with_name("labels.parquet")
    with observations_lock(paths):
        before = _read_before([labels_path(paths, detector.name), where], detector, detector_cfg)
        write_labels(where, chain(before, _labels(store, detector, detector_cfg, workers, before)))
        return build_observations(paths, where, output=output)


def _labels(
    store: ResponseStore,
    detector: Detector,
    detector_cfg: Mapping[str, Any],
    workers: int,
    before: list[pa.Table],
) -> Iterator[pa.Table]:
    """Read every stored response that has not been, many at a time."""
    batches = _together(_unread(store.scan(_COLUMNS), before))
    refused = refused_setting(detector_cfg)
    alone = islice(batches, 1) if workers > 1 else batches
    for rows in alone:
        yield _label(rows, detector, refused)
    for rows in islice(batches, 1):  # more than is read alone
        yield from _by_processes(chain([rows], batches), detector_cfg, workers)


def _together(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Put parts together until there are enough rows; memory holds a few parts at a time."""
    waiting: list[pa.Table] = []
    for rows in parts:
        waiting.append(rows)
        if sum(part.num_rows for part in waiting) >= ROWS_AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting = []
    if any(part.num_rows for part in waiting):
        yield pa.concat_tables(waiting)


def _read_before(paths: list[Path], detector: Detector, detector_cfg: Mapping[str, Any]) -> list[pa.Table]:
    """Take over what this version of a slow detector has read, with outcomes by the present setting."""
    if not getattr(detector, "slow", False):
        return []
    refused = refused_setting(detector_cfg)
    for path in paths:
        try:
            table = read_labels(path)
        except InputError:
            continue  # none, or damaged: read anew
        own = table.filter(
            pc.starts_with(pc.cast(table["detector_version"], pa.string()), f"{detector.version}-")
        )
        if own.num_rows:
            columns = [own[name].to_pylist() for name in ("kind", "label", "score", "reason")]
            labels = Labels(columns[0], columns[1], columns[2], columns[3])
            return [label_rows(own["cell_key"], labels, detector.name, detector.version, refused)]
    return []


def _unread(parts: Iterator[pa.Table], before: list[pa.Table]) -> Iterator[pa.Table]:
    """Leave out what was read before, and errors, whose keys belong to answers to come."""
    for rows in parts:
        rows = rows.filter(pc.not_equal(rows["finish_reason"], "error"))
        for table in before:
            rows = rows.filter(pc.is_null(pc.index_in(rows["cell_key"], value_set=table["cell_key"])))
        yield rows


def _by_processes(
    parts: Iterator[pa.Table], detector_cfg: Mapping[str, Any], workers: int
) -> Iterator[pa.Table]:
    waiting: deque[Future[pa.Table]] = deque()
    # Fresh interpreters: a fork would copy threads of Arrow in whatever state they are.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (dict(detector_cfg),)) as pool:
        for rows in parts:
            waiting.append(pool.submit(_label_here, rows))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_HERE: tuple[Detector, str]
"""A worker's detector and what it counts as refused."""


def _begin(detector_cfg: Mapping[str, Any]) -> None:
    global _HERE
    _HERE = create_detector(detector_cfg), refused_setting(detector_cfg)


def _label_here(rows: pa.Table) -> pa.Table:
    return _label(rows, *_HERE)


def _label(rows: pa.Table, detector: Detector, refused: str) -> pa.Table:
    labels = detector.label(_texts(rows))
    return label_rows(rows["cell_key"], labels, detector.name, detector.version, refused)


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
