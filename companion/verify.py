"""Verify a record: its consistency, images, networks, scores and reproducibility.

The record alone must be consistent: its name, means and counts. With the images, their
hash and split are compared; with the files of the fused networks, their hashes; with
the trained weights, all scores are recomputed. In every case a small version of the run
is trained twice and must give identical weights.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from colorlib.evaluation import MODEL
from colorlib.files import file_sha256
from colorlib.model import load_model
from companion import builders
from companion.builders import Data, Folders, log
from companion.config import RunConfig, load_profile
from companion.pipeline import recorded_config, run_model
from companion.provenance import describe_data
from companion.records import Record, read_record
from companion.scoring import Scorer

ROUNDING = 1e-5  # relative, of what a record keeps: five digits
AGAIN = 5e-3  # of the mean score, where scores are made again on another processor
SMALL = ("backbones", "input_sizes", "width")
KEPT = (
    "hflip", "schedule", "learning_rate", "weight_decay", "loss", "batch_size",
    "precision",
)  # fmt: skip


class Check(NamedTuple):
    """One thing that was compared: what the record has, and what was found here."""

    what: str
    recorded: str
    found: str
    holds: bool


def verify(path: Path, folders: Folders) -> list[Check]:
    """Check a record against all that is here.

    Args:
        path: The record.
        folders: Where things are: images in `data`, files of networks in `weights`,
            trained models in `runs`. What is not there is not checked.

    Raises:
        UserError: If the record cannot be read, or is of another version's settings.
    """
    record = read_record(path)
    config = recorded_config(record)
    checks = [*own_numbers(record, config), *_networks(record, config, folders)]
    if config.data.dataset == "scenes" or folders.data is not None:
        data = builders.setup_data(config, folders)
        checks += _images(record, data)
        if not config.validation_only:
            checks += _scores(record, config, data, folders)
    else:
        log.info("no --data-root: images and scores are not checked")
    return [*checks, _small_form(config)]


def own_numbers(record: Record, config: RunConfig) -> Iterator[Check]:
    """What a record has twice must agree."""
    name = config.run_name
    yield Check("name, from its settings", record.name, name, name == record.name)
    for test, metrics in record.per_image.items():
        for metric, values in metrics.items():
            summary = record.scores[test][MODEL][metric]
            mean = np.array(values)[np.isfinite(values)].mean()
            count = summary.n if metric == "named" else record.data.tests[test]
            holds = bool(np.isclose(mean, summary.mean, rtol=ROUNDING))
            holds &= len(values) == summary.n == count
            what = f"{test}: {metric}, mean of {count} images"
            yield Check(what, f"{summary.mean:.6g}", f"{mean:.6g}", holds)


def _networks(record: Record, config: RunConfig, folders: Folders) -> Iterator[Check]:
    """The weights of the fused networks, if they are files and the folder is given."""
    if config.weights != "file" or folders.weights is None:
        return
    recorded = {one.name: one.weights_hash for one in record.model.backbones}
    for one in builders.load_backbones(config, folders):
        old, new = recorded.get(one.spec.name, "none"), one.weights_hash
        yield Check(f"weights of {one.spec.name}", old[:16], new[:16], old == new)


def _images(record: Record, data: Data) -> Iterator[Check]:
    """Which images there are, and how they are divided."""
    found = describe_data(data)
    for what in ("manifest_hash", "split_hash", "train", "validation", "tests"):
        old, new = (str(getattr(part, what)) for part in (record.data, found))
        yield Check(what.replace("_", " "), old[:16], new[:16], old == new)


def _scores(
    record: Record, config: RunConfig, data: Data, folders: Folders
) -> Iterator[Check]:
    """Every score of every test image, made again from the trained weights."""
    weights = folders.runs / record.name / "model.safetensors"
    if not weights.exists() or file_sha256(weights) != record.model.weights_sha256:
        log.info("%s: not that of the record, so scores are not checked", weights)
        return
    backbones = builders.load_backbones(config, folders)
    features = builders.setup_features(config, data, backbones, folders)
    judge = builders.load_judge(config, folders)
    scorer = Scorer(config, data, features, folders.cache, judge)
    scores = scorer.scores(load_model(weights)[0])
    for test, metrics in record.per_image.items():
        for metric, values in metrics.items():
            old, new = np.array(values), scores[test][MODEL][metric].numpy()
            same = len(old) == len(new)
            change = np.abs(new - old)[np.isfinite(old)] if same else np.array([np.inf])
            worst = change.mean() if metric == "named" else change.max()  # of ties
            worst /= np.abs(old[np.isfinite(old)]).mean()
            what, found = f"{test}: {metric} again", f"{worst:.2g}"
            yield Check(what, f"change below {AGAIN:g}", found, bool(worst <= AGAIN))


def _small_form(config: RunConfig) -> Check:
    """Train a small version of the run twice: the weights must be identical."""
    log.info("training a small form of it, twice")
    with TemporaryDirectory() as folder:
        root, small = Path(folder), small_form(config)
        once, twice = (
            run_model(small, Folders(cache=root / "cache", runs=root / again))
            for again in ("once", "twice")
        )
    first, second = once.model.weights_sha256, twice.model.weights_sha256
    return Check("small form, twice", first[:16], second[:16], first == second)


def small_form(config: RunConfig) -> RunConfig:
    """The settings of a run on the images, networks and lengths of `smoke`.

    Example:
        >>> config = load_profile("paper", **{"model.aggregation": "max"}).run("model3")
        >>> small = small_form(config)
        >>> small.data.dataset, small.data.size, small.model.aggregation
        ('scenes', 32, 'max')
    """
    small = load_profile("smoke").run(config.name, config.train.seed)
    trained, networks = asdict(config.train), asdict(small.model)
    model = replace(config.model, **{key: networks[key] for key in SMALL})
    train = replace(small.train, **{key: trained[key] for key in KEPT})
    return small.model_copy(
        update={"model": model, "train": train, "validation_only": True}
    )
