"""Every file of conf/detector makes a detector."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.detect.base import Texts
from src.detect.registry import check_detector, create_detector, detector_names
from src.errors import InputError
from src.study.paths import CONF


def test_rules_are_there() -> None:
    assert "rules" in detector_names()


@pytest.mark.parametrize("name", detector_names())
def test_shipped_settings_are_usable(name: str, tiny_classifier: Path) -> None:
    cfg = OmegaConf.load(CONF / "detector" / f"{name}.yaml")
    if cfg.get("method") == "classifier":
        # What is shipped names a classifier on the hub, or none.
        cfg.merge_with({"model": {"path": str(tiny_classifier)}, "max_tokens": 128})
    if name == "combination":
        cfg.members = ["rules", "judge"]
    check_detector(cfg)
    assert cfg.name == name


def test_rules_as_shipped_label() -> None:
    detector = create_detector(OmegaConf.load(CONF / "detector" / "rules.yaml"))
    labels = detector.label(Texts.of(["I can't help with that.", "Paris."]))
    assert labels.kind == ["full_refusal", "answered"]
    assert (detector.name, len(detector.version)) == ("rules", 16)
    assert detector.label(Texts.of([])).kind == []


def test_no_detector_loads_torch_before_it_reads() -> None:
    modules = ", ".join(
        f"src.detect.{path.stem}" for path in (CONF.parent / "src" / "detect").glob("[!_]*.py")
    )
    code = f"import {modules}, src.fit, sys; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CONF.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["ruels", None, "../rules"])
def test_unknown_detector(name: str | None) -> None:
    with pytest.raises(InputError, match="unknown detector"):
        check_detector({"name": name})


@pytest.mark.parametrize("name", detector_names())
def test_what_counts_as_refused_is_checked_for_every_detector(name: str) -> None:
    cfg = OmegaConf.merge(OmegaConf.load(CONF / "detector" / f"{name}.yaml"), {"refused": "evasions"})
    with pytest.raises(InputError, match=r"unknown detector.refused 'evasions'; did you mean evasion\?"):
        check_detector(cfg)
