"""The command line: `colorlib colorize`.

Everything heavy is imported inside the command that needs it, so that `--help`
answers at once. What other command lines share with this one stands below it.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from colorlib.errors import Interrupted

app = typer.Typer(
    help="Automatic colorization of grayscale photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)
debug = False

WeightsRoot = Annotated[
    Path | None, typer.Option(help="Folder of the backbones' weight files.")
]
Accelerator = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]


@app.callback()
def show_traceback(
    traceback: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Automatic grayscale image colorization."""
    global debug
    debug = traceback


@app.command()
def colorize(
    photographs: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", "-w", help="Of `train`, in place of the shipped."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write to.")
    ] = None,
    weights_root: WeightsRoot = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    force: Annotated[bool, typer.Option(help="Overwrite what is there.")] = False,
) -> None:
    """Colour photographs of any size; a folder is searched for pictures.

    Without --weights by the small model that comes with the package.

    The results are written beside the photographs, as NAME.coloured.SUFFIX, or to the
    folder given with --out. What cannot be coloured is named and does not stop the
    rest.
    """
    from colorlib.colorize import SHIPPED, Colorizer, colorize_file, plan_outputs
    from colorlib.model import torch_device

    jobs = plan_outputs(photographs, to)
    device = torch_device(accelerator)
    colorizer = Colorizer.load(weights or SHIPPED, weights_root, device)
    failed = 0
    quiet = len(jobs) < 3 or not out.is_terminal
    for source, target in track(jobs, "colouring", console=out, disable=quiet):
        try:
            colorize_file(colorizer, source, target, overwrite=force)
            say(f"{source} -> {target}")
        except ValueError as error:
            failed += 1
            complain(error)
    if failed:
        complain(f"{failed} of {len(jobs)} photographs were not coloured")
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; an error is one line, and a non-zero exit status."""
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a command line of this project."""
    with _errors_in_one_line():
        app()


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Turn what a user can mend into one line; `--debug` shows the traceback."""
    stopping = (signal.SIGINT, signal.SIGTERM)
    before = {signum: signal.signal(signum, _stop) for signum in stopping}
    try:
        yield
    except Interrupted as stop:
        complain(stop)
        sys.exit(128 + stop.signum)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if debug:
            raise
        complain(_without_memory(error) or error)
        sys.exit(1)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _stop(signum: int, frame: FrameType | None) -> None:
    """End in order, so that what is half done is cleared away."""
    raise Interrupted(signum)


def _without_memory(error: Exception) -> str:
    """What to do if memory ran out, in the words of torch or of Python; or nothing."""
    told = str(error).lower()
    words = ("out of memory", "can't allocate memory")
    if not isinstance(error, MemoryError) and not any(word in told for word in words):
        return ""
    return (
        "found no memory left, expected some for the next batch; free some and give "
        "--resume to go on, or ask for less: batch_size, size or width of the profile; "
        "what is finished is kept"
    )


def say(line: Any) -> None:
    """A line of progress."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def complain(error: Any) -> None:
    """One line on standard error, whatever the error's own line breaks."""
    line = " ".join(str(error).split()) or type(error).__name__
    err.print(f"colorlib: {line}", markup=False, highlight=False, soft_wrap=True)
