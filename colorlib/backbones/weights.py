"""Where the weights of a frozen network come from, and how they are checked.

pretrained   the cache of the Hugging Face hub, or the hub itself: known by its hash
a file       safetensors and nothing else: no other format is opened
random       seeded: the same network every time, which has learned nothing
"""

import hashlib
from pathlib import Path
from textwrap import shorten
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.backbones.specs import BackboneSpec, spec_for
from colorlib.errors import UserError
from colorlib.files import file_sha256

WeightsKind = Literal["pretrained", "random", "file"]

RANDOM_SEED = 0  # of `random` weights
HUB_FILE = "model.safetensors"


def load_network(
    name: str, weights: str | Path
) -> tuple[BackboneSpec, nn.Module, WeightsKind]:
    """Build a timm network and give it its weights, see `load_backbone`.

    Returns:
        What it expects, the network, and where its weights come from.
    """
    spec = spec_for(name)
    if weights == "random":
        return spec, _build(spec, None), "random"
    if weights == "pretrained":
        return spec, _build(spec, _known_hub_file(spec)), "pretrained"
    return spec, _build(spec, _local_file(spec, Path(weights))), "file"


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
    from safetensors import SafetensorError

    source = {"file": str(path), "num_classes": spec.num_classes}
    try:
        if spec.tap is not None:
            return _build_without_head(spec, path)
        with torch.random.fork_rng(devices=[]):  # the caller's generator is untouched
            torch.default_generator.manual_seed(RANDOM_SEED)
            net: nn.Module = timm.create_model(
                spec.timm_name,
                pretrained=path is not None,
                pretrained_cfg_overlay=source if path else None,
                num_classes=spec.num_classes,
                **spec.create_options,
            )
    except (RuntimeError, KeyError, OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: found weights that do not fit {spec.timm_name}: "
            f"{shorten(str(error), 200)}; give the file of that network"
        ) from error
    return net


def _build_without_head(spec: BackboneSpec, path: Path | None) -> nn.Module:
    """The layers up to the tap, with what a file has of them."""
    import timm
    from safetensors.torch import load_file

    device = "meta" if path else "cpu"  # no weight is drawn that a file replaces
    with torch.random.fork_rng(devices=[]), torch.device(device):
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
        whole = {name: found[name].to(wanted[name].dtype) for name in wanted}
        net.load_state_dict(whole, assign=True)  # a file may be of half precision
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
