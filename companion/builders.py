"""What a run is built from: its frozen networks, its target, its untrained model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from colorlib.backbones import Backbone, content_of, feature_shape, load_backbone
from colorlib.errors import UserError
from colorlib.features import Features
from colorlib.model import ColorizationModel, Vgg16Encoder
from colorlib.targets import Target
from companion.config import RunConfig

VGG16 = "vgg16.tv_in1k"
STATISTICS = 1000  # training images that standardise the networks' features


def load_backbones(config: RunConfig, weights: Path | None) -> list[Backbone]:
    """Load the frozen networks that a model fuses.

    Args:
        config: Of the run.
        weights: The folder of their files; may be None.

    Raises:
        UserError: If their weights cannot be had.
    """
    source = _weights(config.weights, weights)
    return [load_backbone(name, source) for name in config.model.backbones]


def load_judge(config: RunConfig, weights: Path | None) -> Backbone | None:
    """Load the classifier that is asked, where the groups are classes of ImageNet."""
    if not config.judge or config.data.dataset != "imagenet" or config.validation_only:
        return None
    return load_backbone(config.judge, _weights(config.weights, weights))


def load_vgg16(config: RunConfig, weights: Path | None) -> Backbone | None:
    """Load the trained VGG16 that `model4` begins with, if the settings want one."""
    if config.name != "model4" or config.encoder_weights == "random":
        return None
    if config.model.width != 1:
        raise UserError(
            f"found width {config.model.width}, but a trained VGG16 has width 1; "
            "give `encoder_weights: random` or `width: 1`"
        )
    return load_backbone(VGG16, _weights(config.encoder_weights, weights))


def _weights(kind: str, folder: Path | None) -> str | Path:
    """What `load_backbone` takes for what a profile says."""
    if kind != "file":
        return kind
    if folder is None:
        raise UserError(
            "found no folder of weights, but the profile says `file`; "
            "give --weights-root"
        )
    return folder


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
