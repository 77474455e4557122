"""Show what a fit found: tables, pictures and one page: ``python -m src.report study=mine``."""

from omegaconf import DictConfig

from src.app import hydra_main, job_slug


def check(cfg: DictConfig) -> None:
    """Find out whether the fit is there and whole before any job starts."""
    from src.reporting.finished import find_fit, inside
    from src.study.paths import StudyPaths

    paths = StudyPaths(cfg.runs_dir, cfg.study)
    find_fit(paths, cfg.fit)
    inside(paths, "output", cfg.output)


def run(cfg: DictConfig) -> None:
    """Write the report of one fit."""
    from src.reporting.building import build_report
    from src.reporting.detectors import compare_detectors
    from src.reporting.finished import find_fit, inside
    from src.reporting.terminal import show_report
    from src.study.paths import StudyPaths

    paths = StudyPaths(cfg.runs_dir, cfg.study)
    fit = find_fit(paths, cfg.fit)
    detectors = compare_detectors(paths, fit)
    page = build_report(fit, paths, inside(paths, "output", cfg.output) / (job_slug() or ""), detectors)
    show_report(page, fit, detectors.sentences if detectors else ())


main = hydra_main("report", check)(run)

if __name__ == "__main__":
    main()
