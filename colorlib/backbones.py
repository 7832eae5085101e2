"""Frozen ImageNet classifiers: what they say of a gray image.

The paper fuses the opinions of networks that learned from colour photographs and are
shown the gray image three times over. Each wants its own size and scaling and sees to
both itself, so all are given the same gray image::

    gray (N, 1, H, H) ── prepare ──► (N, 3, S, S) ── net ──► logits (N, 1000)

All speak of the same 1000 classes in the same order. Only there can networks of
different shape be averaged: their features have 4096, 2048 and 1536 numbers. These
features, and the maps they are pooled from, can be had as well, for a fusion that
learns to bring them to one length.

Reference:
    Section 4.2 of the paper.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.backbone_specs import (
    NUM_CLASSES,
    SPECS,
    BackboneSpec,
    spec_for,
    spec_of_file,
)
from colorlib.color import check_image
from colorlib.errors import UserError
from colorlib.files import file_sha256

WeightsKind = Literal["pretrained", "random", "file"]
ScoreKind = Literal["softmax", "logits", "features", "maps"]
Content = Literal["logits", "features", "maps"]  # what a softmax is made of, or not

MAP_SIDE = 8  # feature maps are brought to one grid, that of Inception-ResNet-v2

RANDOM_SEED = 0  # of `random` weights: the same network every time
HUB_FILE = "model.safetensors"
HALF = torch.float16
GRAY_TOLERANCE = 1e-3  # the L of white is 100 only to the precision of float32


class Backbone(nn.Module):
    """A classifier that never learns: a function from gray images to 1000 logits.

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
        """Stay in evaluation mode: batch statistics would make scores depend on it."""
        return super().train(False)

    def prepare(self, gray: Tensor) -> Tensor:
        """Make what the network sees: the gray image at its size, in its scaling.

        Args:
            gray: (N, 1, H, H) float in [0, 1].

        Returns:
            (N, 3, S, S), S = `spec.input_size`: three equal channels but for scaling.

        Raises:
            TypeError: If the image is not float.
            ValueError: If it is not gray or not square.

        Departure from common use:
            Classifiers are tested on a crop of the middle. Here the whole square is
            resized: the scores colour the whole image, so they may depend on all of
            it. That costs them about a point of accuracy.
        """
        check_image(gray, 1)
        H, W = gray.shape[-2:]
        if H != W:
            raise ValueError(f"found gray of {H}x{W}, expected a square: cut one out")
        size = (self.spec.input_size, self.spec.input_size)
        gray = F.interpolate(
            gray.to(self.mean.dtype),
            size=size,
            mode=self.spec.interpolation,
            align_corners=False,
            antialias=True,
        ).clamp(0, 1)  # (N, 1, S, S); a bicubic filter overshoots
        rgb = gray.expand(-1, 3, -1, -1)  # (N, 3, S, S)
        return (rgb - self.mean) / self.std

    def maps(self, gray: Tensor) -> Tensor:
        """What the network saw where, before it pooled: feature maps.

        Args:
            gray: (N, 1, H, H) float in [0, 1].

        Returns:
            (N, C, 8, 8), interpolated from the network's own grid.

        Raises:
            UserError: If the network has no maps, as a transformer has tokens.
        """
        maps: Tensor = self.net.forward_features(self.prepare(gray))  # type: ignore[operator]
        if maps.ndim != 4:
            raise UserError(
                f"{self.spec.name}: found features of shape {tuple(maps.shape)}, "
                "expected maps (N, C, h, w); take a convolutional network"
            )
        return F.interpolate(maps, (MAP_SIDE, MAP_SIDE), mode="bilinear")

    def features(self, gray: Tensor) -> Tensor:
        """What the network's last layer decides from: features of the whole image.

        Args:
            gray: (N, 1, H, H) float in [0, 1].

        Returns:
            (N, C).
        """
        maps = self.net.forward_features(self.prepare(gray))  # type: ignore[operator]
        features: Tensor = self.net.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        return features.flatten(1)

    def forward(self, gray: Tensor) -> Tensor:
        """Classify gray images.

        Args:
            gray: (N, 1, H, H) float in [0, 1]: L / 100, see `color.gray_from_L`.

        Returns:
            Logits, (N, 1000), unbounded; classes in the order of sorted WordNet ids.
        """
        logits: Tensor = self.net(self.prepare(gray))  # (N, 1000) or (N, 1001)
        return logits[:, 1:] if self.spec.drop_background else logits


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
        >>> backbone(torch.rand(2, 1, 64, 64)).shape
        torch.Size([2, 1000])
    """
    kind: WeightsKind = "file"
    if weights == "random":
        kind, spec, path = "random", spec_for(name), None
    elif weights == "pretrained":
        kind, spec = "pretrained", spec_for(name)
        path = _known_hub_file(spec)
    else:
        path = _local_file(name, Path(weights))
        spec = spec_of_file(path, name)
    net = _build(spec, path)
    return Backbone(spec, net, kind, hash_of_weights(net))


def features_of_images(
    backbones: Sequence[Backbone], gray: Tensor, kind: ScoreKind = "softmax"
) -> Tensor:
    """Ask each classifier about each image.

    Args:
        backbones: K classifiers, on the device of the images.
        gray: (N, 1, H, H) float in [0, 1]: L / 100, see `color.gray_from_L`.
        kind: `softmax`, which can be averaged; `logits`, whose scale differs from
            network to network; `features` before the last layer; or feature `maps`.

    Returns:
        Class scores, (N, K, 1000) float32; features, (N, C), or maps, (N, C, 8, 8),
        the channels of all classifiers behind each other.

    Raises:
        ValueError: If the gray image is not in [0, 1].
        UserError: If a classifier gives no finite scores.

    Example:
        >>> backbone = load_backbone("test_resnet.r160_in1k", "random")
        >>> scores = features_of_images([backbone], torch.rand(2, 1, 64, 64))
        >>> torch.allclose(scores.sum(dim=-1), torch.ones(2, 1))
        True
    """
    told = [
        extract_features(backbone, gray, content_of(kind)) for backbone in backbones
    ]
    if kind in ("features", "maps"):
        return torch.cat(told, dim=1)  # K of (N, C_k, ...) -> (N, C, ...)
    return scores_from_logits(torch.stack(told, dim=1), kind)  # (N, K, 1000)


def extract_features(
    backbone: Backbone, gray: Tensor, content: Content, half: bool = False
) -> Tensor:
    """What one classifier tells of each image, float32.

    Args:
        backbone: On the device of the images.
        gray: (N, 1, H, H) float in [0, 1].
        content: `logits`, (N, 1000); `features`, (N, C_k); or `maps`, (N, C_k, 8, 8).
        half: Whether products are taken in half precision, on a GPU the faster one.

    Raises:
        ValueError: If the gray image is not in [0, 1].
        UserError: If the classifier gives no finite numbers.
    """
    low, high = gray.min().item(), gray.max().item()
    if not -GRAY_TOLERANCE <= low <= high <= 1 + GRAY_TOLERANCE:
        raise ValueError(f"found gray from {low:.3g} to {high:.3g}, expected 0 to 1")
    ask: dict[Content, Callable[[Tensor], Tensor]] = {
        "logits": backbone,
        "features": backbone.features,
        "maps": backbone.maps,
    }
    with torch.no_grad(), torch.autocast(gray.device.type, HALF, enabled=half):
        told = ask[content](gray).float()
    if not bool(told.isfinite().all()):
        raise UserError(
            f"{backbone.spec.name}: found scores that are not finite, expected "
            "numbers; its weights are damaged, get them again"
        )
    return told


def feature_shape(backbone: Backbone, content: Content) -> tuple[int, ...]:
    """Shape of what a classifier tells of one image, found by asking it.

    Example:
        >>> feature_shape(load_backbone("test_resnet.r160_in1k", "random"), "maps")
        (96, 8, 8)
    """
    if content == "logits":
        return (NUM_CLASSES,)
    side = backbone.spec.input_size
    gray = torch.zeros(1, 1, side, side, device=backbone.mean.device)
    return tuple(extract_features(backbone, gray, content).shape[1:])


def content_of(kind: ScoreKind) -> Content:
    """What has to be asked for: the softmax is made of logits.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in get_args(ScoreKind):
        expected = ", ".join(get_args(ScoreKind))
        raise ValueError(f"found scores {kind!r}, expected one of {expected}")
    return "logits" if kind == "softmax" else kind


def scores_from_logits(logits: Tensor, kind: ScoreKind) -> Tensor:
    """Turn logits (..., 1000) into class scores of the same shape.

    Raises:
        ValueError: If there is no such kind.

    Example:
        >>> scores_from_logits(torch.zeros(4), "softmax")
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    if kind == "logits":
        return logits
    if kind == "softmax":
        return logits.softmax(dim=-1)
    raise ValueError(f"found scores {kind!r}, expected 'softmax' or 'logits'")


def hash_of_weights(net: nn.Module) -> str:
    """SHA-256 of the names, types, shapes and values of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _build(spec: BackboneSpec, path: Path | None) -> nn.Module:
    """The network with the weights of a file, or without one with random ones."""
    import timm  # takes seconds, and a model without backbones does not need it

    source = {"file": str(path), "num_classes": spec.num_classes}
    try:
        with torch.random.fork_rng(devices=[]):  # the caller's generator is untouched
            torch.default_generator.manual_seed(RANDOM_SEED)
            net: nn.Module = timm.create_model(
                spec.timm_name,
                pretrained=path is not None,
                pretrained_cfg_overlay=source if path else None,
                num_classes=spec.num_classes,
                **spec.create_options,
            )
    except (RuntimeError, KeyError, OSError) as error:
        raise UserError(
            f"{path}: found weights that do not fit {spec.timm_name}: "
            f"{shorten(str(error), 200)}; give the file of that network"
        ) from error
    return net


def _known_hub_file(spec: BackboneSpec) -> Path:
    """The weights of the hub, refused if they are others than those once there."""
    path = _hub_file(spec)
    found = file_sha256(path) if spec.hub_sha256 else ""
    if found != spec.hub_sha256:
        raise UserError(
            f"{path}: found weights of SHA-256 {found}, expected {spec.hub_sha256}: a "
            "damaged copy, or the hub has others now; delete it and try again, or give "
            f"the right {spec.weights_file} as the weights"
        )
    return path


def _hub_file(spec: BackboneSpec) -> Path:
    """The weights in the cache of the Hugging Face hub, downloaded if need be."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import LocalEntryNotFoundError

    ways_out = (
        f"place {spec.weights_file} in a folder and give that as the weights, "
        "or take `random` weights, which know nothing"
    )
    if not spec.hub_id:
        raise UserError(f"{spec.name}: found no weights to download; {ways_out}")
    try:
        return Path(hf_hub_download(spec.hub_id, HUB_FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        pass  # not there yet
    try:
        # Ask once: without a network the download itself would try for a minute.
        get_hf_file_metadata(hf_hub_url(spec.hub_id, HUB_FILE))
        return Path(hf_hub_download(spec.hub_id, HUB_FILE))
    except Exception as error:  # whatever the hub's HTTP library raises
        raise UserError(
            f"{spec.name}: its weights are not in {HF_HUB_CACHE} and cannot be "
            f"downloaded ({shorten(f'{type(error).__name__}: {error}', 120)}); "
            f"copy them there from another machine, {ways_out}"
        ) from error


def _local_file(name: str, path: Path) -> Path:
    """The file of weights at `path`, or in the folder `path`."""
    if path.is_dir():
        path /= SPECS[name].weights_file if name in SPECS else f"{name}.safetensors"
    if not path.is_file():
        raise UserError(
            f"{name}: found no {path}, expected its weights; give `pretrained`, "
            "`random`, a safetensors file or the folder it is in"
        )
    if path.suffix != ".safetensors":
        raise UserError(
            f"{path}: found a {path.suffix or 'nameless'} file, expected .safetensors; "
            "other formats can run code when they are opened and are refused"
        )
    return path
