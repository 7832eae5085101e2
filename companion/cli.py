"""The command line: `companion data | train | evaluate | study | run | rerun | verify`.

Everything heavy is imported inside the command that needs it, so that `--help`
answers at once.
"""

import logging
import sys
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from colorlib.cli import WeightsRoot, complain, out, run_app, say, show_traceback
from colorlib.errors import UserError

if TYPE_CHECKING:
    from companion.builders import Folders
    from companion.config import Profile
    from companion.pipeline import Unfinished
    from companion.records import Record

app = typer.Typer(
    help="The runs behind the book: data, training, ablations, records.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Images: fetch and pack them.", no_args_is_help=True)
app.add_typer(data_app, name="data")

SHOWN = ("loss_eq1", "psnr_rgb", "ssim_rgb", "ciede2000", "colourfulness")

ProfileName = Annotated[
    str, typer.Option("--profile", "-p", help="Name in profiles/, or a YAML file.")
]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of archives and images.")]
# The defaults are folders of the repository, wherever the command is given: of caches
# and runs those of `Folders`.
CacheRoot = Annotated[
    Path | None, typer.Option(help="Packed images and features; else _build/cache.")
]
RunsRoot = Annotated[
    Path | None, typer.Option(help="Trained models and records; else _build/runs.")
]
ResultsRoot = Annotated[
    Path | None, typer.Option(help="Records of ablations; else companion/results.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE in place of the profile's: data.size=32."),
]
RecordPath = Annotated[
    Path, typer.Argument(help="A record, such as companion/results/NAME.json.")
]

app.callback()(show_traceback)


@data_app.command("prepare")
def prepare(
    profile: ProfileName = "quick",
    data_root: DataRoot = None,
    cache_root: CacheRoot = None,
    changes: Changes = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch LFW or Imagenette if not there.")
    ] = False,
) -> None:
    """Decode a profile's images once into a packed cache, and count them."""
    from companion import datasets
    from companion.builders import setup_data

    chosen = _profile(profile, changes)
    if download:
        if data_root is None:
            raise UserError("found no --data-root, expected the folder to fetch into")
        datasets.download(chosen.data.dataset, data_root)
    data = setup_data(chosen, _folders(data_root, None, cache_root))
    manifest, parts = data.packed.manifest, data.split
    gray, unreadable = len(manifest.grayscale), len(manifest.unreadable)
    say(
        f"{manifest.source}: {len(manifest.ids)} images kept, {gray} without colour, "
        f"{unreadable} unreadable, {parts.duplicates} near-duplicates left out of all "
        "parts"
    )
    for name, reason in manifest.unreadable.items():
        say(f"  unreadable: {name}: {reason}")
    for kind, count in manifest.left_out.items():
        say(f"  not taken: {count} {kind}")
    tests = ", ".join(f"{name} {len(part)}" for name, part in parts.tests.items())
    say(f"train {len(parts.train)}, validation {len(parts.validation)}, {tests}")
    say(f"manifest {manifest.manifest_hash[:12]}, split {parts.hash[:12]}")


@app.command()
def train(
    profile: ProfileName = "quick",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Only this model.")
    ] = None,
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = None,
    runs_root: RunsRoot = None,
    changes: Changes = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an interrupted training.")
    ] = False,
) -> None:
    """Train, score and record the models of a profile; done ones are only read.

    Started by torchrun or SLURM's srun, several processes train together.
    """
    from colorlib.training.loop import is_rank_zero
    from companion.pipeline import run_model

    chosen = _profile(profile, changes, models=None if model is None else [model])
    unfinished: Unfinished = "restart" if restart else "resume" if resume else "refuse"
    folders = _folders(data_root, weights_root, cache_root, runs_root)
    first = is_rank_zero()
    if not first:
        logging.getLogger("companion").setLevel(logging.WARNING)
    for name in chosen.models:
        bars = first and out.is_terminal
        config = chosen.run(name)
        record = run_model(config, folders, unfinished=unfinished, progress=bars)
        if first:
            say(f"record: {folders.runs / config.run_name / 'record.json'}")
            show_scores(record)


@app.command()
def study(
    names: Annotated[
        list[str] | None, typer.Argument(help="Ablations; `all` of them.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Name every ablation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would run.")
    ] = False,
    profile: ProfileName = "protocol",
    data: Annotated[
        str | None, typer.Option(help="Only these data sets of the grid: lfw,imagenet")
    ] = None,
    cores: Annotated[int, typer.Option(help="How many runs at once.")] = 2,
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = None,
    runs_root: RunsRoot = None,
    results_root: ResultsRoot = None,
) -> None:
    """Run those runs of some ablations that have no record yet.

    What stands after `--` is handed to Snakemake: `-- --executor slurm --jobs 20`.
    """
    from companion.records import RESULTS
    from companion.studies import load_experiments, missing_runs, plan, run_missing

    known = load_experiments().ablations
    if show or not names:
        for name, one in known.items():
            say(f"{name:16}{one.evidence:14}{one.question}")
        return
    options = [*dropwhile(lambda name: not name.startswith("-"), names)]
    names = names[: len(names) - len(options)]
    names = list(known) if names == ["all"] else names
    wanted = [run for name in names for run in plan(name, profile)]
    wanted = [run for run in wanted if data is None or run.data in data.split(",")]
    results = results_root or RESULTS
    missing = missing_runs(wanted, results)
    say(f"{len({run.name for run in wanted})} runs, {len(missing)} without a record")
    if dry_run:
        for run in missing:
            place = f"{run.data}, seed {run.config.train.seed}"
            say(f"{run.name}  {run.ablation}: {run.condition}, {place}")
    elif missing:
        folders = _folders(data_root, weights_root, cache_root, runs_root)
        data_sets = sorted({run.data for run in missing})
        run_missing(names, data_sets, profile, folders, results, cores, options)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Of a run, as `study --dry-run` lists.")],
    profile: ProfileName = "protocol",
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = None,
    runs_root: RunsRoot = None,
    results_root: ResultsRoot = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only what it shares with others.")
    ] = False,
) -> None:
    """Train and score one run of an ablation, and keep its record."""
    from companion import pipeline
    from companion.records import RESULTS
    from companion.studies import find_run

    config = find_run(name, profile).config
    folders = _folders(data_root, weights_root, cache_root, runs_root)
    if prepare:
        pipeline.prepare(config, folders)
        return
    bars = out.is_terminal
    results = results_root or RESULTS
    show_scores(pipeline.run_and_record(config, folders, results, progress=bars))


@app.command()
def rerun(
    record: RecordPath,
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = None,
    runs_root: RunsRoot = None,
) -> None:
    """Run again what a record tells of, and show both results."""
    from companion import pipeline

    folders = _folders(data_root, weights_root, cache_root, runs_root)
    old, new = pipeline.rerun(record, folders)
    show_scores(old, "the record")
    show_scores(new, "run again")


@app.command()
def verify(
    record: RecordPath,
    data_root: DataRoot = None,
    weights_root: WeightsRoot = None,
    cache_root: CacheRoot = None,
    runs_root: RunsRoot = None,
) -> None:
    """Check a record: its own numbers, its networks, images, scores and settings.

    Networks are checked with --weights-root, images with --data-root, and scores where
    the trained weights are in --runs-root too. A small form of the run is always
    trained, twice.
    """
    from companion.report.tables import markdown_table
    from companion.verify import verify as checks_of

    checks = checks_of(record, _folders(data_root, weights_root, cache_root, runs_root))
    rows = [
        [c.what, c.recorded, c.found, "holds" if c.holds else "DIFFERS"] for c in checks
    ]
    show(record.stem, markdown_table(["what", "recorded", "found here", ""], rows))
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
    cache_root: CacheRoot = None,
    changes: Changes = None,
) -> None:
    """Score a trained model and the naive baselines on a profile's test sets."""
    from companion.pipeline import evaluate_weights
    from companion.report.tables import score_table

    chosen = _profile(profile, changes)
    folders = _folders(data_root, weights_root, cache_root)
    for test, methods in evaluate_weights(chosen, weights, folders).items():
        show(f"{weights.parent.name}, {test}", score_table(methods, SHOWN))


def show_scores(record: "Record", title: str = "") -> None:
    """Print a record's scores beside the baselines, and what is wrong with it."""
    from companion.report.tables import score_table

    for test, methods in record.scores.items():
        show(f"{title or record.name}, {test}", score_table(methods, SHOWN))
    if record.note:
        complain(f"warning: {record.name}: {record.note}")


def show(title: str, table: str) -> None:
    """Print a table below its title."""
    for line in (title, *table.splitlines()):
        say(line)


def _profile(name: str, changes: list[str] | None, **only: Any) -> "Profile":
    """A profile with KEY=VALUE in place of its own, the values as YAML."""
    from companion.config import NULL, load_profile

    found = {}
    for change in changes or ():
        key, equals, value = change.partition("=")
        try:
            parsed = yaml.safe_load(value)
            found[key] = NULL if parsed is None else parsed
        except yaml.YAMLError:
            equals = ""
        if not (key and equals):
            raise UserError(f"found --set {change}, expected KEY=VALUE: data.size=32")
    return load_profile(name, **found, **only)


def _folders(*roots: Path | None) -> "Folders":
    """The folders of this machine."""
    from companion.builders import Folders

    return Folders.choose(*roots)


def main() -> None:
    """Run the command line; an error is one line, and a non-zero exit status."""
    logger = logging.getLogger("companion")
    logger.setLevel(logging.INFO)
    logger.handlers[:] = [logging.StreamHandler(sys.stdout)]
    run_app(app, "companion")
