"""The paper's network, from gray image to chroma, in the order of its Figure 2.

::

    L_norm ─► encoder ─────────────► fusion ─► decoder ─► ab_norm
    features of the backbones ──────┘

The paper gives no layer table. The layers are those of its baseline, Deep
Koalarization, whose 6.57 million trainable parameters they reproduce. What the paper
leaves open is a field of `ModelConfig`, and its default is our reading.

References:
    Kiani, Hemmatpour & Rastgoo (2021), Section 4 and Figure 2.
    Baldassarre, González Morín & Rodés-Guirao (2017), arXiv:1712.03400.
    Simonyan & Zisserman (2015), arXiv:1409.1556, configuration D: VGG16.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.backbones.specs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAP_SIDE,
    NUM_CLASSES,
    FeatureKind,
)
from colorlib.bins import annealed_mean, bin_centres
from colorlib.color import AB_SCALE
from colorlib.files import load_network, save_network
from colorlib.fusion import Aggregation, AggregationKind, FeatureInput, Fusion
from colorlib.targets import Gray, Space, Target

PROJECTED = 256  # channels of the projection of each backbone's maps, at width 1

# (channels, stride) of the 3x3 convolutions, to 1/2, 1/4 and 1/8 of the resolution.
ENCODER = [
    [(64, 2), (128, 1)],
    [(128, 2), (256, 1)],
    [(256, 2), (512, 1), (512, 1), (256, 1)],
]
FUSED = 256

# VGG16's 13 convolutions by the grid they work on; the fourth pooling is left out, and
# the convolutions after it are dilated instead, to keep their receptive field.
VGG16 = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]

# The networks each model of the paper fuses (Section 5.3).
MODELS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "model1": ("inception_resnet_v2.tf_in1k",),
    "model2": ("inception_resnet_v2.tf_in1k", "vgg16.tv_in1k"),
    "model3": ("inception_resnet_v2.tf_in1k", "vgg16.tv_in1k", "resnet50.tv_in1k"),
    "model4": (),
}


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ModelConfig:
    """Every choice about the network; the defaults are our reading of the paper.

    Attributes:
        backbones: Names of the frozen networks that are fused, in the order of their
            features; none for a model without fusion.
        input_sizes: Input size of each backbone, pixels; None for its training size.
        features: Which outputs are fused: `softmax` or `logits` of the 1000 classes,
            or feature `maps`. All but the softmax are standardised.
        feature_channels: Channels of each network's maps.
        aggregation: How the backbones' features are aggregated, see `colorlib.fusion`.
        dropout: Fraction of the features' channels that training drops.
        target: The space that chroma is predicted in, see `colorlib.targets.Target`.
        gray: Where the gray image comes from.
        width: Factor on the number of channels; 1 is the published network.
        encoder: `strided`, the baseline's; or `vgg16`.
        skips: Whether the decoder also sees the encoder's finer features.
        normalisation: `none`, or `batch` after every convolution but the last.
        upsampling: `nearest`, the last one after the tanh, as in the baseline's code:
            chroma is predicted on half the image's grid; `nearest_before` the last
            convolution; or `bilinear`, after the tanh.
        classes: Whether each pixel is classified into ab bins, not regressed.

    Raises:
        pydantic.ValidationError: If a field has another value.
    """

    backbones: tuple[str, ...] = ()
    input_sizes: tuple[int, ...] | None = None
    features: FeatureKind = "softmax"
    feature_channels: tuple[int, ...] = ()
    aggregation: AggregationKind = "average"
    dropout: float = 0.0
    target: Space = "lab"
    gray: Gray = "L"
    width: float = 1.0
    encoder: Literal["strided", "vgg16"] = "strided"
    skips: bool = False
    normalisation: Literal["none", "batch"] = "none"
    upsampling: Literal["nearest", "nearest_before", "bilinear"] = "nearest"
    classes: bool = False

    def scaled(self, channels: int) -> int:
        """Number of channels at this width, at least one."""
        return max(1, round(channels * self.width))

    @property
    def uses_class_scores(self) -> bool:
        """Whether the features are numbers per class, not maps."""
        return self.features in ("softmax", "logits")

    def feature_shape(self) -> tuple[int, ...] | None:
        """Shape of the features of one image; None without backbones."""
        if not self.backbones:
            return None
        if self.uses_class_scores:
            return (len(self.backbones), NUM_CLASSES)
        return (sum(self.feature_channels), MAP_SIDE, MAP_SIDE)


class ColorizationModel(nn.Module):
    """Encoder, fusion and decoder: a gray image in, its chroma planes out.

    The backbones are not part of it. They are frozen functions of the gray image, so
    their features are computed once per image and handed in.

    Args:
        config: The choices.

    Attributes:
        target: What the model sees of an image, and what it predicts.

    Departure from the paper: without backbones the 1x1 convolution stays, so that
    `plain` differs from `model3` by the networks' features alone.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.target = Target(config.target, config.gray)
        vgg16 = config.encoder == "vgg16"
        self.encoder = Vgg16Encoder(config) if vgg16 else Encoder(config)
        self.feature_input, aggregation = None, None
        if count := len(config.backbones):
            maps = not config.uses_class_scores
            channels = config.feature_channels if maps else [NUM_CLASSES] * count
            length = config.scaled(PROJECTED) if maps else None
            self.feature_input = FeatureInput(
                channels, length, config.dropout, config.features != "softmax"
            )
            aggregation = Aggregation(config.aggregation, count, length or NUM_CLASSES)
        *skips, local = self.encoder.out_channels
        self.fusion = Fusion(local, config.scaled(FUSED), aggregation)
        self.decoder = Decoder(config, skips)

    def forward(self, L_norm: Tensor, features: Tensor | None = None) -> Tensor:
        """Predict the chroma of gray images of any size.

        Args:
            L_norm: (N, 1, H, W), lightness in [-1, 1].
            features: (N, K, 1000) or (N, C, 8, 8), as `config.features` says; None for
                a model without backbones.

        Returns:
            `ab_norm`, (N, 2, H, W) in [-1, 1]; of another space, if the model was
            trained for one.

        Raises:
            ValueError: If the features are not those of the model's backbones.
        """
        outputs = self.outputs(L_norm, features)
        if not self.config.classes:
            return outputs
        H, W = L_norm.shape[-2:]
        ab = annealed_mean(outputs, bin_centres())  # (N, Q, h, w) -> (N, 2, h, w)
        ab_norm = F.interpolate(ab / AB_SCALE, scale_factor=4, mode="bilinear")
        return ab_norm[:, :, :H, :W]

    def outputs(self, L_norm: Tensor, features: Tensor | None = None) -> Tensor:
        """What a loss compares with the ground truth, from the same arguments.

        Returns:
            What `forward` returns; of a model that classifies, the logits of its bins,
            (N, Q, 2 ceil(H / 8), 2 ceil(W / 8)).
        """
        H, W = L_norm.shape[-2:]
        self._check(features)
        whole = F.pad(L_norm, (0, -W % 8, 0, -H % 8), mode="replicate")
        pyramid = self.encoder(whole)  # 3 grids, the last (N, 256, h, w), h = ceil(H/8)
        given = self.feature_input(features) if self.feature_input else None
        fused = self.fusion(pyramid[-1], given)  # (N, 256, h, w)
        outputs: Tensor = self.decoder(fused, pyramid)
        return outputs if self.config.classes else outputs[:, :, :H, :W]

    def _check(self, features: Tensor | None) -> None:
        """Refuse features that are not those of the model's backbones."""
        expected = self.config.feature_shape()
        found = None if features is None else tuple(features.shape[1:])
        if found != expected:
            raise ValueError(
                f"found features (N, *{found}), expected (N, *{expected}): "
                f"{self.config.features} of the networks {list(self.config.backbones)}"
            )


class Encoder(nn.Module):
    """Eight 3x3 convolutions: local features on ever coarser grids."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        c_in = 1
        for layers in ENCODER:
            stage = nn.Sequential()
            for channels, stride in layers:
                c_out = config.scaled(channels)
                stage.append(convolution(config, c_in, c_out, stride))
                c_in = c_out
            self.stages.append(stage)
        self.out_channels = [config.scaled(layers[-1][0]) for layers in ENCODER]

    def forward(self, L_norm: Tensor) -> list[Tensor]:
        """Compute features at 1/2, 1/4, 1/8 of the resolution of (N, 1, 8 h, 8 w)."""
        pyramid = [L_norm]
        for stage in self.stages:
            pyramid.append(stage(pyramid[-1]))
        return pyramid[1:]


class Vgg16Encoder(nn.Module):
    """The thirteen convolutions of VGG16, on a grid no coarser than an eighth."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        c_in = 3
        for index, layers in enumerate(VGG16):
            block = nn.Sequential()
            for channels in layers:
                c_out, dilation = config.scaled(channels), 2 if index == 4 else 1
                block.append(convolution(config, c_in, c_out, dilation=dilation))
                c_in = c_out
            self.blocks.append(block)
        self.out_channels = [config.scaled(VGG16[index][-1]) for index in (1, 2, 4)]
        for layer in self.convolutions():  # by default gradients vanish over 13 layers
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def convolutions(self) -> list[nn.Conv2d]:
        """The thirteen, in order."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]

    def load_vgg16_weights(self, vgg16: nn.Module) -> None:
        """Begin with the convolutions of a trained VGG16, such as timm's."""
        theirs = [m for m in vgg16.modules() if isinstance(m, nn.Conv2d)]
        for mine, layer in zip(self.convolutions(), theirs, strict=False):
            mine.load_state_dict(layer.state_dict())

    def forward(self, L_norm: Tensor) -> list[Tensor]:
        """Compute features at 1/2, 1/4, 1/8 of the resolution of (N, 1, 8 h, 8 w)."""
        mean, std = L_norm.new_tensor([IMAGENET_MEAN, IMAGENET_STD]).view(2, 3, 1, 1)
        x = ((L_norm + 1) / 2 - mean) / std  # (N, 3, 8 h, 8 w)
        pyramid = []
        for index, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if 0 < index < 4 else x)
            pyramid.append(x)
        return [pyramid[1], pyramid[2], pyramid[4]]


class Decoder(nn.Module):
    """Convolutions and upsampling, back to the image's grid."""

    def __init__(self, config: ModelConfig, skips: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        half, quarter = skips if config.skips else (0, 0)  # channels of the encoder's
        fused, wide, middle, narrow = map(config.scaled, (FUSED, 128, 64, 32))
        self.at_eighth = convolution(config, fused, wide)
        self.at_quarter = nn.Sequential(
            convolution(config, wide + quarter, middle),
            convolution(config, middle, middle),
        )
        if config.classes:
            self.last = nn.Conv2d(middle, len(bin_centres()), kernel_size=1)
        else:
            self.at_half = convolution(config, middle + half, narrow)
            self.last = nn.Conv2d(narrow, Target(config.target).channels, 3, padding=1)

    def forward(self, fused: Tensor, pyramid: Sequence[Tensor]) -> Tensor:
        """Upsample (N, 256, h, w), with the encoder's features as skip connections.

        Returns:
            (N, 2, 8 h, 8 w) in [-1, 1]; or the logits of the bins, (N, Q, 2 h, 2 w).
        """
        half, quarter, _ = pyramid
        x = self._up(self.at_eighth(fused))  # (N, 128, 2 h, 2 w)
        x = self.at_quarter(self._with(x, quarter))  # (N, 64, 2 h, 2 w)
        if self.config.classes:
            return self.last(x)  # type: ignore[no-any-return]  # (N, Q, 2 h, 2 w)
        x = self.at_half(self._with(self._up(x), half))  # (N, 32, 4 h, 4 w)
        if self.config.upsampling == "nearest_before":
            return torch.tanh(self.last(self._up(x)))  # (N, 2, 8 h, 8 w)
        return self._up(torch.tanh(self.last(x)))  # (N, 2, 8 h, 8 w)

    def _up(self, x: Tensor) -> Tensor:
        """Twice as many rows and columns."""
        mode = "bilinear" if self.config.upsampling == "bilinear" else "nearest"
        return F.interpolate(x, scale_factor=2, mode=mode)

    def _with(self, x: Tensor, finer: Tensor) -> Tensor:
        """Concatenate the encoder's features of the same grid, if configured."""
        return torch.cat([x, finer], dim=1) if self.config.skips else x


def convolution(
    config: ModelConfig, c_in: int, c_out: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """A 3x3 convolution with "same" padding, and a ReLU."""
    layer = nn.Conv2d(c_in, c_out, 3, stride, padding=dilation, dilation=dilation)
    norms = [nn.BatchNorm2d(c_out)] if config.normalisation == "batch" else []
    return nn.Sequential(layer, *norms, nn.ReLU())


def build_model(
    name: str, *, backbones: Sequence[str] | None = None, **options: Any
) -> ColorizationModel:
    """Build one of the paper's models by its name.

    Args:
        name: `plain`, `model1`, `model2`, `model3`; or `model4`, in the spirit of An,
            Kpeyiton & Shi (2020): VGG16 and classification. Its details are ours.
        backbones: Other classifiers in place of the paper's, any number of them.
        options: Further fields of `ModelConfig`, such as `width` or `aggregation`.

    Returns:
        The model with PyTorch's default initialisation, drawn from the global
        random state.

    Raises:
        ValueError: If there is no model of that name, `plain` is given backbones, or an
            option has no such value.

    Reference:
        Section 5.3 of the paper; facts on the layers from arXiv:1712.03400.

    Example:
        >>> model = build_model("model3")
        >>> sum(p.numel() for p in model.parameters())
        6573794
        >>> model(torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 1000)).shape
        torch.Size([1, 2, 64, 64])
    """
    if name not in MODELS:
        raise ValueError(f"found model {name!r}, expected one of {', '.join(MODELS)}")
    chosen = MODELS[name] if backbones is None else tuple(backbones)
    if not MODELS[name] and chosen:
        raise ValueError(
            f"found backbones {list(chosen)} for model {name!r}, expected none: "
            "name a model that fuses"
        )
    if name == "model4":
        options = {"encoder": "vgg16", "classes": True, **options}
    return ColorizationModel(ModelConfig(backbones=chosen, **options))


def save_model(model: ColorizationModel, path: Path, notes: dict[str, Any]) -> None:
    """Write a model, with `notes` for `colorlib.backbones.load_recorded_backbones`."""
    about = {"config": asdict(model.config), "notes": notes}
    save_network(path, model.state_dict(), about)


def model_from_metadata(about: dict[str, Any]) -> ColorizationModel:
    """Build the model that the metadata of a `save_model` file describes."""
    return ColorizationModel(ModelConfig(**about["config"]))


def load_model(path: Path) -> tuple[ColorizationModel, dict[str, Any]]:
    """Read a model that `save_model` wrote, and its notes, see `load_network`."""
    return load_network(path, model_from_metadata, "companion train")
