"""One person's way through a sample: what comes next, what was said, and back again; saved at every step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from src.detect.outcomes import KINDS
from src.errors import InputError
from src.observations.human import LEVELS, change_human, human_row, read_human
from src.observations.rendered import user_part
from src.observations.responses import ResponseStore
from src.observations.samples import weights
from src.study.paths import StudyPaths

WITH_LABEL = ("answered", "partial_refusal")
"""Kinds beside which a label of the task can stand; an answer to a task with labels must have one."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One response as it is laid before a person."""

    cell_key: str
    levels: Mapping[str, str]
    """`src.observations.human.LEVELS`: model, persona and what else it comes from."""
    asked: str
    """The user's message; the whole prompt where it cannot be told apart."""
    whole_prompt: bool
    """Whether `asked` is the whole prompt, in which the persona may stand."""
    response: str
    """What the model said: untrusted text."""
    cut: bool
    """Whether the token limit ended it."""
    labels: tuple[str, ...]
    """The task's labels; none for free text."""


class Session:
    """The responses that one person has still to label, one after the other.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    sample : pandas.DataFrame
        From `src.observations.samples.sample_of`.
    size : int
        How many of the sample are asked for, from its beginning.
    annotator : str
        Who labels.
    refused : str
        Which kinds are refusals, a key of `src.detect.outcomes.REFUSED`.

    Raises
    ------
    InputError
        If a response of the sample is no longer stored, or a file is damaged.
    """

    def __init__(
        self, paths: StudyPaths, sample: pd.DataFrame, size: int, annotator: str, refused: str
    ) -> None:
        self._paths, self._sample, self._annotator, self._refused = paths, sample, annotator, refused
        self._order: list[str] = sample["cell_key"].head(size).tolist()
        self._shown = read_shown(paths, sample.head(size))
        own = read_human(paths)
        own = own[(own["annotator"] == annotator) & own["cell_key"].isin(sample["cell_key"])]
        own = own.sort_values("labelled_at", kind="stable")
        self._labelled = set(own["cell_key"])
        # Labels of earlier sittings can be taken back too, the last one first.
        self._past = [key for key in own["cell_key"] if key in self._shown]
        self._skipped: set[str] = set()

    @property
    def size(self) -> int:
        """Responses asked for."""
        return len(self._order)

    @property
    def labelled(self) -> int:
        """Those that have a label of this person."""
        return len(self._labelled & self._shown.keys())

    @property
    def skipped(self) -> int:
        """Those passed over in this sitting; they come again in the next."""
        return len(self._skipped)

    @property
    def current(self) -> Shown | None:
        """The response to label now; None at the end."""
        for key in self._order:
            if key not in self._labelled and key not in self._skipped:
                return self._shown[key]
        return None

    def label(self, kind: str, label: str | None = None) -> None:
        """Give the current response a label, and save it.

        Parameters
        ----------
        kind : str
            One of `src.detect.outcomes.KINDS`.
        label : str, optional
            The task's label that was read.
        """
        shown = self.current
        if shown is None:
            raise ValueError("nothing is left to label")
        check_reading(shown.labels, kind, label)
        key = shown.cell_key
        row = human_row({"cell_key": key, **shown.levels}, self._annotator, kind, label, self._refused)
        self._save({*self._labelled, key}, add=[row])
        self._labelled.add(key)
        self._past.append(key)

    def skip(self) -> None:
        """Pass the current response over, for this sitting."""
        if self.current is not None:
            key = self.current.cell_key
            self._skipped.add(key)
            self._past.append(key)

    def undo(self) -> bool:
        """Take the last label or skip back, so that its response is the current one again.

        Returns
        -------
        bool
            Whether there was one.
        """
        if not self._past:
            return False
        key = self._past[-1]
        if key in self._labelled:
            self._save(self._labelled - {key}, remove=[key])
        self._past.pop()
        self._labelled.discard(key)
        self._skipped.discard(key)
        # What was skipped or imported before it must not come in between.
        self._order.remove(key)
        self._order.insert(0, key)
        return True

    def _save(
        self, labelled: set[str], add: Sequence[dict[str, object]] = (), remove: Sequence[str] = ()
    ) -> None:
        change_human(self._paths, self._annotator, add, remove, weights(self._sample, labelled))


def check_reading(labels: Sequence[str], kind: str, label: str | None) -> None:
    """Make sure that a kind and a label go together.

    Parameters
    ----------
    labels : sequence of str
        The task's labels; none for free text.
    kind : str
        One of `src.detect.outcomes.KINDS`.
    label : str or None
        One of `labels`.

    Raises
    ------
    InputError
        If they do not.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    if label is not None and label not in labels:
        raise InputError(f"unknown label {label!r}; known: {', '.join(labels) or 'none'}")
    if label is not None and kind not in WITH_LABEL:
        raise InputError(f"a label goes with {' or '.join(WITH_LABEL)}, received {label!r} with {kind}")


def read_shown(paths: StudyPaths, sample: pd.DataFrame) -> dict[str, Shown]:
    """Read the texts of a sample.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    sample : pandas.DataFrame
        Columns ``cell_key`` and `LEVELS`.

    Returns
    -------
    dict of str to Shown
        By key.

    Raises
    ------
    InputError
        If one of them is not stored, or a part is damaged.
    """
    wanted = set(sample["cell_key"])
    levels = {
        key: {name: str(value) for name, value in zip(LEVELS, row, strict=True)}
        for key, *row in sample[["cell_key", *LEVELS]].itertuples(index=False)
    }
    found = {}
    columns = ["cell_key", "response", "prompt", "system_role", "finish_reason", "task_labels"]
    for part in ResponseStore(paths.responses).scan(columns):
        rows = part.to_pandas()
        for row in rows[rows["cell_key"].isin(wanted)].to_dict("records"):
            key, prompt = row["cell_key"], row["prompt"] or ""
            asked = user_part(prompt, row["system_role"])
            found[key] = Shown(
                cell_key=key,
                levels=levels[key],
                asked=prompt if asked is None else asked,
                whole_prompt=asked is None,
                response=row["response"] or "",
                cut=row["finish_reason"] == "length",
                labels=tuple(json.loads(row["task_labels"]) or ()) if row["task_labels"] else (),
            )
    missing = wanted - set(found)
    if missing:
        raise InputError(
            f"{len(missing)} responses of the sample are not in {paths.responses}/, such as {min(missing)}; "
            "bring them back, or move labels/human-sample.parquet away to draw another sample"
        )
    return found
