"""Runs the commands as a user does: real processes, real files."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(command: str, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run ``python -m src.<command>`` and check its exit status.

    Parameters
    ----------
    command : str
        Module in ``src``.
    *arguments : str
        Hydra overrides and flags.
    status : int, optional
        Exit status expected; None accepts any.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"src.{command}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if status is not None:
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
