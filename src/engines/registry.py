"""Finds an engine by name: ``conf/engine/<name>.yaml`` and ``src/engines/<name>.py`` make one.

An engine's module has two functions: ``check(model_cfg, engine_cfg)``, quick and without loading anything,
and ``create(model_cfg, engine_cfg) -> Engine``. One that can end a response early says ``CAN_STOP = True``.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from src.engines.base import Engine
from src.errors import InputError, unknown
from src.study.paths import CONF


def engine_names() -> list[str]:
    """Names of the engines, in alphabetical order."""
    return sorted(path.stem for path in (CONF / "engine").glob("*.yaml"))


def check_engine(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> None:
    """Make sure that an engine can run a model, as far as can be told without loading it.

    Parameters
    ----------
    model_cfg : mapping
        One file of ``conf/model``.
    engine_cfg : mapping
        One file of ``conf/engine``.

    Raises
    ------
    InputError
        If the engine is unknown, a library or a file of the model is missing, the hub cannot be reached and
        no complete copy is cached, or a setting has no such value.
    """
    _module(engine_cfg).check(model_cfg, engine_cfg)


def check_can_stop(engine_cfg: Mapping[str, Any]) -> None:
    """Make sure that an engine can end a response once its outcome is decided.

    Parameters
    ----------
    engine_cfg : mapping
        One file of ``conf/engine``.

    Raises
    ------
    InputError
        If the engine is unknown or cannot.
    """
    if not getattr(_module(engine_cfg), "CAN_STOP", False):
        raise InputError(
            f"engine {engine_cfg['name']!r} cannot end a response once it is decided; "
            "use generation.stop_when_decided=false, or engine=transformers"
        )


def create_engine(model_cfg: Mapping[str, Any], engine_cfg: Mapping[str, Any]) -> Engine:
    """Make the engine that ``engine.name`` asks for; loads no weights yet.

    Parameters
    ----------
    model_cfg : mapping
        One file of ``conf/model``.
    engine_cfg : mapping
        One file of ``conf/engine``.

    Returns
    -------
    Engine
        Ready to render and to generate.

    Raises
    ------
    InputError
        As `check_engine`.
    """
    module = _module(engine_cfg)
    module.check(model_cfg, engine_cfg)
    return module.create(model_cfg, engine_cfg)


def _module(engine_cfg: Mapping[str, Any]) -> ModuleType:
    name = engine_cfg.get("name")
    if name not in engine_names():
        raise unknown("engine", name, engine_names())
    return importlib.import_module(f"src.engines.{name}")
