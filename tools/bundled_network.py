"""The bundled network during training: load, fold batch normalisation, export.

timm's file ── pretrained_encoder ──► trainable ── training ──► folded ──► the package
"""

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from colorlib.unet import ColorUNet, UNetConfig

LEAST = 1e-6  # of a bin's share: that of a colour hardly ever seen
BATCH_NORM_EPSILON = 1e-5  # timm's


def pretrained_encoder(path: Path) -> dict[str, Tensor]:
    """Bring timm's `mobilenetv2_100` into the form of `ColorUNet`'s encoder.

    Batch normalisation is folded into the convolutions; the first convolution's three
    input channels, which would see the same gray, become one; and the kernels are
    turned by half a turn, see `ColorUNet.logits`.

    Args:
        path: A safetensors file of the model's state.

    Returns:
        Name in `ColorUNet` -> weights.
    """
    state = {name: value.float() for name, value in load_file(path).items()}
    encoder = _folded_pair(state, "conv_stem", "bn1", "stem")
    encoder["stem.weight"] = encoder["stem.weight"].sum(1, keepdim=True)
    pointwise = ("conv_dw", "bn1", "depthwise"), ("conv_pw", "bn2", "project")
    inverted = (
        ("conv_pw", "bn1", "expand"),
        ("conv_dw", "bn2", "depthwise"),
        ("conv_pwl", "bn3", "project"),
    )
    blocks = {tuple(map(int, k.split(".")[1:3])) for k in state if k[:7] == "blocks."}
    for place, (stage, block) in enumerate(sorted(blocks)):
        start = f"blocks.{stage}.{block}."
        parts = inverted if f"{start}conv_pwl.weight" in state else pointwise
        for conv, norm, name in parts:
            encoder |= _folded_pair(
                state, start + conv, start + norm, f"blocks.{place}.{name}"
            )
    return encoder


def _folded_pair(
    state: dict[str, Tensor], conv: str, norm: str, name: str
) -> dict[str, Tensor]:
    """A convolution and its batch normalisation as one convolution, turned."""
    scale = (
        state[f"{norm}.weight"]
        / (state[f"{norm}.running_var"] + BATCH_NORM_EPSILON).sqrt()
    )
    weight = state[f"{conv}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return {f"{name}.weight": weight.flip(-2, -1), f"{name}.bias": bias}


def trainable(seed: int, weights: Path | None) -> ColorUNet:
    """The network as it is trained: its decoder with batch normalisation.

    Args:
        seed: Of the weights that start from nothing.
        weights: Of the pretrained encoder; None to start from random weights.
    """
    torch.manual_seed(seed)
    net = ColorUNet(UNetConfig())
    if weights:
        missing = net.load_state_dict(pretrained_encoder(weights), strict=False)
        assert not missing.unexpected_keys, missing.unexpected_keys
    for place, conv in enumerate(net.decoder):
        norm = nn.BatchNorm2d(conv.out_channels, momentum=0.02)
        net.decoder[place] = nn.Sequential(conv, norm)
    return net


def folded(net: ColorUNet, prior: Tensor, rare: float, config: UNetConfig) -> ColorUNet:
    """The network as it is used: no batch normalisation, no trace of the loss weights.

    A cross-entropy that weighs each bin is least where the softmax is proportional to
    weight times probability. So weights of `prior ** -rare` make the logits too high
    by `-rare * log(prior)`, which is taken back.

    Args:
        net: As it was trained.
        prior: (Q,) how often each bin occurs in training.
        rare: The power of the recipe, see `Recipe`.
        config: To be written with it.
    """
    net = copy.deepcopy(net).cpu().eval()
    net.config = config
    for place, (conv, norm) in enumerate(net.decoder):
        net.decoder[place] = fuse_conv_bn_eval(conv, norm)
    with torch.no_grad():
        net.head.bias += rare * prior.clamp(min=LEAST).log()
    return net
