"""Ask a model and keep every response: ``python -m src.generate study=mine model=llama3.2-3b``."""

import time
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.app import hydra_main


def check(cfg: DictConfig) -> None:
    """Find what is wrong with the configuration before any job starts; loads no model."""
    from src.detect.decided import check_decides
    from src.detect.registry import check_detector
    from src.engines.registry import check_can_stop, check_engine
    from src.engines.settings import read_settings
    from src.study.designs import check_design
    from src.study.reading import read_factors

    plain = _plain(cfg)
    settings = read_settings(plain["generation"])
    check_design(plain["design"])
    check_detector(plain["detector"])
    if settings.stop_when_decided:
        check_can_stop(plain["engine"])
        check_decides(plain["detector"])
    read_factors(plain)
    check_engine(plain["model"], plain["engine"])


def run(cfg: DictConfig) -> str:
    """Ask what is missing of one model's plan, label all of the study, and show refusal rates."""
    from src.engines.settings import read_settings
    from src.observations.labelling import label_study
    from src.observations.running import Flush, ask
    from src.reporting.generation import describe, show_plan, show_rates
    from src.study.designs import plan_cells
    from src.study.paths import StudyPaths
    from src.study.reading import read_factors

    plain = _plain(cfg)
    paths = StudyPaths(cfg.runs_dir, cfg.study)
    factors, settings = read_factors(plain), read_settings(plain["generation"])
    model = str(plain["model"]["name"])
    cells = plan_cells(plain["design"], factors, model, greedy=settings.temperature == 0)
    show_plan(paths, model, factors, plain["design"], cells)
    done = ask(paths, plain, factors, cells, settings, Flush(**plain["flush"]))
    began = time.monotonic()
    summary = label_study(paths, plain["detector"])
    done = replace(done, labelling=time.monotonic() - began)
    show_rates(paths, model, summary, done)
    return describe(done)


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


main = hydra_main("generate", check)(run)

if __name__ == "__main__":
    main()
