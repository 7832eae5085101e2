"""Frozen ImageNet classifiers: what each expects, and what it outputs for a gray image.

The paper fuses the outputs of networks that learned from colour photographs and see
the gray image three times over. A file of weights implies an input size, a scaling and
an order of classes; another input gives no error, only worse outputs. So each network
has a specification, prepares its own input, and all are given the same gray image::

    gray (N, 1, H, H) ── prepare ──► (N, 3, S, S) ── net ──► maps (N, C, 8, 8)
                                                        └──► pooled (N, C)
                                                        └──► logits (N, 1000)

All classify the same 1000 classes in the same order. Only there can networks of
different shape be averaged without a learned projection.

References:
    Section 4.2 of the paper names the networks; the specifications are those of timm.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.backbones.specs import (
    MAP_SIDE,
    NUM_CLASSES,
    SPECS,
    BackboneSpec,
    FeatureKind,
    spec_for,
)
from colorlib.color import check_image
from colorlib.errors import UserError
from colorlib.files import file_sha256

__all__ = [
    "NUM_CLASSES",
    "SPECS",
    "Backbone",
    "BackboneSpec",
    "FeatureKind",
    "content_of",
    "feature_shape",
    "features_of_images",
    "load_backbone",
    "spec_for",
]

WeightsKind = Literal["pretrained", "random", "file"]
Content = Literal["logits", "pooled", "maps"]  # what a softmax is made of, or not

RANDOM_SEED = 0  # of `random` weights: the same network every time
HUB_FILE = "model.safetensors"
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
            resized: the scores colour the whole image, so they may depend on all of
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
        self, gray: Tensor, contents: Sequence[Content], size: int | None = None
    ) -> dict[Content, Tensor]:
        """Extract features of gray images.

        Args:
            gray: (N, 1, H, H) float in [0, 1]: L / 100, see `color.gray_from_L`.
            contents: Which features.
            size: Side of what the network sees, see `prepare`.

        Returns:
            `logits`, (N, 1000), unbounded, classes in the order of sorted WordNet ids;
            `pooled`, (N, C), what the last layer decides from; `maps`, (N, C, 8, 8),
            resampled from the network's own grid. All float32.

        Raises:
            ValueError: If the gray image is not in [0, 1].
            UserError: If the network has no such features, or gives no finite numbers.
        """
        low, high = gray.min().item(), gray.max().item()
        if not -GRAY_TOLERANCE <= low <= high <= 1 + GRAY_TOLERANCE:
            raise ValueError(f"found gray {low:.3g} to {high:.3g}, expected 0 to 1")
        maps = self._maps(self.prepare(gray, size))
        features = {
            content: self._content(maps, content).float() for content in contents
        }
        if not all(bool(values.isfinite().all()) for values in features.values()):
            raise UserError(
                f"{self.spec.name}: found features that are not finite, expected "
                "numbers; its weights are damaged, get them again"
            )
        return features

    def _maps(self, x: Tensor) -> Tensor:
        """The network's last feature maps, (N, C, h, w)."""
        if self.spec.tap is not None:
            maps: Tensor = self.net(x)[0]
        else:
            maps = self.net.forward_features(x)  # type: ignore[operator]
        if maps.ndim != 4:
            raise UserError(
                f"{self.spec.name}: found features of shape {tuple(maps.shape)}, "
                "expected maps (N, C, h, w); take a convolutional network"
            )
        return maps

    def _content(self, maps: Tensor, content: Content) -> Tensor:
        """One kind of features, from the last maps."""
        if content == "maps":
            same = maps.shape[-2:] == (MAP_SIDE, MAP_SIDE)
            return (
                maps
                if same
                else F.interpolate(
                    maps, (MAP_SIDE, MAP_SIDE), mode="bilinear", antialias=True
                )
            )
        if self.spec.tap is not None:
            raise UserError(
                f"{self.spec.name}: found a network without a head, expected one for "
                f"{content}; take maps, or another network"
            )
        pooled = content == "pooled"
        head: Tensor = self.net.forward_head(maps, pre_logits=pooled)  # type: ignore[operator]
        if pooled:
            return head.flatten(1)  # (N, C)
        return head[:, 1:] if self.spec.drop_background else head  # (N, 1000)


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
        >>> backbone(torch.rand(2, 1, 64, 64), ["logits"])["logits"].shape
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
        spec = spec_for(name)
    net = _build(spec, path)
    return Backbone(spec, net, kind, hash_of_weights(net))


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
        kind: `softmax` or `logits` of the classes; `pooled` features before the last
            layer; or feature `maps`.
        input_sizes: What each network sees, pixels; by default that of its training.

    Returns:
        (N, K, 1000) float32; pooled features, (N, C), or maps, (N, C, 8, 8), the
        channels of all networks concatenated.

    Example:
        >>> backbone = load_backbone("test_resnet.r160_in1k", "random")
        >>> softmax = features_of_images([backbone], torch.rand(2, 1, 64, 64))
        >>> torch.allclose(softmax.sum(dim=-1), torch.ones(2, 1))
        True
    """
    content = content_of(kind)
    sizes = input_sizes or [b.spec.input_size for b in backbones]
    each = [
        backbone(gray, [content], size)[content]
        for backbone, size in zip(backbones, sizes, strict=True)
    ]
    if content != "logits":
        return torch.cat(each, dim=1)  # K of (N, C_k, ...) -> (N, C, ...)
    logits = torch.stack(each, dim=1)  # (N, K, 1000)
    return logits.softmax(dim=-1) if kind == "softmax" else logits


@torch.no_grad()
def feature_shape(backbone: Backbone, content: Content) -> tuple[int, ...]:
    """Shape of a network's features of one image, found by computing them.

    Example:
        >>> feature_shape(load_backbone("test_resnet.r160_in1k", "random"), "maps")
        (96, 8, 8)
    """
    if content == "logits":
        return (NUM_CLASSES,)
    gray = torch.zeros(1, 1, 96, 96, device=backbone.mean.device)
    return tuple(backbone(gray, [content], 96)[content].shape[1:])


def content_of(kind: FeatureKind) -> Content:
    """What has to be extracted: the softmax is made of logits.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in get_args(FeatureKind):
        expected = ", ".join(get_args(FeatureKind))
        raise ValueError(f"found features {kind!r}, expected one of {expected}")
    return "logits" if kind == "softmax" else kind


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

    if spec.tap is not None:
        return _build_without_head(spec, path)
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


def _build_without_head(spec: BackboneSpec, path: Path | None) -> nn.Module:
    """The layers up to the tap, with what a file has of them."""
    import timm
    from safetensors.torch import load_file

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(RANDOM_SEED)
        net: nn.Module = timm.create_model(
            spec.timm_name, features_only=True, out_indices=(spec.tap,)
        )
    if path is not None:
        wanted = net.state_dict()
        found = {
            name.replace("features.", "features_", 1): values
            for name, values in load_file(path).items()
        }
        missing = [name for name in wanted if name not in found]
        if missing:
            raise UserError(
                f"{path}: found no {missing[0]}, expected the weights of "
                f"{spec.timm_name}; give the file of that network"
            )
        net.load_state_dict({name: found[name] for name in wanted})
    for module in net.modules():
        convolution = getattr(module, "branch_pool", None)  # of Inception
        if isinstance(convolution, nn.Module):
            module.branch_pool = nn.Sequential(_WithoutPadding(), convolution)
    return net


class _WithoutPadding(nn.Module):
    """Turns means over a 3x3 window with zeros outside into means of what is inside.

    TensorFlow pools so, and with it the weights were trained; timm's Inception-v3 calls
    `avg_pool2d` itself, and counts the zeros.
    """

    def forward(self, pooled: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        inside = F.avg_pool2d(torch.ones_like(pooled[:1, :1]), 3, 1, 1)  # (1, 1, h, w)
        return pooled / inside


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
