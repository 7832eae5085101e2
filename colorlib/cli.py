"""The command line: `colorlib colorize`.

Everything heavy is imported inside the command that needs it, so that `--help`
answers at once. What other command lines share with this one stands below it.
"""

import enum
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from colorlib.errors import Interrupted, UserError

if TYPE_CHECKING:
    from colorlib.colorize import Colorizer

app = typer.Typer(
    help="Automatic colorization of grayscale photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
STREAM = Path("-")
Format = enum.StrEnum("Format", ["jpeg", "png", "tiff", "webp", "avif"])
out = Console()
err = Console(stderr=True)
debug = False
program = "colorlib"  # begins each line on standard error

Loader = Callable[[], "Colorizer"]
WeightsRoot = Annotated[
    Path | None, typer.Option(help="Folder of the backbones' weight files.")
]


def _show_version(asked: bool) -> None:
    """Print the version, and end."""
    if asked:
        from importlib.metadata import version

        say(f"colorlib {version('colorlib')}")
        raise typer.Exit


@app.callback()
def show_traceback(
    traceback: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Automatic grayscale image colorization."""
    global debug
    debug = traceback


@app.command()
def colorize(
    photographs: Annotated[
        list[Path], typer.Argument(help="Files and folders; - for standard input.")
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", help="A model that was trained.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder; for one, a file or -.")
    ] = None,
    file_format: Annotated[
        Format | None, typer.Option("--format", help="Of the results.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave results that are there.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Overwrite what is there.")] = False,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="A photograph of more is refused.")
    ] = 200_000_000,
    weights_root: WeightsRoot = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Colour photographs of any size; a folder is searched for them.

    Without --weights by the bundled model, which is small.

    The results are written beside the photographs, as NAME.coloured.SUFFIX, or to the
    folder given with --out. What cannot be coloured is named and does not stop the
    rest. The exit status is 0 if every photograph is coloured or was skipped, 1 if one
    was not, 2 for a wrong command.
    """
    from colorlib.images.album import plan_album

    options = {"quality": quality, "overwrite": force, "max_pixels": max_pixels}
    load = partial(_load, weights, weights_root, accelerator)
    if STREAM in (*photographs, to):
        _colorize_stream(load, photographs, to, file_format or "png", options)
        return
    album = plan_album(photographs, to, file_format)
    jobs = [job for job in album.jobs if not (skip_existing and job[1].exists())]
    coloured = _colorize_all(load, jobs, options) if jobs else 0
    skipped, failed = len(album.jobs) - len(jobs), len(jobs) - coloured
    for fault in album.faults:
        complain(fault)
        failed += 1
    if album.summary:
        say(album.summary)
    if len(album.jobs) > 1 or failed or skipped:
        say(f"coloured {coloured:,}, skipped {skipped:,}, failed {failed:,}")
    if failed:
        raise typer.Exit(1)


def _load(
    weights: Path | None, weights_root: Path | None, accelerator: str
) -> "Colorizer":
    """Import what is heavy, and load a model."""
    from colorlib.colorize import BUNDLED, Colorizer
    from colorlib.device import torch_device

    return Colorizer.load(weights or BUNDLED, weights_root, torch_device(accelerator))


def _colorize_all(
    load: Loader, jobs: list[tuple[Path, Path]], options: dict[str, Any]
) -> int:
    """Colour the files, and count those that came out; what one does stops no other."""
    from colorlib.images.album import colorize_file

    colorizer, coloured = load(), 0
    quiet = len(jobs) < 3 or not out.is_terminal
    for source, target in track(jobs, "colouring", console=out, disable=quiet):
        try:
            lost = colorize_file(colorizer, source, target, **options)
        except Exception as error:
            message = _message_of(error)
            complain(message if str(source) in message else f"{source}: {message}")
            if debug:
                err.print_exception()
        else:
            coloured += 1
            say("; ".join([f"{source} -> {target}", *lost]))
    return coloured


def _colorize_stream(
    load: Loader, given: list[Path], to: Path | None, kind: str, options: dict[str, Any]
) -> None:
    """Colour one photograph from standard input, or to standard output."""
    from colorlib.images.album import colorize_file
    from colorlib.images.writer import SUFFIXES

    if len(given) > 1:
        raise UserError(f"found {len(given)} photographs, expected one with -")
    source = sys.stdin.buffer.read() if given == [STREAM] else given[0]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "result").with_suffix(SUFFIXES[kind])
        target = to if to not in (None, STREAM) else made
        for line in colorize_file(load(), source, target, **options):
            complain(line)
        if target is made:
            sys.stdout.buffer.write(made.read_bytes())
            sys.stdout.flush()


def main() -> None:
    """Run the command line; an error is one line, and a non-zero exit status."""
    run_app(app)


def run_app(app: typer.Typer, name: str = "colorlib") -> None:
    """Run a command line of this project, under its own name.

    What a user can mend is one line, and `--debug` shows its traceback.
    """
    global program
    program = name
    stopping = (signal.SIGINT, signal.SIGTERM)
    before = {signum: signal.signal(signum, _stop) for signum in stopping}
    try:
        app()
    except Interrupted as stop:
        complain(stop)
        sys.exit(128 + stop.signum)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if debug:
            raise
        complain(_message_of(error))
        sys.exit(1)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _stop(signum: int, frame: FrameType | None) -> None:
    """End in order, so that what is half done is cleared away."""
    raise Interrupted(signum)


def _message_of(error: Exception) -> str:
    """What an error says; if memory ran out, in torch or in Python, what to do."""
    message = str(error) or type(error).__name__
    words = ("out of memory", "can't allocate memory")
    if isinstance(error, MemoryError) or any(word in message.lower() for word in words):
        return (
            "found no memory left, expected some for what is next; free some, or ask "
            "for less (a smaller photograph; batch_size, size or width of a profile, "
            "then --resume); what is finished is kept"
        )
    return message


def say(line: Any) -> None:
    """A line of progress."""
    _print(out, str(line))


def complain(error: Any) -> None:
    """One line on standard error, whatever the error's own line breaks."""
    _print(err, f"{program}: {' '.join(str(error).split())}")


def _print(console: Console, line: str) -> None:
    """Print a line with whatever name of a file in it, on whatever terminal."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    encoding = console.encoding or "utf-8"
    shown = shown.encode(encoding, "backslashreplace").decode(encoding)
    console.print(shown, markup=False, highlight=False, soft_wrap=True)
