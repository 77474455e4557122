"""Starts an entry point: every job is composed and checked before the first one runs.

Bad input of any kind ends as one line on standard error and exit status 2; a defect of ours keeps its
traceback and exit status 1. A sweep runs all its jobs, whatever becomes of one, and ends with a table of
them; its exit status is 1 unless every job is done.
"""

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from src.errors import InputError, unknown
from src.study.paths import CONF, StudyPaths
from src.sweeps import DONE, read_outcomes, run_recorded

Check = Callable[[DictConfig], object]


def hydra_main(
    config_name: str, check: Check | None = None
) -> Callable[[Callable[[DictConfig], object]], Callable[[], None]]:
    """Make a function of a configuration into a command with Hydra's command line.

    Parameters
    ----------
    config_name : str
        Name of the primary configuration in ``conf/``.
    check : callable, optional
        Called with each job's resolved configuration before any job starts; raises `InputError`.

    Returns
    -------
    callable
        Decorator for the function that runs one job; a text that it returns stands in a sweep's table.
    """

    def decorate(task: Callable[[DictConfig], object]) -> Callable[[], None]:
        @functools.wraps(task)
        def job(cfg: DictConfig) -> None:
            if in_sweep():
                run_recorded(task, cfg)
                return
            try:
                task(cfg)
            except InputError as error:
                _exit_with(error)  # here, before Hydra prints lines of its own

        @functools.wraps(task)
        def command() -> None:
            # Hydra then raises instead of printing its own report.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                jobs = _check_jobs(config_name, check)
                run = hydra.main(config_path=str(CONF), config_name=config_name, version_base="1.3")(job)
                if jobs is None or not get_args_parser().parse_args().multirun:
                    run()
                else:
                    sys.argv[1:] = _for_sweeper(sys.argv[1:])
                    _sweep(run, jobs)
            except InputError as error:
                _exit_with(error)

        return command

    return decorate


def _sweep(run: Callable[[], None], jobs: list[list[str]]) -> None:
    """Run a sweep, and show what became of its jobs however it ends."""
    from src.reporting.jobs import show_jobs

    status: object = 1
    try:
        run()
    except SystemExit as stop:
        status = stop.code
    except Exception as error:
        # The launcher itself gave up, as when a worker was killed: the table says which job has no end.
        print(f"error: the launcher stopped: {type(error).__name__}: {_first_line(error)}", file=sys.stderr)
    if not HydraConfig.initialized():
        raise SystemExit(status)
    outcomes = read_outcomes(jobs)
    show_jobs(outcomes)
    if any(outcome.status != DONE for outcome in outcomes):
        raise SystemExit(status or 1)


def in_sweep() -> bool:
    """Whether the running job is one of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def job_slug() -> str | None:
    """Folder name that tells a sweep's jobs apart; None in a single run.

    Returns
    -------
    str or None
        The job's overrides without study and folders, such as ``priors=r2d2``.
    """
    if not in_sweep():
        return None
    slug = re.sub(r"[^A-Za-z0-9=,._+-]+", "_", HydraConfig.get().job.override_dirname)
    return slug.strip("._")[:150] or None


def _exit_with(error: InputError) -> None:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    raise SystemExit(2)


def _check_jobs(config_name: str, check: Check | None) -> list[list[str]] | None:
    """Compose every job that the command line asks for, check each, and return their overrides."""
    arguments = get_args_parser().parse_args()
    if arguments.help or arguments.hydra_help or arguments.info or arguments.shell_completion:
        return None
    config_name = arguments.config_name or config_name
    search = (
        [f"hydra.searchpath=[file://{Path(arguments.config_dir).resolve()}]"] if arguments.config_dir else []
    )
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        jobs = list(_jobs(arguments.overrides, arguments.multirun))
        for overrides in jobs:
            cfg = _compose(config_name, [*overrides, *search])
            if "study" in cfg and cfg.study is not None:
                StudyPaths(cfg.runs_dir, cfg.study)
            if check is not None:
                check(cfg)
    return jobs


def _jobs(overrides: list[str], multirun: bool) -> Iterator[list[str]]:
    """Expand a sweep into the overrides of its single jobs."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        if not multirun:
            swept = [o for o in parsed if o.is_sweep_override()]
            if swept:
                raise InputError(
                    f"{swept[0].input_line!r} names several values; add -m for one job per value, "
                    f"or write {swept[0].get_key_element()}=[...] for a list"
                )
            yield overrides
            return
        # A sweeper other than Hydra's own draws its values later; its jobs check themselves.
        if any(not o.is_discrete_sweep() for o in parsed if o.is_sweep_override()):
            return
        yield from BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    except (OverrideParseException, HydraException) as error:
        raise InputError(f"cannot read the command line: {_first_line(error)}") from error


def _for_sweeper(arguments: list[str]) -> list[str]:
    """Let keys of a swept group look swept, as in ``detector=a,b detector.model.path=x``.

    Hydra first composes what is not swept by itself, with the group's default option, which may lack them.
    """
    given = OverridesParser.create().parse_overrides(get_args_parser().parse_args(arguments).overrides)
    groups = tuple(f"{o.key_or_group}." for o in given if o.is_sweep_override())
    wrapped = {
        o.input_line: f"{o.get_key_element()}=choice({o.get_value_element_as_str()})"
        for o in given
        if o.key_or_group.startswith(groups) and not (o.is_delete() or o.is_sweep_override())
    }
    return [wrapped.get(argument, argument) for argument in arguments]


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    """Compose one job's configuration and resolve it; every failure becomes an `InputError`."""
    try:
        cfg = hydra.compose(config_name, overrides=overrides)
        OmegaConf.resolve(cfg)
        missing = OmegaConf.missing_keys(cfg)
    except MissingConfigException as error:
        raise _unknown_option(error) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise _unknown_key(error, config_name) from error
    if missing:
        key = sorted(missing)[0]
        raise InputError(f"{key} has no value; add {key}=... to the command line")
    return cfg


def _unknown_option(error: MissingConfigException) -> InputError:
    """Say which option of a group does not exist, and which is near."""
    group, _, option = (str(error.missing_cfg_file or "")).rpartition("/")
    if not group:
        return InputError(_first_line(error))
    return unknown(group, option, error.options or [path.stem for path in (CONF / group).glob("*.yaml")])


def _unknown_key(error: Exception, config_name: str) -> InputError:
    """Say which key does not exist, and which is near."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, MissingMandatoryValue):
        return InputError(f"{_first_line(cause)}")
    named = re.search(r"Could not override '([^']+)'", str(error))
    if named and (
        isinstance(cause, ConfigKeyError) or "No match" in str(error) or "is not in struct" in str(cause)
    ):
        if named[1].startswith("hydra."):
            return InputError(
                f"{named[1]} has no value here; if Hydra or its plugin has it, write +{named[1]}=..."
            )
        keys = list(_keys(hydra.compose(config_name)))
        if named[1] in keys:
            return InputError(f"{named[1]} has no such entry; add one with +{named[1]}.NAME=VALUE")
        return unknown("key", named[1], keys)
    return InputError(f"cannot use this configuration: {_first_line(error)}")


def _keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Name every key of a configuration with dots."""
    for key, value in cfg.items_ex(resolve=False):
        yield f"{prefix}{key!s}"
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_missing():
            yield from _keys(value, f"{prefix}{key!s}.")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
