"""The table at the end of a sweep: every job, what became of it and how long it took."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from src.sweeps import DONE, Outcome


def show_jobs(outcomes: Sequence[Outcome]) -> None:
    """Show one line a job and, if one failed, how to go on.

    Parameters
    ----------
    outcomes : sequence of Outcome
        From `read_outcomes`.
    """
    console = Console(highlight=False)
    done = sum(outcome.status == DONE for outcome in outcomes)
    table = Table(title=f"{done} of {len(outcomes)} jobs done", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("job", justify="right")
    table.add_column("overrides", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("what it did", overflow="fold", ratio=1)
    shared = (
        set.intersection(*(set(outcome.overrides) for outcome in outcomes)) if len(outcomes) > 1 else set()
    )
    for outcome in outcomes:
        own = " ".join(override for override in outcome.overrides if override not in shared)
        seconds = "" if outcome.seconds is None else f"{outcome.seconds:,.1f}"
        status = outcome.status if outcome.status == DONE else f"[bold red]{outcome.status}[/]"
        table.add_row(str(outcome.job), escape(own), status, seconds, escape(outcome.line))
    console.print(table)
    if done < len(outcomes):
        console.print(
            f"{len(outcomes) - done} of {len(outcomes)} jobs are not done; "
            "the same command again does only what is missing",
            soft_wrap=True,
        )
