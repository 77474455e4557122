"""Label what is there already: ``python -m src.detect study=mine``, or ``responses=table.csv output=...``."""

from collections.abc import Iterable, Mapping

from omegaconf import DictConfig

from src.app import hydra_main


def check(cfg: DictConfig) -> None:
    """Make sure that there is something to label and a place for its labels, before anything is written."""
    from pathlib import Path

    from src.detect.registry import check_detector
    from src.errors import InputError
    from src.study.paths import StudyPaths

    check_detector(cfg.detector)
    if (cfg.study is None) == (cfg.responses is None):
        raise InputError(
            "name what to label, either study=... or responses=TABLE.csv output=LABELLED.csv; "
            f"received study={cfg.study} responses={cfg.responses}"
        )
    if cfg.study is not None:
        if cfg.output is not None:
            raise InputError(f"output={cfg.output} goes with responses=..., not with study={cfg.study}")
        StudyPaths(cfg.runs_dir, cfg.study).require()
    else:
        from src.observations.elsewhere import check_files

        if cfg.output is None:
            raise InputError(f"responses={cfg.responses} needs output=..., the file to write")
        check_files(Path(cfg.responses), Path(cfg.output))


def run(cfg: DictConfig) -> str:
    """Label a study or a table, and show and say how many responses have which outcome."""
    from pathlib import Path

    from src.reporting.detection import left_out, show_outcomes
    from src.study.paths import StudyPaths

    if cfg.study is None:
        from src.observations.elsewhere import label_table

        output = Path(cfg.output)
        counts = label_table(Path(cfg.responses), output, cfg.detector)
        missing = left_out(counts.pop("missing", 0))
        show_outcomes(output, cfg.detector.name, {"responses": counts}, missing)
        return _said([counts])
    else:
        from src.observations.labelling import label_study

        paths = StudyPaths(cfg.runs_dir, cfg.study)
        summary = label_study(paths, cfg.detector)
        notes = left_out(summary.missing, summary.unlabelled)
        show_outcomes(paths.observations, cfg.detector.name, summary.counts, notes)
        return _said(summary.counts.values())


def _said(counts: Iterable[Mapping[str, int]]) -> str:
    """Sum up how many responses have which outcome."""
    of = [(sum(one.values()), one.get("refused", 0)) for one in counts]
    return f"{sum(all_ for all_, _ in of):,} responses, {sum(refused for _, refused in of):,} refused"


main = hydra_main("detect", check)(run)

if __name__ == "__main__":
    main()
