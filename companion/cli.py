"""The command line: `companion data | train | evaluate | study | run | rerun | verify`.

Everything heavy is imported inside the command that needs it, so that `--help`
answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from colorlib.cli import (
    Accelerator,
    WeightsRoot,
    complain,
    out,
    run_app,
    say,
    show_traceback,
)
from colorlib.errors import UserError

if TYPE_CHECKING:
    from companion.pipeline import Unfinished
    from companion.records import Record
    from companion.studies import Run

app = typer.Typer(
    help="Automatic grayscale image colorization: the companion's command line.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Photographs: fetch and pack them.", no_args_is_help=True)
app.add_typer(data_app, name="data")

ProfileName = Annotated[
    str, typer.Option("--profile", "-p", help="Name in profiles/, or a YAML file.")
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder of archives and photographs.")
]
CacheRoot = Annotated[Path, typer.Option(help="Packed images and class scores.")]
RunsRoot = Annotated[Path, typer.Option(help="Trained models and their records.")]
ModelName = Annotated[
    str | None, typer.Option("--model", "-m", help="Only this model of the profile.")
]
Dataset = Annotated[str | None, typer.Option(help="In place of the profile's.")]
Count = Annotated[int | None, typer.Option(help="Photographs to use.")]
Seed = Annotated[int | None, typer.Option(help="In place of the profile's.")]

ResultsRoot = Annotated[Path, typer.Option(help="Records of the studies' runs.")]

CACHE_ROOT = Path("_build/cache")
RUNS_ROOT = Path("_build/runs")
STUDIES_ROOT = Path("_build/studies")
RESULTS_ROOT = Path("companion/results")


app.callback()(show_traceback)


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
    from colorlib.data import fetch_missing
    from companion.config import load_profile
    from companion.data_setup import Folders, prepare_data

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
    from colorlib.processes import is_rank_zero
    from companion.config import load_profile
    from companion.data_setup import Folders
    from companion.pipeline import run_model

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
    tells = is_rank_zero()
    for name in chosen.models:
        record = run_model(
            chosen,
            name,
            folders,
            unfinished=unfinished,
            progress=tells and out.is_terminal,
            say=say if tells else lambda line: None,
        )
        if tells:
            say(f"record: {folders.runs / name / 'record.json'}")
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
    from companion.studies import load_experiments, plan

    studies = load_experiments().studies
    if show or not names:
        for name, one in studies.items():
            say(f"{name:12}{one.question}")
        return
    from companion.data_setup import Folders
    from companion.runner import missing_runs, run_missing

    first_option = next(
        (i for i, n in enumerate(names) if n.startswith("-")), len(names)
    )
    names, options = names[:first_option], names[first_option:]
    names = list(studies) if names == ["all"] else names
    wanted = [run for name in names for run in plan(name, profile)]
    wanted = [run for run in wanted if data is None or run.data in data.split(",")]
    missing = missing_runs(wanted, results_root)
    say(f"{len({run.name for run in wanted})} runs, {len(missing)} without a record")
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
    from companion import runner as grid
    from companion.data_setup import Folders
    from companion.studies import find_run

    found = find_run(name, profile)
    folders = Folders(data_root, weights_root, cache_root, runs_root)
    if prepare:
        grid.prepare(found, folders, say=say)
        return
    bars = out.is_terminal
    show_scores(grid.perform(found, folders, results_root, progress=bars, say=say))


@app.command()
def rerun(
    record: Annotated[
        Path, typer.Argument(help="A record, such as companion/results/NAME.json.")
    ],
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = CACHE_ROOT,
    runs_root: RunsRoot = RUNS_ROOT,
) -> None:
    """Run again what a record tells of, and show both results."""
    from colorlib.evaluation import MODEL
    from companion.data_setup import Folders
    from companion.runner import repeat

    folders = Folders(data_root, weights_root, cache_root, runs_root)
    old, new = repeat(record, folders, say=say)
    scores = {"the record": old.scores[MODEL], "run again": new.scores[MODEL]}
    means = {
        name: {metric: summary.mean for metric, summary in metrics.items()}
        for name, metrics in scores.items()
    }
    out.print(scores_table(means, old.name))


@app.command()
def verify(
    record: Annotated[
        Path, typer.Argument(help="A record, such as companion/results/NAME.json.")
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
    from companion.data_setup import Folders
    from companion.verify import verify as checks_of

    folders = Folders(data_root, weights_root, cache_root, runs_root)
    checks = checks_of(record, folders, say=say)
    table = Table("what", "recorded", "found here", "", title=record.stem)
    for check in checks:
        verdict = "holds" if check.holds else "DIFFERS"
        table.add_row(check.what, check.recorded, check.found, verdict)
    out.print(table)
    failed = [check.what for check in checks if not check.holds]
    if failed:
        complain(f"{record}: {len(failed)} of {len(checks)} differ: {failed[0]}")
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
    from companion.config import load_profile
    from companion.data_setup import Folders
    from companion.pipeline import evaluate_weights

    chosen = load_profile(
        profile, dataset=dataset, count=count, accelerator=accelerator
    )
    folders = Folders(data_root, weights_root, cache_root, RUNS_ROOT)
    scores = evaluate_weights(chosen, weights, folders, say=say)
    out.print(scores_table(scores, f"{weights.parent.name} on {chosen.dataset}"))


def show_estimates(runs: "list[Run]", data_root: Path | None, cores: int) -> None:
    """Print what would run, and about how long it would take."""
    from companion.runner import estimated_seconds

    if not runs:
        return
    seconds = estimated_seconds(runs, data_root)
    for one in runs:
        minutes = f"{seconds[one.name] / 60:5.1f} min"
        say(f"{minutes}  {one.name}  {one.study}: {one.arm}, seed {one.seed}")
    hours = sum(seconds.values()) / 3600
    say(
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
        complain(f"warning: {record.model.name}: {record.note}")


def scores_table(scores: dict[str, dict[str, float]], title: str) -> Table:
    """Means over the test photographs, a method a row, a metric a column."""
    from colorlib.metrics import METRICS

    shown = ["rmse_ab_norm", "psnr_rgb", "ssim_rgb", "ciede2000", "colourfulness"]
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
    run_app(app)
