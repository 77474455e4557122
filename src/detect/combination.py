"""Reads kinds by a vote of other detectors, or asks each only about what those before it left open."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from src.detect.base import Detector, Kind, Labels, Texts
from src.detect.models import read_option
from src.detect.outcomes import REFUSED, check_keys
from src.detect.registry import check_detector, create_detector
from src.errors import InputError, unknown

VOTES = ("any", "all", "majority", "in_turn")
"""How verdicts become one."""
OPEN: frozenset[Kind | None] = frozenset({None, "unparsed", "evasion"})
"""Kinds that the next member may correct where members are asked in turn."""

_KEYS = ("members", "vote")


def check(detector_cfg: Mapping[str, Any]) -> None:
    """Make sure that every member and the vote can be used; loads nothing."""
    check_keys(detector_cfg, _KEYS)
    if detector_cfg.get("vote") not in VOTES:
        raise unknown("detector.vote", detector_cfg.get("vote"), VOTES)
    members = _members(detector_cfg)
    names = [member["name"] for member in members]
    if len(members) < 2 or len(set(names)) < len(names):
        raise InputError(f"detector.members must name two detectors or more, each once; received {names}")
    for member in members:
        check_detector(member)


def create(detector_cfg: Mapping[str, Any]) -> "CombinedDetector":
    """Make the detector and its members."""
    members = [create_detector(member) for member in _members(detector_cfg)]
    return CombinedDetector(str(detector_cfg["name"]), members, detector_cfg["vote"])


class CombinedDetector:
    """Several detectors, one verdict.

    With ``any``, ``all`` and ``majority`` a response is a refusal, full or partial, if so many of the members
    that give a verdict say so; of an even split the first such member decides. Kind and label are those of
    the first member on the winning side, the score is the share of members that read a refusal. With
    ``in_turn`` each member reads what those before it left open: no verdict, unparsed, evasion. If it gives a
    verdict, that stands, with its score.

    Parameters
    ----------
    name : str
        Name of the detector.
    members : sequence of Detector
        At least one, the one to be trusted most first.
    vote : {"any", "all", "majority", "in_turn"}
        How verdicts become one.
    """

    def __init__(self, name: str, members: Sequence[Detector], vote: str) -> None:
        self.name = name
        self.slow = any(getattr(member, "slow", False) for member in members)
        self._members, self._vote = list(members), vote
        rests_on = [vote, [[member.name, member.version] for member in members]]
        self.version = hashlib.sha256(json.dumps(rests_on).encode()).hexdigest()[:16]

    def label(self, batch: Texts) -> Labels:
        """Read one kind per response.

        Parameters
        ----------
        batch : Texts
            Any number of responses.

        Returns
        -------
        Labels
            Kinds (None where no member gives a verdict), labels and scores.
        """
        if self._vote == "in_turn":
            return self._in_turn(batch)
        read = [member.label(batch) for member in self._members]
        score: list[float | None] = []
        reason: list[str] = []
        found = Labels([], [], score, reason)
        for row in range(len(batch)):
            kinds = [labels.kind[row] for labels in read]
            winner = winning(kinds, self._vote)
            found.kind.append(None if winner is None else kinds[winner])
            found.label.append(None if winner is None else read[winner].label[row])
            votes = [kind in REFUSED["any"] for kind in kinds if kind is not None]
            score.append(sum(votes) / len(votes) if votes else None)
            reason.append("" if winner is None else self._reason(winner, read[winner], row))
        return found

    def _in_turn(self, batch: Texts) -> Labels:
        rows = list(range(len(batch)))
        score: list[float | None] = [None] * len(rows)
        reason = [""] * len(rows)
        found = Labels([None] * len(rows), [None] * len(rows), score, reason)
        for number, member in enumerate(self._members):
            asked = [row for row in rows if found.kind[row] in OPEN]
            read = member.label(batch.take(asked))
            for place, row in enumerate(asked):
                if read.kind[place] is None:
                    continue
                found.kind[row], found.label[row] = read.kind[place], read.label[place]
                score[row] = read.score[place] if read.score else None
                reason[row] = self._reason(number, read, place)
        return found

    def _reason(self, member: int, read: Labels, row: int) -> str:
        """Name the member that decided, with its own reason."""
        name = self._members[member].name
        return f"{name}: {read.reason[row]}" if read.reason else name


def winning(kinds: Sequence[Kind | None], vote: str) -> int | None:
    """Find the member whose verdict stands.

    Parameters
    ----------
    kinds : sequence of Kind or None
        Verdicts of the members, in their order.
    vote : {"any", "all", "majority"}
        How many refusals make one.

    Returns
    -------
    int or None
        The first member on the winning side; None if no member gives a verdict.
    """
    votes = {member: kind in REFUSED["any"] for member, kind in enumerate(kinds) if kind is not None}
    if not votes:
        return None
    refusals = sum(votes.values())
    refused = {
        "any": refusals > 0,
        "all": refusals == len(votes),
        "majority": 2 * refusals > len(votes) or (2 * refusals == len(votes) and next(iter(votes.values()))),
    }[vote]
    return next(member for member, says in votes.items() if says == refused)


def _members(detector_cfg: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the members' files; what counts as a refusal in the end is the combination's own setting."""
    named = detector_cfg.get("members")
    if isinstance(named, str | Mapping) or not isinstance(named, Sequence):
        raise InputError(f"detector.members must be a list such as [rules, protectai], received {named!r}")
    return [read_option("detector", member) for member in named]
