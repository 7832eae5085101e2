"""What a run is built from: folders, images, frozen networks, an untrained model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from colorlib.backbones import Backbone, load_backbone
from colorlib.data import ImageSource, PackedImages, Split, pack, split
from colorlib.device import torch_device
from colorlib.errors import UserError
from colorlib.features import Features, compute_features
from colorlib.model import ColorizationModel, Vgg16Encoder
from colorlib.sampling import Samples
from companion.config import RunConfig, Settings
from companion.datasets import find_source

BUILD = Path(__file__).parent.parent / "_build"  # generated, never committed
VGG16_NAME = "vgg16.tv_in1k"
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
        """Take the folders that are given, and the defaults for the rest.

        Example:
            >>> Folders.choose(data_root="~/images").data.name
            'images'
        """
        given = {
            "data": data_root,
            "weights": weights_root,
            "cache": cache_root,
            "runs": runs_root,
        }
        paths = {k: Path(v).expanduser().absolute() for k, v in given.items() if v}
        return cls(**paths)


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


def setup_data(config: Settings, folders: Folders) -> Data:
    """Find, pack and divide the images.

    Raises:
        UserError: If the data set is not there, or has too few images.
    """
    source = find_source(config.data, folders.data, folders.cache)
    packed = pack(source, config.data.size, folders.cache)
    log.info("%s: %d images, %d px", source.name, len(packed), config.data.size)
    return Data(source, packed, split(packed, config.data))


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


def load_backbones(config: RunConfig, folders: Folders) -> list[Backbone]:
    """Load the frozen networks that a model fuses.

    Raises:
        UserError: If their weights cannot be had; so do the next two.
    """
    weights = _weights(config.weights, folders)
    return [load_backbone(name, weights) for name in config.model.backbones]


def load_judge(config: RunConfig, folders: Folders) -> Backbone | None:
    """Load the independent classifier that evaluates coloured images of ImageNet.

    It is trained even if the fused networks are random: else it could name nothing.
    """
    if not config.judge or config.data.dataset != "imagenet" or config.validation_only:
        return None
    kind = "file" if folders.weights else "pretrained"
    kind = kind if config.weights == "random" else config.weights
    return load_backbone(config.judge, _weights(kind, folders))


def load_vgg16(config: RunConfig, folders: Folders) -> Backbone | None:
    """Load the trained VGG16 that `model4` begins with, if the settings want one."""
    if config.name != "model4" or config.encoder_weights == "random":
        return None
    if config.model.width != 1:
        raise UserError(
            f"found width {config.model.width}, but a trained VGG16 has width 1; "
            "give `encoder_weights: random` or `width: 1`"
        )
    return load_backbone(VGG16_NAME, _weights(config.encoder_weights, folders))


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


def initial_model(
    config: RunConfig,
    features: Features | None,
    train: NDArray[np.int64],
    vgg16: Backbone | None = None,
) -> ColorizationModel:
    """The untrained model; its weights depend on the seed, but for a given VGG16.

    Args:
        config: Of the run.
        features: Of the fused networks; the training images' standardise them.
        train: (M,), the training images.
        vgg16: The network that `model4` begins with.
    """
    by_class = config.model.uses_class_scores
    channels = () if by_class or features is None else features.channels
    built = replace(config.model, feature_channels=channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = ColorizationModel(built)
    if model.feature_input is not None and features is not None:
        some = train[:: max(1, len(train) // STATISTICS)]
        model.feature_input.set_statistics(*features.statistics(some))
    if vgg16 is not None:
        assert isinstance(model.encoder, Vgg16Encoder)
        model.encoder.load_vgg16_weights(vgg16.net)
    return model
