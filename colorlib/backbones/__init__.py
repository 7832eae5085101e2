"""Frozen ImageNet classifiers: what each expects, and what it outputs for a gray image.

The paper fuses the outputs of networks that learned from colour photographs and see
the gray image three times over. A file of weights implies an input size, a scaling and
an order of classes; another input gives no error, only worse outputs. So each network
has a specification, prepares its own input, and all are given the same gray image::

    gray (N, 1, H, H) ── prepare ──► (N, 3, S, S) ── net ──► maps (N, C, 8, 8)
                                                        └──► logits (N, 1000)

All classify the same 1000 classes in the same order. Only there can networks of
different shape be averaged without a learned projection.

References:
    Section 4.2 of the paper names the networks; the specifications are those of timm.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.backbones.specs import (
    MAP_SIDE,
    BackboneSpec,
    FeatureKind,
    WeightsKind,
    hash_of_weights,
    load_timm_network,
    spec_for,
)
from colorlib.color import check_image
from colorlib.errors import UserError

StoredKind = Literal["logits", "maps"]  # what is extracted, see `stored_kind`

GRAY_TOLERANCE = 1e-3  # the L of white is 100 only to the precision of float32
LARGEST = 4096  # pixels; a file from elsewhere shall not ask for all the memory


class Backbone(nn.Module):
    """A classifier that never learns: a function from gray images to features.

    Args:
        spec: What it expects.
        net: The timm network, taking (N, 3, S, S).
        weights_kind: Where its weights come from.
        weights_hash: SHA-256 of the weights: the same from a file and from the hub.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        spec: BackboneSpec,
        net: nn.Module,
        weights_kind: WeightsKind,
        weights_hash: str,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.weights_kind = weights_kind
        self.weights_hash = weights_hash
        self.net = net.requires_grad_(False)
        self.net.to(memory_format=torch.channels_last)  # twice as fast on a processor
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: no feature depends on the rest of its batch."""
        return super().train(False)

    def prepare(self, gray: Tensor, size: int | None = None) -> Tensor:
        """Make what the network sees: the gray image at its size, in its scaling.

        Args:
            gray: (N, 1, H, H) float in [0, 1].
            size: Side S of what the network sees, pixels; by default that of its
                training. Small images are not worth the cost of a large input.

        Returns:
            (N, 3, S, S): three equal channels but for scaling.

        Raises:
            TypeError: If the image is not float.
            ValueError: If it is not gray or not square.

        Departure from common use:
            Classifiers are tested on a crop of the middle. Here the whole square is
            resized: the features colour the whole image, so they may depend on all of
            it. That costs them about a point of accuracy.
        """
        check_image(gray, 1)
        H, W = gray.shape[-2:]
        if H != W:
            raise ValueError(f"found gray of {H}x{W}, expected a square: cut one out")
        side = size or self.spec.input_size
        gray = F.interpolate(
            gray.to(self.mean.dtype),
            size=(side, side),
            mode=self.spec.interpolation,
            align_corners=False,
            antialias=True,
        ).clamp(0, 1)  # (N, 1, S, S); a bicubic filter overshoots
        rgb = gray.expand(-1, 3, -1, -1)  # (N, 3, S, S)
        return (rgb - self.mean) / self.std

    def forward(
        self, gray: Tensor, kind: StoredKind, size: int | None = None
    ) -> Tensor:
        """Extract features of gray images.

        Args:
            gray: (N, 1, H, H) float in [0, 1]: L / 100, see `color.gray_from_L`.
            kind: Which features.
            size: Side of what the network sees, see `prepare`.

        Returns:
            `logits`, (N, 1000), unbounded, classes in the order of sorted WordNet ids;
            or `maps`, (N, C, 8, 8), resampled from the network's own grid. Float32.

        Raises:
            ValueError: If the gray image is not in [0, 1].
            UserError: If the network has no such features, or gives no finite numbers.
        """
        low, high = gray.min().item(), gray.max().item()
        if not -GRAY_TOLERANCE <= low <= high <= 1 + GRAY_TOLERANCE:
            raise ValueError(f"found gray {low:.3g} to {high:.3g}, expected 0 to 1")
        features = self._of_kind(self._maps(self.prepare(gray, size)), kind).float()
        if not features.isfinite().all():
            raise UserError(
                f"{self.spec.name}: found features that are not finite, expected "
                "numbers; its weights are damaged, get them again"
            )
        return features

    def _maps(self, x: Tensor) -> Tensor:
        """The network's last feature maps, (N, C, h, w)."""
        headless = self.spec.tap is not None
        maps: Tensor = self.net(x)[0] if headless else self.net.forward_features(x)  # type: ignore[operator]
        if maps.ndim != 4:
            raise UserError(
                f"{self.spec.name}: found features of shape {tuple(maps.shape)}, "
                "expected maps (N, C, h, w); take a convolutional network"
            )
        return maps

    def _of_kind(self, maps: Tensor, kind: StoredKind) -> Tensor:
        """One kind of features, from the last maps."""
        if kind == "maps":
            grid = (MAP_SIDE, MAP_SIDE)
            if maps.shape[-2:] == grid:
                return maps
            return F.interpolate(maps, grid, mode="bilinear", antialias=True)
        if self.spec.tap is not None:
            raise UserError(
                f"{self.spec.name}: found a network without a head, expected one for "
                "logits; take maps, or another network"
            )
        logits: Tensor = self.net.forward_head(maps)  # type: ignore[operator]
        return logits[:, 1:] if self.spec.drop_background else logits  # (N, 1000)


# ------------------------------------------------------------ features of some images


def stored_kind(kind: FeatureKind) -> StoredKind:
    """What has to be extracted: the softmax is made of logits.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in get_args(FeatureKind):
        expected = ", ".join(get_args(FeatureKind))
        raise ValueError(f"found features {kind!r}, expected one of {expected}")
    return "logits" if kind == "softmax" else kind


def concatenate_features(each: Sequence[Tensor], kind: FeatureKind) -> Tensor:
    """The features of several networks as one tensor, see `features_of_images`."""
    if stored_kind(kind) != "logits":
        return torch.cat(list(each), dim=1)  # K of (N, C_k, 8, 8) -> (N, C, 8, 8)
    logits = torch.stack(list(each), dim=1)  # (N, K, 1000)
    return logits.softmax(dim=-1) if kind == "softmax" else logits


@torch.no_grad()
def features_of_images(
    backbones: Sequence[Backbone],
    gray: Tensor,
    kind: FeatureKind = "softmax",
    input_sizes: Sequence[int] | None = None,
) -> Tensor:
    """Extract the features of several networks, as a model wants them.

    Args:
        backbones: K classifiers, on the device of the images.
        gray: (N, 1, H, H) float in [0, 1]: L / 100, see `color.gray_from_L`.
        kind: `softmax` or `logits` of the classes, or feature `maps`.
        input_sizes: What each network sees, pixels; by default that of its training.

    Returns:
        (N, K, 1000) float32; or maps, (N, C, 8, 8), the channels of all networks
        concatenated.

    Example:
        >>> backbone = load_backbone("test_resnet.r160_in1k", "random")
        >>> softmax = features_of_images([backbone], torch.rand(2, 1, 64, 64))
        >>> torch.allclose(softmax.sum(dim=-1), torch.ones(2, 1))
        True
    """
    sizes = input_sizes or [b.spec.input_size for b in backbones]
    pairs, stored = zip(backbones, sizes, strict=True), stored_kind(kind)
    each = [backbone(gray, stored, size) for backbone, size in pairs]
    return concatenate_features(each, kind)


# ---------------------------------------------------------------------------- weights


def load_backbone(name: str, weights: str | Path) -> Backbone:
    """Load a frozen classifier.

    Args:
        name: One of `SPECS`, or any timm name with its tag.
        weights: `pretrained` (from the cache of the Hugging Face hub, or downloaded to
            it), `random` (seeded, knows nothing), or a safetensors file, or the folder
            it is in.

    Returns:
        The classifier, which says in `weights_kind` and `weights_hash` what it is.

    Raises:
        UserError: If there is no such network, or its weights cannot be had, do not
            fit or are not those known; the message names the ways out.

    Example:
        >>> backbone = load_backbone("test_resnet.r160_in1k", "random")
        >>> backbone(torch.rand(2, 1, 64, 64), "logits").shape
        torch.Size([2, 1000])
    """
    spec = spec_for(name)
    net, kind = load_timm_network(spec, weights)
    return Backbone(spec, net, kind, hash_of_weights(net))


# --------------------------------------------------- the networks of a trained model


class BackboneRecord(BaseModel):
    """Which frozen network, and where its weights come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights: WeightsKind
    weights_hash: str


class _Notes(BaseModel):
    """What a file of a trained model says of what it expects."""

    model_config = ConfigDict(extra="ignore", strict=True)

    size: int = Field(ge=8, le=LARGEST)
    backbones: list[BackboneRecord]


def load_recorded_backbones(
    path: Path, notes: dict[str, Any], weights_root: Path | None = None
) -> tuple[int, list[Backbone]]:
    """Load the frozen networks that a model was trained with, and no others.

    Args:
        path: Its file, for the errors.
        notes: As `colorlib.model.load_model` returns them; someone may have handed
            them over.
        weights_root: Folder of the networks' files, for a model trained with
            `weights: file`.

    Returns:
        Side of the model's training images, pixels; and the networks that it fuses, in
        the order of their features.

    Raises:
        UserError: If a note is missing or does not fit, or a file is not there or not
            the one of the training.

    Example:
        >>> load_recorded_backbones(Path("model"), {"size": 64, "backbones": []})
        (64, [])
    """
    try:
        stated = _Notes(**notes)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise UserError(
            f"{path} does not say what the model expects: {field}: {fault['msg']}, "
            f"found {fault['input']!r:.60}; train it with this package"
        ) from error
    backbones = []
    for wanted in stated.backbones:
        weights = weights_root if wanted.weights == "file" else wanted.weights
        if weights is None:
            raise UserError(
                f"{path} was trained with the file of {wanted.name}; "
                "give --weights-root, the folder it is in"
            )
        backbone = load_backbone(wanted.name, weights)
        if backbone.weights_hash != wanted.weights_hash:
            raise UserError(
                f"{path} was trained with other weights of {wanted.name}: found "
                f"{backbone.weights_hash[:12]}, expected "
                f"{wanted.weights_hash[:12]}; use the same file"
            )
        backbones.append(backbone)
    return stated.size, backbones
