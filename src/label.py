"""Label a study's responses by hand: ``python -m src.label study=mine``."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.app import hydra_main
from src.errors import InputError


def check(cfg: DictConfig) -> None:
    """Find what is wrong before anything is shown or changed."""
    from src.detect.outcomes import REFUSED
    from src.errors import unknown
    from src.observations.samples import check_draw
    from src.study.paths import StudyPaths

    plain = _plain(cfg)
    StudyPaths(cfg.runs_dir, cfg.study).require()
    check_draw(plain["size"], plain["strata"], plain["seed"])
    _annotator(plain)
    for key in ("blind", "score"):
        if not isinstance(plain[key], bool):
            raise InputError(f"{key} must be true or false, received {plain[key]!r}")
    if plain["refused"] is not None and plain["refused"] not in REFUSED:
        raise unknown("refused", plain["refused"], REFUSED)
    probability = plain["ci_prob"]
    if isinstance(probability, bool) or not isinstance(probability, float) or not 0 < probability < 1:
        raise InputError(f"ci_prob must be a probability such as 0.9, received {probability!r}")
    if plain["score"] and plain["import"] is not None:
        raise InputError(
            f"score=true only shows labels; import={plain['import']} shows them too, after adding"
        )


def run(cfg: DictConfig) -> None:
    """Ask, or take labels over; then say how well refusals are read."""
    from pathlib import Path

    from src.observations.quality import setting_of, study_quality, write_quality
    from src.observations.samples import check_draw, read_frame, sample_of
    from src.reporting.agreement import show_quality
    from src.reporting.annotating import annotate, plain_console
    from src.study.paths import StudyPaths

    plain, paths, console = _plain(cfg), StudyPaths(cfg.runs_dir, cfg.study), plain_console()
    annotator = _annotator(plain)
    if not plain["score"]:
        frame, version = read_frame(paths)
        refused = setting_of(version, plain["refused"])
        if plain["import"] is not None:
            from src.observations.importing import import_labels

            added = import_labels(Path(plain["import"]), paths, frame, annotator, refused)
            console.print(f"{added:,} labels taken over from {plain['import']}", soft_wrap=True)
        else:
            from src.observations.annotating import Session

            sample, size = sample_of(paths, check_draw(plain["size"], plain["strata"], plain["seed"]))
            session = Session(paths, sample, size, annotator, refused)
            annotate(session, plain["blind"])
            if not session.labelled:
                return
    quality = study_quality(paths, plain["refused"], plain["ci_prob"])
    show_quality(console, quality, write_quality(paths, quality))


def _annotator(plain: dict[str, Any]) -> str:
    """Name who labels."""
    import getpass

    from src.observations.human import check_annotator

    if plain["annotator"] is not None:
        return check_annotator(str(plain["annotator"]))
    try:
        return check_annotator(getpass.getuser())
    except (KeyError, OSError, ImportError):
        return "me"  # a system without a name for its user


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


main = hydra_main("label", check)(run)

if __name__ == "__main__":
    main()
