"""What each kind of response counts as, by the setting ``detector.refused``."""

from collections.abc import Mapping
from typing import Any, get_args

from src.detect.base import Kind, Labels, Outcome
from src.errors import unknown

KINDS: tuple[str, ...] = get_args(Kind)
"""What a response can be."""
OUTCOMES: tuple[str, ...] = get_args(Outcome)
"""What it can count as."""
REFUSED: dict[str, frozenset[str]] = {
    "any": frozenset({"full_refusal", "partial_refusal"}),
    "full": frozenset({"full_refusal"}),
    "evasion": frozenset({"full_refusal", "partial_refusal", "evasion"}),
}
"""Values of ``detector.refused`` with the kinds that each counts as refused."""
DEFAULT = "any"
"""The value where none is given."""


def refused_setting(detector_cfg: Mapping[str, Any]) -> str:
    """Read ``detector.refused``, which every detector has.

    Parameters
    ----------
    detector_cfg : mapping
        One file of ``conf/detector``.

    Returns
    -------
    str
        A key of `REFUSED`.

    Raises
    ------
    InputError
        If there is no such value.
    """
    value = detector_cfg.get("refused", DEFAULT)
    if not isinstance(value, str) or value not in REFUSED:
        raise unknown("detector.refused", value, REFUSED)
    return value


def check_keys(detector_cfg: Mapping[str, Any], own: tuple[str, ...]) -> None:
    """Make sure that a detector's settings have known names.

    Parameters
    ----------
    detector_cfg : mapping
        One file of ``conf/detector``.
    own : tuple of str
        The detector's keys beside those that every detector has.

    Raises
    ------
    InputError
        If a key is unknown.
    """
    keys = ("name", "method", "refused", *own)
    for key in detector_cfg:
        if key not in keys:
            raise unknown("key of detector", key, keys)


def outcome_of(kind: str, label: str | None, refused: str = DEFAULT) -> Outcome:
    """Derive what a response counts as.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    label : str or None
        The label that it names.
    refused : str
        A key of `REFUSED`.

    Returns
    -------
    Outcome
        A partial refusal that does not count as refused is answered if it names a label.
    """
    if kind in REFUSED[refused]:
        return "refused"
    if kind == "answered" or (kind == "partial_refusal" and label is not None):
        return "answered"
    return "unparsed"


def outcomes(labels: Labels, refused: str = DEFAULT) -> list[Outcome | None]:
    """Derive what each response counts as.

    Parameters
    ----------
    labels : Labels
        From a detector.
    refused : str
        A key of `REFUSED`.

    Returns
    -------
    list of Outcome
        As many; None where the detector gives no verdict.
    """
    return [
        None if kind is None else outcome_of(kind, label, refused)
        for kind, label in zip(labels.kind, labels.label, strict=True)
    ]


def stored_version(version: str, refused: str) -> str:
    """Name what an outcome rests on: the detector's version and the setting, such as ``3fa9...-any``.

    Parameters
    ----------
    version : str
        Of the detector; two rows with the same one have the same kinds for the same text.
    refused : str
        A key of `REFUSED`.

    Returns
    -------
    str
        For the column ``detector_version``.
    """
    return f"{version}-{refused}"
