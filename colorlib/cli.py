"""The command line: `colorlib data prepare | train | evaluate | colorize | ...`.

Everything heavy is imported inside the command that needs it, so that `--help`
answers at once.
"""

import importlib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from colorlib.errors import Interrupted, UserError

if TYPE_CHECKING:
    from colorlib.experiment import Unfinished
    from colorlib.records import Record
    from colorlib.studies import Run

app = typer.Typer(
    help="Automatic grayscale image colorization: the companion's command line.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Photographs: fetch and pack them.", no_args_is_help=True)
app.add_typer(data_app, name="data")

out = Console()
err = Console(stderr=True)
debug = False

ProfileName = Annotated[
    str, typer.Option("--profile", "-p", help="Name in profiles/, or a YAML file.")
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder of archives and photographs.")
]
WeightsRoot = Annotated[
    Path | None, typer.Option(help="Folder of the backbones' weight files.")
]
CacheRoot = Annotated[Path, typer.Option(help="Packed images and class scores.")]
RunsRoot = Annotated[Path, typer.Option(help="Trained models and their records.")]
ModelName = Annotated[
    str | None, typer.Option("--model", "-m", help="Only this model of the profile.")
]
Dataset = Annotated[str | None, typer.Option(help="In place of the profile's.")]
Count = Annotated[int | None, typer.Option(help="Photographs to use.")]
Seed = Annotated[int | None, typer.Option(help="In place of the profile's.")]
Accelerator = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]

ResultsRoot = Annotated[Path, typer.Option(help="Records of the studies' runs.")]

CACHE_ROOT = Path("_build/cache")
RUNS_ROOT = Path("_build/runs")
STUDIES_ROOT = Path("_build/studies")
RESULTS_ROOT = Path("results")
BENCH_ROOT = Path("_build/benchmarks")


@app.callback()
def options(
    show_traceback: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Automatic grayscale image colorization: the companion's command line."""
    global debug
    debug = show_traceback


@data_app.command("prepare")
def prepare(
    profile: ProfileName = "quick",
    data_root: DataRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    dataset: Dataset = None,
    count: Count = None,
    size: Annotated[int | None, typer.Option(help="Side in pixels.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch LFW or Imagenette if not there.")
    ] = False,
) -> None:
    """Decode a profile's photographs once into a packed cache, and count them."""
    from colorlib.datasets import fetch_missing
    from colorlib.errors import UserError
    from colorlib.preparation import Folders, prepare_data
    from colorlib.profiles import load_profile

    chosen = load_profile(profile, dataset=dataset, count=count, size=size)
    if download:
        if data_root is None:
            raise UserError("found no --data-root, expected the folder to fetch into")
        fetch_missing(chosen.dataset, data_root)
    folders = Folders(data_root, None, cache_root, RUNS_ROOT)
    data = prepare_data(chosen, folders, out.print)
    manifest = data.packed.manifest
    out.print(
        f"kept {manifest.kept_count}, grayscale dropped {manifest.grayscale_count}, "
        f"unreadable {manifest.unreadable_count}"
    )
    for name, reason in manifest.unreadable.items():
        out.print(f"  unreadable: {name}: {reason}", markup=False)
    out.print(
        f"train {len(data.train)}, validation {len(data.validation)}, "
        f"test {len(data.test)} ({data.split.kind} split)"
    )
    out.print(f"manifest {manifest.manifest_hash[:12]}, split {data.split.hash[:12]}")


@app.command()
def train(
    profile: ProfileName = "quick",
    model: ModelName = None,
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    runs_root: RunsRoot = RUNS_ROOT,
    dataset: Dataset = None,
    count: Count = None,
    max_epochs: Annotated[
        int | None, typer.Option(help="Passes over the data.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Updates of the weights.")
    ] = None,
    max_time: Annotated[float | None, typer.Option(help="Minutes, each model.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true, bf16-mixed, 16-mixed or auto.")
    ] = None,
    compiled: Annotated[
        str | None, typer.Option(help="none, default, reduce-overhead or auto.")
    ] = None,
    accelerator: Accelerator = None,
    devices: Annotated[str | None, typer.Option(help="A number, or auto.")] = None,
    seed: Seed = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an interrupted training.")
    ] = False,
) -> None:
    """Train, evaluate and record the models of a profile; done ones are only read.

    Started by torchrun or SLURM's srun, several processes train together.
    """
    from colorlib.experiment import run_model
    from colorlib.preparation import Folders
    from colorlib.processes import is_first_process
    from colorlib.profiles import load_profile

    chosen = load_profile(
        profile,
        dataset=dataset,
        count=count,
        max_epochs=max_epochs,
        max_steps=max_steps,
        max_minutes=max_time,
        precision=precision,
        compiled=compiled,
        accelerator=accelerator,
        devices=devices,
        seed=seed,
        models=None if model is None else (model,),
    )
    unfinished: Unfinished = "restart" if restart else "resume" if resume else "refuse"
    folders = Folders(data_root, weights_root, cache_root, runs_root)
    tells = is_first_process()
    for name in chosen.models:
        record = run_model(
            chosen,
            name,
            folders,
            unfinished=unfinished,
            progress=tells and out.is_terminal,
            say=_say if tells else lambda line: None,
        )
        if tells:
            _say(f"record: {folders.runs / name / 'record.json'}")
            show_scores(record)


@app.command()
def study(
    names: Annotated[
        list[str] | None, typer.Argument(help="Studies; `all` of them.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Name every study.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would run, for how long.")
    ] = False,
    profile: ProfileName = "studies",
    data: Annotated[
        str | None, typer.Option(help="Only these data sets of the grid: lfw,imagenet")
    ] = None,
    cores: Annotated[int, typer.Option(help="How many runs at once.")] = 2,
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    runs_root: RunsRoot = STUDIES_ROOT,
    results_root: ResultsRoot = RESULTS_ROOT,
) -> None:
    """Run those runs of some studies that have no record yet.

    What stands behind `--` is handed to Snakemake: `-- --executor slurm --jobs 20`.
    """
    from colorlib.studies import load_experiments, plan

    studies = load_experiments().studies
    if show or not names:
        for name, one in studies.items():
            _say(f"{name:12}{one.question}")
        return
    from colorlib.grid import missing_runs, run_missing
    from colorlib.preparation import Folders

    first_option = next(
        (i for i, n in enumerate(names) if n.startswith("-")), len(names)
    )
    names, options = names[:first_option], names[first_option:]
    names = list(studies) if names == ["all"] else names
    wanted = [run for name in names for run in plan(name, profile)]
    wanted = [run for run in wanted if data is None or run.data in data.split(",")]
    missing = missing_runs(wanted, results_root)
    _say(f"{len({run.name for run in wanted})} runs, {len(missing)} without a record")
    if dry_run:
        show_estimates(missing, data_root, cores)
    elif missing:
        folders = Folders(data_root, weights_root, cache_root, runs_root)
        data_sets = sorted({run.data for run in missing})
        run_missing(names, data_sets, profile, folders, results_root, cores, options)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Of a run, as `study --dry-run` lists.")],
    profile: ProfileName = "studies",
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    runs_root: RunsRoot = STUDIES_ROOT,
    results_root: ResultsRoot = RESULTS_ROOT,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only what it shares with others.")
    ] = False,
) -> None:
    """Train and score one run of a study, and keep its record."""
    from colorlib import grid
    from colorlib.preparation import Folders
    from colorlib.studies import find_run

    found = find_run(name, profile)
    folders = Folders(data_root, weights_root, cache_root, runs_root)
    if prepare:
        grid.prepare(found, folders, say=_say)
        return
    bars = out.is_terminal
    show_scores(grid.perform(found, folders, results_root, progress=bars, say=_say))


@app.command()
def rerun(
    record: Annotated[
        Path, typer.Argument(help="A record, such as results/NAME.json.")
    ],
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    runs_root: RunsRoot = RUNS_ROOT,
) -> None:
    """Run again what a record tells of, and show both results."""
    from colorlib.evaluation import MODEL
    from colorlib.grid import repeat
    from colorlib.preparation import Folders

    folders = Folders(data_root, weights_root, cache_root, runs_root)
    old, new = repeat(record, folders, say=_say)
    scores = {"the record": old.scores[MODEL], "run again": new.scores[MODEL]}
    means = {
        name: {metric: summary.mean for metric, summary in metrics.items()}
        for name, metrics in scores.items()
    }
    out.print(scores_table(means, old.name))


@app.command()
def verify(
    record: Annotated[
        Path, typer.Argument(help="A record, such as results/NAME.json.")
    ],
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    runs_root: RunsRoot = STUDIES_ROOT,
) -> None:
    """Check a record: its own numbers, its photographs, its scores, its settings.

    Photographs are checked with --data-root, and scores where the trained weights are
    in --runs-root too. A small form of the run is always trained, twice.
    """
    from colorlib.preparation import Folders
    from colorlib.verify import verify as checks_of

    folders = Folders(data_root, weights_root, cache_root, runs_root)
    checks = checks_of(record, folders, say=_say)
    table = Table("what", "recorded", "found here", "", title=record.stem)
    for check in checks:
        verdict = "holds" if check.holds else "DIFFERS"
        table.add_row(check.what, check.recorded, check.found, verdict)
    out.print(table)
    failed = [check.what for check in checks if not check.holds]
    if failed:
        _complain(f"{record}: {len(failed)} of {len(checks)} differ: {failed[0]}")
        raise typer.Exit(1)


@app.command()
def evaluate(
    weights: Annotated[Path, typer.Argument(help="A model.safetensors of `train`.")],
    profile: ProfileName = "quick",
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    dataset: Dataset = None,
    count: Count = None,
    accelerator: Accelerator = None,
) -> None:
    """Score a trained model and the trivial baselines on a profile's test part."""
    from colorlib.experiment import evaluate_weights
    from colorlib.preparation import Folders
    from colorlib.profiles import load_profile

    chosen = load_profile(
        profile, dataset=dataset, count=count, accelerator=accelerator
    )
    folders = Folders(data_root, weights_root, cache_root, RUNS_ROOT)
    scores = evaluate_weights(chosen, weights, folders, say=_say)
    out.print(scores_table(scores, f"{weights.parent.name} on {chosen.dataset}"))


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
    from colorlib.processes import torch_device

    jobs = plan_outputs(photographs, to)
    device = torch_device(accelerator)
    colorizer = Colorizer.load(weights or SHIPPED, weights_root, device)
    failed = 0
    quiet = len(jobs) < 3 or not out.is_terminal
    for source, target in track(jobs, "colouring", console=out, disable=quiet):
        try:
            colorize_file(colorizer, source, target, overwrite=force)
            _say(f"{source} -> {target}")
        except ValueError as error:
            failed += 1
            _complain(error)
    if failed:
        _complain(f"{failed} of {len(jobs)} photographs were not coloured")
        raise typer.Exit(1)


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
) -> None:
    """Measure speed and memory beside plain references; one table, one record.

    Minutes on two cores, of drawn scenes and random weights: neither changes the
    speed. Only if named: `colorlib bench book` times `make book`, `bench gpu` a GPU.
    """
    repository = Path(__file__).parents[1]
    if not (repository / "benchmarks").is_dir():
        raise UserError(
            f"found no benchmarks in {repository}, expected a clone of the repository: "
            "they do not come with the package"
        )
    sys.path.insert(0, str(repository))
    # Not by name: training imports this module, and does not depend on benchmarks.
    suite = importlib.import_module("benchmarks.suite")
    keep = partial(suite.write_speed, folder=to)  # what is measured outlives a kill
    record = suite.run(names or (), quick, _say, keep)
    table = Table(*suite.COLUMNS, title=record.name)
    for row in suite.summary_rows(record):
        table.add_row(*row)
    Console(width=max(out.width, 160)).print(table)
    _say(f"record: {suite.write_speed(record, to)}")


def show_estimates(runs: "list[Run]", data_root: Path | None, cores: int) -> None:
    """Print what would run, and about how long it would take."""
    from colorlib.grid import estimated_seconds

    if not runs:
        return
    seconds = estimated_seconds(runs, data_root)
    for one in runs:
        minutes = f"{seconds[one.name] / 60:5.1f} min"
        _say(f"{minutes}  {one.name}  {one.study}: {one.arm}, seed {one.seed}")
    hours = sum(seconds.values()) / 3600
    _say(
        f"about {hours:.1f} h one after the other, estimated from operations and this "
        f"machine's matrix rate; {cores} at once share its cores. Class scores come on "
        "top, once"
    )


def show_scores(record: "Record") -> None:
    """Print a record's scores, beside the trivial ones, and what is wrong with it."""
    summaries = {
        method: {metric: summary.mean for metric, summary in metrics.items()}
        for method, metrics in record.scores.items()
    }
    out.print(scores_table(summaries, record.name))
    if record.note:
        _complain(f"warning: {record.model.name}: {record.note}")


def scores_table(scores: dict[str, dict[str, float]], title: str) -> Table:
    """Means over the test photographs, a method a row, a metric a column."""
    from colorlib.metrics import METRICS

    shown = ["rmse_ab_unit", "psnr_rgb", "ssim_rgb", "ciede2000", "colourfulness"]
    table = Table(title=title, caption="means over the test photographs")
    table.add_column("method")
    for name in shown:
        metric = METRICS[name]
        arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
        unit = f" [{metric.unit}]" if metric.unit else ""
        table.add_column(f"{metric.label}{arrow}{unit}".replace("[", r"\["))
    for method, values in scores.items():
        table.add_row(method, *(f"{values[name]:.4g}" for name in shown))
    return table


def main() -> None:
    """Run the command line; an error is one line, and a non-zero exit status."""
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
        _complain(stop)
        sys.exit(128 + stop.signum)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if debug:
            raise
        _complain(_without_memory(error) or error)
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


def _say(line: Any) -> None:
    """A line of progress."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _complain(error: Any) -> None:
    """One line on standard error, whatever the error's own line breaks."""
    line = " ".join(str(error).split()) or type(error).__name__
    err.print(f"colorlib: {line}", markup=False, highlight=False, soft_wrap=True)
