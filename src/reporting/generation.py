"""What generating shows in the terminal: the plan before anything is loaded, and refusal rates at the end."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from src.observations.running import name_causes
from src.reporting.detection import left_out
from src.study.designs import Cells, combinations
from src.study.factors import Factors
from src.study.paths import StudyPaths

if TYPE_CHECKING:
    from src.observations.running import Done
    from src.observations.table import Summary


def show_plan(
    paths: StudyPaths, model: str, factors: Factors, design: Mapping[str, Any], cells: Cells
) -> None:
    """Show how many responses are planned, of how many possible ones.

    Parameters
    ----------
    paths : StudyPaths
        The study.
    model : str
        Name of the model.
    factors : Factors
        Its levels.
    design : mapping
        The ``design`` node.
    cells : Cells
        The plan.
    """
    console = Console(highlight=False)
    tasks = ", ".join(f"{t.name} ({len(t.wordings)} wordings, {len(t.items)} items)" for t in factors.tasks)
    console.print(
        f"study {paths.study}, model {escape(model)}: {len(cells):,} responses planned by design "
        f"{design['name']}, of {combinations(factors):,} combinations",
        soft_wrap=True,
    )
    console.print(
        f"{len(factors.personas)} personas, {len(factors.templates)} ways to introduce them; {escape(tasks)}",
        soft_wrap=True,
    )
    if cells.dropped_copies:
        console.print(
            f"{cells.dropped_copies:,} repeats left out: greedy decoding would only copy the first response",
            soft_wrap=True,
        )


def show_rates(paths: StudyPaths, model: str, summary: "Summary", done: "Done") -> None:
    """Show what was done and the refusal rates of one model by persona and task.

    Parameters
    ----------
    paths : StudyPaths
        The study, labelled.
    model : str
        Name of the model.
    summary : Summary
        Of the table of observations.
    done : Done
        What the run did.
    """
    console = Console(highlight=False)
    console.print(describe(done), soft_wrap=True)
    if summary.simulated:
        console.print("[bold red]SIMULATED DATA: no language model was asked[/]")
    console.print(rate_table(_counts(paths, model), model))
    counts = summary.counts.get(model, {})
    console.print(
        escape(f"{model}: " + ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())),
        soft_wrap=True,
    )
    for note in left_out(summary.missing, summary.unlabelled):
        console.print(f"note: {note}", soft_wrap=True)
    console.print(f"next: python -m src.fit study={paths.study}", soft_wrap=True)


def describe(done: "Done") -> str:
    """Say in a line what a run did.

    Parameters
    ----------
    done : Done
        What it did.

    Returns
    -------
    str
        Responses, time by stage and rate; what was there before; errors and their causes.
    """
    once_loaded = max(done.seconds - done.loading, 1e-9)
    stages = {
        "loading": done.loading,
        "asking": once_loaded - done.writing,
        "writing": done.writing,
        "labelling": done.labelling,
    }
    told = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in stages.items())
    times = f" ({told}; {done.asked / once_loaded:.1f} a second once loaded)" if done.asked else ""
    errors = (
        f"; {done.errors:,} errors, asked again next time: {name_causes(done.causes)}" if done.errors else ""
    )
    seconds = done.seconds + done.labelling
    return f"{done.asked:,} responses in {seconds:.0f} s{times}; {done.found:,} were there already{errors}"


def _counts(paths: StudyPaths, model: str) -> Any:
    """Count one model's responses and refusals by persona and task, a row group at a time."""
    import pandas as pd
    import pyarrow.parquet as pq

    columns = ["model", "persona", "task", "refused", "superseded"]
    found = []
    with pq.ParquetFile(paths.observations) as file:
        for batch in file.iter_batches(columns=columns):
            rows = batch.to_pandas()
            rows = rows[(rows["model"] == model) & ~rows["superseded"]]
            found.append(rows.groupby(["persona", "task"])["refused"].agg(["sum", "size"]))
    return pd.concat(found).groupby(level=[0, 1]).sum().set_axis(["refusals", "responses"], axis=1)


def rate_table(counts: Any, model: str) -> Table:
    """Lay out refusal rates, personas down and tasks across.

    Parameters
    ----------
    counts : pandas.DataFrame
        Columns refusals and responses, by persona and task.
    model : str
        For the title.

    Returns
    -------
    rich.table.Table
        Highest rate first; each cell is a percentage of its responses.
    """
    table = Table(title=f"Refusals of {escape(model)}, % of responses", title_justify="left", box=SIMPLE_HEAD)
    tasks = sorted(counts.index.unique("task"))
    table.add_column("persona")
    for name in [*tasks, "all", "responses"]:
        table.add_column(escape(name), justify="right")
    by_both = counts["refusals"] / counts["responses"]
    by_persona, by_task = (counts.groupby(level=name).sum() for name in ("persona", "task"))
    order = (by_persona["refusals"] / by_persona["responses"]).sort_values(ascending=False)
    for persona, mean in order.items():
        cells = [_percent(by_both.get((persona, task))) for task in tasks]
        table.add_row(escape(str(persona)), *cells, _percent(mean), f"{by_persona['responses'][persona]:,}")
    table.add_section()
    total = counts.sum()
    table.add_row(
        "all",
        *(_percent(by_task["refusals"][task] / by_task["responses"][task]) for task in tasks),
        _percent(total["refusals"] / total["responses"]),
        f"{total['responses']:,}",
    )
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.1f}"
