"""A profile in, a trained and scored model out: the steps of a run, in order.

    photographs -> packed -> split -> class scores -> training -> scores -> record

Every step finds what an earlier call has finished, so a run that was interrupted goes
on, and a run that is done is only read.

Several processes may do this together, started by `torchrun` or SLURM. One packs the
photographs while the others wait, all of them train, and the first one scores and
records.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor

from colorlib.backbones import Backbone
from colorlib.collapse import degenerate_model_warnings
from colorlib.color import images_to_float, lab_to_rgb
from colorlib.errors import UserError
from colorlib.evaluation import MODEL
from colorlib.features import Scores
from colorlib.feeding import extract_features, read_feeding
from colorlib.files import file_lock, file_sha256, hash_of
from colorlib.metrics import summarize
from colorlib.model import (
    ColorizationModel,
    Vgg16Encoder,
    load_model,
    save_model,
)
from colorlib.processes import is_rank_zero
from colorlib.sampling import OrderedBatches, ShuffledBatches
from colorlib.training import FitOptions, FitResult, KeepSamples, Loss, discard, fit
from companion.builders import (
    adjust_logits,
    bin_prior,
    loss_for,
    model_for,
    target_of,
)
from companion.config import Profile, run_name
from companion.data_setup import (
    BACKBONE_IMAGE_SIZE,
    Data,
    Folders,
    Say,
    feature_lengths,
    load_backbones,
    load_vgg16,
    prepare_data,
    scores_of,
    subset,
)
from companion.provenance import (
    Stopwatch,
    current_commit,
    describe_backbones,
    describe_data,
    describe_model,
    now,
    run_inputs,
    this_hardware,
    training_key,
)
from companion.records import (
    Record,
    TrainingRecord,
    read_record,
    write_record,
)
from companion.scoring import (
    EVALUATED,
    error_breakdown,
    first_answers,
    score_model,
    score_parts,
)

Unfinished = Literal["resume", "restart", "refuse"]

KEPT_PER_IMAGE = ("loss_eq1", "psnr_rgb", "ciede2000", "colourfulness")


def run_model(
    profile: Profile,
    model_name: str,
    folders: Folders,
    *,
    unfinished: Unfinished = "resume",
    progress: bool = True,
    say: Say = print,
) -> Record:
    """Train, evaluate and record one model; a finished run is only read.

    Of several processes the first one holds the run's lock until it has the record, and
    the others wait for it.

    Args:
        profile: What to run.
        model_name: One of `colorlib.model.MODELS`.
        folders: Where things are; the run's own folder is `runs/<model_name>`.
        unfinished: What to do with a training that was interrupted.
        progress: Whether to draw progress bars.
        say: Told, in one line, what is being done.

    Returns:
        The record, also written to `record.json` in the run's folder, beside
        `model.safetensors`.

    Raises:
        UserError: If `unfinished` is "refuse" and there is such a training, or if the
            run's folder cannot be written.
    """
    with ExitStack() as held:
        return _run(profile, model_name, folders, unfinished, progress, say, held)


def _run(
    profile: Profile,
    model_name: str,
    folders: Folders,
    unfinished: Unfinished,
    progress: bool,
    say: Say,
    held: ExitStack,
) -> Record:
    """What `run_model` does; `held` gets the lock, if there is anything to do."""
    clock, commit = Stopwatch(), current_commit()
    folder = folders.runs / model_name
    data = prepare_data(profile, folders, say)
    clock.lap("data")
    backbones = load_backbones(profile, model_name, folders)
    vgg16 = load_vgg16(profile, model_name, folders)
    inputs = run_inputs(profile, model_name, data, backbones, vgg16)
    finished = finished_record(folder, inputs)
    if finished is not None:
        say(f"{finished.name}: already done, read from its record")
        return finished

    if is_rank_zero():
        _lock(folder, held)
    features = scores_of(profile, data, backbones, folders, progress=progress)
    clock.lap("class scores")
    model = initial_model(profile, model_name, backbones, vgg16)
    training_folder = folder / f"training-{training_key(inputs)}"
    _settle_unfinished(training_folder, unfinished)
    say(f"training {model_name} on {len(data.train)} photographs")
    seen = OrderedBatches(subset(data, None, data.train), EVALUATED)
    loss = loss_for(profile, model_name, seen)
    resume = unfinished != "restart"
    trained = _fit(
        profile, model, loss, data, features, training_folder, resume, progress
    )
    if not is_rank_zero():
        return _record_of_the_first(folder, inputs)
    if profile.logit_adjustment:
        adjust_logits(model, bin_prior(seen), profile.logit_adjustment)
    clock.lap("training")
    if trained.trials:
        say(f"of {len(trained.trials)} ways to train, the fastest was {trained.pace}")
    say(f"evaluating {model_name} on {len(data.test)} photographs")
    scores = score_model(profile, model, data, features, folders.cache)
    parts = score_parts(profile, data, scores[MODEL], folders.cache)
    losses = scores[MODEL]["loss_eq1"]
    breakdown = error_breakdown(profile, model, data, features, losses)
    answers = first_answers(profile, model, data, features)
    signs = degenerate_model_warnings(scores, answers)
    clock.lap("evaluation")

    weights_path = folder / "model.safetensors"
    save_model(model, weights_path, input_spec(profile, model_name, backbones))
    record = Record(
        name=run_name(profile, model_name),
        inputs_hash=hash_of(inputs),
        created=now(),
        commit=commit,
        profile=profile.model_dump(mode="json"),
        data=describe_data(data),
        model=describe_model(model_name, model, backbones, weights_path),
        training=TrainingRecord(**asdict(trained), folder=training_folder.name),
        scores=_summaries(scores),
        parts={name: _summaries(own) for name, own in parts.items()},
        per_image={name: _rounded(scores[MODEL][name]) for name in KEPT_PER_IMAGE},
        breakdown=breakdown,
        seconds=clock.seconds,
        hardware=this_hardware(profile.accelerator),
        note="; ".join(signs),
    )
    write_record(record, folder / "record.json")
    return record


@dataclass(frozen=True)
class Prediction:
    """What a trained model makes of some photographs.

    Attributes:
        L_norm: (N, 1, S, S), what it saw.
        target_norm: (N, 2, S, S), what it predicts; `ab_norm`, if its target is Lab.
        rgb: (N, 3, S, S) in [0, 1], the coloured photographs.
    """

    L_norm: Tensor
    target_norm: Tensor
    rgb: Tensor


@torch.no_grad()
def predict_photographs(
    profile: Profile, model_name: str, folders: Folders, indices: NDArray[np.int64]
) -> Prediction:
    """Colour some photographs of a data set with a finished run's model.

    Args:
        profile: Of the run.
        model_name: Of the run.
        folders: Where the run is.
        indices: Of the packed photographs, (N,).

    Raises:
        UserError: If the run is not done.
    """
    model, _ = load_model(folders.runs / model_name / "model.safetensors")
    data = prepare_data(profile, folders, say=lambda line: None)
    backbones = load_backbones(profile, model_name, folders)
    features = scores_of(profile, data, backbones, folders, progress=False)
    samples = subset(data, features, indices)
    batch = samples.take(np.arange(len(indices)))
    target = target_of(profile)
    L_norm, _ = target.split(images_to_float(batch.images))
    target_norm = model(L_norm, batch.features)
    rgb = lab_to_rgb(target.to_lab(L_norm, target_norm))
    return Prediction(L_norm, target_norm, rgb)


def evaluate_weights(
    profile: Profile, weights: Path, folders: Folders, say: Say = print
) -> dict[str, dict[str, float]]:
    """Score a trained model on a profile's test part.

    Args:
        profile: Names the data set and its split; the rest is the model's own.
        weights: A `model.safetensors` of an earlier run, of any profile.
        folders: Where things are.
        say: Told, in one line, what is being done.

    Returns:
        method -> metric -> mean over the test photographs.

    Raises:
        UserError: If the file is no such model, or a backbone is not the one it was
            trained with.
    """
    model, notes = load_model(weights)
    fed = read_feeding(weights, notes)
    own = profile.model_copy(
        update={
            "size": fed.size,
            "scores": fed.scores,
            "target": fed.target,
            "gray": fed.gray,
            "backbones": tuple(part.name for part in fed.backbones),
            "weights": fed.backbones[0].weights if fed.backbones else "random",
        }
    )
    data = prepare_data(own, folders, say)
    backbones = extract_features(fed, weights, folders.weights)
    features = scores_of(
        own, data, backbones, folders, backbone_image_size=fed.backbone_image_size
    )
    scores = score_model(own, model, data, features, folders.cache)
    return {
        method: {metric: float(values.mean()) for metric, values in metrics.items()}
        for method, metrics in scores.items()
    }


def _lock(folder: Path, held: ExitStack) -> None:
    """Have `held` hold the lock of a run's folder."""
    try:
        held.enter_context(file_lock(folder / "lock"))
    except OSError as error:
        raise UserError(
            f"{folder}: found a place that cannot be written ({error.strerror}), "
            "expected one for the run; give another runs_root (--runs-root)"
        ) from error


def _record_of_the_first(folder: Path, inputs: dict[str, Any]) -> Record:
    """Wait until the first process lets go of the run, and read its record."""
    with file_lock(folder / "lock"):
        record = finished_record(folder, inputs)
    if record is None:
        raise UserError(
            f"{folder}: found no record, expected that of the first process; "
            "see what it says"
        )
    return record


def finished_record(folder: Path, inputs: dict[str, Any]) -> Record | None:
    """The record of a run with these inputs, if it is done and its weights are there.

    A run that was killed between its weights and its record leaves those of two runs.
    """
    path, weights = folder / "record.json", folder / "model.safetensors"
    if not path.exists():
        return None
    record = read_record(path)
    if record.inputs_hash != hash_of(inputs):
        return None
    if not weights.exists() or file_sha256(weights) != record.model.weights_sha256:
        return None
    return record


def initial_model(
    profile: Profile,
    model_name: str,
    backbones: Sequence[Backbone],
    vgg16: Backbone | None = None,
) -> ColorizationModel:
    """The untrained model; its weights depend on the seed, but for a given VGG16."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(profile.seed)
        names = [backbone.spec.name for backbone in backbones]
        lengths = feature_lengths(profile, backbones)
        model = model_for(profile, model_name, names, lengths)
    if vgg16 is not None:
        assert isinstance(model.encoder, Vgg16Encoder)
        model.encoder.take_weights(vgg16.net)
    return model


def input_spec(
    profile: Profile, model_name: str, backbones: Sequence[Backbone]
) -> dict[str, Any]:
    """What one must know to use the trained weights, for their file."""
    return {
        "model": model_name,
        "size": profile.size,
        "target": profile.target,
        "gray": profile.gray,
        "scores": profile.scores,
        "backbone_image_size": BACKBONE_IMAGE_SIZE,
        "backbones": [part.model_dump() for part in describe_backbones(backbones)],
    }


def _settle_unfinished(folder: Path, unfinished: Unfinished) -> None:
    """Do what the caller wants with an interrupted training."""
    if not (folder / "last.ckpt").exists():
        return
    if unfinished == "refuse":
        raise UserError(
            f"found an unfinished training in {folder}; "
            "give --resume to continue it or --restart to begin again"
        )
    if unfinished == "restart" and is_rank_zero():
        discard(folder)


def _fit(
    profile: Profile,
    model: ColorizationModel,
    loss: Loss,
    data: Data,
    features: Scores | None,
    folder: Path,
    resume: bool,
    progress: bool,
) -> FitResult:
    """Train the model on the profile's training photographs."""
    train = subset(data, features, data.train)
    watched = subset(data, features, data.validation)
    keep: list[Callback] = []
    if len(watched):
        keep = [KeepSamples(watched.take(np.arange(min(8, len(watched)))), folder)]
    return fit(
        model,
        loss,
        ShuffledBatches(train, profile.batch_size, profile.seed, profile.hflip),
        OrderedBatches(watched, EVALUATED) if len(watched) else None,
        folder,
        FitOptions(
            max_epochs=profile.max_epochs,
            max_steps=profile.max_steps,
            max_minutes=profile.max_minutes,
            learning_rate=profile.learning_rate,
            target=target_of(profile),
            schedule=profile.schedule,
            precision=profile.precision,
            compiled=profile.compiled,
            accelerator=profile.accelerator,
            devices=profile.devices,
            deterministic=profile.deterministic,
            resume=resume,
            progress=progress,
        ),
        keep,
    )


def _summaries(scores: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    """What records keep: method -> metric -> summary."""
    return {method: summarize(values) for method, values in scores.items()}


def _rounded(values: Tensor) -> list[float]:
    """Five significant digits: enough for any statistic, readable in a diff."""
    return [float(f"{value:.5g}") for value in values.tolist()]
