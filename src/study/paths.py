"""Where a study's files lie: every path inside ``runs/<study>/``."""

import re
from dataclasses import dataclass
from pathlib import Path

from src.errors import InputError, unknown

CONF = Path(__file__).resolve().parents[2] / "conf"
"""The folder of the shipped configuration."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class StudyPaths:
    """The folder of one study and the names inside it.

    Parameters
    ----------
    runs_dir : str or Path
        Folder that holds all studies.
    study : str
        Name of the study: letters, digits, dot, underscore and hyphen.

    Raises
    ------
    InputError
        If the name could lead outside `runs_dir`.
    """

    runs_dir: Path
    study: str

    def __post_init__(self) -> None:  # noqa: D105
        if not _SAFE_NAME.fullmatch(str(self.study)):
            raise InputError(
                f"study name {str(self.study)!r} is not usable; use letters, digits, '.', '_' and '-', "
                "starting with a letter or digit"
            )
        object.__setattr__(self, "runs_dir", Path(self.runs_dir))
        object.__setattr__(self, "study", str(self.study))

    @property
    def root(self) -> Path:
        """Folder of the study."""
        return self.runs_dir / self.study

    @property
    def responses(self) -> Path:
        """Folder of the raw responses."""
        return self.root / "responses"

    @property
    def labels(self) -> Path:
        """Folder of the detectors' labels."""
        return self.root / "labels"

    @property
    def observations(self) -> Path:
        """Table that a fit reads."""
        return self.root / "observations.parquet"

    @property
    def truth(self) -> Path:
        """Known effects of a simulated study."""
        return self.root / "truth.nc"

    def fit(self, name: str = "fit") -> Path:
        """Folder of one fit."""
        return self.root / name

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.root / "report"

    def require(self) -> "StudyPaths":
        """Return self if the study exists.

        Raises
        ------
        InputError
            If there is no such folder; names the nearest ones.
        """
        if not self.root.is_dir():
            found = sorted(p.name for p in self.runs_dir.glob("*") if p.is_dir())
            raise unknown(f"study in {self.runs_dir}/", self.study, found)
        return self
