"""A run: settings in, a trained and scored model out, in five steps.

    images -> features -> training -> scores -> record

Every step finds what an earlier call has finished, so a run that was interrupted goes
on, and a run that is done is only read. Several processes may do this together,
started by `torchrun` or SLURM: all of them train, the first one scores and records.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorlib.backbones import Backbone, load_recorded_backbones
from colorlib.errors import UserError
from colorlib.evaluation import predict_lab
from colorlib.features import Features
from colorlib.files import file_lock, file_sha256
from colorlib.model import ColorizationModel, load_model, save_model
from colorlib.training import FitResult, build_loss
from colorlib.training.loop import discard, fit, is_rank_zero
from companion import builders, provenance, records
from companion.builders import Data, Folders, log, setup_data, setup_features
from companion.config import Profile, RunConfig, validated
from companion.records import Record, Summaries
from companion.scoring import Scorer

Unfinished = Literal["resume", "restart", "refuse"]

FINISHED = "finished"  # a file beside the checkpoints of a training with a record


def run_model(
    config: RunConfig,
    folders: Folders,
    *,
    unfinished: Unfinished = "resume",
    progress: bool = False,
) -> Record:
    """Train, score and record one model; a finished run is only read.

    Of several processes the first one holds the run's lock until it has the record,
    and the others wait for it.

    Args:
        config: What to run.
        folders: Where things are; the run's own folder is `runs/<run_name>`.
        unfinished: What to do with a training that was interrupted.
        progress: Whether to draw a progress bar.

    Returns:
        The record, also written to `record.json` in the run's folder, beside
        `model.safetensors`.

    Raises:
        UserError: If `unfinished` is "refuse" and there is such a training, or the
            run's folder cannot be written.
    """
    run = _Run.set_up(config, folders)
    if (finished := finished_record(run.folder, run.identity)) is not None:
        log.info("%s: already done, read from its record", finished.name)
        return finished
    with ExitStack() as held:
        if is_rank_zero():
            _lock(run.folder, held)
            if (finished := finished_record(run.folder, run.identity)) is not None:
                return finished  # by the process that had the lock before
        training = run.folder / f"training-{run.identity[:8]}"
        _settle_unfinished(training, unfinished)
        resume = unfinished != "restart"
        model, features, trained = run.train(training, resume, progress)
        if is_rank_zero():
            record = run.record(model, features, trained)
            (training / FINISHED).touch()
            return record
    return _record_of_rank_zero(run.folder, run.identity)


@dataclass(frozen=True)
class _Run:
    """What the steps of a run share; `networks` are those that are fused."""

    config: RunConfig
    folders: Folders
    data: Data
    networks: list[Backbone]
    vgg16: Backbone | None
    judge: Backbone | None
    identity: str
    clock: provenance.Stopwatch

    @classmethod
    def set_up(cls, config: RunConfig, folders: Folders) -> "_Run":
        """Find the images and the networks, and so the identity."""
        clock, data = provenance.Stopwatch(), setup_data(config, folders)
        fused = builders.load_backbones(config, folders)
        others = (
            builders.load_vgg16(config, folders),
            builders.load_judge(config, folders),
        )
        loaded = [one for one in (*fused, *others) if one is not None]
        identity = provenance.identity(config, data, loaded)
        clock.lap("data")
        return cls(config, folders, data, fused, *others, identity, clock)

    @property
    def folder(self) -> Path:
        """Where its weights and its record go."""
        return self.folders.runs / self.config.run_name

    def train(
        self, folder: Path, resume: bool, progress: bool
    ) -> tuple[ColorizationModel, Features | None, FitResult]:
        """Train a new model, or go on with it; it is left with its best weights."""
        config, parts = self.config, self.data.split
        features = setup_features(config, self.data, self.networks, self.folders)
        self.clock.lap("features")
        model = builders.initial_model(config, features, parts.train, self.vgg16)
        log.info("training %s on %d images", config.run_name, len(parts.train))
        train = self.data.subset(features, parts.train)
        trained = fit(
            model,
            build_loss(config.train.loss or "mse", train),
            train,
            self.data.subset(features, parts.validation),
            folder,
            config.train,
            resume=resume,
            progress=progress,
        )
        self.clock.lap("training")
        return model, features, trained

    def record(
        self, model: ColorizationModel, features: Features | None, trained: FitResult
    ) -> Record:
        """Score the trained model, save it and write the record."""
        config, scores = self.config, {}
        if not config.validation_only:
            log.info("scoring %s", config.run_name)
            cache = self.folders.cache
            scorer = Scorer(config, self.data, features, cache, self.judge)
            scores = scorer.in_record(model)
            self.clock.lap("scoring")
        weights = self.folder / "model.safetensors"
        save_model(model, weights, provenance.notes(config, self.networks))
        record = Record(
            **provenance.of_run(config, self.data, self.identity),
            model=records.ModelRecord(
                backbones=provenance.describe_backbones(self.networks),
                parameters=sum(p.numel() for p in model.parameters()),
                weights_sha256=file_sha256(weights),
            ),
            training=trained,
            seconds=self.clock.seconds,
            **scores,
        )
        records.write_record(record, self.folder / "record.json")
        return record


def run_and_record(
    config: RunConfig, folders: Folders, results: Path, *, progress: bool = False
) -> Record:
    """Train and score a run, see `run_model`, and keep its record in `results`, too."""
    record = run_model(config, folders, progress=progress)
    records.write_record(record, results / f"{config.run_name}.json")
    return record


def prepare(config: RunConfig, folders: Folders) -> None:
    """Do what a run shares with others: pack images, extract features."""
    data = setup_data(config, folders)
    setup_features(config, data, builders.load_backbones(config, folders), folders)


def rerun(path: Path, folders: Folders) -> tuple[Record, Record]:
    """Run again what a record tells of.

    Args:
        path: The record.
        folders: Where things are; the new run gets a folder of its own.

    Returns:
        The record, and that of the new run.

    Raises:
        UserError: If the record is of another version's settings, or what it needs is
            not there.
    """
    old, own = records.read_record(path), replace(folders, runs=folders.runs / "again")
    config = recorded_config(old)
    (own.runs / config.run_name / "record.json").unlink(missing_ok=True)
    return old, run_model(config, own, unfinished="restart")


def recorded_config(record: Record) -> RunConfig:
    """The settings of a recorded run.

    Raises:
        UserError: If they are of another version.
    """
    place = f"record {record.name} (check out commit {record.commit} to run it again)"
    return validated(RunConfig, record.settings, place)


@torch.no_grad()
def predict_images(
    config: RunConfig, folders: Folders, indices: NDArray[np.int64]
) -> Tensor:
    """Colour some images of a data set with a finished run's model.

    Args:
        config: Of the run.
        folders: Where the run is.
        indices: (N,), of the packed images.

    Returns:
        `lab`, (N, 3, S, S), not clipped.

    Raises:
        UserError: If the run is not done.
    """
    model, _ = load_model(folders.runs / config.run_name / "model.safetensors")
    data = setup_data(config, folders)
    features = setup_features(
        config, data, builders.load_backbones(config, folders), folders
    )
    batch = data.subset(features, indices).take(np.arange(len(indices)))
    return predict_lab(model, batch, model.target)


def evaluate_weights(profile: Profile, weights: Path, folders: Folders) -> Summaries:
    """Score a trained model on a profile's test sets.

    Args:
        profile: Names the data set and its split; the rest is the model's own.
        weights: A `model.safetensors` of an earlier run, of any profile.
        folders: Where things are.

    Returns:
        test set -> method -> metric -> summary, as in a record.

    Raises:
        UserError: If the file is no such model, or a network is not the one it was
            trained with.
    """
    model, notes = load_model(weights)
    size, backbones = load_recorded_backbones(weights, notes, folders.weights)
    config = RunConfig(
        name=notes.get("model", "plain"),
        data=replace(profile.data, size=size),
        model=replace(model.config, feature_channels=()),
        train=profile.train,
    )
    data = setup_data(config, folders)
    features = setup_features(config, data, backbones, folders)
    scored = Scorer(config, data, features, folders.cache).in_record(model)
    return cast(Summaries, scored["scores"])


# -------------------------------------------------------------- finished and unfinished


def finished_record(folder: Path, identity: str) -> Record | None:
    """The record of a run with this identity, if it is done and its weights are there.

    A run that was killed between its weights and its record leaves those of two runs.
    """
    path, weights = folder / "record.json", folder / "model.safetensors"
    if not path.exists():
        return None
    try:
        record = records.read_record(path)
    except UserError:  # of another version, or damaged: the run is made again
        return None
    if record.identity != identity or not weights.exists():
        return None
    return record if file_sha256(weights) == record.model.weights_sha256 else None


def _lock(folder: Path, held: ExitStack) -> None:
    """Have `held` hold the lock of a run's folder."""
    try:
        held.enter_context(file_lock(folder / "lock"))
    except OSError as error:
        raise UserError(
            f"{folder}: found a place that cannot be written ({error.strerror}), "
            "expected one for the run; give another runs_root (--runs-root)"
        ) from error


def _settle_unfinished(folder: Path, unfinished: Unfinished) -> None:
    """Do what the caller wants with an interrupted training."""
    interrupted = (folder / "last.ckpt").exists() and not (folder / FINISHED).exists()
    if interrupted and unfinished == "refuse":
        raise UserError(
            f"found an unfinished training in {folder}; "
            "give --resume to continue it or --restart to begin again"
        )
    if unfinished == "restart" and is_rank_zero():
        discard(folder)
        (folder / FINISHED).unlink(missing_ok=True)


def _record_of_rank_zero(folder: Path, identity: str) -> Record:
    """Wait until the first process lets go of the run, and read its record."""
    with file_lock(folder / "lock"):
        record = finished_record(folder, identity)
    if record is None:
        raise UserError(
            f"{folder}: found no record, expected that of the first process; "
            "see its output"
        )
    return record
