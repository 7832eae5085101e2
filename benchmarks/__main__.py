"""`python -m benchmarks`: measure speed and memory beside plain references."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from colorlib.cli import out, run_app, say, show_traceback

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
BENCH_ROOT = Path("_build/benchmarks")


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Benchmarks; all by default.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="As small as possible: does it work?")
    ] = False,
    to: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the record.")
    ] = BENCH_ROOT,
    traceback: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Measure speed and memory beside plain references; one table, one record.

    Minutes on two cores, of synthetic scenes and random weights: neither changes the
    speed. `book` (times `make book`) and `gpu` run only when they are named.
    """
    from benchmarks import suite

    show_traceback(traceback)
    keep = partial(suite.write_speed, folder=to)  # what is measured outlives a kill
    record = suite.run(names or (), quick, say, keep)
    table = Table(*suite.COLUMNS, title=record.name)
    for row in suite.summary_rows(record):
        table.add_row(*row)
    Console(width=max(out.width, 160)).print(table)
    say(f"record: {suite.write_speed(record, to)}")


if __name__ == "__main__":
    run_app(app, "benchmarks")
