"""Finds a detector by name: ``conf/detector/<name>.yaml`` and ``src/detect/<method>.py`` make one.

The method is the name where none is given, so that several files can share a module. A method's module has
two functions: ``check(detector_cfg)``, quick and without loading anything, and
``create(detector_cfg) -> Detector``.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from src.detect.base import Detector
from src.detect.outcomes import refused_setting
from src.errors import InputError, unknown
from src.study.paths import CONF


def detector_names() -> list[str]:
    """Names of the detectors, in alphabetical order."""
    return sorted(path.stem for path in (CONF / "detector").glob("*.yaml"))


def check_detector(detector_cfg: Mapping[str, Any]) -> None:
    """Make sure that a detector's settings can be used, without loading it.

    Parameters
    ----------
    detector_cfg : mapping
        One file of ``conf/detector``.

    Raises
    ------
    InputError
        If the detector or one of its keys is unknown, or a setting has no such value.
    """
    module = _module(detector_cfg)
    refused_setting(detector_cfg)
    module.check(detector_cfg)


def create_detector(detector_cfg: Mapping[str, Any]) -> Detector:
    """Make the detector that ``detector.name`` asks for.

    Parameters
    ----------
    detector_cfg : mapping
        One file of ``conf/detector``.

    Returns
    -------
    Detector
        Ready to label.

    Raises
    ------
    InputError
        As `check_detector`.
    """
    check_detector(detector_cfg)
    module = _module(detector_cfg)
    return module.create(detector_cfg)


def _module(detector_cfg: Mapping[str, Any]) -> ModuleType:
    name, method = detector_cfg.get("name"), detector_cfg.get("method")
    if method is None:
        if name not in _methods():
            raise unknown("detector", name, detector_names())
        method = name
    elif method not in _methods():
        raise unknown("detector.method", method, _methods())
    if not isinstance(name, str) or not name:
        raise InputError(f"detector.name must be the name that its labels go by, received {name!r}")
    return importlib.import_module(f"src.detect.{method}")


def _methods() -> list[str]:
    folder = Path(__file__).parent
    return [name for name in detector_names() if (folder / f"{name}.py").is_file()]
