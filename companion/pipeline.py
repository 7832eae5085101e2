"""A run: settings in, a trained and scored model out, in five steps.

    setup_data -> setup_features -> train_model -> score_model -> record

Every step finds what an earlier call has finished, so a run that was interrupted goes
on, and a run that is done is only read. Several processes may do this together,
started by `torchrun` or SLURM: all of them train, the first one scores and records.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorlib.backbones import (
    Backbone,
    content_of,
    feature_shape,
    input_spec,
    load_backbone,
    load_stated,
)
from colorlib.color import images_to_float, lab_to_rgb
from colorlib.data import (
    ImageSource,
    PackedImages,
    Split,
    open_source,
    pack,
    split,
)
from colorlib.errors import UserError
from colorlib.evaluation import MODEL
from colorlib.features import Features, compute_features
from colorlib.files import file_lock, file_sha256
from colorlib.metrics import summarize
from colorlib.model import (
    ColorizationModel,
    Vgg16Encoder,
    load_model,
    save_model,
    torch_device,
)
from colorlib.sampling import Samples
from colorlib.targets import Target
from colorlib.training import (
    FitResult,
    discard,
    fit,
    is_rank_zero,
    loss_named,
)
from companion import provenance
from companion.config import Profile, RunConfig
from companion.records import Record, TrainingRecord, read_record, write_record
from companion.scoring import (
    KEPT_PER_IMAGE,
    error_breakdown,
    rounded,
    score_tests,
    warnings_of,
)

Unfinished = Literal["resume", "restart", "refuse"]

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "_build"  # generated, never committed
VGG16 = "vgg16.tv_in1k"
STATISTICS = 1000  # training images that standardise the networks' features

log = logging.getLogger("companion")


@dataclass(frozen=True)
class Folders:
    """Where this machine keeps things; no result depends on them.

    Attributes:
        data: Images and archives, as they were published; None for scenes.
        weights: Files of pretrained networks; may be None.
        cache: Packed images and features; may be deleted at any time.
        runs: Trained models, logs and records, one folder a run.
    """

    data: Path | None = None
    weights: Path | None = None
    cache: Path = BUILD / "cache"
    runs: Path = BUILD / "runs"

    @classmethod
    def choose(
        cls,
        data_root: str | Path | None = None,
        weights_root: str | Path | None = None,
        cache_root: str | Path | None = None,
        runs_root: str | Path | None = None,
    ) -> "Folders":
        """Take the folders that are given, and for the rest those of the project.

        Example:
            >>> Folders.choose(data_root="~/images").data.name
            'images'
        """

        def absolute(path: str | Path) -> Path:
            return Path(path).expanduser().absolute()

        return cls(
            data=absolute(data_root) if data_root else None,
            weights=absolute(weights_root) if weights_root else None,
            cache=absolute(cache_root or BUILD / "cache"),
            runs=absolute(runs_root or BUILD / "runs"),
        )


@dataclass(frozen=True)
class Data:
    """A packed data set and its parts.

    Attributes:
        source: Where the images come from.
        packed: The images at the run's size.
        split: What is trained on, what chooses the checkpoint, and the tests.
    """

    source: ImageSource
    packed: PackedImages
    split: Split

    def subset(self, features: Features | None, indices: NDArray[np.int64]) -> Samples:
        """Some of the images, with their features."""
        return Samples(self.packed.images, features, indices)


# ----------------------------------------------------------------------- the five steps


def setup_data(config: RunConfig, folders: Folders) -> Data:
    """Find, pack and divide the images.

    Raises:
        UserError: If the data set is not there, or has too few images.
    """
    source = open_source(config.data, folders.data, folders.cache)
    packed = pack(source, config.data.size, folders.cache)
    log.info("%s: %d images, %d px", source.name, len(packed), config.data.size)
    return Data(source, packed, split(packed, config.data))


def load_backbones(config: RunConfig, folders: Folders) -> list[Backbone]:
    """Load the frozen networks that a model fuses."""
    weights = _weights(config.weights, folders)
    return [load_backbone(name, weights) for name in config.model.backbones]


def setup_features(
    config: RunConfig, data: Data, backbones: Sequence[Backbone], folders: Folders
) -> Features | None:
    """Extract the features of all images that the run uses; None without networks."""
    if not backbones:
        return None
    parts = (data.split.train, data.split.validation, *data.split.tests.values())
    return compute_features(
        data.source,
        data.packed.manifest,
        np.sort(np.concatenate(parts)),
        backbones,
        kind=config.model.features,
        cache_root=folders.cache,
        input_sizes=config.model.input_sizes,
        gray=config.model.gray,
        device=torch_device(config.train.accelerator),
    )


def train_model(
    config: RunConfig,
    model: ColorizationModel,
    data: Data,
    features: Features | None,
    folder: Path,
    *,
    resume: bool = True,
    progress: bool = False,
) -> FitResult:
    """Train a model in place; it is left with its best weights."""
    train = data.subset(features, data.split.train)
    return fit(
        model,
        loss_named(config.train.loss or "mse", train),
        train,
        data.subset(features, data.split.validation),
        folder,
        config.train,
        target=target_of(config),
        resume=resume,
        progress=progress,
    )


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
    clock, folder = provenance.Stopwatch(), folders.runs / config.run_name
    data = setup_data(config, folders)
    backbones = load_backbones(config, folders)
    vgg16 = _load_vgg16(config, folders)
    networks = [*backbones, *([vgg16] if vgg16 else [])]
    identity = provenance.identity(config, data.packed.manifest, data.split, networks)
    if (finished := finished_record(folder, identity)) is not None:
        log.info("%s: already done, read from its record", finished.name)
        return finished
    clock.lap("data")
    with ExitStack() as held:
        if is_rank_zero():
            _lock(folder, held)
            if (finished := finished_record(folder, identity)) is not None:
                return finished  # by the process that had the lock before
        features = setup_features(config, data, backbones, folders)
        clock.lap("features")
        model = initial_model(config, backbones, features, data.split.train, vgg16)
        training = folder / f"training-{provenance.training_key(identity, config)}"
        _settle_unfinished(training, unfinished)
        log.info("training %s on %d images", config.run_name, len(data.split.train))
        resume = unfinished != "restart"
        trained = train_model(
            config, model, data, features, training, resume=resume, progress=progress
        )
        if is_rank_zero():
            clock.lap("training")
            record = _scored(config, data, model, features, folders, trained, clock)
            path = folder / "model.safetensors"
            save_model(model, path, _notes(config, backbones))
            done = provenance.completed(record, identity, model, backbones, path)
            write_record(done, folder / "record.json")
            return done
    return _record_of_rank_zero(folder, identity)


def _scored(
    config: RunConfig,
    data: Data,
    model: ColorizationModel,
    features: Features | None,
    folders: Folders,
    trained: FitResult,
    clock: provenance.Stopwatch,
) -> dict[str, Any]:
    """The parts of a record that this run has computed."""
    parts: dict[str, Any] = {
        "name": config.run_name,
        "protocol": config.protocol,
        "settings": config.model_dump(mode="json"),
        "data": provenance.describe_data(data.packed.manifest, data.split),
        "training": TrainingRecord(**asdict(trained)),
    }
    if not config.validation_only:
        log.info("scoring %s", config.run_name)
        scores = score_tests(config, data, model, features, folders)
        first = next(iter(scores))
        losses = scores[first][MODEL]["loss_eq1"]
        parts |= {
            "scores": {test: _summaries(methods) for test, methods in scores.items()},
            "per_image": {
                test: {
                    name: rounded(methods[MODEL][name])
                    for name in KEPT_PER_IMAGE
                    if name in methods[MODEL]
                }
                for test, methods in scores.items()
            },
            "groups": {} if config.model.backbones else _group_numbers(data),
            "breakdown": error_breakdown(config, data, model, features, first, losses),
            "note": "; ".join(
                warnings_of(config, data, model, features, scores[first])
            ),
        }
        clock.lap("scoring")
    parts["seconds"] = clock.seconds
    parts["hardware"] = provenance.this_hardware(config.train.accelerator)
    return parts


def _group_numbers(data: Data) -> dict[str, list[int]]:
    """Test set -> the group of each image, as a number: names may be people's."""
    numbers = np.unique(data.packed.manifest.groups, return_inverse=True)[1]
    return {test: numbers[part].tolist() for test, part in data.split.tests.items()}


def _summaries(methods: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    """Method -> metric -> summary; the judge has seen fewer images than the rest."""
    summaries = {}
    for method, scores in methods.items():
        judged = {"named": scores["named"]} if "named" in scores else {}
        rest = {name: values for name, values in scores.items() if name != "named"}
        summaries[method] = summarize(rest) | summarize(judged)
    return summaries


# ------------------------------------------------------------------- models and targets


def target_of(config: RunConfig) -> Target:
    """What of an image is the input, and what is predicted."""
    return Target(config.model.target, config.model.gray)


def initial_model(
    config: RunConfig,
    backbones: Sequence[Backbone],
    features: Features | None,
    train: NDArray[np.int64],
    vgg16: Backbone | None = None,
) -> ColorizationModel:
    """The untrained model; its weights depend on the seed, but for a given VGG16.

    Args:
        config: Of the run.
        backbones: The networks that are fused.
        features: Theirs, of which the training images' standardise them.
        train: (M,), the training images.
        vgg16: The network that `model4` begins with.
    """
    content = content_of(config.model.features)
    channels = tuple(feature_shape(b, content)[0] for b in backbones)
    by_class = content == "logits"
    built = replace(config.model, feature_channels=() if by_class else channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = ColorizationModel(built)
    if model.feature_input is not None and features is not None:
        some = train[:: max(1, len(train) // STATISTICS)]
        model.feature_input.fit(*features.statistics(some))
    if vgg16 is not None:
        assert isinstance(model.encoder, Vgg16Encoder)
        model.encoder.take_weights(vgg16.net)
    return model


@dataclass(frozen=True)
class Prediction:
    """What a trained model makes of some images.

    Attributes:
        L_norm: (N, 1, S, S), what it sees.
        target_norm: (N, 2, S, S), what it predicts; `ab_norm`, if its target is Lab.
        rgb: (N, 3, S, S) in [0, 1], the coloured images.
    """

    L_norm: Tensor
    target_norm: Tensor
    rgb: Tensor


@torch.no_grad()
def predict_images(
    config: RunConfig, folders: Folders, indices: NDArray[np.int64]
) -> Prediction:
    """Colour some images of a data set with a finished run's model.

    Args:
        config: Of the run.
        folders: Where the run is.
        indices: (N,), of the packed images.

    Raises:
        UserError: If the run is not done.
    """
    model, _ = load_model(folders.runs / config.run_name / "model.safetensors")
    data = setup_data(config, folders)
    backbones = load_backbones(config, folders)
    features = setup_features(config, data, backbones, folders)
    batch = data.subset(features, indices).take(np.arange(len(indices)))
    target = target_of(config)
    L_norm, _ = target.split(images_to_float(batch.images))
    target_norm = model(L_norm, batch.features)
    return Prediction(
        L_norm, target_norm, lab_to_rgb(target.to_lab(L_norm, target_norm))
    )


def evaluate_weights(
    profile: Profile, weights: Path, folders: Folders
) -> dict[str, dict[str, dict[str, float]]]:
    """Score a trained model on a profile's test sets.

    Args:
        profile: Names the data set and its split; the rest is the model's own.
        weights: A `model.safetensors` of an earlier run, of any profile.
        folders: Where things are.

    Returns:
        test set -> method -> metric -> mean over the test images.

    Raises:
        UserError: If the file is no such model, or a network is not the one it was
            trained with.
    """
    model, notes = load_model(weights)
    spec = input_spec(weights, notes)
    config = RunConfig(
        name=notes.get("model", "plain"),
        data=replace(profile.data, size=spec.size),
        model=replace(model.config, feature_channels=()),
        train=profile.train,
    )
    data = setup_data(config, folders)
    backbones = load_stated(spec, weights, folders.weights)
    features = setup_features(config, data, backbones, folders)
    scores = score_tests(config, data, model, features, folders)
    return {
        test: {
            method: {metric: float(values.mean()) for metric, values in own.items()}
            for method, own in methods.items()
        }
        for test, methods in scores.items()
    }


def _weights(kind: str, folders: Folders) -> str | Path:
    """What `load_backbone` takes for what a profile says."""
    if kind != "file":
        return kind
    if folders.weights is None:
        raise UserError(
            "found no folder of weights, but the profile says `file`; "
            "give --weights-root"
        )
    return folders.weights


def _load_vgg16(config: RunConfig, folders: Folders) -> Backbone | None:
    """Load the trained VGG16 that `model4` begins with, if the settings want one."""
    if config.name != "model4" or config.encoder_weights == "random":
        return None
    if config.model.width != 1:
        raise UserError(
            f"found width {config.model.width}, but a trained VGG16 has width 1; "
            "give `encoder_weights: random` or `width: 1`"
        )
    return load_backbone(VGG16, _weights(config.encoder_weights, folders))


def _notes(config: RunConfig, backbones: Sequence[Backbone]) -> dict[str, Any]:
    """What one must know to use the trained weights, for their file."""
    return {
        "model": config.name,
        "record": config.run_name,
        "size": config.data.size,
        "backbones": [
            part.model_dump() for part in provenance.describe_backbones(backbones)
        ],
    }


# -------------------------------------------------------------- finished and unfinished


def finished_record(folder: Path, identity: str) -> Record | None:
    """The record of a run with this identity, if it is done and its weights are there.

    A run that was killed between its weights and its record leaves those of two runs.
    """
    path, weights = folder / "record.json", folder / "model.safetensors"
    if not path.exists():
        return None
    try:
        record = read_record(path)
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
    if not (folder / "last.ckpt").exists():
        return
    if unfinished == "refuse":
        raise UserError(
            f"found an unfinished training in {folder}; "
            "give --resume to continue it or --restart to begin again"
        )
    if unfinished == "restart" and is_rank_zero():
        discard(folder)


def _record_of_rank_zero(folder: Path, identity: str) -> Record:
    """Wait until the first process lets go of the run, and read its record."""
    with file_lock(folder / "lock"):
        record = finished_record(folder, identity)
    if record is None:
        raise UserError(
            f"{folder}: found no record, expected that of the first process; "
            "see what it says"
        )
    return record
